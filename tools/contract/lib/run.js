// Goes through the tour and collects what the validating proxy finds.
"use strict";

const assert = require("node:assert/strict");

const { ask } = require("./processes.js");
const { SCRIPTS, STEPS } = require("./tour.js");

async function script(sandbox) {
    for (const rule of SCRIPTS) {
        const made = await ask(sandbox, "POST", "/admin/rules", {}, rule);
        assert.equal(made.status, 201, made.text);
    }
}

// What is wrong with the answers, by step. With `blame`, a step's own expectations are not asserted: it is
// the proxy that has to see that an answer was damaged. `server` is asked where the proxy would answer itself.
async function tour(url, key, { only = () => true, blame = false, server = url } = {}) {
    const has = {};
    const seen = { answers: [], blamed: new Map(), rejected: new Map(), answered: new Map() };
    const one = (count, id) => count.set(id, (count.get(id) ?? 0) + 1);
    for (const step of STEPS.filter(only)) {
        const of = (value) => (typeof value === "function" ? value(has) : value);
        const where = `${step.id}: ${step.what}`;
        const headers = { "x-api-key": key, ...step.headers };
        if (!headers["x-api-key"]) delete headers["x-api-key"];
        const answer = await ask(step.direct ? server : url, step.method, of(step.path), headers, of(step.body));
        const violations = JSON.parse(answer.headers.get("sl-violations") ?? "[]");
        const about = (place) => violations.filter(({ location }) => location[0] === place);
        for (const violation of about("response")) seen.answers.push(`${where}: ${JSON.stringify(violation)} ${answer.text.slice(0, 500)}`);
        if (blame) {
            if (about("response").length > 0) one(seen.blamed, step.id);
            // Later steps need what earlier ones were answered, damaged as it is.
            try { step.check?.(answer.json, has); } catch { continue; }
            continue;
        }
        assert.equal(answer.status, step.status, `${where}: ${answer.text}`);
        assert.ok(answer.headers.get("x-request-id"), where);
        // A request that does not fit the contract has to be seen by the proxy, and no other.
        assert.equal(about("request").length > 0, Boolean(step.rejected), `${where}: ${JSON.stringify(violations)}`);
        try { step.check?.(answer.json, has); } catch (error) { error.message = `${where}: ${error.message}: ${answer.text.slice(0, 300)}`; throw error; }
        one(step.rejected ? seen.rejected : seen.answered, step.id);
    }
    return seen;
}

module.exports = { script, tour };
