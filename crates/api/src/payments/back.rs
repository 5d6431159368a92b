//! Where a payer's browser comes back to from a challenge, and goes on to the shop from.
//!
//! A provider may send the browser by `GET` or by `POST`. What it brings is passed on where the provider asks for that,
//! the payment is looked up, and the browser is sent to the payment's `return_url` with how it stands. Nothing here can
//! charge: a link that is opened twice, late, or by somebody else only shows where the shop is.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use baton_connect::Returned;
use baton_hooks::contract_signature;
use baton_payments::{Fault, Seen};
use baton_types::Secret;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::PaymentsRoute;
use super::auth::Who;
use crate::App;

/// Most fields that a browser can bring.
const FIELDS_MAX: usize = 50;

pub(crate) fn routes() -> Vec<PaymentsRoute> {
    let path = "/payments/return/{merchant}/{payment_id}/{token}";
    vec![
        PaymentsRoute::new("GET", path, Who::Payer, back),
        PaymentsRoute::new("POST", path, Who::Payer, back),
    ]
}

async fn back(
    State(app): State<Arc<App>>,
    Path((merchant, payment, token)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut fields = BTreeMap::new();
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let form: &[u8] = if is_form { &body } else { &[] };
    for text in [query.unwrap_or_default().as_bytes(), form] {
        let pairs = form_urlencoded::parse(text).into_owned();
        fields.extend(pairs.take(FIELDS_MAX));
    }
    match app.payments.come_back(&merchant, &payment, &token, Returned(fields)).await {
        Ok((seen, account, profile)) => {
            let flag = |name, default| profile.flag(&account.body, name, default);
            let by_post = flag("redirect_to_merchant_with_http_post", false);
            let mut told = told(&seen);
            if flag("enable_payment_response_hash", true) {
                let merchant = app.payments.merchant_of(account.merchant);
                match app.payments.hash_key_of(&merchant, &account, &profile).await {
                    Ok(key) => sign(&mut told, seen.intent.body.return_url.as_deref(), &key),
                    Err(fault) => {
                        tracing::warn!(?fault, "a payer goes back to the shop without a signature")
                    }
                }
            }
            on_to_the_shop(&seen, &told, by_post)
        }
        Err(Fault::NotFound(_)) => {
            page(StatusCode::NOT_FOUND, "<p>There is no such payment. Go back to the shop.</p>")
        }
        Err(fault) => {
            tracing::warn!(?fault, "a payer who came back could not be sent on");
            let text = "<p>Your payment is being looked up. Load this page again in a moment; \
                        do not pay again.</p>";
            page(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

/// What the shop is told, by the contract's names. The shop asks for the rest with its own key.
fn told(seen: &Seen) -> Vec<(&'static str, String)> {
    let intent = &seen.intent.body;
    vec![
        ("status", seen.status().as_str().to_owned()),
        ("payment_id", intent.id.clone()),
        ("payment_intent_client_secret", intent.client_secret.clone()),
        ("amount", intent.amount.to_string()),
        ("manual_retry_allowed", seen.retry.to_string()),
    ]
}

/// Adds the contract's signature: over all that is in the query, that of the shop's own URL included, sorted, as
/// `name=value` joined by `&` and not encoded.
fn sign(told: &mut Vec<(&'static str, String)>, url: Option<&str>, key: &Secret) {
    let bare = url.unwrap_or_default();
    let bare = bare.split('#').next().unwrap_or_default();
    let query = bare.split_once('?').map_or("", |(_, query)| query);
    let own = form_urlencoded::parse(query.as_bytes()).into_owned();
    let given = told.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let mut pairs: Vec<(String, String)> = own.chain(given).collect();
    pairs.sort();
    let lines: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    told.push(("signature", contract_signature(lines.join("&").as_bytes(), key)));
    told.push(("signature_algorithm", "HMAC-SHA512".to_owned()));
}

fn on_to_the_shop(seen: &Seen, told: &[(&'static str, String)], by_post: bool) -> Response {
    let Some(url) = &seen.intent.body.return_url else {
        return page(StatusCode::OK, "<p>Done. Go back to the shop.</p>");
    };
    if by_post {
        return form(url, told);
    }
    let Ok(location) = HeaderValue::try_from(with_query(url, told)) else {
        return page(StatusCode::OK, "<p>Done. Go back to the shop.</p>");
    };
    let mut response = page(StatusCode::SEE_OTHER, "<p>Going back to the shop.</p>");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// A URL with more in its query, before its fragment.
fn with_query(url: &str, fields: &[(&'static str, String)]) -> String {
    let (bare, fragment) = match url.split_once('#') {
        Some((bare, fragment)) => (bare, Some(fragment)),
        None => (url, None),
    };
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let joint = match bare.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    let fragment = fragment.map(|text| format!("#{text}")).unwrap_or_default();
    format!("{bare}{joint}{query}{fragment}")
}

/// The script of the form, and what the page allows of it.
const SUBMIT: &str = "document.forms[0].submit()";
const SUBMIT_HASH: &str = "sha256-ePniVEkSivX/c7XWBGafqh8tSpiRrKiqYeqbG7N1TOE=";

/// A form that sends itself.
fn form(url: &str, fields: &[(&'static str, String)]) -> Response {
    let inputs: String = fields
        .iter()
        .map(|(name, value)| {
            format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value))
        })
        .collect();
    page(
        StatusCode::OK,
        &format!(
            "<form method=\"post\" action=\"{}\">{inputs}<button>Back to the shop</button></form>\
             <script>{SUBMIT}</script>",
            escaped(url)
        ),
    )
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

fn page(status: StatusCode, content: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Payment</title>{content}</html>\n"
    );
    let policy = format!(
        "default-src 'none'; script-src '{SUBMIT_HASH}'; form-action *; base-uri 'none'; \
         frame-ancestors *"
    );
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_goes_before_the_fragment() {
        let fields = [("status", "succeeded".to_owned()), ("a", "b&c".to_owned())];
        let rows = [
            ("https://shop.example", "https://shop.example?status=succeeded&a=b%26c"),
            ("https://shop.example/?", "https://shop.example/?status=succeeded&a=b%26c"),
            ("https://shop.example/?x=1", "https://shop.example/?x=1&status=succeeded&a=b%26c"),
            ("https://shop.example/#end", "https://shop.example/?status=succeeded&a=b%26c#end"),
        ];
        for (url, want) in rows {
            assert_eq!(with_query(url, &fields), want);
        }
    }

    #[test]
    fn what_is_told_is_signed_sorted_and_with_the_shops_own_query() {
        let key = Secret::new("a key of sixteen or more".to_owned());
        let mut told = vec![("status", "succeeded".to_owned()), ("amount", "6540".to_owned())];
        sign(&mut told, Some("https://shop.example/done?z=a%20b&c=1#end"), &key);
        let want = contract_signature(b"amount=6540&c=1&status=succeeded&z=a b", &key);
        assert_eq!(
            told[2..],
            [("signature", want), ("signature_algorithm", "HMAC-SHA512".to_owned())]
        );
    }

    #[test]
    fn the_policy_allows_the_script_and_no_other() {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, SUBMIT.as_bytes());
        let want: Vec<u8> = hash.as_ref().to_vec();
        let given = SUBMIT_HASH.strip_prefix("sha256-").unwrap();
        assert_eq!(base64(&want), given);
    }

    fn base64(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte))
                << (8 * (3 - group.len()));
            for at in 0..4 {
                let digit = (word >> (18 - 6 * at)) & 63;
                text.push(if at > group.len() {
                    '='
                } else {
                    char::from(ALPHABET[digit as usize])
                });
            }
        }
        text
    }
}
