//! The decline table: its rules, and the page that is written from it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use baton_types::{DeclineCode, DeclineInfo, DeclinedBy, Retry};

const PAGE: &str = include_str!("../../../../docs/decline-codes.md");

const HEAD: &str = "\
# Decline codes

Why a payment was declined, in terms that do not depend on the provider. A connector maps its
provider's codes to these; the provider's own code and words are kept beside them. A code keeps its
name and its meaning for ever; new ones may be added.

- **By** is who usually declines with the code: the `issuer`, the provider's risk checks
  (`provider_risk`) or the provider for another reason (`provider_other`). Each attempt says who
  did.
- **Who can act** is who can do something about it: the `cardholder`, the `merchant`, the `provider`
  or `nobody`.
- **Retry** is the kind of retry that has a chance: `same_card_later` (within the schemes' limits),
  `after_correction` of the wrong detail, `with_authentication` (3-D Secure), with an `other_card`,
  at `another_provider`, or `never`.
- **ISO 8583** are the network response codes (data element 39) that mean this. Schemes give some
  codes meanings of their own; a connector that knows the scheme decides by it.

This page is written from the table in `crates/types/src/decline.rs`; a test keeps the two equal.

| Code | By | Meaning | Who can act | Retry | ISO 8583 |
|---|---|---|---|---|---|
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for DeclineInfo { code, by, meaning, who_can_act, retry, iso8583 } in
        DeclineCode::all().map(DeclineCode::info)
    {
        let (by, who, retry) = (by.as_str(), who_can_act.as_str(), retry.as_str());
        let iso = iso8583.join(" ");
        writeln!(page, "| `{code}` | {by} | {meaning} | {who} | {retry} | {iso} |").unwrap();
    }
    page
}

#[test]
fn the_page_says_what_the_table_says() {
    let page = page();
    if page != PAGE {
        let new = concat!(env!("CARGO_TARGET_TMPDIR"), "/decline-codes.md");
        std::fs::write(new, &page).unwrap();
        panic!("docs/decline-codes.md differs from the table; review and copy {new}");
    }
}

#[test]
fn every_code_has_one_name_everywhere() {
    let mut names = BTreeSet::new();
    for code in DeclineCode::all() {
        let name = code.as_str();
        assert!(names.insert(name), "{name} twice");
        assert_eq!(DeclineCode::parse(name), Some(code));
        assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{name}\""));
        let snake: String = format!("{code:?}")
            .char_indices()
            .map(|(at, c)| match c.is_ascii_uppercase() {
                true if at > 0 => format!("_{}", c.to_ascii_lowercase()),
                _ => c.to_ascii_lowercase().to_string(),
            })
            .collect();
        assert_eq!(snake, name, "the variant is named otherwise");
    }
    assert_eq!(names.len(), 54);
    assert_eq!(DeclineCode::parse("Do_Not_Honor"), None);
}

#[test]
fn a_network_code_means_one_thing() {
    let mut seen = BTreeSet::new();
    for iso in DeclineCode::all().flat_map(|code| code.info().iso8583) {
        assert!(seen.insert(*iso), "{iso} stands at two codes");
        assert!(
            iso.len() == 2 && iso.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        );
    }
    assert!(!seen.contains("00") && !seen.contains("85"), "approvals are not declines");
    // The least that has to be mapped; a decline by an issuer that is out of reach is still an
    // answer.
    for iso in
        "01 02 03 04 05 06 07 10 12 13 14 15 19 1A 30 41 43 46 51 54 55 57 58 59 61 62 63 65 \
                70 75 78 79 82 91 92 93 94 96 N0 N7 R0 R1 R3 Z3"
            .split(' ')
    {
        assert!(seen.contains(iso), "{iso} is unmapped");
    }
}

#[test]
fn final_refusals_are_never_retried() {
    for code in [
        DeclineCode::LostCard,
        DeclineCode::StolenCard,
        DeclineCode::PickupCard,
        DeclineCode::ClosedAccount,
        DeclineCode::StopPayment,
        DeclineCode::RevocationOfAuthorization,
        DeclineCode::RevocationOfAllAuthorizations,
        DeclineCode::Unmapped,
    ] {
        assert_eq!(code.info().retry, Retry::Never, "{code}");
    }
    for code in DeclineCode::all().filter(|code| code.info().by != DeclinedBy::Issuer) {
        assert!(code.info().iso8583.is_empty(), "{code}: network codes come from issuers");
    }
}
