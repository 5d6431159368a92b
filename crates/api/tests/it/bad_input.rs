//! What is refused, where the fault is said to be, and that nothing at all happened then.

use baton_engine::{Clock as _, SystemClock};

use crate::client::{self, Seen};
use crate::server::Server;
use crate::{CHARGE, charge, edited};

const REFUND: &str = r#"{"refTransId": "$CHARGE", "amount": 10.23, "currency": "USD",
    "card": {"cardNumber": "4111111111111111", "expirationMonth": 12, "expirationYear": 2090},
    "payerDetails": {"clientIPAddress": "203.0.113.7", "countryCode": "GB"},
    "paymentGatewayAccountName": "acme"}"#;

const CAPTURE: &str = r#"{"refTransId": "$HOLD", "amount": 50.00, "currency": "USD"}"#;

/// Where a good body is changed, and into what. An empty place is the whole body.
type Row = (&'static str, &'static str, &'static str, u16, &'static str, &'static str);

const NAME: &str = "paymentGatewayAccountName";
const NAMES: &str = "paymentGatewayAccountNames";
const ONE_NAME: &str = r#""paymentGatewayAccountName": "acme", "fallbackUpgs": []"#;
const BACKUPS: &str = r#""fallbackUpgs": []"#;
const YEAR: &str = r#""expirationMonth": 12,
             "expirationYear": 2090"#;

#[rustfmt::skip]
const SHAPES: &[Row] = &[
    // The body as a whole.
    ("charge", "", "",                                            400, "", "body is empty"),
    ("charge", "", "   ",                                         400, "", "body is empty"),
    ("charge", "", "{",                                           400, "", "not JSON (line 1, column 1)"),
    ("charge", "", "{'amount': 1}",                               400, "", "not JSON"),
    ("charge", "", "{\"amount\": 1,}",                            400, "", "not JSON"),
    ("charge", "", "{} {}",                                       400, "", "not JSON"),
    ("charge", "", "amount=1",                                    400, "", "not JSON"),
    ("charge", "", "null",                                        400, "", "The body is null, not an object."),
    ("charge", "", "[]",                                          400, "", "The body is an array"),
    ("status", "", "\"x\"",                                       400, "", "The body is a string"),
    ("refund", "", "17",                                          400, "", "The body is a number"),
    ("void",   "", "true",                                        400, "", "The body is a boolean"),
    ("charge", "", "{}",                                          400, "currency", "It is required."),
    ("charge", "\"Socks\"", "\"\\ud800\"",                        400, "orderDesc", "cannot be read"),
    ("charge", "\"Socks\"", "[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]", 400, "orderDesc[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]", "nested too deeply"),
    // Names that are the same.
    ("charge", "\"myRef\"", "\"AMOUNT\": 1, \"myRef\"",           400, "AMOUNT", "more than once"),
    ("charge", "\"myRef\"", "\"amount\": 10.23, \"myRef\"",       400, "amount", "more than once"),
    ("charge", "\"cvv\"", "\"CVV\": null, \"cvv\"",               400, "card.cvv", "more than once"),
    ("charge", "\"city\"", "\"City\": \"Paris\", \"city\"",       400, "payerDetails.city", "more than once"),
    ("charge", BACKUPS, "\"fallbackUpgs\": [{\"paymentGatewayAccountName\": \"acme-a\", \"PaymentGatewayAccountName\": \"acme-b\"}]",
                                                                  400, "fallbackUpgs[0].PaymentGatewayAccountName", "more than once"),
    ("charge", "\"myRef\"", "\"unknown\": {\"a\": {\"b\": 1, \"B\": 1}}, \"myRef\"", 400, "unknown.a.B", "more than once"),
    // Wrong types.
    ("charge", "10.23", "\"10.23\"",                              400, "amount", "It must be a number, and is a string."),
    ("charge", "10.23", "[10.23]",                                400, "amount", "and is an array"),
    ("charge", "\"USD\"", "840",                                  400, "currency", "It must be a string, and is a number."),
    ("charge", "\"order-1\"", "1",                                400, "myRef", "It must be a string, and is a number."),
    ("charge", "\"Socks\"", "{}",                                 400, "orderDesc", "It must be a string, and is an object."),
    ("charge", "false", "\"false\"",                              400, "isDigital", "It must be true or false, and is a string."),
    ("charge", "\"Ada Lovelace\"", "true",                        400, "card.cardHolderName", "It must be a string, and is a boolean."),
    ("charge", "\"4111111111111111\"", "4111111111111111",        400, "card.cardNumber", "It must be a string, and is a number."),
    ("charge", "12,", "\"12\",",                                  400, "card.expirationMonth", "It must be a number, and is a string."),
    ("charge", "2090", "\"2090\"",                                400, "card.expirationYear", "It must be a number"),
    ("charge", "2090", "2090.0",                                  400, "card.expirationYear", "whole number"),
    ("charge", "\"123\"", "123",                                  400, "card.cvv", "It must be a string, and is a number."),
    ("charge", "\"own\"", "1",                                    400, "card.ownerID", "must be a string"),
    ("charge", "\"2\"", "2",                                      400, "card.issueNumber", "must be a string"),
    ("charge", "\"Visa\"", "1",                                   400, "card.cardType", "must be a string"),
    ("charge", "\"Visa\"", "\"VISA\"",                            400, "card.cardType", "not one of the contract's card types"),
    ("charge", "\"payerDetails\": {", "\"payerDetails\": \"x\", \"x\": {", 400, "payerDetails", "It must be an object, and is a string."),
    ("charge", "\"203.0.113.7\"", "1",                            400, "payerDetails.clientIPAddress", "must be a string"),
    ("charge", "\"London\"", "1",                                 400, "payerDetails.city", "must be a string"),
    ("charge", "\"acme\"", "1",                                   400, NAME, "must be a string"),
    ("charge", BACKUPS, "\"fallbackUpgs\": \"acme-a\"",           400, "fallbackUpgs", "It must be an array, and is a string."),
    ("charge", BACKUPS, "\"fallbackUpgs\": [\"acme-a\"]",         400, "fallbackUpgs[0]", "It must be an object, and is a string."),
    ("charge", ONE_NAME, "\"paymentGatewayAccountNames\": \"acme\"", 400, NAMES, "must be an array"),
    ("charge", ONE_NAME, "\"paymentGatewayAccountNames\": [\"acme\", 1]", 400, "paymentGatewayAccountNames[1]", "It must be a string, and is a number."),
    ("charge", "\"resolve_first\"", "1",                          400, "outcomeMode", "must be a string"),
    ("refund", "\"$CHARGE\"", "1",                                400, "refTransId", "It must be a string, and is a number."),
    // Missing, null and empty.
    ("charge", "10.23", "null",                                   400, "amount", "It is required."),
    ("charge", "\"currency\"", "\"x\"",                           400, "currency", "It is required."),
    ("charge", "\"USD\"", "\" \"",                                400, "currency", "It is empty."),
    ("charge", "\"card\"", "\"x\"",                               400, "card", "It is required."),
    ("charge", "\"cardNumber\"", "\"x\"",                         400, "card.cardNumber", "It is required."),
    ("charge", "\"4111111111111111\"", "\"\"",                    400, "card.cardNumber", "It is empty."),
    ("charge", "\"cardHolderName\"", "\"x\"",                     400, "card.cardHolderName", "It is required."),
    ("charge", "\"Ada Lovelace\"", "\"  \"",                      400, "card.cardHolderName", "It is required."),
    ("charge", "\"expirationMonth\"", "\"x\"",                    400, "card.expirationMonth", "It is required."),
    ("charge", "2090", "null",                                    400, "card.expirationYear", "It is required."),
    ("charge", "\"clientIPAddress\"", "\"x\"",                    400, "payerDetails.clientIPAddress", "It is required."),
    ("charge", "\"GB\"", "\"gb\"",                                400, "payerDetails.countryCode", "two capital letters"),
    ("charge", "\"GB\"", "\"GBR\"",                               400, "payerDetails.countryCode", "two capital letters"),
    ("charge", "\"paymentGatewayAccountName\"", "\"x\"",          400, NAME, "It is required."),
    ("refund", "\"refTransId\"", "\"x\"",                         400, "refTransId", "It is required."),
    ("refund", "\"$CHARGE\"", "\"\"",                             400, "refTransId", "It is empty."),
    ("status", "", "{\"refTransId\": \" \"}",                     400, "refTransId", "Either refTransId or myRef is required."),
    ("tokenize", "\"card\"", "\"x\"",                             400, "card", "It is required."),
];

#[rustfmt::skip]
const VALUES: &[Row] = &[
    // Amounts and currencies.
    ("charge", "10.23", "0",                                      400, "amount", "greater than zero"),
    ("charge", "10.23", "-0.00",                                  400, "amount", "greater than zero"),
    ("charge", "10.23", "-10.23",                                 400, "amount", "greater than zero"),
    ("charge", "10.23", "10.234",                                 400, "amount", "more decimal places than the currency's 2"),
    ("charge", "10.23", "0.001",                                  400, "amount", "more decimal places"),
    ("charge", "10.23", "1e-3",                                   400, "amount", "more decimal places"),
    ("charge", "10.23", "92233720368547758.08",                   400, "amount", "too large"),
    ("charge", "10.23", "1e400",                                  400, "amount", "too large"),
    ("charge", "10.23", "1e99999999999999999999",                 400, "amount", "too large"),
    ("charge", "10.23", "10000000000.00",                         400, "amount", "larger than any payment"),
    ("charge", "10.23", "4111111111111111",                       400, "amount", "larger than any payment"),
    ("charge", "10.23", "+10.23",                                 400, "", "not JSON"),
    ("charge", "10.23", "010.23",                                 400, "", "not JSON"),
    ("charge", "10.23", "10,23",                                  400, "", "not JSON"),
    ("charge", "10.23, \"currency\": \"USD\"", "10.5, \"currency\": \"JPY\"",   400, "amount", "the currency has none"),
    ("charge", "10.23, \"currency\": \"USD\"", "1.2345, \"currency\": \"BHD\"", 400, "amount", "the currency's 3"),
    ("charge", "\"USD\"", "\"DOLLARS\"",                          400, "currency", "not a current currency code"),
    ("charge", "\"USD\"", "\"DEM\"",                              400, "currency", "not a current currency code"),
    ("charge", "\"USD\"", "\"XXX\"",                              400, "amount", "No amount can be paid in this currency."),
    ("charge", "\"USD\"", "\"XAU\"",                              400, "amount", "No amount can be paid in this currency."),
    ("charge", "\"USD\"", "\"A very long currency\"",             400, "currency", "longer than 16 characters"),
    // The card.
    ("charge", "4111111111111111", "4111111111111112",            400, "card.cardNumber", "check digit"),
    ("charge", "4111111111111111", "41111111111",                 400, "card.cardNumber", "number of digits"),
    ("charge", "4111111111111111", "41111111111111111111",        400, "card.cardNumber", "number of digits"),
    ("charge", "4111111111111111", "4111x11111111111",            400, "card.cardNumber", "digits"),
    ("charge", "4111111111111111", "４１１１１１１１１１１１１１１１", 400, "card.cardNumber", "digits"),
    ("charge", "12,", "0,",                                       400, "card.expirationMonth", "1 to 12"),
    ("charge", "12,", "13,",                                      400, "card.expirationMonth", "1 to 12"),
    ("charge", "12,", "-1,",                                      400, "card.expirationMonth", "1 to 12"),
    ("charge", "2090", "2019",                                    400, "card.expirationYear", "expired"),
    ("charge", "2090", "19",                                      400, "card.expirationYear", "expired"),
    ("charge", "2090", "2100",                                    400, "card.expirationYear", "year"),
    ("charge", "2090", "99999999999999999999",                    400, "card.expirationYear", "whole number"),
    ("charge", YEAR, "$LAST_MONTH",                               400, "card.expirationYear", "expired"),
    ("charge", "\"123\"", "\"1234\"",                             400, "card.cvv", "This brand's code has 3 digits."),
    ("charge", "\"123\"", "\"12\"",                               400, "card.cvv", "digits"),
    ("charge", "\"123\"", "\"12a\"",                              400, "card.cvv", "digits"),
    ("charge", "4111111111111111", "378282246310005",             400, "card.cvv", "This brand's code has 4 digits."),
    // Accounts.
    ("charge", "\"acme\"", "\"nowhere\"",                         400, NAME, "There is no gateway account of this name."),
    ("charge", "\"acme\"", "\"live\"",                            400, NAME, "sandbox API key cannot use a live account"),
    ("charge", "\"acme\"", "\"ac\"",                              400, NAME, "3 to 64"),
    ("charge", "\"acme\"", "\"acme corp\"",                       400, NAME, "3 to 64"),
    ("charge", "\"acme\"", "\"äcme\"",                            400, NAME, "3 to 64"),
    ("charge", "\"acme\"", "\"ACME\"",                            400, NAME, "There is no gateway account"),
    ("charge", BACKUPS, "\"fallbackUpgs\": [{}]",                 400, "fallbackUpgs[0].paymentGatewayAccountName", "It is required."),
    ("charge", BACKUPS, "\"fallbackUpgs\": [{\"paymentGatewayAccountName\": \"a b\"}]", 400, "fallbackUpgs[0].paymentGatewayAccountName", "3 to 64"),
    ("charge", BACKUPS, "\"fallbackUpgs\": [{\"paymentGatewayAccountName\": \"acme-a\"}, {\"paymentGatewayAccountName\": \"nowhere\"}]",
                                                                  400, "fallbackUpgs[1].paymentGatewayAccountName", "There is no gateway account"),
    ("charge", BACKUPS, "\"fallbackUpgs\": [{\"paymentGatewayAccountName\": \"acme-a\", \"paymentGatewayCertName\": \"c\"}]",
                                                                  400, "fallbackUpgs[0].paymentGatewayCertName", "There is no client certificate of this name."),
    ("charge", BACKUPS, "\"paymentGatewayAccountNames\": [\"acme\"]", 400, NAME, "cannot be combined"),
    ("charge", "\"paymentGatewayAccountName\": \"acme\", \"fallbackUpgs\": []", "\"paymentGatewayAccountNames\": [\"acme\"], \"fallbackUpgs\": []",
                                                                  400, "fallbackUpgs", "cannot be combined"),
    ("charge", ONE_NAME, "\"paymentGatewayAccountNames\": []",    400, NAMES, "The list is empty."),
    ("charge", ONE_NAME, "\"paymentGatewayAccountNames\": [\"acme\", \"\"]", 400, "paymentGatewayAccountNames[1]", "3 to 64"),
    ("charge", ONE_NAME, "\"paymentGatewayAccountNames\": [\"acme\", \"acme-a\", \"nowhere\"]", 400, "paymentGatewayAccountNames[2]", "There is no gateway account"),
    ("authorize", ONE_NAME, "\"paymentGatewayAccountNames\": [\"acme\", \"live\"]", 400, "paymentGatewayAccountNames[1]", "live account"),
    ("charge", ONE_NAME, "\"paymentGatewayAccountNames\": [\"acme\",\"acme\",\"acme\",\"acme\",\"acme\",\"acme\",\"acme\",\"acme\",\"acme\",\"acme\",\"acme\"]",
                                                                  400, NAMES, "At most 10 accounts"),
    // What this version does not have.
    ("charge", "4111111111111111", "@nQGywsQE9gbURtrXEjTZwtWqeMdK9nsO", 400, "card.cardNumber", "no such token"),
    ("charge", "4111111111111111", "@x",                            400, "card.cardNumber", "no such token"),
    ("charge", "\"123\"", "\"@nQGywsQE9gbURtrXEjTZwtWqeMdK9nsO\"", 400, "card.cvv", "no such token"),
    ("charge", "\"myRef\"", "\"cardToken\": \"x\", \"myRef\"",    400, "cardToken", "cannot be combined"),
    ("charge", "\"myRef\"", "\"paymentGatewayAccount\": {}, \"myRef\"", 400, "paymentGatewayAccount.paymentGatewayName", "It is required."),
    ("refund", "\"amount\"", "\"PaymentGatewayAccount\": {}, \"amount\"", 400, "paymentGatewayAccount.paymentGatewayName", "It is required."),
    ("charge", "\"myRef\"", "\"certificateName\": \"c\", \"myRef\"", 400, "certificateName", "There is no client certificate of this name."),
    ("charge", "\"myRef\"", "\"networkTokenBrand\": \"visa\", \"myRef\"", 400, "networkTokenBrand", "Visa, MasterCard or Amex"),
    ("charge", "\"ownerID\"", "\"threeDSAuthentication\": {}, \"ownerID\"", 400, "card.threeDSAuthentication.authenticationValue", "It is required"),
    ("charge", "\"ownerID\"", "\"threeDSAuthentication\": {\"authenticationValue\": \"AAAB\", \"merchantName\": \"M\", \"eci\": \"x\", \"xid\": \"1\", \"version\": \"2.2.0\"}, \"ownerID\"", 400, "card.threeDSAuthentication.eci", "one or two digits"),
    ("charge", "\"resolve_first\"", "\"Stop\"",                   400, "outcomeMode", "It must be resolve_first, hold_safe or stop."),
    // Texts.
    ("charge", "\"order-1\"", "\"$LONG\"",                        400, "myRef", "longer than 255 characters"),
    ("charge", "\"Socks\"", "\"$LONG\"",                          400, "orderDesc", "longer than 255 characters"),
    ("charge", "\"Ada Lovelace\"", "\"$LONG\"",                   400, "card.cardHolderName", "longer than 255 characters"),
    ("charge", "\"London\"", "\"$LONG\"",                         400, "payerDetails.city", "longer than 255 characters"),
    ("charge", "\"order-1\"", "\"a\\u0000b\"",                    400, "myRef", "NUL"),
    ("charge", "\"Ada Lovelace\"", "\"Ada\\u0000\"",              400, "card.cardHolderName", "NUL"),
    ("charge", "\"order-1\"", "\"4111 1111 1111 1111\"",          400, "myRef", "It holds a card number"),
    ("charge", "\"Socks\"", "\"pay 5555555555554444, please\"",   400, "orderDesc", "It holds a card number"),
    ("charge", "\"Ada Lovelace\"", "\"4111111111111111\"",        400, "card.cardHolderName", "It holds a card number"),
    ("charge", "\"myRef\"", "\"userToken\": \"4111111111111111\", \"myRef\"", 400, "userToken", "It holds a card number"),
    // Against the payment as it stands.
    ("refund",  "4111111111111111", "4242424242424242",           400, "card.cardNumber", "not the one of the original transaction"),
    ("refund",  "\"expirationMonth\": 12", "\"expirationMonth\": 11", 400, "card.cardNumber", "not the one of the original transaction"),
    ("refund",  "4111111111111111", "4242424242424241",           400, "card.cardNumber", "check digit"),
    ("refund",  "\"acme\"", "\"nowhere\"",                        400, NAME, "There is no gateway account"),
    ("void",    "50.00", "49.99",                                 400, "amount", "whole amount, which is 50.00 USD"),
    ("void",    "50.00, \"currency\": \"USD\"", "50.00, \"currency\": \"EUR\"", 400, "amount", "whole amount, which is 50.00 USD"),
];

/// Refusals that carry a result: the request was fine, the payment does not allow it.
#[rustfmt::skip]
const NOT_ALLOWED: &[Row] = &[
    ("refund",  "10.23", "10.24",                                 409, "not_allowed", "The amount exceeds what is there: 10.23 USD."),
    ("refund",  "\"USD\"", "\"EUR\"",                             409, "not_allowed", "The transaction's currency is USD."),
    ("refund",  "$CHARGE", "$HOLD",                               409, "not_allowed", "exceeds what is there: 0.00 USD"),
    ("refund",  "$CHARGE", "sp_0000000000000000",                 409, "unknown_reference", "No transaction is known under this reference."),
    ("refund",  "\"acme\"", "\"acme-a\"",                         409, "unknown_reference", "No transaction is known"),
    ("capture", "50.00", "50.01",                                 409, "not_allowed", "exceeds what is there: 50.00 USD"),
    ("capture", "\"USD\"", "\"BHD\"",                             409, "not_allowed", "The transaction's currency is USD."),
    ("capture", "$HOLD", "$CHARGE",                               409, "not_allowed", "nothing to capture"),
    ("void",    "$HOLD", "11111111-1111-1111-1111-111111111111",  409, "unknown_reference", "No transaction is known"),
    ("status",  "", "{\"myRef\": \"nobody's\"}",                  409, "unknown_reference", "No transaction is known"),
];

struct Bench {
    server: Server,
    charge: String,
    hold: String,
}

impl Bench {
    async fn new() -> Self {
        let server = Server::start().await;
        let made = async |operation, body: &str| {
            let seen = server.operate(operation, body).await;
            assert_eq!(seen.status, 202, "{seen:?}");
            seen.json()["gatewayReference"].as_str().unwrap().to_owned()
        };
        let charge = made("charge", CHARGE).await;
        let hold = made("authorize", &edited(CHARGE, "10.23", "50.00")).await;
        Self { server, charge, hold }
    }

    async fn send(&self, (operation, from, to, ..): &Row) -> Seen {
        let good = match *operation {
            "charge" | "authorize" | "tokenize" => CHARGE,
            "refund" => REFUND,
            _ => CAPTURE,
        };
        let body = if from.is_empty() { (*to).to_owned() } else { edited(good, from, to) };
        let (year, month) = this_month();
        let last = if month == 1 { (year - 1, 12) } else { (year, month - 1) };
        let body = body
            .replace("$CHARGE", &self.charge)
            .replace("$HOLD", &self.hold)
            .replace("$LONG", &"ü".repeat(256))
            .replace("$LAST_MONTH", &expires(last.0, last.1));
        self.server.operate(operation, body).await
    }
}

/// By the test's own clock.
fn this_month() -> (i64, i64) {
    let now = SystemClock.now().to_rfc3339();
    let mut parts = now.split('-').map(|part| part.parse().ok());
    (parts.next().flatten().unwrap(), parts.next().flatten().unwrap())
}

fn expires(year: i64, month: i64) -> String {
    format!(r#""expirationMonth": {month}, "expirationYear": {year}"#)
}

#[tokio::test]
async fn every_fault_is_named_and_nothing_happens() {
    let bench = Bench::new().await;
    let before = bench.server.state().await;
    assert_eq!(before, (2, 2, 2));
    let mut wrong = Vec::new();
    for row in SHAPES.iter().chain(VALUES) {
        let seen = bench.send(row).await;
        let (_, _, _, status, field, fragment) = *row;
        let (named, message) = if seen.status == 202 { Default::default() } else { seen.fault() };
        let is_sentence =
            message.starts_with(|c: char| c.is_uppercase() || c == '`') && message.ends_with('.');
        let is_json = seen.header("content-type") == Some("application/json");
        let right = named == field && message.contains(fragment) && is_sentence && is_json;
        if seen.status != status || !right {
            wrong.push(format!("{row:?}\n    {} {named}: {message}", seen.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for row in NOT_ALLOWED {
        let seen = bench.send(row).await;
        let (operation, _, _, status, reason, fragment) = *row;
        let result = seen.json();
        assert_eq!(seen.status, status, "{row:?}\n{seen:?}");
        assert_eq!(result["operationResultCode"], "Rejected", "{row:?}");
        assert_eq!(result["operationType"].as_str().unwrap().to_lowercase(), operation);
        assert_eq!(result["reason"], reason, "{row:?}");
        let said = result["operationResultDescription"].as_str().unwrap();
        assert!(said.contains(fragment), "{row:?}\n{said}");
    }
    assert_eq!(bench.server.state().await, before, "something happened");
}

#[tokio::test]
async fn what_is_almost_wrong_is_taken() {
    let server = Server::start().await;
    let (year, month) = this_month();
    let this_month = expires(year, month);
    let short_year = format!(r#""expirationMonth": {month}, "expirationYear": {}"#, year % 100);
    #[rustfmt::skip]
    let rows = [
        ("10.23", "10.230",                             "10.23"),
        ("10.23", "1e2",                                "100.00"),
        ("10.23", "10.2",                               "10.20"),
        ("10.23", "10.230000000000000000000000000000",  "10.23"),
        ("10.23", "9999999999.99",                      "9999999999.99"),
        ("10.23, \"currency\": \"USD\"", "500.0, \"currency\": \"jpy\"",    "500"),
        ("10.23, \"currency\": \"USD\"", "1.234, \"currency\": \" BHD \"",  "1.234"),
        ("\"Ada Lovelace\"", "\"Žofie 张 👩‍🚀\"",           "10.23"),
        ("\"order-1\"", "\"Bestellung № 7 – größer\"",   "10.23"),
        ("\"order-1\"", "\"\"",                         "10.23"),
        ("\"order-1\"", "null",                         "10.23"),
        ("\"cvv\": \"123\", ", "",                      "10.23"),
        ("\"123\"", "\"\"",                             "10.23"),
        ("\"123\"", "null",                             "10.23"),
        ("4111111111111111", "4111-1111 1111 1111",     "10.23"),
        (YEAR, this_month.as_str(),                     "10.23"),
        (YEAR, short_year.as_str(),                     "10.23"),
        ("\"payerDetails\"", "\"unknown\"",             "10.23"),
        ("\"myRef\"", "\"whatever\": [{\"x\": null}], \"myRef\"", "10.23"),
        ("\"myRef\"", "\"certificateName\": null, \"myRef\"",     "10.23"),
        ("\"card\"", "\"Card\"",                        "10.23"),
        ("\"cardNumber\"", "\"CARDNUMBER\"",            "10.23"),
        ("\"amount\"", "\"AmOuNt\"",                    "10.23"),
        (ONE_NAME, "\"PaymentGatewayAccountNames\": [\"acme\"]", "10.23"),
    ];
    for (from, to, amount) in rows {
        let seen = server.operate("charge", edited(CHARGE, from, to)).await;
        assert_eq!(seen.status, 202, "{from} {to}\n{seen:?}");
        assert!(seen.body.contains(&format!("\"amount\":{amount},")), "{from} {to}\n{seen:?}");
    }
    assert_eq!(server.at_provider().await, rows.len());
}

#[tokio::test]
async fn routes_methods_and_sizes_are_answered_in_the_same_form() {
    let server = Server::start().await;
    let before = server.state().await;
    let large = edited(CHARGE, "Socks", &"x".repeat(64 * 1024));
    #[rustfmt::skip]
    let rows = [
        ("GET",    "/PaymentGateway/charge",    "",     405, "method"),
        ("PUT",    "/PaymentGateway/charge",    CHARGE, 405, "method"),
        ("POST",   "/PaymentGateway/void",      "{}",   405, "method"),
        ("BREW",   "/PaymentGateway/charge",    "",     405, "method"),
        ("PATCH",  "/admin/v1/api-keys",        "{}",   405, "method"),
        ("POST",   "/PaymentGateway/Charge",    CHARGE, 404, "no such route"),
        ("POST",   "/PaymentGateway/charge/",   CHARGE, 404, "no such route"),
        ("POST",   "/Nowhere",                  "{}",   404, "no such route"),
        ("GET",    "/",                         "",     404, "no such route"),
        ("POST",   "/PaymentGateway/charge",    &large, 413, "too large"),
        ("DELETE", "/PaymentGateway/void",      &large, 413, "too large"),
    ];
    for (method, path, body, status, fragment) in rows {
        let seen = server.send(method, path, body).await;
        assert_eq!(seen.status, status, "{method} {path}\n{seen:?}");
        let (field, message) = seen.fault();
        assert_eq!(field, "", "{method} {path}");
        assert!(message.contains(fragment), "{method} {path} {message}");
        assert!(seen.header("x-request-id").is_some());
    }
    let broken = b"{\"amount\": \"\xff\xfe\"}";
    let headers = [("x-api-key", server.key.as_str())];
    let seen = client::send(server.addr, "POST", "/PaymentGateway/charge", &headers, broken).await;
    assert_eq!((seen.status, seen.fault().1.contains("not JSON")), (400, true));
    assert_eq!(server.state().await, before);
}

#[tokio::test]
async fn the_admin_api_names_faults_too() {
    let server = Server::start().await;
    let admin = [("api-key", crate::server::OPERATOR)];
    let make = async |body: &str| {
        client::send(server.addr, "POST", "/admin/v1/api-keys", &admin, body.as_bytes()).await
    };
    #[rustfmt::skip]
    let rows = [
        ("{}",                                                          "sandbox",   "It is required"),
        (r#"{"sandbox": 1}"#,                                           "sandbox",   "true or false"),
        (r#"{"sandbox": true, "scopes": []}"#,                          "scopes",    "The list is empty."),
        (r#"{"sandbox": true, "scopes": ["root"]}"#,                    "scopes",    "gateway and admin"),
        (r#"{"sandbox": true, "scopes": "admin"}"#,                     "scopes",    "must be an array"),
        (r#"{"sandbox": true, "scopes": [1]}"#,                         "scopes[0]", "must be a string"),
        (r#"{"sandbox": true, "expires_at": "tomorrow"}"#,              "expires_at", "2027-01-31T00:00:00Z"),
        (r#"{"sandbox": true, "expires_at": "2020-01-01T00:00:00Z"}"#,  "expires_at", "future"),
        (r#"{"sandbox": true, "name": "5555 5555 5555 4444"}"#,         "name",      "holds a card number"),
    ];
    for (body, field, fragment) in rows {
        let seen = make(body).await;
        let (named, message) = seen.fault();
        assert_eq!((seen.status, named.as_str()), (400, field), "{body}\n{seen:?}");
        assert!(message.contains(fragment), "{body} {message}");
    }
    let seen =
        make(r#"{"sandbox": true, "name": "shop", "expires_at": "2099-01-01T00:00:00Z"}"#).await;
    assert_eq!(seen.status, 201, "{seen:?}");
    let made = seen.json();
    let text = made["api_key"].as_str().unwrap().to_owned();
    assert!(text.starts_with("sk_sandbox_"), "{seen:?}");
    assert!(text.ends_with(made["key"]["hint"].as_str().unwrap()));
    assert_eq!(made["key"]["expires_at"], "2099-01-01T00:00:00.000Z");
    let listed = client::send(server.addr, "GET", "/admin/v1/api-keys", &admin, b"").await;
    assert!(!listed.body.contains(&text) && listed.body.contains("\"shop\""), "{listed:?}");
    assert_eq!(charge_with(&server, &text).await, 202);
    for id in ["x", "11111111-1111-1111-1111-111111111111", "%00"] {
        let path = format!("/admin/v1/api-keys/{id}");
        let seen = client::send(server.addr, "DELETE", &path, &admin, b"").await;
        assert_eq!((seen.status, seen.body.as_str()), (404, ""), "{id}");
    }
}

async fn charge_with(server: &Server, key: &str) -> u16 {
    let body = charge("1", "USD", "4111111111111111", &["test-success"]);
    let headers = [("x-api-key", key)];
    client::send(server.addr, "POST", "/PaymentGateway/charge", &headers, body.as_bytes())
        .await
        .status
}
