// The page under /docs in a real browser: it shows every operation, loads nothing from elsewhere, and finds.
"use strict";

const { after, before, test } = require("node:test");
const assert = require("node:assert/strict");
const { chromium } = require("playwright-core");

const { ask, serve, stopAll } = require("../lib/processes.js");

let server, browser;

before(async () => {
    server = await serve();
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"], timeout: 60_000 });
});

after(async () => {
    await browser?.close();
    await stopAll();
});

async function open(hash = "") {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const [loaded, complaints] = [[], []];
    page.on("request", (request) => loaded.push(request.url()));
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    await page.goto(`${server.url}/docs${hash}`, { waitUntil: "networkidle" });
    return { page, loaded, complaints };
}

const leaf = (value) => (value && typeof value === "object" ? leaf(Object.values(value)[0]) : value);

test("it shows every operation with what belongs to it", async () => {
    const { page, loaded, complaints } = await open();
    const document = (await ask(server.url, "GET", "/openapi.json")).json;
    let shown = 0;
    for (const [path, item] of Object.entries(document.paths)) {
        for (const [method, operation] of Object.entries(item)) {
            const text = await page.locator(`#${operation.operationId}`).textContent();
            for (const part of [method.toUpperCase(), path, operation.summary, ...Object.keys(operation.responses)]) {
                assert.ok(text.includes(part), `${operation.operationId} does not show ${part}`);
            }
            const body = operation.requestBody?.content["application/json"];
            if (body) {
                const fields = document.components.schemas[body.schema.$ref.split("/").pop()].properties;
                for (const field of Object.keys(fields)) assert.ok(text.includes(field), `${operation.operationId}.${field}`);
                assert.ok(text.includes(JSON.stringify(leaf(body.example))), `${operation.operationId} has no example`);
            }
            shown += 1;
        }
    }
    assert.equal(await page.locator("article").count(), shown);
    assert.equal(await page.locator("#list a.item").count(), shown);
    assert.ok(shown > 15, `${shown} operations`);
    assert.deepEqual(complaints, []);
    assert.deepEqual(loaded.filter((url) => !url.startsWith(server.url) && !url.startsWith("data:")), []);
    if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
    await page.close();
});

test("the search finds operations by their fields, and says when there is none", async () => {
    const { page } = await open();
    const visible = () => page.locator("article:visible").evaluateAll((all) => all.map(({ id }) => id));
    await page.fill("#search", "refTransId capture");
    const found = await visible();
    assert.ok(found.includes("GatewayCapture") && !found.includes("Health"), found.join());
    await page.fill("#search", "a word that is nowhere");
    assert.deepEqual(await visible(), []);
    assert.ok(await page.locator("#nothing").isVisible());
    await page.fill("#search", "");
    assert.ok((await visible()).includes("Health"));
    await page.close();
});

test("a link leads to its operation, and no script runs that is not ours", async () => {
    const { page } = await open("#GatewayVoid");
    const top = await page.locator("#GatewayVoid").evaluate((element) => element.getBoundingClientRect().top);
    assert.ok(top >= 0 && top < 400, `at ${top}`);
    const ran = await page.evaluate(() => {
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.head.append(script);
        return Boolean(window.ran);
    });
    assert.equal(ran, false, "an inline script ran");
    await page.close();
});
