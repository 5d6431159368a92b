//! Looks for the card in everything that a store keeps, in the forms in which text is written.

use baton_store::{Write, WriteSet};

use crate::client::{CARD_NUMBER, CVV};

/// Where a card number or CVV stands in what is about to be stored, if it does.
pub(crate) fn found(set: &WriteSet) -> Option<String> {
    set.writes.iter().find_map(|write| {
        let (what, text) = match write {
            Write::Payment(row) => ("a snapshot", row.snapshot.as_str()),
            Write::Event(row) => ("an event", row.body.as_str()),
            Write::Outbox(row) => ("a message", row.body.as_str()),
            Write::Reference(row) => ("a reference", row.value.as_str()),
            Write::ClaimKey(row) => ("an idempotency key", row.key.as_str()),
            Write::TakeGuard(row) | Write::KeepGuard(row) => ("a guard", row.key.as_str()),
            // Nothing of a payment's own request is in these.
            Write::SetTimer(_)
            | Write::ClearTimer { .. }
            | Write::ReleaseKey { .. }
            | Write::ReleaseGuard { .. }
            | Write::Merchant(_)
            | Write::Account(_)
            | Write::RemoveAccount { .. }
            | Write::ApiKey(_)
            | Write::RevokeApiKey { .. }
            | Write::RenameApiKey { .. }
            | Write::Document(_)
            | Write::Listed(_)
            | Write::Relisted(_)
            | Write::ReplayHook(_)
            | Write::Audit(_) => return None,
        };
        shows(text).map(|form| format!("{what} holds the {form}"))
    })
}

/// What of the card a text shows. Four digits stand in many a number: a CVV counts where it is a word.
fn shows(text: &str) -> Option<&'static str> {
    // In hexadecimal, in percent forms, and at the three places at which base64 can begin.
    let forms = [
        CARD_NUMBER,
        "34313131313131313131313131313131",
        "%34%31%31%31%31%31%31%31%31%31%31%31%31%31%31%31",
        "NDExMTExMTExMTExMTEx",
        "QxMTExMTExMTExMTEx",
        "0MTExMTExMTExMTEx",
    ];
    let has = |form: &str| text.contains(form);
    if forms.iter().any(|form| has(form)) {
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
