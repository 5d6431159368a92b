// The public contract, held against a real server by a validating proxy.
"use strict";

const { after, before, test } = require("node:test");
const assert = require("node:assert/strict");

const { contract, operations, overlaid, unfound } = require("../lib/overlay.js");
const { uncompilable } = require("../lib/compile.js");
const { damaging } = require("../lib/damage.js");
const { ask, proxy, serve, stopAll, write } = require("../lib/processes.js");
const { script, tour } = require("../lib/run.js");

const held = { skip: unfound() ?? false };
let server, file;

before(async () => {
    server = await serve();
    await script(server.sandbox);
    if (!held.skip) file = write(overlaid(), "contract.json");
});

after(stopAll);

// What the proxy validates: it answers by itself where the server says 501.
const proxied = () => operations(contract()).filter(({ path }) => !path.startsWith("/EWalletOperations"));

test("no operation of the contract is missing", held, async () => {
    const ours = (await ask(server.url, "GET", "/openapi.json")).json;
    const served = new Set(operations(ours).map(({ method, path }) => `${method} ${path}`));
    assert.deepEqual(operations(contract()).filter(({ method, path }) => !served.has(`${method} ${path}`)), []);
});

test("every schema of ours compiles", async () => {
    const ours = await uncompilable((await ask(server.url, "GET", "/openapi.json")).json);
    assert.deepEqual(ours.failed, []);
    assert.ok(ours.operations > 20, `${ours.operations} operations`);
});

test("every schema of the contract compiles, and the check sees one that does not", held, async () => {
    const mended = await uncompilable(overlaid());
    assert.deepEqual(mended.failed, []);
    assert.equal(mended.operations, 19);
    assert.ok(mended.compiled > 100, `${mended.compiled} schemas`);
    assert.ok((await uncompilable(contract())).failed.length > 0);
});

test("no answer of the tour violates the contract", held, async () => {
    const url = await proxy(file, server.url);
    const seen = await tour(url, server.key, { server: server.url });
    assert.deepEqual(seen.answers, []);
    for (const { operationId } of proxied()) {
        assert.ok(seen.answered.get(operationId) > 0, `${operationId} is not in the tour`);
        assert.ok(seen.rejected.get(operationId) > 0, `no request to ${operationId} was one that the proxy rejects`);
    }
});

const DAMAGES = {
    "a result that does not exist": (status, text) => [status, text.replace('"Success"', '"Done"')],
    "an amount that is a string": (status, text) => [status, text.replace('"amount":10.23', '"amount":"10.23"')],
    "a field that nobody knows": (status, text) => [status, text.replace('{"operationType"', '{"more":1,"operationType"')],
    "a status that is not declared": (_, text) => [206, text],
};
const first = (step) => step.what === "a charge" && step.id === "GatewayCharge";

for (const [what, damage] of Object.entries(DAMAGES)) {
    test(`a broken answer is seen: ${what}`, held, async () => {
        const url = await proxy(file, await damaging(server.url, damage));
        const seen = await tour(url, server.key, { only: first, blame: true });
        assert.equal(seen.answers.length, 1, JSON.stringify(seen.answers));
    });
}

test("what is not damaged on that way is not blamed", held, async () => {
    const whole = await damaging(server.url, (status, text) => [status, text]);
    const seen = await tour(await proxy(file, whole), server.key, { only: first, blame: true });
    assert.deepEqual(seen.answers, []);
});

// One field more than the contract has, or, where there is no body, a status that it does not declare.
function anything(status, text) {
    let json;
    try { json = JSON.parse(text); } catch { return [206, text]; }
    const first = Array.isArray(json) ? json[0] : json;
    if (!first || typeof first !== "object") return [206, text];
    first.nobodyKnowsThis = 1;
    return [status, JSON.stringify(json)];
}

test("a broken answer is seen at every operation", held, async () => {
    const url = await proxy(file, await damaging(server.url, anything));
    const seen = await tour(url, server.key, { only: ({ direct }) => !direct, blame: true });
    for (const { operationId } of proxied()) {
        assert.ok(seen.blamed.get(operationId) > 0, `${operationId}: nothing was seen`);
    }
});
