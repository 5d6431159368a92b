//! Every decline that the sandbox documents is understood as the same decline.

use baton_connect::Operation;
use baton_types::outcome::{Finding, Outcome};
use baton_types::{DeclineCode, DeclinedBy};
use serde_json::json;

use crate::support::{found, modification, operations, outcome, payment, reply, sandbox};

#[test]
fn every_documented_decline_is_the_same_decline_for_us() {
    let connector = sandbox();
    let declines = &baton_sandbox::codes().declines;
    assert_eq!(declines.len(), 52, "all but `unmapped`, and those that need a PIN or a terminal");
    for (_, row) in declines {
        let code = DeclineCode::parse(row.code);
        assert!(code.is_some_and(|code| code.as_str() == row.code), "{}", row.code);
        let by = match row.by {
            baton_sandbox::DeclinedBy::Issuer => DeclinedBy::Issuer,
            baton_sandbox::DeclinedBy::ProviderRisk => DeclinedBy::ProviderRisk,
            baton_sandbox::DeclinedBy::Provider => DeclinedBy::ProviderOther,
        };
        for (operation, look_up) in operations() {
            let (body, by) = match &operation {
                Operation::Charge(_) | Operation::Authorize(_) => {
                    let mut body = payment("declined", 0, 0);
                    body["decline"] =
                        json!({"code": row.code, "by": row.by, "message": row.message});
                    (body, by)
                }
                // A failed modification does not say who refused it.
                Operation::Capture { .. }
                | Operation::Refund { .. }
                | Operation::Increment { .. }
                | Operation::Void { .. } => (modification(Some(row.code)), code.unwrap().info().by),
                Operation::Tokenize { .. } => continue,
            };
            let answer = reply(201, body.to_string());
            let got = outcome(connector.as_ref(), &operation, &answer);
            let Outcome::Declined { by: got_by, code: got_code, answer } = &got else {
                panic!("{}: {got:?}", row.code);
            };
            assert_eq!((*got_by, Some(*got_code)), (by, code), "{}", row.code);
            assert_eq!(answer.code.as_deref(), Some(row.code));
            let list = reply(200, json!({"data": [body]}).to_string());
            let shown = found(connector.as_ref(), &look_up.unwrap(), &list);
            assert_eq!(shown, Finding::Found { outcome: got }, "a look-up says the same");
        }
    }
}
