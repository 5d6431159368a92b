//! The API over real HTTP on loopback: a real engine on a store in memory, the real connectors, and a real
//! sandbox provider.
//!
//! Snapshots are compared, never written, when `INSTA_UPDATE=no`.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod asking;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod client;
#[cfg(test)]
mod described;
#[cfg(test)]
mod doubts;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod inline;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod observability;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod payments;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod results;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod webhooks;

/// A charge at the sandbox with every field that this version reads.
const CHARGE: &str = r#"{
    "amount": 10.23, "currency": "USD", "myRef": "order-1", "orderDesc": "Socks", "isDigital": false,
    "card": {"cardHolderName": "Ada Lovelace", "cardNumber": "4111111111111111", "expirationMonth": 12,
             "expirationYear": 2090, "cvv": "123", "ownerID": "own", "issueNumber": "2", "cardType": "Visa"},
    "payerDetails": {"clientIPAddress": "203.0.113.7", "countryCode": "GB", "city": "London"},
    "outcomeMode": "resolve_first", "paymentGatewayAccountName": "acme", "fallbackUpgs": []}"#;

/// The result of a 3-D Secure authentication, as a member of a card.
fn three_ds(value: &str) -> String {
    format!(
        r#""threeDSAuthentication": {{"authenticationValue": "{value}", "eci": "05", "xid": "f25084f0-5b16-4c0a-ae5d-b24808a95e4b", "version": "2.2.0", "merchantName": "Acme"}}"#
    )
}

/// A text with one place replaced; the place has to be there exactly once.
#[track_caller]
fn edited(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
    text.replace(from, to)
}

/// A charge of this amount with this card at these accounts.
fn charge(amount: &str, currency: &str, card: &str, accounts: &[&str]) -> String {
    let cvv = if card.starts_with('3') { "1234" } else { "123" };
    format!(
        r#"{{"amount": {amount}, "currency": "{currency}", "card": {}, "paymentGatewayAccountNames": {}}}"#,
        card_with(card, cvv),
        serde_json::json!(accounts),
    )
}

fn card_with(number: &str, cvv: &str) -> String {
    format!(
        r#"{{"cardHolderName": "Ada Lovelace", "cardNumber": "{number}", "expirationMonth": 12, "expirationYear": 2090, "cvv": "{cvv}"}}"#
    )
}

/// A capture, void or refund.
fn change(reference: &str, amount: &str, currency: &str) -> String {
    format!(r#"{{"refTransId": "{reference}", "amount": {amount}, "currency": "{currency}"}}"#)
}
