//! Replays a connector's `cases/*.json`: request to exact call, reply to exact outcome.
//!
//! A case file is written from a provider's public documentation. It is data, so that a connector's
//! behaviour can be read and reviewed without reading its code.

use serde::Deserialize;
use serde_json::Value;

use crate::{Call, Connector, Cx, Decoded, HttpReply, LookUp, Operation, Question};

/// One case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What is shown, and where it is documented.
    pub title: String,
    /// The operation asked for, or the look-up.
    pub ask: Ask,
    /// The account's settings.
    #[serde(default)]
    pub cx: Cx,
    /// The exact call (`{"call": …}`), outcome without a call, or `{"error": "…"}`.
    pub gives: Value,
    /// Replies and the exact outcome, next call or finding of each.
    #[serde(default)]
    pub replies: Vec<Reply>,
}

/// What a case asks for.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// An operation.
    Operation(Box<Operation>),
    /// A look-up.
    LookUp(LookUp),
}

/// One reply of a case. The body is JSON, or text where it is none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Header fields.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(default)]
    pub body: Value,
    /// What it means.
    pub means: Value,
}

/// Runs every case of a file; returns what differs, one text per difference.
///
/// # Errors
/// The file is not a list of cases.
pub fn differences(connector: &dyn Connector, file: &str) -> Result<Vec<String>, String> {
    let cases: Vec<Case> = serde_json::from_str(file).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for case in &cases {
        compare(&mut found, &case.title, "gives", &case.gives, &encoded(connector, case)?);
        for (at, reply) in case.replies.iter().enumerate() {
            let what = format!("reply {}", at.saturating_add(1));
            compare(&mut found, &case.title, &what, &reply.means, &read(connector, case, reply)?);
        }
    }
    Ok(found)
}

fn compare(found: &mut Vec<String>, title: &str, what: &str, want: &Value, got: &Value) {
    if want != got {
        found.push(format!("{title}: {what}\n  expected {want}\n  got      {got}"));
    }
}

fn encoded(connector: &dyn Connector, case: &Case) -> Result<Value, String> {
    Ok(match &case.ask {
        Ask::Operation(operation) => match connector.encode(operation, &case.cx) {
            Ok(Call::Http(call)) => serde_json::json!({ "call": json(&call)? }),
            Ok(Call::Immediate(outcome)) => serde_json::json!({ "outcome": json(&outcome)? }),
            Err(error) => serde_json::json!({ "error": error.to_string() }),
        },
        Ask::LookUp(look_up) => match connector.look_up(look_up, &case.cx) {
            Some(Question::Http(call)) => serde_json::json!({ "call": json(&call)? }),
            Some(Question::Immediate(finding)) => json(&finding)?,
            None => Value::Null,
        },
    })
}

fn read(connector: &dyn Connector, case: &Case, reply: &Reply) -> Result<Value, String> {
    let body = match reply.body.as_str() {
        Some(text) => text.to_owned(),
        None if reply.body.is_null() => String::new(),
        None => reply.body.to_string(),
    };
    let reply =
        HttpReply { status: reply.status, headers: reply.headers.clone(), body: body.into_bytes() };
    match &case.ask {
        Ask::Operation(operation) => match connector.decode(operation, &case.cx, &reply) {
            Decoded::Outcome(outcome) => json(&outcome),
            Decoded::Next(call) => Ok(serde_json::json!({ "call": json(&call)? })),
        },
        Ask::LookUp(look_up) => json(&connector.read_look_up(look_up, &case.cx, &reply)),
    }
}

fn json(value: &impl serde::Serialize) -> Result<Value, String> {
    serde_json::to_value(value).map_err(|error| error.to_string())
}
