// The public contract of the Payments API as the tests hold us to it: what is served, mended where the file does
// not say what the contract says. Every change has to find what it changes; docs/payments-api.md lists them.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const FILE = "hyperswitch/openapi_v1.json";

const file = () => path.join(process.env.BATON_SPECS_DIR ?? "", FILE);

const unfound = () => (process.env.BATON_SPECS_DIR && fs.existsSync(file()) ? undefined : "BATON_SPECS_DIR does not lead to the public contract");

const contract = () => JSON.parse(fs.readFileSync(file(), "utf8"));

function found(value, what) {
    if (value === undefined || value === null) throw new Error(`the contract has no ${what}: the overlay does not fit it`);
    return value;
}

// Operations of the file that this version serves.
const SERVED = {
    "/payments": ["post"],
    "/payments/{payment_id}": ["post", "get"],
    "/payments/{payment_id}/confirm": ["post"],
    "/payments/{payment_id}/capture": ["post"],
    "/payments/{payment_id}/cancel": ["post"],
    "/payments/{payment_id}/cancel_post_capture": ["post"],
    "/payments/session_tokens": ["post"],
    "/payments/list": ["get"],
    "/refunds": ["post"],
    "/refunds/{refund_id}": ["get", "post"],
    "/refunds/list": ["post"],
    "/disputes/{dispute_id}": ["get"],
    "/disputes/list": ["get"],
    "/disputes/profile/list": ["get"],
    "/disputes/aggregate": ["get"],
    "/disputes/profile/aggregate": ["get"],
    "/disputes/accept/{dispute_id}": ["post"],
    "/disputes/evidence": ["post"],
    "/disputes/evidence/{dispute_id}": ["get"],
    "/accounts": ["post"],
    "/accounts/{account_id}": ["get", "post", "delete"],
    "/account/{account_id}/connectors": ["post", "get"],
    "/account/{account_id}/connectors/{merchant_connector_id}": ["get", "post", "delete"],
    "/account/{account_id}/business_profile/{profile_id}": ["get"],
    "/api_keys/{merchant_id}": ["post"],
    "/api_keys/{merchant_id}/{key_id}": ["get", "post", "delete"],
    "/api_keys/{merchant_id}/list": ["get"],
    "/customers": ["post"],
    "/customers/{customer_id}": ["get", "post", "delete"],
    "/customers/list": ["get"],
    "/payment_methods": ["post"],
    "/payment_methods/{method_id}": ["get", "delete"],
    "/account/payment_methods": ["get"],
    "/customers/{customer_id}/payment_methods": ["get"],
    "/customers/payment_methods": ["get"],
    "/customers/{customer_id}/payment_methods/{payment_method_id}/default": ["post"],
    "/mandates/{mandate_id}": ["get"],
    "/mandates/revoke/{mandate_id}": ["post"],
};

const operations = () => Object.entries(SERVED).flatMap(([at, methods]) => methods.map((method) => `${method.toUpperCase()} ${at}`));

function* objects(value) {
    if (!value || typeof value !== "object") return;
    if (!Array.isArray(value)) yield value;
    for (const member of Object.values(value)) yield* objects(member);
}

const NULL = { type: "string", nullable: true, maxLength: 0, pattern: "^x$" };

// What the validator cannot compile, and would then accept without a word.
function mend(document) {
    let mended = 0;
    for (const object of objects(document)) {
        if (object.nullable !== true || object.type !== undefined) continue;
        const { allOf, oneOf, anyOf } = object;
        delete object.nullable;
        mended += 1;
        // With neither a type nor one of these everything is allowed, null too.
        if (!allOf && !oneOf && !anyOf) continue;
        const rest = allOf ? { allOf } : oneOf ? { oneOf } : { anyOf };
        for (const key of ["allOf", "oneOf", "anyOf"]) delete object[key];
        object.anyOf = [rest, NULL];
    }
    if (!mended) throw new Error("nothing had to be mended: the contract is another one");
}

// Errors as the contract answers them: in `error`, with `type`, or with `error_type` where JSON cannot be read.
const ERROR = {
    type: "object", required: ["error"], additionalProperties: false,
    properties: {
        error: {
            type: "object", required: ["message", "code"], additionalProperties: false,
            oneOf: [{ required: ["type"] }, { required: ["error_type"] }],
            properties: {
                type: { type: "string", enum: ["invalid_request", "api", "connector", "blocked"] },
                error_type: { type: "string", enum: ["invalid_request"] },
                message: { type: "string" },
                code: { type: "string", pattern: "^(IR|HE|CE|WE|IE)_[0-9]{2}$" },
            },
        },
    },
};

function errors(document) {
    const answer = { description: "An error.", content: { "application/json": { schema: ERROR } } };
    for (const item of Object.values(document.paths)) {
        for (const operation of Object.values(item)) {
            for (const status of ["400", "401", "404", "422", "429"]) operation.responses[status] = answer;
        }
    }
}

// Where the file says otherwise than the contract's text, its own server, or the examples beside it.
function differences(document) {
    const schema = (name) => found(document.components.schemas[name], name);
    const property = (name, field) => found(schema(name).properties[field], `${name}.${field}`);
    for (const name of ["PaymentsResponse", "PaymentsCreateResponseOpenApi"]) {
        // Nothing can be captured of a payment that was taken, and less than 100 of many.
        found(property(name, "amount_capturable").minimum, "least capturable amount");
        delete property(name, "amount_capturable").minimum;
        // A payment without a method has none.
        schema(name).properties.payment_method = { nullable: true, allOf: [property(name, "payment_method")] };
    }
    const offered = schema("PaymentMethodListResponse");
    // Neither is there for every payment, and nulls are written.
    for (const field of ["mandate_payment", "currency"]) offered.properties[field] = { nullable: true, allOf: [property("PaymentMethodListResponse", field)] };
    // The text allows 1 to 64 characters.
    const refund = property("RefundRequest", "refund_id");
    found(refund.minLength, "least length of a refund's id");
    delete refund.minLength;
    // A time range is one of the filters; nothing has to be filtered.
    const [range] = found(schema("RefundListRequest").allOf, "filters of refunds");
    if (!range.nullable) throw new Error("the time range is optional already");
    const times = schema("TimeRange");
    found(times.required, "required times");
    delete times.required;
    delete range.nullable;
    // One page, not a list of pages.
    const page = found(document.paths["/payments/list"].get.responses["200"].content["application/json"], "list of payments");
    if (page.schema.type !== "array") throw new Error("the list of payments is no array of pages");
    page.schema = page.schema.items;
}

// The file leaves out the first part of a path that its own server has.
function paths(document) {
    const at = "/{customer_id}/payment_methods/{payment_method_id}/default";
    document.paths[`/customers${at}`] = found(document.paths[at], at);
    delete document.paths[at];
}

function overlaid() {
    const document = contract();
    paths(document);
    const served = {};
    for (const [at, methods] of Object.entries(SERVED)) {
        const item = found(document.paths[at], at);
        served[at] = Object.fromEntries(methods.map((method) => [method, found(item[method], `${method} ${at}`)]));
    }
    document.paths = served;
    differences(document);
    mend(document);
    errors(document);
    return document;
}

module.exports = { contract, operations, overlaid, unfound };
