// Fuzzes the API by its own description: no status that is not declared, no answer that does not fit its
// schema, no 5xx from accounts that do not simulate failure.
//
//   node run.js --cases N [--seed S]
"use strict";

const fs = require("node:fs");
const { parseArgs } = require("node:util");

const { pass } = require("./pass.js");
const { ask, serve, stopAll } = require("../lib/processes.js");

const { values } = parseArgs({ options: { cases: { type: "string", default: "1000" }, seed: { type: "string", default: "1" } } });
const [cases, seed] = [Number(values.cases), Number(values.seed)];
const PARTS = [
    { name: "gateway", paths: "^/(PaymentGateway|PaymentGatewayAccounts|StringTokens|Utils)(/|$)", key: ({ key }) => key, share: 0.8 },
    // The operator's key cannot be ended by what is tried here. Keys that were ended are still shown.
    { name: "admin", paths: "^/(admin|webhooks|health|metrics|openapi|docs)", key: ({ operator }) => operator["x-api-key"], share: 0.2, leaveOut: ["use_after_free"] },
    // They answer 501 as long as there is nothing behind them.
    { name: "wallets", paths: "^/EWalletOperations", key: ({ key }) => key, share: 0, leaveOut: ["not_a_server_error"] },
];

async function main() {
    const server = await serve();
    const { paths } = (await ask(server.url, "GET", "/openapi.json")).json;
    for (const path of Object.keys(paths)) {
        if (PARTS.filter((part) => new RegExp(part.paths).test(path)).length !== 1) throw new Error(`${path} is in no part, or in several`);
    }
    const total = {};
    const sum = () => Object.values(total).reduce((a, b) => a + b, 0);
    const begun = Date.now();
    for (let round = 0; round === 0 || sum() < cases; round += 1) {
        if (round > 50) throw new Error(`only ${sum()} cases after ${round} rounds`);
        for (const part of PARTS) {
            const left = Math.max(0, cases - sum());
            const examples = Math.min(1000, Math.max(3, Math.round((left * part.share) / 25)));
            const { status, log, counts } = await pass(server.url, { ...part, key: part.key(server), examples, seed: seed + round });
            if (status !== 0) {
                const text = fs.readFileSync(log, "utf8");
                const from = text.lastIndexOf("= FAILURES =");
                console.log(text.slice(from < 0 ? -6000 : from).split("\n").map((line) => line.slice(0, 400)).slice(0, 120).join("\n"));
                throw new Error(`${part.name}: schemathesis ended with ${status} in round ${round}, seed ${seed + round}; see ${log}`);
            }
            for (const [what, count] of Object.entries(counts)) total[what] = (total[what] ?? 0) + count;
        }
    }
    const who = await ask(server.url, "GET", "/Utils/apiKey", { "x-api-key": server.key });
    if (who.status !== 200) throw new Error(`the key does not work any more: ${who.status}`);
    const statuses = {};
    for (const [what, count] of Object.entries(total)) {
        const status = what.split(" ").pop();
        statuses[status] = (statuses[status] ?? 0) + count;
    }
    // A run in which nothing was ever done would prove nothing.
    for (const operation of ["charge", "authorize", "capture", "refund", "status", "tokenize"]) {
        const done = Object.keys(total).some((what) => what.includes(`/PaymentGateway/${operation} 20`));
        if (!done) throw new Error(`${operation} never succeeded`);
    }
    const operations = new Set(Object.keys(total).map((what) => what.replace(/ \d+$/, ""))).size;
    console.log(`${sum()} cases of ${operations} operations in ${Math.round((Date.now() - begun) / 1000)} s, seed ${seed}; by status: ${JSON.stringify(statuses)}`);
}

main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
}).finally(stopAll);
