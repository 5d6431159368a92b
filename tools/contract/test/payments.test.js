// The Payments API, held against the public contract's own description by a validating proxy.
"use strict";

const { after, before, test } = require("node:test");
const assert = require("node:assert/strict");

const { operations, overlaid, unfound } = require("../lib/payments.js");
const { uncompilable } = require("../lib/compile.js");
const { damaging } = require("../lib/damage.js");
const { OPERATOR, ask, proxy, serve, stopAll, write } = require("../lib/processes.js");

const held = { skip: unfound() ?? false };
let server, url;

before(async () => {
    server = await serve();
    if (!held.skip) url = await proxy(write(overlaid(), "payments.json"), server.url);
});

after(stopAll);

const CARD = { card_number: "4111111111111111", card_exp_month: "12", card_exp_year: "2090", card_holder_name: "Ada Lovelace", card_cvc: "123" };
const with_card = (number = CARD.card_number) => ({ payment_method: "card", payment_method_type: "credit", payment_method_data: { card: { ...CARD, card_number: number } } });
const ADDRESS = { address: { line1: "1 Main Street", city: "London", zip: "N1 9GU", country: "GB", first_name: "Ada", last_name: "Lovelace" }, phone: { number: "2079460000", country_code: "+44" } };
const ACCEPTED = { acceptance_type: "online", accepted_at: "2026-11-01T10:00:00.000Z", online: { ip_address: "127.0.0.1", user_agent: "tests" } };

const SECRET = "whsec_of-the-contract-tests";
const DISPUTED = "4000000000000259";

// A payment that its payer disputes, and the dispute once the provider has told of it.
const disputed = (amount) => [
    ["merchant", "POST /payments", {}, { amount, currency: "USD", confirm: true, ...with_card(DISPUTED) }, (has, json) => { has.disputed = json.payment_id; }],
    ["merchant", (has) => `GET /disputes/list?payment_id=${has.disputed}`, { until: (json) => json.length === 1 }, undefined, (has, [json]) => { has.dispute = json.dispute_id; }],
];

// Each step: who asks, what, with what; what is kept of the answer. Steps that the contract's own description
// would refuse say so with `refused`.
const STEPS = [
    ["operator", "POST /accounts", {}, { merchant_id: "shop", merchant_name: "Shop", metadata: { city: "London" } }, (has, json) => { has.publishable = json.publishable_key; has.profile = json.default_profile; }],
    ["operator", "GET /accounts/shop"],
    ["operator", "POST /accounts/shop", {}, { merchant_id: "shop", merchant_name: "The Shop" }],
    ["operator", "POST /api_keys/shop", {}, { name: "till", description: null, expiration: "never" }, (has, json) => { has.key = json.api_key; }],
    ["operator", "POST /api_keys/shop", {}, { name: "spare", description: "for later", expiration: "2099-01-31T00:00:00.000Z" }, (has, json) => { has.spare = json.key_id; }],
    ["operator", "GET /api_keys/shop/list"],
    ["operator", (has) => `GET /api_keys/shop/${has.spare}`],
    ["operator", (has) => `POST /api_keys/shop/${has.spare}`, {}, { name: "renamed" }],
    ["operator", (has) => `DELETE /api_keys/shop/${has.spare}`],
    ["merchant", "POST /account/shop/connectors", {}, { connector_type: "payment_processor", connector_name: "stripe", connector_account_details: { auth_type: "HeaderKey", api_key: "sk_test_any" }, connector_webhook_details: { merchant_secret: SECRET, additional_secret: "none" }, payment_methods_enabled: [{ payment_method: "card", payment_method_types: [{ payment_method_type: "credit", card_networks: ["Visa"], recurring_enabled: true, installment_payment_enabled: false, minimum_amount: 1, maximum_amount: 1000000 }] }] }, (has, json) => { has.connector = json.merchant_connector_id; }],
    ["merchant", "GET /account/shop/connectors"],
    ["merchant", (has) => `GET /account/shop/connectors/${has.connector}`],
    ["merchant", (has) => `POST /account/shop/connectors/${has.connector}`, {}, { connector_type: "payment_processor", disabled: false, status: "active" }],
    ["merchant", (has) => `GET /account/shop/business_profile/${has.profile}`],
    ["merchant", "POST /customers", {}, { customer_id: "ada", name: "Ada Lovelace", email: "ada@example.com", phone: "2079460000", phone_country_code: "+44", metadata: { tier: "gold" } }],
    ["merchant", "GET /customers/ada"],
    ["merchant", "POST /customers/ada", {}, { name: "Ada" }],
    ["merchant", "GET /customers/list"],
    ["merchant", "POST /payment_methods", {}, { payment_method: "card", payment_method_type: "credit", customer_id: "ada", card: { card_number: CARD.card_number, card_exp_month: "12", card_exp_year: "2090", card_holder_name: "Ada Lovelace" } }, (has, json) => { has.method = json.payment_method_id; }],
    ["merchant", (has) => `GET /payment_methods/${has.method}`],
    ["merchant", (has) => `POST /customers/ada/payment_methods/${has.method}/default`],
    ["merchant", "GET /customers/ada/payment_methods"],
    ["merchant", "POST /payments", {}, { amount: 6540, currency: "USD", customer_id: "ada", description: "Socks", return_url: "https://shop.example/", billing: ADDRESS, shipping: ADDRESS, metadata: { order: "7" } }, (has, json) => { has.open = json.payment_id; has.secret = json.client_secret; }],
    ["browser", (has) => `GET /account/payment_methods?client_secret=${has.secret}`],
    ["browser", (has) => `GET /customers/payment_methods?client_secret=${has.secret}`],
    ["browser", "POST /payments/session_tokens", {}, (has) => ({ payment_id: has.open, client_secret: has.secret, wallets: [] })],
    ["merchant", (has) => `POST /payments/${has.open}`, {}, { amount: 7000, ...with_card() }],
    ["merchant", (has) => `GET /payments/${has.open}`],
    ["browser", (has) => `POST /payments/${has.open}/confirm`, {}, (has) => ({ client_secret: has.secret, ...with_card() })],
    ["merchant", (has) => `GET /payments/${has.open}?force_sync=true`],
    ["merchant", "POST /refunds", {}, (has) => ({ payment_id: has.open, refund_id: "refund-1", amount: 600, reason: "late" })],
    ["merchant", "GET /refunds/refund-1"],
    ["merchant", "POST /refunds/refund-1", {}, { reason: "very late" }],
    ["merchant", "POST /refunds/list", {}, (has) => ({ payment_id: has.open })],
    ["merchant", "POST /payments", {}, { amount: 1000, currency: "USD", confirm: true, capture_method: "manual", ...with_card() }, (has, json) => { has.held = json.payment_id; }],
    ["merchant", (has) => `POST /payments/${has.held}/capture`, {}, { amount_to_capture: 1000 }],
    ["merchant", (has) => `POST /payments/${has.held}/cancel_post_capture`, { status: [200, 400] }, { cancellation_reason: "not wanted" }],
    ["merchant", "POST /payments", {}, { amount: 1001, currency: "USD", confirm: true, capture_method: "manual", ...with_card() }, (has, json) => { has.held = json.payment_id; }],
    ["merchant", (has) => `POST /payments/${has.held}/cancel`, {}, { cancellation_reason: "not wanted" }],
    ["merchant", "POST /payments", {}, { amount: 1002, currency: "USD", confirm: true, ...with_card("4000000000000002") }],
    ["merchant", "POST /payments", {}, { amount: 1003, currency: "USD", confirm: true, authentication_type: "three_ds", return_url: "https://shop.example/", ...with_card("4000000000003220") }],
    ["merchant", "POST /payments", {}, { amount: 1004, currency: "USD", confirm: true, customer_id: "ada", setup_future_usage: "off_session", customer_acceptance: ACCEPTED, mandate_data: { customer_acceptance: ACCEPTED, mandate_type: { multi_use: { amount: 5000, currency: "USD" } } }, ...with_card() }, (has, json) => { has.mandate = json.mandate_id; }],
    ["merchant", (has) => `GET /mandates/${has.mandate}`],
    ["merchant", "POST /payments", {}, (has) => ({ amount: 1005, currency: "USD", confirm: true, customer_id: "ada", off_session: true, mandate_id: has.mandate })],
    ["merchant", (has) => `POST /mandates/revoke/${has.mandate}`],
    ["provider", (has) => `PUT /admin/accounts/${has.connector}/webhook`, { status: 204 }, (has) => ({ url: `${server.url}/webhooks/${has.merchant}/${has.connector}`, secret: SECRET, dialect: "stripe" })],
    ...disputed(1006),
    ["merchant", (has) => `GET /disputes/${has.dispute}?force_sync=true`],
    ["merchant", (has) => `GET /payments/${has.disputed}`],
    ["merchant", "POST /disputes/evidence", {}, (has) => ({ dispute_id: has.dispute, customer_name: "Ada Lovelace", uncategorized_text: "delivered" })],
    ["merchant", (has) => `GET /disputes/evidence/${has.dispute}`],
    ["merchant", (has) => `POST /disputes/accept/${has.dispute}`, { status: 400 }],
    ...disputed(1007),
    ["merchant", (has) => `POST /disputes/accept/${has.dispute}`],
    ["merchant", (has) => `GET /disputes/${has.dispute}`],
    ["merchant", "GET /disputes/list?limit=5&dispute_stage=dispute"],
    ["merchant", "GET /disputes/profile/list"],
    ["merchant", "GET /disputes/aggregate?start_time=2026-01-01T00:00:00Z"],
    ["merchant", "GET /disputes/profile/aggregate?start_time=2026-01-01T00:00:00Z"],
    ["merchant", "GET /disputes/dp_that_is_not_there", { status: 404 }],
    ["merchant", "GET /payments/list?limit=5"],
    ["merchant", "POST /payments", { status: 400, refused: true }, { currency: "USD" }],
    ["merchant", "POST /payments", { status: 400, refused: true }, { amount: "much", currency: "USD" }],
    ["merchant", (has) => `POST /payments/${has.open}/capture`, { status: 400 }, { amount_to_capture: 1 }],
    ["merchant", "POST /refunds", { status: 400 }, (has) => ({ payment_id: has.open, amount: 700000 })],
    ["merchant", "GET /payments/pay_that_is_not_there_at_all_1", { status: 404 }],
    ["nobody", "GET /payments/list", { status: 401 }],
    ["merchant", (has) => `DELETE /payment_methods/${has.method}`],
    ["merchant", "DELETE /customers/ada", { status: [200, 400] }],
    ["merchant", (has) => `DELETE /account/shop/connectors/${has.connector}`],
    ["operator", "DELETE /accounts/shop"],
];

test("every schema that is served compiles", held, async () => {
    const { compiled, failed } = await uncompilable(overlaid());
    assert.deepEqual(failed, []);
    assert.ok(compiled > 50, `${compiled} schemas`);
});

// Walks through the steps; what the proxy finds, and what was asked for.
async function walk(url, merchant) {
    const has = { merchant };
    const wrong = [];
    const walked = new Set();
    for (const [who, what, more = {}, body, keep] of STEPS) {
        const of = (value) => (typeof value === "function" ? value(has) : value);
        const [method, path] = of(what).replaceAll("shop", merchant).split(" ");
        const key = { operator: OPERATOR, merchant: has.key, browser: has.publishable, nobody: undefined }[who];
        const sent = body && JSON.parse(JSON.stringify(of(body)).replaceAll('"shop"', `"${merchant}"`));
        // The provider is no part of the contract.
        const at = who === "provider" ? server.sandbox : url;
        let answer = await ask(at, method, path, key ? { "api-key": key } : {}, sent);
        for (let tries = 0; more.until && !more.until(answer.json) && tries < 100; tries += 1) {
            await new Promise((resolve) => setTimeout(resolve, 100));
            answer = await ask(at, method, path, { "api-key": key }, sent);
        }
        const violations = JSON.parse(answer.headers.get("sl-violations") ?? "[]");
        const status = [more.status ?? 200].flat();
        assert.ok(status.includes(answer.status), `${method} ${path}: ${answer.status} ${answer.text.slice(0, 400)}`);
        for (const { location, message } of violations) {
            const where = `${method} ${path.replace(/[a-z]+_[0-9a-z]{26}[^/]*/g, "{id}")}`;
            const expected = location[0] === "request" ? more.refused || !key : false;
            if (!expected) wrong.push(`${where}: ${location.join(".")}: ${message}`);
        }
        keep?.(has, answer.json);
        walked.add(`${method} ${path.split("?")[0]}`);
    }
    return { wrong: [...new Set(wrong)], walked };
}

test("no answer violates the contract", held, async () => {
    const { wrong, walked } = await walk(url, "shop");
    assert.deepEqual(wrong, []);
    const templates = operations().map((operation) => [operation, new RegExp(`^${operation.replace(/\{[a-z_]+\}/g, "[^/]+")}$`)]);
    const missed = templates.filter(([, pattern]) => ![...walked].some((one) => pattern.test(one)));
    assert.deepEqual(missed.map(([operation]) => operation), [], "operations that no step asks for");
});

const DAMAGES = {
    "a status that does not exist": ['"status":"succeeded"', '"status":"done"', "status"],
    "an amount that is a string": ['"amount":6540', '"amount":"6540"', "amount"],
    "a code in another form": ['"code":"IR_04"', '"code":"4"', "code"],
};

for (const [name, [from, to, field]] of Object.entries(DAMAGES)) {
    test(`${name} is seen`, held, async () => {
        const damaged = await damaging(server.url, (status, text) => [status, text.replace(from, to)]);
        const through = await proxy(write(overlaid(), "payments.json"), damaged);
        const { wrong } = await walk(through, `shop-${field}`);
        assert.ok(wrong.some((one) => one.includes(field)), JSON.stringify(wrong));
    });
}
