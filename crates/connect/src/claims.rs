//! Whether a connector's cases show what its manifest claims.
//!
//! A claim opens a door: what is claimed is called. So each has to be seen in the folder's cases, with an answer that
//! says what the claim is about. What a case cannot show stands in [`NOT_SHOWN`], with the reason. A field of the
//! manifest, an operation, a feature or a kind of case that comes to be is asked about here, or this does not compile.
//! Left out: whether the cases hold ([`crate::cases::differences`]), and whether the citations say so.

use std::collections::BTreeSet;

use baton_types::Currency;
use serde_json::Value;

use crate::cases::{Ask, Case, Reply};
use crate::{DisputeAction, Feature, Manifest, Operation, OperationKind, Subject};

/// What a manifest says that no case can show, and why.
pub const NOT_SHOWN: [(&str, &str); 8] = [
    ("id, names, description, url, base_url", "they are for people and for the runner"),
    ("currencies", "the runner refuses others before a connector is asked"),
    ("reference_max_length", "the runner keeps to it before a connector is asked"),
    ("idempotency", "the runner adds the header, and time passes until a key is forgotten"),
    ("look_up.index_lag_ms", "it is about time, which a case has none of"),
    ("look_up.in_flight_bound_ms", "it is about time, which a case has none of"),
    ("cancel_by_reference.fences", "it is about a request that comes later, and a case has one"),
    ("webhook and its credential", "a message is signed: each connector's tests have signed ones"),
];

/// A file's cases.
///
/// # Errors
/// The file is not a list of cases.
pub fn cases(file: &str) -> Result<Vec<Case>, String> {
    serde_json::from_str(file).map_err(|error| error.to_string())
}

/// The claims that none of the cases shows, in a sentence each.
#[must_use]
pub fn unshown(manifest: &Manifest, cases: &[Case]) -> Vec<String> {
    // Without `..`: what is added is either asked about below, or named in `NOT_SHOWN`.
    let Manifest {
        id: _,
        gateway_name: _,
        display_name: _,
        description: _,
        url: _,
        mock,
        base_url: _,
        credentials,
        currencies: _,
        exponents,
        multiples,
        currencies_citation: _,
        reference_max_length: _,
        operations,
        features,
        redirects,
        idempotency: _,
        look_up,
        retrieve,
        cancel_by_reference,
        completion,
        disputes,
        webhook,
        declines,
    } = manifest;
    let mut missing = Vec::new();
    let mut want = |is_claimed: bool, is_shown: bool, what: String| {
        if is_claimed && !is_shown {
            missing.push(what);
        }
    };
    let any = |shows: &dyn Fn(&Case) -> bool| cases.iter().any(shows);
    for kind in operations.keys() {
        let shown = any(&|case| shows_operation(case, *kind, *mock));
        want(true, shown, format!("operations.{}: no case of it {}", kind.as_str(), goal(*kind)));
    }
    for feature in features.keys() {
        let shown = any(&|case| shows_feature(case, *feature));
        want(true, shown, format!("features.{}: no case sends it", feature.as_str()));
    }
    for method in redirects.keys() {
        let is_paid_with =
            |case: &Case| operation(case).and_then(Operation::redirect) == Some(*method);
        let shown = any(&|case| is_paid_with(case) && answers(case).any(sends_away));
        want(true, shown, format!("redirects.{}: no case sends a payer to it", method.as_str()));
    }
    for (what, codes) in [
        ("exponents", exponents.keys().collect::<Vec<_>>()),
        ("multiples", multiples.keys().collect()),
    ] {
        for code in codes {
            let shown = any(&|case| currency(case).is_some_and(|known| known.code() == code));
            want(true, shown, format!("{what}.{code}: no case has an amount in it"));
        }
    }
    for field in credentials {
        let is_for_webhooks = webhook.as_ref().is_some_and(|claim| claim.credential == field.name);
        let what = format!("credentials.{}: no case's call uses it", field.name);
        want(!is_for_webhooks, any(&|case| uses(case, &field.name, field.secret)), what);
    }
    let (found, not_found) =
        (any(&|case| looks_up(case, "found")), any(&|case| looks_up(case, "not_found")));
    want(look_up.is_some(), found, "look_up: no case finds a payment".to_owned());
    // A mock's look-up is an answer, and finds the same always.
    let is_asked = look_up.is_some() && any(&|case| asks(case) && is_call(&case.gives));
    want(is_asked, not_found, "look_up: no case finds nothing".to_owned());
    let what = "retrieve: no case finds a payment by its id";
    want(retrieve.is_some(), any(&retrieves), what.to_owned());
    let what = "cancel_by_reference: no case voids a payment whose id is not known";
    let shown = any(&|case| cancels_by_reference(case, *mock));
    want(cancel_by_reference.is_some(), shown, what.to_owned());
    let what = "completion: no case passes on what was brought";
    want(completion.is_some(), any(&completes), what.to_owned());
    if let Some(table) = declines {
        let shown = any(&|case| replies(&case.replies).any(|r| declines_with(&r.means, table)));
        want(true, shown, "declines: no case is declined with a code of the table".to_owned());
    }
    missing.extend(disputes.keys().filter_map(|action| undisputed(*action, cases)));
    missing
}

/// That no case carries out a call about a dispute.
fn undisputed(action: DisputeAction, cases: &[Case]) -> Option<String> {
    let is_shown = cases.iter().any(|case| disputes_by(case, action));
    (!is_shown).then(|| format!("disputes.{}: no case of it is carried out", action.as_str()))
}

/// What a case of an operation has to come to.
const fn goal(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Authorize | OperationKind::Charge | OperationKind::Tokenize => "is approved",
        // Some providers only say that they have it.
        OperationKind::Capture
        | OperationKind::Void
        | OperationKind::Refund
        | OperationKind::Increment => "is approved or pending",
    }
}

/// A mock may be one that approves nothing: it shows an operation by any outcome.
fn shows_operation(case: &Case, kind: OperationKind, mock: bool) -> bool {
    let Some(operation) = operation(case).filter(|operation| operation.kind() == kind) else {
        return false;
    };
    if mock {
        return case.gives.get("outcome").is_some();
    }
    let is_good = |means: &Value| match operation.kind() {
        OperationKind::Authorize | OperationKind::Charge | OperationKind::Tokenize => {
            class(means) == Some("approved")
        }
        OperationKind::Capture
        | OperationKind::Void
        | OperationKind::Refund
        | OperationKind::Increment => {
            matches!(class(means), Some("approved" | "pending"))
        }
    };
    answers(case).any(is_good)
}

fn shows_feature(case: &Case, feature: Feature) -> bool {
    let has = operation(case).is_some_and(|operation| operation.features().any(|f| f == feature));
    has && (is_call(&case.gives) || case.gives.get("outcome").is_some())
}

/// Whether an outcome has a page that the payer goes to.
fn sends_away(means: &Value) -> bool {
    let outcome = means.get("outcome").unwrap_or(means);
    class(means) == Some("action_required") && word(outcome, "/answer/next_action/url").is_some()
}

fn cancels_by_reference(case: &Case, mock: bool) -> bool {
    let by_reference = operation(case).is_some_and(|operation| match operation {
        Operation::Void { parent, .. } => parent.provider_reference.is_none(),
        Operation::Authorize(_)
        | Operation::Charge(_)
        | Operation::Capture { .. }
        | Operation::Refund { .. }
        | Operation::Increment { .. }
        | Operation::Tokenize { .. } => false,
    });
    let is_good = |means: &Value| mock || matches!(class(means), Some("approved" | "pending"));
    by_reference && answers(case).any(is_good)
}

fn looks_up(case: &Case, finding: &str) -> bool {
    asks(case) && answers(case).any(|means| word(means, "/finding") == Some(finding))
}

/// Whether a case asks for a purchase.
fn asks(case: &Case) -> bool {
    match &case.ask {
        Ask::LookUp(look_up) => match look_up.subject {
            Subject::Authorize | Subject::Charge => true,
            Subject::Tokenize
            | Subject::Capture(_)
            | Subject::Void(_)
            | Subject::Refund(_)
            | Subject::Increment(_) => false,
        },
        Ask::Operation(_) | Ask::Complete { .. } | Ask::Retrieve(_) | Ask::Dispute(_) => false,
    }
}

fn retrieves(case: &Case) -> bool {
    let by_id = match &case.ask {
        Ask::Retrieve(_) => true,
        Ask::Operation(_) | Ask::LookUp(_) | Ask::Complete { .. } | Ask::Dispute(_) => false,
    };
    by_id && answers(case).any(|means| word(means, "/retrieved") == Some("found"))
}

fn disputes_by(case: &Case, action: DisputeAction) -> bool {
    let asked = match &case.ask {
        Ask::Dispute(call) => call.action() == action,
        Ask::Operation(_) | Ask::LookUp(_) | Ask::Complete { .. } | Ask::Retrieve(_) => false,
    };
    asked && answers(case).any(|means| word(means, "/shows") == Some("stands"))
}

fn completes(case: &Case) -> bool {
    let completes = match &case.ask {
        Ask::Complete { .. } => true,
        Ask::Operation(_) | Ask::LookUp(_) | Ask::Retrieve(_) | Ask::Dispute(_) => false,
    };
    completes && answers(case).any(|means| word(means, "/finding") == Some("found"))
}

fn operation(case: &Case) -> Option<&Operation> {
    match &case.ask {
        Ask::Operation(operation) => Some(operation),
        Ask::LookUp(_) | Ask::Complete { .. } | Ask::Retrieve(_) | Ask::Dispute(_) => None,
    }
}

fn currency(case: &Case) -> Option<Currency> {
    operation(case)?.amount().map(|amount| amount.currency())
}

/// Whether a call of the case has the credential: as a hole, or as a setting that the connector is given.
fn uses(case: &Case, name: &str, secret: bool) -> bool {
    if !secret {
        return is_call(&case.gives) && case.cx.settings.contains_key(name);
    }
    let hole = serde_json::json!({ "credential": name });
    let mut calls = replies(&case.replies).map(|reply| &reply.means);
    has(&case.gives, &hole) || calls.any(|means| is_call(means) && has(means, &hole))
}

/// Whether a part of a value is this one.
fn has(value: &Value, wanted: &Value) -> bool {
    if value == wanted {
        return true;
    }
    match value {
        Value::Array(items) => items.iter().any(|item| has(item, wanted)),
        Value::Object(fields) => fields.values().any(|field| has(field, wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn declines_with(means: &Value, table: &crate::DeclineTable) -> bool {
    let outcome = means.get("outcome").unwrap_or(means);
    let theirs = word(outcome, "/answer/code");
    let known: BTreeSet<&str> = table.codes.keys().map(String::as_str).collect();
    class(means) == Some("declined") && theirs.is_some_and(|code| known.contains(code))
}

fn is_call(value: &Value) -> bool {
    value.get("call").is_some()
}

/// What a case comes to: the answer without a call, or each reply's meaning.
fn answers(case: &Case) -> impl Iterator<Item = &Value> {
    std::iter::once(&case.gives).chain(replies(&case.replies).map(|reply| &reply.means))
}

/// The class of an outcome, bare or in a finding.
fn class(means: &Value) -> Option<&str> {
    word(means, "/class").or_else(|| word(means, "/outcome/class"))
}

fn word<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// Every reply of a case, those to further calls too.
fn replies(given: &[Reply]) -> Box<dyn Iterator<Item = &Reply> + '_> {
    Box::new(given.iter().flat_map(|reply| std::iter::once(reply).chain(replies(&reply.then))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        id = "x"
        gateway_name = "X"
        display_name = "X"
        description = "A provider."
        url = "https://example.com"
        reference_max_length = 64
        currencies_citation = "docs"
        exponents = { ISK = 2 }
        multiples = { ISK = 100 }
        operations.charge.citation = "docs"
        operations.void.citation = "docs"
        features.three_ds.citation = "docs"
        look_up = { index_lag_ms = 0, in_flight_bound_ms = 1, citation = "docs" }
        retrieve.citation = "docs"
        disputes.accept.citation = "docs"
        cancel_by_reference = { fences = true, citation = "docs" }
        completion.citation = "docs"
        declines = { citation = "docs", codes = { "51" = "insufficient_funds" } }
        webhook = { credential = "Hmac", citation = "docs" }
        idempotency = { header = "key", max_length = 9, retention_hours = 1, citation = "docs" }
        [[credentials]]
        name = "Key"
        description = "The key."
        [[credentials]]
        name = "Shop"
        description = "The shop."
        secret = false
        [[credentials]]
        name = "Hmac"
        description = "The key of webhooks."
    "#;

    const CHARGE: &str = r#"{"operation": {"operation": "charge", "amount": {"minor": 5, "currency": "ISK"},
        "reference": "r", "payment": "p", "source": {"card": {"bin": "411111", "last4": "1111",
        "brand": "visa", "expiry": {"month": 12, "year": 2030}, "has_cvv": true, "three_ds": {"eci": "05",
        "transaction_id": "t", "version": "2.2.0"}}}}}"#;

    fn case(ask: &str, gives: &str, means: &str) -> String {
        format!(
            r#"{{"title": "t", "ask": {ask}, "gives": {gives}, "cx": {{"settings": {{"Shop": "s"}}}},
                "replies": [{{"status": 200, "means": {means}}}]}}"#
        )
    }

    /// Each row shows something, and without it that is what is missing.
    #[test]
    fn what_no_case_shows_is_named() {
        let manifest = Manifest::parse(MANIFEST).unwrap();
        let call = r#"{"call": {"headers": [["k", [{"hole": {"credential": "Key"}}]]]}}"#;
        let void = |id: &str| {
            format!(
                r#"{{"operation": {{"operation": "void", "parent": {{"reference": "r"{id}}}, "reference": "v"}}}}"#
            )
        };
        let look_up = r#"{"look_up": {"subject": "charge", "reference": "r"}}"#;
        let complete = r#"{"complete": {"about": {"subject": "charge", "reference": "r"}, "returned": {"a": "b"}}}"#;
        let approved = r#"{"class": "approved"}"#;
        let rows = [
            (
                case(CHARGE, call, approved),
                vec!["operations.charge", "features.three_ds", "exponents.ISK", "multiples.ISK"],
            ),
            (case(&void(r#", "provider_reference": "1""#), "null", approved), vec![]),
            (case(&void(""), "null", r#"{"class": "pending"}"#), vec!["cancel_by_reference"]),
            (
                case(
                    look_up,
                    "null",
                    r#"{"finding": "found", "outcome": {"class": "declined", "answer": {"code": "51"}}}"#,
                ),
                vec!["look_up: no case finds a payment", "declines"],
            ),
            (
                case(look_up, call, r#"{"finding": "not_found"}"#),
                vec!["look_up: no case finds nothing"],
            ),
            (case(r#"{"retrieve": "1"}"#, "null", r#"{"retrieved": "found"}"#), vec!["retrieve"]),
            (case(complete, "null", r#"{"finding": "found"}"#), vec!["completion"]),
            (
                case(
                    r#"{"dispute": {"action": "accept", "dispute": "1"}}"#,
                    "null",
                    r#"{"shows": "stands"}"#,
                ),
                vec!["disputes.accept"],
            ),
        ];
        let all: Vec<Case> =
            rows.iter().map(|(text, _)| serde_json::from_str(text).unwrap()).collect();
        assert_eq!(unshown(&manifest, &all), Vec::<String>::new());
        for (left_out, (text, names)) in rows.iter().enumerate() {
            let rest = rows.iter().enumerate().filter(|(at, _)| *at != left_out);
            let mut rest: Vec<Case> =
                rest.map(|(_, (text, _))| serde_json::from_str(text).unwrap()).collect();
            if names.first() == Some(&"look_up: no case finds nothing") {
                // It is a call that could find nothing.
                let asked = case(look_up, call, r#"{"finding": "inconclusive"}"#);
                rest.push(serde_json::from_str(&asked).unwrap());
            }
            let missing = unshown(&manifest, &rest);
            assert_eq!(missing.len(), names.len(), "{text}: {missing:?}");
            for name in names {
                assert!(missing.iter().any(|what| what.starts_with(name)), "{name}: {missing:?}");
            }
        }
        let none = unshown(&manifest, &[]);
        for name in ["operations.void", "credentials.Key", "credentials.Shop"] {
            assert!(none.iter().any(|what| what.starts_with(name)), "{name}: {none:?}");
        }
        assert!(!none.iter().any(|what| what.contains("Hmac")), "{none:?}");
    }
}
