// One run of schemathesis over the part of a description whose paths match.
"use strict";

const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { spawn } = require("node:child_process");

const { ROOT } = require("../lib/processes.js");

const PROGRAM = path.join(ROOT, "target/tools/fuzz/bin/schemathesis");

// Most cases of a valid form break rules that a schema cannot say, such as check digits: no check of that.
const LEAVE_OUT = ["positive_data_acceptance"];

// How it ended (0: nothing was found), where its output is, and how often each operation answered what.
async function pass(url, { name, paths, key, examples, seed, leaveOut = [] }) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "baton-fuzz-"));
    const counts = path.join(folder, "counts.json");
    const args = [
        "--config-file", path.join(__dirname, "schemathesis.toml"),
        "run", `${url}/openapi.json`, "--header", `X-Api-Key: ${key}`, "--include-path-regex", paths,
        "--checks", "all", "--exclude-checks", [...LEAVE_OUT, ...leaveOut].join(), "--seed", String(seed),
        "--max-examples", String(examples), "--continue-on-failure", "--generation-database", "none", "--request-timeout", "40", "--no-color",
    ];
    const environment = { PATH: process.env.PATH, HOME: folder, SCHEMATHESIS_HOOKS: "hooks", PYTHONPATH: __dirname, PYTHONDONTWRITEBYTECODE: "1", FUZZ_COUNTS: counts };
    const log = path.join("target", `fuzz-${name}.log`);
    const output = fs.openSync(path.join(ROOT, log), "w");
    const limit = String(Math.max(120, examples * 20));
    const child = spawn("timeout", ["--kill-after=5", limit, PROGRAM, ...args], { cwd: folder, env: environment, stdio: ["ignore", output, output] });
    const status = await new Promise((resolve, reject) => child.once("exit", resolve).once("error", reject));
    fs.closeSync(output);
    const seen = fs.existsSync(counts) ? JSON.parse(fs.readFileSync(counts, "utf8")) : {};
    fs.rmSync(folder, { recursive: true, force: true });
    return { status, log, counts: seen };
}

module.exports = { pass };
