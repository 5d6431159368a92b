// Clients generated from the public contract's own file run its examples; the same generator takes our own
// description. Nothing generated is kept, nothing is downloaded while generating.
"use strict";

const { after, before, test } = require("node:test");
const assert = require("node:assert/strict");
const { execFileSync, execFile } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { promisify } = require("node:util");

const { unfound } = require("../lib/overlay.js");
const { ROOT, serve, stopAll } = require("../lib/processes.js");

const held = { skip: unfound() ?? false };
const CONTRACT = path.join(process.env.BATON_SPECS_DIR ?? "", "orchestra/openapi.json");
const OURS = path.join(ROOT, "docs/openapi.json");
const TOOLS = path.join(ROOT, "target/tools/clients");
const OUT = path.join(ROOT, "target/contract-clients");
const CHECKS = path.join(__dirname, "../clients");
const TSC = require.resolve("typescript/bin/tsc");
const LIMITS = { timeout: 150_000, killSignal: "SIGKILL", encoding: "utf8", maxBuffer: 64 * 1024 * 1024 };

let server;

function run(command, args, options = {}) {
    try {
        return execFileSync(command, args, { ...LIMITS, stdio: ["ignore", "pipe", "pipe"], ...options });
    } catch (error) {
        throw new Error(`${command} ${args.join(" ")}\n${error.stdout}\n${error.stderr}`.slice(0, 8000));
    }
}

// The server lives in another process, so waiting may block; a client's program must not.
async function program(command, args, options = {}) {
    const { stdout } = await promisify(execFile)(command, args, { ...LIMITS, ...options });
    const checks = Number(/^checks (\d+)$/m.exec(stdout)?.[1]);
    assert.ok(checks >= 30, stdout);
    return checks;
}

function generate(from, language, folder, properties) {
    run(path.join(TOOLS, "bin/openapi-generator-cli"),
        ["generate", "-i", from, "-g", language, "-o", folder, "--additional-properties", properties]);
}

function compile(...args) {
    const types = path.join(__dirname, "../node_modules/@types");
    run(process.execPath, [TSC, "--strict", "--skipLibCheck", "--target", "es2022", "--module", "commonjs", "--types", "node", "--typeRoots", types, ...args]);
}

before(async () => {
    fs.rmSync(OUT, { recursive: true, force: true });
    fs.mkdirSync(OUT, { recursive: true });
    server = await serve();
});

after(async () => {
    await stopAll();
    fs.rmSync(OUT, { recursive: true, force: true });
});

test("a Python client runs the examples", held, async () => {
    const folder = path.join(OUT, "python");
    generate(CONTRACT, "python", folder, "packageName=orchestra_client");
    const environment = { PATH: process.env.PATH, PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: "1" };
    await program(path.join(TOOLS, "bin/python"), [path.join(CHECKS, "check.py"), server.url, server.key], { env: environment });
});

test("a TypeScript client runs the examples", held, async () => {
    const folder = path.join(OUT, "typescript");
    generate(CONTRACT, "typescript-fetch", path.join(folder, "client"), "supportsES6=true");
    fs.copyFileSync(path.join(CHECKS, "check.ts"), path.join(folder, "check.ts"));
    compile("--outDir", path.join(folder, "built"), path.join(folder, "check.ts"));
    await program(process.execPath, [path.join(folder, "built/check.js"), server.url, server.key]);
});

test("our own description gives clients that compile", async () => {
    const [python, typescript] = ["our-python", "our-typescript"].map((name) => path.join(OUT, name));
    generate(OURS, "python", python, "packageName=baton_client");
    run(path.join(TOOLS, "bin/python"), ["-m", "compileall", "-q", path.join(python, "baton_client")]);
    run(path.join(TOOLS, "bin/python"), ["-c", "import baton_client"], { cwd: python });
    generate(OURS, "typescript-fetch", typescript, "supportsES6=true");
    compile("--noEmit", path.join(typescript, "index.ts"));
});
