// Starts what the tests talk to, each in a time that ends, and ends all of it.
"use strict";

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");

const ROOT = path.join(__dirname, "../../..");
const PROGRAM = process.env.BATON_BIN ?? path.join(ROOT, "target/debug/baton");
const OPERATOR = "ak_operator-of-the-contract-tests";
const LIFE_S = process.env.CONTRACT_LIFE_S ?? 280;

const cleanups = [];

async function freePort() {
    const server = net.createServer();
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    return port;
}

// Starts a program that ends by itself if we are killed, and waits until it says that it is ready.
async function start(command, args, ready, options = {}) {
    const child = spawn("timeout", ["--kill-after=5", String(LIFE_S), command, ...args],
        { stdio: ["ignore", "pipe", "pipe"], ...options });
    const ended = new Promise((resolve) => child.once("exit", resolve));
    cleanups.push(async () => {
        child.kill("SIGTERM");
        const late = setTimeout(() => child.kill("SIGKILL"), 8000);
        await ended;
        clearTimeout(late);
    });
    let output = "";
    await new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`${command} does not start:\n${output}`)), 60_000);
        const read = (data) => {
            output = (output + data).slice(-20_000);
            if ((typeof ready === "string" ? output.includes(ready) : ready.test(output))) {
                clearTimeout(late);
                resolve();
            }
        };
        child.stdout.on("data", read);
        child.stderr.on("data", read);
        child.once("exit", (status) => reject(new Error(`${command} ended with ${status}:\n${output}`)));
        child.once("error", reject);
    });
    return output;
}

async function stopAll() {
    while (cleanups.length) await cleanups.pop()();
}

async function ask(url, method, route, headers = {}, body = undefined) {
    const sent = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
    const content = sent === undefined ? {} : { "content-type": "application/json" };
    const answer = await fetch(url + route, { method, headers: { ...content, ...headers }, body: sent, signal: AbortSignal.timeout(40_000) });
    const text = await answer.text();
    let json;
    try { json = JSON.parse(text); } catch { json = undefined; }
    return { status: answer.status, headers: answer.headers, text, json };
}

// `baton serve --dev` in a folder of its own, and a sandbox key for it.
async function serve() {
    if (!fs.existsSync(PROGRAM)) throw new Error(`${PROGRAM} is not there; build it with: cargo build -p baton`);
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "baton-contract-"));
    cleanups.push(async () => fs.rmSync(folder, { recursive: true, force: true }));
    const url = `http://127.0.0.1:${await freePort()}`;
    const environment = { PATH: process.env.PATH, BATON_ADMIN_API_KEY: OPERATOR, BATON_PAYMENTS__CALLER_WAIT_MS: "1200",
        BATON_LIMITS__REQUESTS_PER_SECOND: "0", BATON_LIMITS__FAILED_KEYS_PER_MINUTE: "0" };
    const said = await start(PROGRAM, ["serve", "--dev", "--listen", url.slice(7), "--data-dir", path.join(folder, "data")],
        /The sandbox listens on .*\n/, { cwd: folder, env: environment });
    const operator = { "x-api-key": OPERATOR };
    const made = await ask(url, "POST", "/admin/v1/api-keys", operator, { name: "contract", sandbox: true, rate_limit: 100_000 });
    if (made.status !== 201) throw new Error(`no key: ${made.status} ${made.text}`);
    const sandbox = /The sandbox listens on (http:[^;]*);/.exec(said)[1];
    return { url, key: made.json.api_key, operator, sandbox };
}

// Writes a document where the proxy can read it.
function write(document, name) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "baton-contract-"));
    cleanups.push(async () => fs.rmSync(folder, { recursive: true, force: true }));
    const file = path.join(folder, name);
    fs.writeFileSync(file, JSON.stringify(document));
    return file;
}

// The validating proxy. It lets everything through and says in a header what does not fit.
async function proxy(file, upstream) {
    const port = await freePort();
    const program = require.resolve("@stoplight/prism-cli");
    await start(process.execPath, [program, "proxy", "-h", "127.0.0.1", "-p", String(port), file, upstream], "Prism is listening");
    return `http://127.0.0.1:${port}`;
}

module.exports = { OPERATOR, ROOT, PROGRAM, ask, cleanups, freePort, proxy, serve, start, stopAll, write };
