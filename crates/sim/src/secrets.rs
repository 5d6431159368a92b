//! Looks for the card in everything that a store keeps, in the forms in which text is written.

use baton_store::{MemoryStore, PaymentQuery, Store as _};
use baton_types::{MerchantId, Timestamp};

use crate::client::{CARD_NUMBER, CVV};

/// Where a card number or CVV stands, if it does.
pub(crate) async fn found(store: &MemoryStore, merchant: MerchantId) -> Option<String> {
    let query = everything(merchant);
    for row in store.payments(&query).await.ok()? {
        if let Some(form) = shows(&row.snapshot) {
            return Some(format!("the snapshot of {} holds the {form}", row.id));
        }
        for event in store.events(merchant, row.id).await.ok()? {
            if let Some(form) = shows(&event.body) {
                return Some(format!("event {} of {} holds the {form}", event.version, row.id));
            }
        }
    }
    None
}

/// Every payment of the world.
pub(crate) fn everything(merchant: MerchantId) -> PaymentQuery {
    PaymentQuery {
        merchant,
        test: true,
        from: Timestamp::from_millis(0),
        to: Timestamp::from_millis(i64::MAX),
        after: None,
        account: None,
        kinds: Vec::new(),
        statuses: Vec::new(),
        merchant_ref: None,
        limit: u32::MAX,
    }
}

/// What of the card a text shows. Four digits stand in many a number: a CVV counts where it is a word.
fn shows(text: &str) -> Option<&'static str> {
    let hex: String = CARD_NUMBER.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = CARD_NUMBER.bytes().map(|byte| format!("%{byte:02X}")).collect();
    // The three places at which base64 can begin.
    let base64 = ["NDExMTExMTExMTExMTEx", "QxMTExMTExMTExMTEx", "0MTExMTExMTExMTEx"];
    let has = |form: &str| text.contains(form);
    if has(CARD_NUMBER) || has(&hex) || has(&percent) || base64.iter().any(|form| has(form)) {
        return Some("card number");
    }
    let word = |form: &str| {
        text.match_indices(form).any(|(at, _)| {
            let outside = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric());
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let behind =
                text.get(at.saturating_add(form.len())..).and_then(|text| text.chars().next());
            outside(before) && outside(behind)
        })
    };
    let forms = [CVV, "MDczOQ", "30373339", "%30%37%33%39"];
    forms.iter().any(|form| word(form)).then_some("CVV")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found_and_other_numbers_are_not() {
        for text in [
            "x4111111111111111y",
            "34313131313131313131313131313131",
            "%34%31%31%31%31%31%31%31%31%31%31%31%31%31%31%31",
            "NDExMTExMTExMTExMTExMQ==",
        ] {
            assert_eq!(shows(text), Some("card number"), "{text}");
        }
        for text in [r#"{"cvv":"0739"}"#, "cvc=0739&x", "MDczOQ==", "30373339"] {
            assert_eq!(shows(text), Some("CVV"), "{text}");
        }
        assert_eq!(shows("411111 1111 10739 07391"), None);
    }
}
