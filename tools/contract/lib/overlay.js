// The public contract as the tests hold us to it: mended where validators cannot read it, and loosened in
// exactly the places that docs/contract.md lists. Every change has to find what it changes.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const MODEL = "PayTools_Api.Models.";
const RESULT = "Payments.OperationResult";
const WRONG = "PayTools_Shared.Models.ValidationErrorMessage";

const reference = (name) => ({ $ref: `#/components/schemas/${name}` });
const json = (schema) => ({ "application/json": { schema } });
const text = { type: "string", nullable: true };

function found(value, what) {
    if (value === undefined || value === null) throw new Error(`the contract has no ${what}: the overlay does not fit it`);
    return value;
}

function* objects(value) {
    if (!value || typeof value !== "object") return;
    if (!Array.isArray(value)) yield value;
    for (const member of Object.values(value)) yield* objects(member);
}

// What validators cannot compile, and would then accept without a word.
function mend(document) {
    let mended = 0;
    for (const object of objects(document)) {
        if (object.nullable === true && object.type === undefined) {
            // Without a type everything is allowed, null too.
            delete object.nullable;
            mended += 1;
        }
    }
    if (!mended) throw new Error("nothing had to be mended: the contract is another one");
    return mended;
}

function accountNames(document) {
    const item = found(document.paths["/PaymentGatewayAccounts/{name}"], "account by name");
    for (const operation of Object.values(item)) {
        const parameter = found(operation.parameters?.find(({ name }) => name === "name"), "account name");
        found(parameter.schema.pattern, "pattern of account names");
        parameter.schema.pattern = "^[A-Za-z0-9_-]{3,64}$";
    }
}

// Each with its schema, so that a field that is in neither is still found out.
function additiveFields(document) {
    const schemas = document.components.schemas;
    const add = (name, fields) => {
        const schema = found(schemas[name], name);
        for (const [field, of] of Object.entries(fields)) {
            if (field in schema.properties) throw new Error(`${name} has ${field} already`);
            schema.properties[field] = of;
        }
    };
    const attempt = {
        type: "object",
        additionalProperties: false,
        required: ["paymentGatewayAccountName", "gatewayName", "outcome"],
        properties: {
            paymentGatewayAccountName: { type: "string" }, gatewayName: { type: "string" }, outcome: { type: "string" },
            reason: text, gatewayResultCode: text, gatewayReference: text, durationMs: { type: "integer", nullable: true },
        },
    };
    add(RESULT, {
        success: { type: "boolean" },
        transactionId: text,
        reason: text,
        nextCheckAt: { type: "string", format: "date-time", nullable: true },
        paymentGatewayAccountName: text,
        gatewayResponse: { type: "object", nullable: true, additionalProperties: false, properties: { code: text, message: text } },
        attempts: { type: "array", items: attempt },
    });
    schemas[RESULT].required = ["operationType", "operationResultCode", "success", "attempts"];
    add(`${MODEL}StringTokenOutputModel`, { payload: text });
    for (const model of ["Input", "FullOutput"]) add(`${MODEL}PaymentGatewayAccount${model}Model`, { allowForeignReferences: { type: "boolean" } });
    const account = { type: "string", pattern: "^[A-Za-z0-9_-]{3,64}$" };
    const backup = {
        type: "object",
        required: ["paymentGatewayAccountName"],
        additionalProperties: false,
        properties: { paymentGatewayAccountName: account, paymentGatewayCertName: text },
    };
    const failover = {
        fallbackUpgs: { type: "array", items: backup },
        paymentGatewayAccountNames: { type: "array", minItems: 1, items: account },
        outcomeMode: { type: "string", enum: ["resolve_first", "hold_safe", "stop"] },
        allowDuplicate: { type: "boolean" },
        cardToken: text,
    };
    add(`${MODEL}AuthRequestModel`, { ...failover, userToken: text });
    add(`${MODEL}TokenizeRequestModel`, failover);
}

function statusCodes(document) {
    const wrong = (description) => ({ description, content: json(reference(WRONG)) });
    for (const [route, item] of Object.entries(document.paths)) {
        for (const operation of Object.values(item)) {
            const { responses } = operation;
            responses[429] = wrong("Too many requests");
            if (operation.requestBody) {
                responses[413] = wrong("The body is too large");
                responses[408] = wrong("The body took too long");
            }
            if (route.startsWith("/EWalletOperations")) {
                responses[501] = wrong("Not available in this version");
                continue;
            }
            responses[500] ??= { description: "Error of the server" };
            responses[503] ??= { description: "Not available" };
            if (!route.startsWith("/PaymentGateway/")) continue;
            // The contract describes no body here; ours is the whole result.
            for (const status of [202, 409, 500, 503]) {
                const none = status === 202 && ["/PaymentGateway/tokenize", "/PaymentGateway/status"].includes(route);
                if (!none) responses[status] = { description: "See the result", content: json(reference(RESULT)) };
            }
            responses[422] = wrong("The idempotency key stands for another request");
        }
    }
    const account = found(document.paths["/PaymentGatewayAccounts/{name}"], "account by name");
    account.delete.responses[404] = { description: "No such account" };
    for (const operation of [account.put, account.delete]) operation.responses[409] = wrong("Declared by the server's configuration");
}

function currencies(document) {
    const known = found(document.components.schemas["Payments.CurrencyCode"], "currencies").enum;
    const ours = JSON.parse(fs.readFileSync(path.join(__dirname, "../../../docs/openapi.json"), "utf8"));
    const missing = ours.components.schemas.CurrencyCode.enum.filter((code) => !known.includes(code));
    known.push(...missing);
    return missing;
}

// The contract's file, mended only: what clients are generated from.
function contract() {
    const folder = process.env.BATON_SPECS_DIR;
    return JSON.parse(fs.readFileSync(path.join(folder, "orchestra/openapi.json"), "utf8"));
}

function overlaid() {
    const document = contract();
    mend(document);
    accountNames(document);
    additiveFields(document);
    statusCodes(document);
    currencies(document);
    return document;
}

const operations = (document) =>
    Object.entries(document.paths).flatMap(([path, item]) =>
        Object.entries(item).map(([method, { operationId }]) => ({ path, method, operationId })));

// Why the contract's tests cannot run here, if they cannot.
function unfound() {
    const folder = process.env.BATON_SPECS_DIR;
    if (!folder) return "BATON_SPECS_DIR is not set";
    const file = path.join(folder, "orchestra/openapi.json");
    return fs.existsSync(file) ? null : `${file} is not there`;
}

module.exports = { contract, operations, overlaid, unfound };
