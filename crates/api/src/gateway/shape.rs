//! What the Gateway API's bodies look like, for the description only: nothing is read into these types.
//!
//! A test reads bodies with every field of theirs and holds them against what the readers in `request`
//! ask for, in both directions.

#![allow(dead_code, reason = "they describe; see above")]

use schemars::{JsonSchema, json_schema};

use crate::accounts::CredentialInput;
use crate::openapi::types::{self, described};

/// A charge that works on a new server.
pub(crate) const CHARGE: &str = r#"{
    "amount": 10.23, "currency": "USD", "myRef": "order-1",
    "card": {"cardHolderName": "Ada Lovelace", "cardNumber": "4111111111111111", "expirationMonth": 12,
             "expirationYear": 2040, "cvv": "123"},
    "paymentGatewayAccountName": "test-failure",
    "fallbackUpgs": [{"paymentGatewayAccountName": "test-success"}]}"#;

pub(crate) const TOKENIZE: &str = r#"{
    "card": {"cardHolderName": "Ada Lovelace", "cardNumber": "4111111111111111", "expirationMonth": 12,
             "expirationYear": 2040, "cvv": "123"},
    "paymentGatewayAccountName": "test-success"}"#;

pub(crate) const CHANGE: &str = r#"{"refTransId": "the gatewayReference or transactionId of an answer", "amount": 10.23, "currency": "USD"}"#;

pub(crate) const STATUS: &str = r#"{"myRef": "order-1"}"#;

/// The contract's `CardTypes`. Only checked: the brand follows from the number.
pub(crate) const CARD_TYPES: [&str; 22] = [
    "Unspecified",
    "AMEX",
    "BC",
    "CartaSi",
    "Dankort",
    "Delta",
    "DinersClub",
    "Discover",
    "Electron",
    "Elo",
    "enRoute",
    "Hipercard",
    "JCB",
    "Maestro",
    "MasterCard",
    "MC_Alaska",
    "MC_Canada",
    "Switch",
    "Troy",
    "UATP",
    "UnionPay",
    "Visa",
];

described!(
    /// The contract's card types.
    CardTypes,
    json_schema!({ "type": "string", "enum": CARD_TYPES })
);

/// A charge or an authorization.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuthRequest {
    amount: types::Amount,
    currency: types::CurrencyCode,
    /// Required unless there is a `userToken`.
    card: Option<CardInput>,
    /// The token that the gateway made of a card; see tokenize.
    #[schemars(length(max = 255))]
    user_token: Option<String>,
    /// Your reference.
    #[schemars(length(max = 255))]
    my_ref: Option<String>,
    /// What is bought.
    #[schemars(length(max = 255))]
    order_desc: Option<String>,
    /// Whether digital goods are bought.
    is_digital: Option<bool>,
    payer_details: Option<PayerDetails>,
    /// The account to try first; this, `paymentGatewayAccount` or `paymentGatewayAccountNames` is required.
    payment_gateway_account_name: Option<types::AccountName>,
    payment_gateway_account: Option<InlineAccount>,
    /// The client certificate that is shown to the gateway.
    #[schemars(length(max = 128))]
    certificate_name: Option<String>,
    /// The accounts to try after `paymentGatewayAccountName`.
    #[schemars(length(max = 9))]
    fallback_upgs: Option<Vec<FallbackUpg>>,
    /// The accounts to try, in order.
    #[schemars(length(min = 1, max = 10))]
    payment_gateway_account_names: Option<Vec<types::AccountName>>,
    network_token_brand: Option<NetworkTokenSchemes>,
    outcome_mode: Option<OutcomeMode>,
    /// Whether it may go to a gateway although another payment for the same card, amount and currency, or
    /// with the same reference, is in doubt; false if absent.
    allow_duplicate: Option<bool>,
}

/// A card to be kept by the gateway.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenizeRequest {
    card: CardInput,
    /// Your reference.
    #[schemars(length(max = 255))]
    my_ref: Option<String>,
    /// What is bought.
    #[schemars(length(max = 255))]
    order_desc: Option<String>,
    /// Whether digital goods are bought.
    is_digital: Option<bool>,
    payer_details: Option<PayerDetails>,
    /// The account to try first; this, `paymentGatewayAccount` or `paymentGatewayAccountNames` is required.
    payment_gateway_account_name: Option<types::AccountName>,
    payment_gateway_account: Option<InlineAccount>,
    /// The client certificate that is shown to the gateway.
    #[schemars(length(max = 128))]
    certificate_name: Option<String>,
    /// The accounts to try after `paymentGatewayAccountName`.
    #[schemars(length(max = 9))]
    fallback_upgs: Option<Vec<FallbackUpg>>,
    /// The accounts to try, in order.
    #[schemars(length(min = 1, max = 10))]
    payment_gateway_account_names: Option<Vec<types::AccountName>>,
    network_token_brand: Option<NetworkTokenSchemes>,
    outcome_mode: Option<OutcomeMode>,
}

/// A capture or a void.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CaptureVoidRequest {
    /// The `gatewayReference` of an earlier answer, or our `transactionId`.
    #[schemars(length(min = 1, max = 255))]
    ref_trans_id: String,
    amount: types::Amount,
    currency: types::CurrencyCode,
    /// The card of the payment; compared if it is there.
    card: Option<ShownCard>,
    /// Your reference; has no effect here.
    #[schemars(length(max = 255))]
    my_ref: Option<String>,
    /// The account that made the payment; it has to fit if it is there.
    payment_gateway_account_name: Option<types::AccountName>,
    payment_gateway_account: Option<InlineAccount>,
    /// The client certificate that is shown to the gateway.
    #[schemars(length(max = 128))]
    certificate_name: Option<String>,
    network_token_brand: Option<NetworkTokenSchemes>,
}

/// A refund.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundRequest {
    /// The `gatewayReference` of an earlier answer, or our `transactionId`.
    #[schemars(length(min = 1, max = 255))]
    ref_trans_id: String,
    amount: types::Amount,
    currency: types::CurrencyCode,
    /// The card of the payment; compared if it is there.
    card: Option<ShownCard>,
    /// Your reference; has no effect here.
    #[schemars(length(max = 255))]
    my_ref: Option<String>,
    payer_details: Option<PayerDetails>,
    /// The account that made the payment; it has to fit if it is there.
    payment_gateway_account_name: Option<types::AccountName>,
    payment_gateway_account: Option<InlineAccount>,
    /// The client certificate that is shown to the gateway.
    #[schemars(length(max = 128))]
    certificate_name: Option<String>,
    network_token_brand: Option<NetworkTokenSchemes>,
}

/// Which payment to look up.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusRequest {
    /// The `gatewayReference` of an earlier answer, or our `transactionId`. Either this or `myRef` is
    /// required.
    #[schemars(length(max = 255))]
    ref_trans_id: Option<String>,
    /// Your reference.
    #[schemars(length(max = 255))]
    my_ref: Option<String>,
    /// The account that made the payment; it has to fit if it is there.
    payment_gateway_account_name: Option<types::AccountName>,
    payment_gateway_account: Option<InlineAccount>,
    /// The client certificate that is shown to the gateway.
    #[schemars(length(max = 128))]
    certificate_name: Option<String>,
    network_token_brand: Option<NetworkTokenSchemes>,
}

/// Credentials that come with the request. They win over a `paymentGatewayAccountName` beside them, and are
/// kept only as long as the payment may need them.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InlineAccount {
    /// The gateway, as `GET /PaymentGateway` names it.
    #[schemars(length(min = 1, max = 64))]
    payment_gateway_name: String,
    /// All credentials that the gateway needs; none for a mock gateway.
    #[schemars(length(max = 32))]
    credentials: Option<Vec<CredentialInput>>,
}

/// A card.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CardInput {
    #[schemars(length(min = 1, max = 255))]
    card_holder_name: String,
    /// The number, or a network token.
    #[schemars(length(min = 1, max = 64))]
    card_number: String,
    #[schemars(range(min = 1, max = 12))]
    expiration_month: i32,
    /// Four digits.
    expiration_year: i32,
    /// The security code.
    #[schemars(length(max = 64))]
    cvv: Option<String>,
    card_type: Option<CardTypes>,
    #[serde(rename = "ownerID")]
    #[schemars(length(max = 255))]
    owner_id: Option<String>,
    #[schemars(length(max = 255))]
    issue_number: Option<String>,
    #[serde(rename = "threeDSAuthentication")]
    three_ds_authentication: Option<ThreeDSAuthenticationInput>,
}

/// The card of an earlier payment. Whatever else is in it is forgotten.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownCard {
    #[schemars(length(min = 1, max = 64))]
    card_number: String,
    #[schemars(range(min = 1, max = 12))]
    expiration_month: i32,
    /// Four digits.
    expiration_year: i32,
}

/// The result of a 3-D Secure authentication.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ThreeDSAuthenticationInput {
    /// The CAVV or AAV. It goes to the provider and is not kept.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9+/=]+$"))]
    authentication_value: String,
    #[schemars(length(min = 1, max = 2), regex(pattern = "^[0-9]+$"))]
    eci: String,
    /// The transaction's id.
    #[schemars(length(min = 1, max = 40))]
    xid: String,
    /// Such as 2.2.0.
    #[schemars(length(min = 1, max = 5), regex(pattern = "^[0-9.]+$"))]
    version: String,
    #[schemars(length(min = 1, max = 40))]
    merchant_name: String,
    /// Mastercard's security level.
    #[schemars(length(max = 3))]
    sli: Option<String>,
}

/// Who pays.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PayerDetails {
    #[serde(rename = "clientIPAddress")]
    #[schemars(length(min = 1, max = 255))]
    client_ip_address: String,
    #[schemars(regex(pattern = "^[A-Z]{2}$"))]
    country_code: String,
    #[schemars(length(max = 255))]
    address1: Option<String>,
    #[schemars(length(max = 255))]
    address2: Option<String>,
    #[schemars(length(max = 255))]
    address3: Option<String>,
    #[schemars(length(max = 255))]
    post_code: Option<String>,
    #[schemars(length(max = 255))]
    city: Option<String>,
    #[schemars(length(max = 255))]
    state_province: Option<String>,
}

/// One more account to try.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FallbackUpg {
    payment_gateway_account_name: types::AccountName,
    /// The client certificate that is shown to its gateway.
    #[schemars(length(max = 128))]
    payment_gateway_cert_name: Option<String>,
}

/// The card number is a network token of this scheme.
#[derive(JsonSchema)]
pub(crate) enum NetworkTokenSchemes {
    Visa,
    MasterCard,
    Amex,
}

/// What to do while an outcome is not known: look it up before another account is tried, or stop.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutcomeMode {
    ResolveFirst,
    HoldSafe,
    Stop,
}

#[cfg(test)]
mod tests {
    use baton_types::Timestamp;

    use super::*;
    use crate::body::Json;
    use crate::fields::Fields;
    use crate::fields::asked::assert_described;
    use crate::gateway::request::{self, Changing, Making};

    const CARD: &str = r#""card": {"cardHolderName": "Ada", "cardNumber": "4111111111111111",
        "expirationMonth": 12, "expirationYear": 2040, "threeDSAuthentication": {
        "authenticationValue": "AA", "eci": "05", "xid": "x", "version": "2.2.0", "merchantName": "m"}},
        "payerDetails": {"clientIPAddress": "203.0.113.7", "countryCode": "GB"}"#;

    const INLINE: &str = r#""paymentGatewayAccount": {"paymentGatewayName": "Sandbox",
        "credentials": [{"key": "ApiKey", "value": "x"}]}"#;

    const MONEY: &str = r#""amount": 1, "currency": "USD", "refTransId": "x""#;

    fn fields(text: &str) -> Fields {
        let Ok(body) = Json::parse(text.as_bytes()) else { panic!("{text}") };
        Fields::of_body(body).unwrap()
    }

    fn make(making: Making) {
        let list = r#""paymentGatewayAccountNames": ["test-success"]"#;
        let single = r#""paymentGatewayAccountName": "test-success",
            "fallbackUpgs": [{"paymentGatewayAccountName": "test-success"}]"#;
        let inline = format!(r#"{INLINE}, "fallbackUpgs": []"#);
        for accounts in [list, single, &inline] {
            let body = fields(&format!("{{{MONEY}, {CARD}, {accounts}}}"));
            assert!(request::make(body, making, Timestamp::from_millis(0)).is_ok());
        }
    }

    fn change(changing: Changing) {
        let body = fields(&format!("{{{MONEY}, {CARD}, {INLINE}}}"));
        assert!(request::change(body, changing).is_ok());
    }

    #[test]
    fn what_is_described_is_what_is_read() {
        assert_described::<AuthRequest>(|| make(Making::Charge));
        assert_described::<AuthRequest>(|| make(Making::Authorize));
        assert_described::<TokenizeRequest>(|| make(Making::Tokenize));
        assert_described::<CaptureVoidRequest>(|| change(Changing::Capture));
        assert_described::<CaptureVoidRequest>(|| change(Changing::Void));
        assert_described::<RefundRequest>(|| change(Changing::Refund));
        assert_described::<StatusRequest>(|| {
            assert!(request::status(fields(&format!("{{{MONEY}, {INLINE}}}"))).is_ok());
        });
    }

    #[test]
    fn the_examples_are_read() {
        let now = Timestamp::from_millis(0);
        assert!(request::make(fields(CHARGE), Making::Charge, now).is_ok());
        assert!(request::make(fields(TOKENIZE), Making::Tokenize, now).is_ok());
        assert!(request::change(fields(CHANGE), Changing::Refund).is_ok());
        assert!(request::status(fields(STATUS)).is_ok());
    }
}
