//! Adyen's webhook signatures, with Adyen's own library as the judge.

use std::collections::HashMap;
use std::process::{Command, Stdio};

use aws_lc_rs::hmac;
use baton_connect::{Cx, Freshness, Incoming, Verifier, WebhookError, WebhookEvent};
use baton_types::{Secret, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::{node_modules, skipped};
use crate::support::all_connectors;

const KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";

struct Hmac;

impl Verifier for Hmac {
    fn hmac_sha256(&self, key: &[u8], message: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), message, tag).is_ok()
    }
}

fn read(item: &Value) -> Result<Vec<WebhookEvent>, WebhookError> {
    let body = json!({"live": "false", "notificationItems": [{"NotificationRequestItem": item}]});
    let body = body.to_string();
    let connectors = all_connectors();
    let adyen = connectors.iter().find(|c| c.manifest().id == "adyen").unwrap();
    let cx = Cx { settings: [("MerchantAccount".to_owned(), "ShopEU".to_owned())].into() };
    let secrets = HashMap::from([("HmacKey".to_owned(), Secret::new(KEY.to_owned()))]);
    let freshness = Freshness { now: Timestamp::from_millis(0), tolerance_ms: 0 };
    let mut events = Vec::new();
    for signed in adyen.webhook(&cx, &Incoming { headers: &[], body: body.as_bytes() })? {
        events.extend(signed.open(&secrets, &Hmac, freshness)?.events);
    }
    Ok(events)
}

fn item() -> impl Strategy<Value = Value> {
    let words = "[A-Za-z0-9:\\\\ é/+=_-]{0,20}";
    let event = prop::sample::select(vec![
        "AUTHORISATION",
        "CAPTURE",
        "CAPTURE_FAILED",
        "CANCELLATION",
        "TECHNICAL_CANCEL",
        "REFUND",
        "REFUND_FAILED",
        "CHARGEBACK",
        "REPORT_AVAILABLE",
    ]);
    let original = prop::option::of("[A-Z0-9]{16}");
    let fields = ("[A-Z0-9]{16}", original, words, 0_i64..100_000_000, event, any::<bool>());
    fields.prop_map(|(psp, original, reference, value, event, success)| {
        let mut item = json!({
            "pspReference": psp, "merchantAccountCode": "ShopEU", "merchantReference": reference,
            "amount": {"value": value, "currency": "EUR"}, "eventCode": event,
            "eventDate": "2026-11-20T12:00:00+01:00", "success": success.to_string(),
            "reason": "", "paymentMethod": "visa", "additionalData": {},
        });
        if let Some(original) = original {
            item["originalReference"] = original.into();
        }
        item
    })
}

/// Adyen's library signs each notification.
fn signed(items: &[Value]) -> Result<Vec<String>, String> {
    let modules = node_modules()?;
    let script = format!(
        "const V=require('{}/@adyen/api-library').hmacValidator;\
         const items=JSON.parse(require('fs').readFileSync(0));const v=new V();\
         console.log(JSON.stringify(items.map(i=>v.calculateHmac(i,'{KEY}'))))",
        modules.display()
    );
    let mut command = Command::new("node");
    command.args(["-e", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, json!(items).to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "Adyen's library fails");
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn what_adyens_library_signs_is_believed_and_nothing_else() {
    let mut runner = TestRunner::deterministic();
    let items: Vec<Value> =
        (0..500).map(|_| item().new_tree(&mut runner).unwrap().current()).collect();
    let signatures = match signed(&items) {
        Ok(signatures) => signatures,
        Err(why) => return skipped(&format!("Adyen's library: {why}")),
    };
    assert_eq!(signatures.len(), items.len());
    let mut told = 0;
    for (item, signature) in items.iter().zip(&signatures) {
        let mut item = item.clone();
        assert_eq!(read(&item), Err(WebhookError::BadSignature), "unsigned: {item}");
        item["additionalData"]["hmacSignature"] = json!(signature);
        told += read(&item).unwrap_or_else(|error| panic!("{error}: {item}")).len();
        // Every signed field counts.
        let other = |field: &str, value: Value| {
            let mut forged = item.clone();
            forged[field] = value;
            assert_eq!(read(&forged), Err(WebhookError::BadSignature), "{field}: {forged}");
        };
        other("pspReference", json!("OTHER"));
        other("originalReference", json!("OTHER"));
        other("merchantAccountCode", json!("Other"));
        other("merchantReference", json!("another reference of the same merchant"));
        other("amount", json!({"value": -1, "currency": "EUR"}));
        other("amount", json!({"value": item["amount"]["value"], "currency": "USD"}));
        other("eventCode", json!("OTHER"));
        other("success", json!("maybe"));
    }
    assert!(told > 100, "most of them are about payments: {told}");
}
