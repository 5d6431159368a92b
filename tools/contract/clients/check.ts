// The examples of the public contract, with a client generated from its file.
//
// Takes the address and a sandbox key.
import * as assert from "node:assert/strict";

import {
    Configuration, PaymentGatewayAccountsApi, PaymentGatewayApi, PaymentsOperationResultFromJSON, ResponseError, StringTokensApi, UtilsApi,
} from "./client";
import type { PayToolsApiModelsAuthRequestModel, PayToolsApiModelsCardInputModel, PaymentsOperationResult } from "./client";

const [basePath, key] = process.argv.slice(2) as [string, string];
const configuration = new Configuration({ basePath, apiKey: key });
const payments = new PaymentGatewayApi(configuration);
const NUMBER = "4111111111111111";

let checks = 0;
function same<T>(got: T, want: T): void {
    assert.deepEqual(got, want);
    checks += 1;
}

const card = (cardNumber = NUMBER): PayToolsApiModelsCardInputModel =>
    ({ cardHolderName: "Ada Lovelace", cardNumber, expirationMonth: 12, expirationYear: 2040, cvv: "123" });

const order = (amount: number, paymentGatewayAccountName = "test-success", number = NUMBER, more: Partial<PayToolsApiModelsAuthRequestModel> = {}) =>
    ({ payToolsApiModelsAuthRequestModel: { amount, currency: "USD", card: card(number), paymentGatewayAccountName, ...more } });

// The contract declares no body for most 202s, so the client leaves it undecoded.
async function result(response: Promise<{ raw: Response }>): Promise<PaymentsOperationResult> {
    const { raw } = await response;
    same(raw.status, 202);
    return PaymentsOperationResultFromJSON(await raw.clone().json());
}

async function refused(call: Promise<unknown>, status: number): Promise<any> {
    try {
        await call;
    } catch (error) {
        if (!(error instanceof ResponseError)) throw error;
        same(error.response.status, status);
        const text = await error.response.text();
        return text ? JSON.parse(text) : undefined;
    }
    throw new Error(`no ${status}`);
}

async function main(): Promise<void> {
    const charged = await payments.gatewayCharge(order(10.23, "test-success", NUMBER, { myRef: "ts-1" }));
    same([charged.operationResultCode, charged.amount, charged.currency], ["Success", 10.23, "USD"]);
    const failed = await refused(payments.gatewayCharge(order(10, "test-failure")), 503);
    same(PaymentsOperationResultFromJSON(failed).operationResultCode, "TemporaryFailure");
    const declined = await refused(payments.gatewayCharge(order(10, "sandbox", "4000000000000002")), 409);
    same(PaymentsOperationResultFromJSON(declined).operationResultCode, "Rejected");

    // Fields that the file lacks and the guide has.
    const names = ["test-failure", "test-failure", "test-success"];
    const over = await payments.gatewayChargeRaw(order(10, undefined), async ({ init }) => {
        const { paymentGatewayAccountName, ...rest } = init.body as any;
        return { ...init, body: { ...rest, paymentGatewayAccountNames: names } as any };
    });
    const whole: any = await over.raw.clone().json();
    same([whole.success, whole.attempts.length], [true, 3]);

    const held = await result(payments.gatewayAuthorizeRaw(order(50, "sandbox", NUMBER, { myRef: "ts-hold" })));
    same([held.operationType, held.operationResultCode], ["PreAuth", "Success"]);
    const change = (amount: number, of: PaymentsOperationResult) => ({ amount, currency: "USD", refTransId: of.gatewayReference!, card: card() });
    const taken = await result(payments.gatewayCaptureRaw({ payToolsApiModelsCaptureVoidRequestModel: change(45, held) }));
    same([taken.operationType, taken.operationResultCode, taken.amount], ["Capture", "Success", 45]);
    const back = await result(payments.gatewayRefundRaw({ payToolsApiModelsRefundRequestModel: change(5, held) }));
    same([back.operationType, back.operationResultCode], ["Refund", "Success"]);
    const other = await result(payments.gatewayAuthorizeRaw(order(20, "sandbox")));
    const gone = await result(payments.gatewayVoidRaw({ payToolsApiModelsCaptureVoidRequestModel: change(20, other) }));
    same(gone.operationResultCode, "Success");
    const inline = { paymentGatewayName: "Sandbox", credentials: [{ key: "ApiKey", value: "a-key-of-the-examples" }] };
    const here = await payments.gatewayCharge(order(6, "test-failure", NUMBER, { paymentGatewayAccount: inline }));
    same([here.operationResultCode, here.gatewayName], ["Success", "Sandbox"]);

    const found = await payments.gatewayStatus({ payToolsApiModelsStatusRequestModel: { myRef: "ts-hold" } });
    same([found.operationType, found.operationResultCode, found.gatewayReference], ["Status", "Success", held.gatewayReference]);

    const wrong = await refused(payments.gatewayCharge(order(10, "test-success", "4111111111111112")), 400);
    same(wrong.fieldName, "card.cardNumber");
    const nobody = new PaymentGatewayApi(new Configuration({ basePath, apiKey: "wrong" }));
    same(await refused(nobody.gatewayCharge(order(10)), 401), undefined);

    const who = await new UtilsApi(configuration).validateApiKey();
    same([who.status, who.isSandbox], ["OK", true]);
    const gateways = await payments.gatewayList();
    same(gateways.some(({ name }) => name === "NULLSuccess"), true);

    const tokens = new StringTokensApi(configuration);
    const made = await tokens.storeStringToken({ payToolsApiModelsStringTokenIntputModel: { payload: NUMBER } });
    const token = made.token!;
    same(token.length, 32);
    same((await tokens.stringTokenRetrieve({ token })).clearPayload, NUMBER);
    same((await tokens.stringTokenRetrieveMetaData({ token })).createTime, made.createTime);
    same((await payments.gatewayCharge(order(7, "sandbox", `@${token}`))).operationResultCode, "Success");
    await tokens._delete({ token });
    await refused(tokens.stringTokenRetrieve({ token }), 404);

    const accounts = new PaymentGatewayAccountsApi(configuration);
    const body = { paymentGatewayName: "NULLSuccess", credentials: [] };
    const put = await accounts.paymentGatewayAccountSet({ name: "TsAccount", payToolsApiModelsPaymentGatewayAccountInputModel: body });
    same([put.name, put.paymentGatewayName], ["TsAccount", "NULLSuccess"]);
    same((await accounts.paymentGatewayAccountRetrieve({ name: "TsAccount" })).paymentGatewayName, "NULLSuccess");
    same((await accounts.paymentGatewayAccountsList()).some(({ name }) => name === "TsAccount"), true);
    same((await payments.gatewayCharge(order(4, "TsAccount"))).operationResultCode, "Success");
    await accounts.paymentGatewayAccountDelete({ name: "TsAccount" });
    await refused(accounts.paymentGatewayAccountRetrieve({ name: "TsAccount" }), 404);
    console.log(`checks ${checks}`);
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
