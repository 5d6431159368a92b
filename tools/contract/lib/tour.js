// A tour of the API, errors included. Each step says what it expects; what is shown to later steps is kept in
// `has`.
"use strict";

const assert = require("node:assert/strict");

const NUMBER = "4111111111111111";
const card = (cardNumber = NUMBER) =>
    ({ cardHolderName: "Ada Lovelace", cardNumber, expirationMonth: 12, expirationYear: 2040, cvv: "123" });
const order = (amount, accounts, more = {}) =>
    ({ amount, currency: "USD", card: card(), paymentGatewayAccountNames: accounts, ...more });
const authenticated = { authenticationValue: "AAABBEg0VhI0VniQEjRWAAAAAAA=", eci: "05", xid: "3d1a6f3e-7f0c-4b9e-9d38-5a1f", version: "2.2.0", merchantName: "Socks" };
const payer = { clientIPAddress: "203.0.113.7", countryCode: "GB", city: "London", postCode: "N1" };

// What the sandbox is told to do at accounts of its own.
const SCRIPTS = [
    { match: { account: "sandbox-a", operation: "sale" }, action: { refuse: { status: 401, code: "bad_key" } } },
];

const charge = (what, status, body, more = {}) =>
    ({ what, id: "GatewayCharge", method: "POST", path: "/PaymentGateway/charge", status, body, ...more });
const operation = (id, method, name) => (what, status, body, more = {}) =>
    ({ what, id, method, path: `/PaymentGateway/${name}`, status, body, ...more });
const authorize = operation("GatewayAuthorize", "POST", "authorize");
const capture = operation("GatewayCapture", "PUT", "capture");
const refund = operation("GatewayRefund", "PUT", "refund");
const void_ = operation("GatewayVoid", "DELETE", "void");
const tokenize = operation("GatewayTokenize", "POST", "tokenize");
const status = operation("GatewayStatus", "POST", "status");
const change = (refTransId, amount) => ({ refTransId, amount, currency: "USD", card: card() });

const inline = (body, money = true) =>
    ({ ...body, ...(money ? { currency: "USD" } : {}), paymentGatewayAccount: { paymentGatewayName: "Sandbox", credentials: [{ key: "ApiKey", value: "an-inline-key-of-the-tour" }] } });

const is = (code, reason) => (json) => {
    assert.equal(json.operationResultCode, code, JSON.stringify(json));
    assert.equal(json.success, code === "Success");
    if (reason !== undefined) assert.equal(json.reason, reason);
};
const both = (...checks) => (json, has) => checks.forEach((check) => check(json, has));
const keep = (name) => (json, has) => { has[name] = json.gatewayReference; assert.ok(has[name]); };
const wrong = (field) => (json) => {
    assert.deepEqual(Object.keys(json).sort(), ["errors", "fieldName"]);
    assert.equal(json.fieldName, field);
};
const refused = (field) => ({ rejected: true, check: wrong(field) });
// The contract wants a card here; we do without one.
const beyond = { rejected: true };

const gateway = [
    charge("a charge", 202, order(10.23, ["test-success"], { myRef: "tour-1", payerDetails: payer, isDigital: true, orderDesc: "Socks" }),
        { check: both(is("Success"), keep("charged")) }),
    charge("a charge at the sandbox", 202, order(25, ["sandbox"], { myRef: "tour-2" }), { check: both(is("Success"), keep("sandbox")) }),
    charge("in another currency", 202, { ...order(500, ["sandbox"]), currency: "JPY" }, { check: is("Success") }),
    charge("in a currency that the contract's list lacks", 202, { ...order(5, ["test-success"]), currency: "BYN" }, { check: is("Success") }),
    charge("declined", 409, { ...order(10, ["sandbox"]), card: card("4000000000009995") }, { check: is("Rejected", "insufficient_funds") }),
    charge("refused before processing", 503, order(10, ["test-failure"]), { check: is("TemporaryFailure") }),
    charge("with wrong credentials", 500, order(10, ["sandbox-a"]), { check: is("FatalFailure", "credentials") }),
    charge("rate limited by the provider", 503, order(9100.11, ["sandbox"]), { check: is("TemporaryFailure", "rate_limited") }),
    charge("pending", 202, order(9100.15, ["sandbox"]), { check: is("Accepted", "pending") }),
    charge("the failover recipe", 202, order(10, ["test-failure", "test-failure", "test-success"]), {
        check: both(is("Success"), (json) => {
            assert.equal(json.attempts.length, 3);
            assert.equal(json.paymentGatewayAccountName, "test-success");
        }),
    }),
    charge("failover in the other syntax", 202, {
        amount: 10, currency: "USD", card: card(), paymentGatewayAccountName: "test-failure",
        fallbackUpgs: [{ paymentGatewayAccountName: "test-success" }],
    }, { check: is("Success") }),
    charge("with an idempotency key", 202, order(11, ["test-success"]), { headers: { "idempotency-key": "tour" }, check: is("Success") }),
    charge("the same again", 202, order(11, ["test-success"]), { headers: { "idempotency-key": "tour" }, check: is("Success") }),
    charge("another under the same key", 422, order(12, ["test-success"]), { headers: { "idempotency-key": "tour" }, check: wrong("Idempotency-Key") }),
    charge("without a card", 400, { amount: 1, currency: "USD", paymentGatewayAccountName: "test-success" }, refused("card")),
    charge("an amount that is a string", 400, order("10", ["test-success"]), refused("amount")),
    charge("a wrong check digit", 400, { ...order(1, ["test-success"]), card: card("4111111111111112") }, { check: wrong("card.cardNumber") }),
    charge("an unknown account", 400, order(1, ["nobody"]), { check: wrong("paymentGatewayAccountNames[0]") }),
    charge("without a key", 401, order(1, ["test-success"]), { headers: { "x-api-key": "" }, rejected: true }),
    charge("a body that is too large", 413, order(1, ["test-success"], { myRef: "x".repeat(70_000) }), { check: wrong(null) }),

    charge("both syntaxes at once", 400, { ...order(1, ["test-success"]), paymentGatewayAccountName: "test-success" }, { check: wrong("paymentGatewayAccountName") }),
    charge("a payer authenticated elsewhere", 202, { ...order(13, ["sandbox"]), card: { ...card(), threeDSAuthentication: authenticated } }, { check: is("Success") }),
    charge("more digits than the currency has", 400, order(1.005, ["test-success"]), { check: wrong("amount") }),
    authorize("a hold", 202, order(50, ["sandbox"], { myRef: "tour-hold" }), { check: both(is("Success"), keep("hold"), (json) => assert.equal(json.operationType, "PreAuth")) }),
    authorize("another hold", 202, order(20, ["sandbox"]), { check: both(is("Success"), keep("other")) }),
    authorize("a hold that is declined", 409, order(9000.03, ["sandbox"]), { check: is("Rejected") }),
    authorize("without a currency", 400, { amount: 1, card: card(), paymentGatewayAccountName: "test-success" }, refused("currency")),
    capture("a part", 202, (has) => change(has.hold, 45), { check: is("Success") }),
    capture("without the card", 202, (has) => ({ refTransId: has.hold, amount: 1, currency: "USD" }), { ...beyond, check: is("Success") }),
    capture("with another card", 400, (has) => ({ ...change(has.hold, 1), card: card("5555555555554444") }), { check: wrong("card.cardNumber") }),
    capture("more than is left", 409, (has) => change(has.hold, 45), { check: is("Rejected", "not_allowed") }),
    capture("without a reference", 400, { amount: 1, currency: "USD", card: card() }, refused("refTransId")),
    refund("a part", 202, (has) => change(has.hold, 5), { check: is("Success") }),
    refund("with payer details", 202, (has) => ({ ...change(has.charged, 1), payerDetails: payer }), { check: is("Success") }),
    refund("of something unknown", 409, change("nothing", 5), { check: is("Rejected", "unknown_reference") }),
    refund("an expiry that is a word", 400, (has) => ({ ...change(has.hold, 5), card: { ...card(), expirationMonth: "May" } }), refused("card.expirationMonth")),
    void_("a hold", 202, (has) => change(has.other, 20), { check: is("Success") }),
    void_("a charge", 202, (has) => change(has.sandbox, 25), { check: is("Success") }),
    void_("something unknown", 409, change("nothing", 5), { check: is("Rejected", "unknown_reference") }),
    void_("with an amount that is null", 400, { refTransId: "x", amount: null, currency: "USD" }, refused("amount")),
    tokenize("a card", 200, { card: card(), paymentGatewayAccountName: "sandbox" }, {
        check: both(is("Success"), (json, has) => { has.gatewayToken = json.gatewayToken; assert.ok(has.gatewayToken); }),
    }),
    charge("with the gateway's token", 202, (has) => ({ amount: 3, currency: "USD", userToken: has.gatewayToken, paymentGatewayAccountName: "sandbox" }), { ...beyond, check: is("Success") }),
    tokenize("where the gateway cannot", 409, { card: card(), paymentGatewayAccountName: "test-success" }, { check: is("NotImplemented") }),
    tokenize("without a number", 400, { card: { cardHolderName: "Ada", expirationMonth: 1, expirationYear: 2040 }, paymentGatewayAccountName: "sandbox" }, refused("card.cardNumber")),
    status("by reference", 200, (has) => ({ refTransId: has.hold }), { check: is("Success") }),
    status("by the merchant's reference", 200, { myRef: "tour-2" }, { check: both(is("Success"), (json) => assert.equal(json.operationType, "Status")) }),
    status("of something unknown", 409, { refTransId: "nothing" }, { check: is("Rejected", "unknown_reference") }),
    status("by a number", 400, { refTransId: 5 }, refused("refTransId")),
];

const named = (id, method, path) => (what, expected, more = {}) => ({ what, id, method, path, status: expected, ...more });
const keyless = { headers: { "x-api-key": "" }, rejected: true };
const list = named("GatewayList", "GET", "/PaymentGateway");
const whoami = named("ValidateApiKey", "GET", "/Utils/apiKey");
const store = named("StoreStringToken", "POST", "/StringTokens");
const accounts = named("PaymentGatewayAccountsList", "GET", "/PaymentGatewayAccounts");
const start = named("StartSession", "POST", "/EWalletOperations");
const results = named("ValidateResults", "POST", "/EWalletOperations/validateResults");
const token = (id, method, end = "") => (what, expected, of, more = {}) =>
    named(id, method, (has) => `/StringTokens/${typeof of === "function" ? of(has) : of}${end}`)(what, expected, more);
const read = token("StringTokenRetrieve", "GET");
const meta = token("StringTokenRetrieveMetaData", "GET", "/meta");
const forget = token("Delete", "DELETE");
const account = (id, method) => (what, expected, name, more = {}) =>
    named(id, method, `/PaymentGatewayAccounts/${name}`)(what, expected, more);
const put = account("PaymentGatewayAccountSet", "PUT");
const show = account("PaymentGatewayAccountRetrieve", "GET");
const remove = account("PaymentGatewayAccountDelete", "DELETE");
const NONE = "A".repeat(32);

const rest = [
    list("the gateways", 200, { check: (json) => assert.ok(json.some(({ name }) => name === "NULLSuccess")) }),
    list("without a key", 401, keyless),
    whoami("the key", 200, { check: (json) => { assert.equal(json.status, "OK"); assert.equal(json.isSandbox, true); } }),
    whoami("no key", 401, keyless),
    store("a card number", 201, { body: { payload: NUMBER }, check: (json, has) => { has.token = json.token; assert.match(has.token, /^[A-Za-z0-9]{32}$/); } }),
    store("an empty text", 400, { body: { payload: "" }, ...refused("payload") }),
    read("the card number", 200, (has) => has.token, { check: (json) => { assert.equal(json.clearPayload, NUMBER); assert.equal(json.payload, NUMBER); } }),
    read("one that is not there", 404, NONE),
    read("no token at all", 404, "short", { rejected: true }),
    meta("the token's time", 200, (has) => has.token, { check: (json) => assert.deepEqual(Object.keys(json).sort(), ["createTime", "token"]) }),
    meta("one that is not there", 404, NONE),
    meta("no token at all", 404, "short", { rejected: true }),
    charge("with a stored card", 202, (has) => ({ ...order(7, ["sandbox"]), card: card(`@${has.token}`) }), { check: is("Success") }),
    charge("with a token that is not there", 400, { ...order(7, ["sandbox"]), card: card(`@${NONE}`) }, { check: wrong("card.cardNumber") }),
    store("a CVV", 201, { body: { payload: "123" }, check: (json, has) => { has.cvv = json.token; } }),
    charge("with a stored CVV", 202, (has) => ({ ...order(8, ["sandbox"]), card: { ...card(`@${has.token}`), cvv: `@${has.cvv}` } }), { check: is("Success") }),
    charge("with a CVV that is used up", 400, (has) => ({ ...order(8, ["sandbox"]), card: { ...card(), cvv: `@${has.cvv}` } }), { check: wrong("card.cvv") }),
    read("the CVV that is used up", 404, (has) => has.cvv),
    tokenize("a stored card", 200, (has) => ({ card: card(`@${has.token}`), paymentGatewayAccountName: "sandbox" }), { check: is("Success") }),
    forget("the token", 200, (has) => has.token),
    forget("it again", 404, (has) => has.token),
    forget("no token at all", 404, "short", { rejected: true }),
    put("an account", 200, "tour-account", { body: { paymentGatewayName: "NULLSuccess", credentials: [] }, check: (json) => assert.equal(json.name, "tour-account") }),
    put("a gateway that is a number", 400, "tour-account", { body: { paymentGatewayName: 5 }, ...refused("paymentGatewayName") }),
    put("a name that is too short", 400, "ab", { body: { paymentGatewayName: "NULLSuccess", credentials: [] }, rejected: true }),
    put("an account with a secret", 200, "tour_sandbox", {
        body: { paymentGatewayName: "Sandbox", credentials: [{ key: "ApiKey", value: "a-key-of-the-tour-wxyz" }] },
        check: (json) => assert.deepEqual(json.credentials, [{ key: "ApiKey", value: "****wxyz" }]),
    }),
    put("an account that takes over what was made elsewhere", 200, "tour_foreign", {
        body: { paymentGatewayName: "Sandbox", credentials: [{ key: "ApiKey", value: "a-key-of-the-tour-wxyz" }], allowForeignReferences: true },
        check: (json) => assert.equal(json.allowForeignReferences, true),
    }),
    status("of something unknown there too", 409, { refTransId: "sp_0", paymentGatewayAccountName: "tour_foreign" }, { check: is("Rejected", "unknown_reference") }),
    put("one whose gateway cannot be asked", 400, "tour_foreign", { body: { paymentGatewayName: "NULLSuccess", credentials: [], allowForeignReferences: true }, check: wrong("allowForeignReferences") }),
    remove("the account that takes over", 200, "tour_foreign"),
    put("names spelled as the guides do", 200, "tour_sandbox", {
        body: { paymentGatewayName: "Sandbox", credentials: [{ Key: "ApiKey", Value: "a-key-of-the-tour-wxyz" }] }, rejected: true,
    }),
    put("a gateway that nobody knows", 400, "tour-account", { body: { paymentGatewayName: "Nowhere", credentials: [] }, check: wrong("paymentGatewayName") }),
    put("a gateway without its credentials", 400, "tour-account", { body: { paymentGatewayName: "Sandbox", credentials: [] }, check: wrong("credentials") }),
    put("an account of the configuration", 409, "sandbox", { body: { paymentGatewayName: "NULLSuccess", credentials: [] }, check: wrong("name") }),
    show("the account with a secret", 200, "tour_sandbox", { check: (json) => assert.ok(!JSON.stringify(json).includes("a-key")) }),
    show("the account", 200, "tour-account", { check: (json) => assert.equal(json.paymentGatewayName, "NULLSuccess") }),
    show("one that is not there", 404, "tour-nobody"),
    show("a name that is too short", 400, "ab", { rejected: true }),
    accounts("the accounts", 200, { check: (json) => assert.ok(json.some(({ name }) => name === "tour-account")) }),
    accounts("without a key", 401, keyless),
    charge("at the new account", 202, order(4, ["tour-account"]), { check: is("Success") }),
    charge("at the account with a secret", 202, order(4, ["tour_sandbox"]), { check: is("Success") }),
    charge("with inline credentials", 202, inline({ amount: 6, card: card() }), { check: both(is("Success"), keep("inline")) }),
    refund("with inline credentials", 202, (has) => inline(change(has.inline, 2)), { check: is("Success") }),
    status("with inline credentials", 200, (has) => inline({ refTransId: has.inline }, false), { check: is("Success") }),
    charge("with inline credentials that lack one", 400, { ...inline({ amount: 6, card: card() }), paymentGatewayAccount: { paymentGatewayName: "Sandbox", credentials: [] } },
        { check: wrong("paymentGatewayAccount.credentials") }),
    charge("with inline credentials that are a text", 400, { ...inline({ amount: 6, card: card() }), paymentGatewayAccount: "Sandbox" }, refused("paymentGatewayAccount")),
    charge("with a certificate that is not there", 400, { ...inline({ amount: 6, card: card() }), certificateName: "nobody" }, { check: wrong("certificateName") }),
    remove("the account", 200, "tour-account"),
    remove("it again", 404, "tour-account"),
    remove("the account with a secret", 200, "tour_sandbox"),
    remove("an account of the configuration", 409, "sandbox", { check: wrong("name") }),
    remove("a name that is too short", 400, "ab", { rejected: true }),
    // The proxy answers itself where the server says 501; so the server is asked directly.
    start("a session", 501, { body: { operation: "CHARGE" }, direct: true, check: wrong(null) }),
    results("a result", 501, { body: JSON.stringify("token"), direct: true, check: wrong(null) }),
];

module.exports = { SCRIPTS, STEPS: [...gateway, ...rest], card };
