// The fuzzer finds what it is there for. Whether the server is sound is asked by `tools/fuzz-api`.
"use strict";

const { after, before, test } = require("node:test");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");

const { damaging } = require("../lib/damage.js");
const { pass } = require("../fuzz/pass.js");
const { ROOT, serve, stopAll } = require("../lib/processes.js");

const UNAVAILABLE = '{"fieldName":null,"errors":["damaged"]}';
const DAMAGES = [
    ["nothing", (status, text) => [status, text], null],
    ["a status that is not declared", (status, text) => [status === 200 ? 206 : status, text], "Undocumented status code"],
    ["a body that does not fit", (status, text) => [status, text.replace('"status"', '"state"')], "Response violates schema"],
    ["an error of the server, declared as it is", (status, text) => (status === 200 ? [503, UNAVAILABLE] : [status, text]), "Server error"],
];

let server;

before(async () => { server = await serve(); });
after(stopAll);

for (const [what, damage, finding] of DAMAGES) {
    test(`it sees: ${what}`, async () => {
        const at = (status, text, url) => (url.startsWith("/Utils/apiKey") ? damage(status, text) : [status, text]);
        const url = await damaging(server.url, at);
        const { status, log, counts } = await pass(url, { name: "damaged", paths: "^/Utils/apiKey$", key: server.key, examples: 2, seed: 1 });
        const text = fs.readFileSync(path.join(ROOT, log), "utf8");
        assert.ok(Object.keys(counts).length > 0, text);
        assert.equal(status !== 0, finding !== null, text);
        if (finding) assert.ok(text.includes(finding), text);
    });
}
