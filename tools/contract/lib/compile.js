// Which schemas of a description the proxy's validator cannot compile. It accepts everything for those,
// without a word, so there must be none.
"use strict";

const { createRequire } = require("node:module");

// The proxy's own libraries, so that it is its own validator that is asked.
const inside = createRequire(require.resolve("@stoplight/prism-http"));
const { getHttpOperationsFromSpec } = require("@stoplight/prism-http");
const Ajv = inside("ajv").default;
const addFormats = inside("ajv-formats").default;

async function uncompilable(document) {
    const operations = await getHttpOperationsFromSpec(document);
    const failed = [];
    let compiled = 0;
    for (const operation of operations) {
        const bodies = [["request", operation.request?.body?.contents ?? []]];
        for (const response of operation.responses ?? []) bodies.push([response.code, response.contents ?? []]);
        for (const [place, contents] of bodies) {
            for (const { schema } of contents.filter((content) => content.schema)) {
                const ajv = new Ajv({ allErrors: true, allowUnionTypes: true, allowMatchingProperties: true, strict: false, logger: false });
                addFormats(ajv);
                try {
                    ajv.compile({ ...schema, __bundled__: operation.__bundled__ });
                    compiled += 1;
                } catch (error) {
                    failed.push(`${operation.method} ${operation.path} ${place}: ${error.message}`);
                }
            }
        }
    }
    return { operations: operations.length, compiled, failed };
}

module.exports = { uncompilable };
