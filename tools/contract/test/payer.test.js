// A payer's browser through a challenge: to the provider's page, back to us, and on to the shop.
"use strict";

const { after, before, test } = require("node:test");
const assert = require("node:assert/strict");
const http = require("node:http");
const { chromium } = require("playwright-core");

const { OPERATOR, ask, serve, stopAll } = require("../lib/processes.js");

const CREDENTIALS = {
    sandbox: { auth_type: "HeaderKey", api_key: "any" },
    stripe: { auth_type: "HeaderKey", api_key: "sk_test_any" },
    adyen: { auth_type: "BodyKey", api_key: "any", key1: "Shop" },
};

let server, browser, shop;
const visits = [];

before(async () => {
    server = await serve();
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"], timeout: 60_000 });
    shop = http.createServer((request, response) => {
        let body = "";
        request.on("data", (data) => { body += data; });
        request.on("end", () => {
            const url = new URL(request.url, "http://shop");
            if (url.pathname === "/favicon.ico") return void response.writeHead(404).end();
            visits.push({ method: request.method, path: url.pathname, told: new URLSearchParams(request.method === "POST" ? body : url.search), referrer: request.headers.referer });
            response.setHeader("content-type", "text/html");
            response.end("<!doctype html><title>Shop</title><h1>Thank you</h1>");
        });
    });
    await new Promise((resolve) => shop.listen(0, "127.0.0.1", resolve));
});

after(async () => {
    await browser?.close();
    shop?.close();
    await stopAll();
});

async function asking(key, method, path, body) {
    const answer = await ask(server.url, method, path, { "api-key": key }, body);
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`);
    return answer.json;
}

// A merchant with one connector; what it needs to ask, and to start a payment with a challenge.
async function merchant(id, connector, settings = {}) {
    await asking(OPERATOR, "POST", "/accounts", { merchant_id: id, ...settings });
    const { api_key: key } = await asking(OPERATOR, "POST", `/api_keys/${id}`, { name: "till", expiration: "never" });
    await asking(key, "POST", `/account/${id}/connectors`, {
        connector_type: "payment_processor", connector_name: connector, connector_account_details: CREDENTIALS[connector],
    });
    return async (more = {}) => {
        const paid = await asking(key, "POST", "/payments", {
            amount: 1000, currency: "USD", confirm: true, capture_method: "manual", authentication_type: "three_ds",
            return_url: `http://127.0.0.1:${shop.address().port}/${id}?order=7`, payment_method: "card",
            payment_method_data: { card: { card_number: "4000000000003220", card_exp_month: "12", card_exp_year: "2090", card_holder_name: "Ada Lovelace", card_cvc: "123" } },
            ...more,
        });
        assert.equal(paid.status, "requires_customer_action", JSON.stringify(paid));
        return { key, id: paid.payment_id, secret: paid.client_secret, url: paid.next_action.redirect_to_url };
    };
}

// Opens the challenge and presses a button; the page stays open.
async function press(payment, button) {
    const page = await browser.newPage();
    await page.goto(payment.url);
    await page.getByRole("button", { name: button }).click();
    return page;
}

for (const connector of Object.keys(CREDENTIALS)) {
    test(`a payer of ${connector} authenticates, and the payment goes on`, async () => {
        const start = await merchant(`shop-${connector}`, connector);
        for (const [button, status] of [["Approve", "requires_capture"], ["Fail", "failed"]]) {
            const payment = await start();
            const page = await press(payment, button);
            await page.getByText("Thank you").waitFor();
            const visit = visits.pop();
            assert.deepEqual([visit.method, visit.path, visit.referrer], ["GET", `/shop-${connector}`, undefined]);
            // What the signature is of is checked where the key is known: crates/api/tests.
            const { signature, signature_algorithm: algorithm, ...told } = Object.fromEntries(visit.told);
            assert.match(signature, /^[0-9a-f]{128}$/);
            assert.equal(algorithm, "HMAC-SHA512");
            assert.deepEqual(told, {
                order: "7", status, payment_id: payment.id, payment_intent_client_secret: payment.secret, amount: "1000", manual_retry_allowed: "false",
            });
            assert.equal((await asking(payment.key, "GET", `/payments/${payment.id}`)).status, status);
            await page.close();
        }
    });
}

test("who comes back late, again, or without an answer changes nothing", async () => {
    const start = await merchant("shop-late", "adyen");
    const payment = await start();
    const back = [];
    const page = await browser.newPage();
    page.on("request", (request) => { if (request.url().includes("/payments/return/")) back.push(request.url()); });
    await page.goto(payment.url);
    // Straight to the link, as if the challenge had been passed: without the result that is nothing.
    await page.getByRole("button", { name: "Approve" }).click();
    await page.getByText("Thank you").waitFor();
    const link = back[0];
    const other = await start();
    assert.equal((await asking(other.key, "GET", `/payments/${other.id}?force_sync=true`)).status, "requires_customer_action");
    const captured = await asking(payment.key, "POST", `/payments/${payment.id}/capture`);
    assert.ok(["succeeded", "processing"].includes(captured.status), JSON.stringify(captured));
    visits.length = 0;
    for (let again = 0; again < 3; again += 1) await page.goto(link);
    const told = visits.map(({ told }) => [told.get("status"), told.get("payment_id")]);
    assert.deepEqual(new Set(told.map(([, id]) => id)), new Set([payment.id]));
    assert.ok(told.every(([status]) => status === captured.status), JSON.stringify(told));
    await page.close();
});

test("a shop that wants to be posted to is, by a form that sends itself", async () => {
    const start = await merchant("shop-post", "stripe", { redirect_to_merchant_with_http_post: true });
    const payment = await start();
    const page = await press(payment, "Approve");
    await page.getByText("Thank you").waitFor();
    const visit = visits.pop();
    assert.equal(visit.method, "POST");
    assert.deepEqual([visit.told.get("status"), visit.told.get("payment_id")], ["requires_capture", payment.id]);
    await page.close();
});

test("a challenge that was left stays open, and the payment can be tried anew", async () => {
    const start = await merchant("shop-left", "sandbox");
    const payment = await start();
    const page = await press(payment, "Abandon");
    await page.getByText("can never be completed").waitFor();
    const seen = await asking(payment.key, "GET", `/payments/${payment.id}?force_sync=true`);
    assert.equal(seen.status, "requires_customer_action");
    await start();
    await page.close();
});
