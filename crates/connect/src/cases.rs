//! Replays a connector's `cases/*.json`: request to exact call, reply to exact outcome.
//!
//! A case file is written from a provider's public documentation. It is data, so that a connector's
//! behaviour can be read and reviewed without reading its code.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    Call, Connector, Cx, Decoded, DisputeCall, HttpCall, HttpReply, LookUp, Looked, Method,
    Operation, Question, Returned,
};

/// One case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What is shown, and where it is documented.
    pub title: String,
    /// The operation asked for, the look-up, or the payment.
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
    /// The completion of a challenge.
    Complete {
        /// The attempt.
        about: LookUp,
        /// What the payer brought back.
        returned: Returned,
    },
    /// A payment, by the provider's own id.
    Retrieve(String),
    /// A call about a dispute.
    Dispute(DisputeCall),
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
    /// Replies to the next call, where it asks for one.
    #[serde(default)]
    pub then: Vec<Reply>,
}

/// Runs every case of a file; returns what differs, one text per difference.
///
/// # Errors
/// The file is not a list of cases.
pub fn differences(connector: &dyn Connector, file: &str) -> Result<Vec<String>, String> {
    let cases: Vec<Case> = serde_json::from_str(file).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for case in &cases {
        let (gives, first) = encoded(connector, case)?;
        compare(&mut found, &case.title, "gives", &case.gives, &gives);
        // A mock has no call, and nothing is to be read from a reply to it.
        let sent = first.unwrap_or_else(|| HttpCall::new(Method::Get, "/"));
        replies(connector, case, &sent, &case.replies, "reply", &mut found)?;
    }
    Ok(found)
}

fn replies(
    connector: &dyn Connector,
    case: &Case,
    sent: &HttpCall,
    given: &[Reply],
    name: &str,
    found: &mut Vec<String>,
) -> Result<(), String> {
    for (at, reply) in given.iter().enumerate() {
        let what = format!("{name} {}", at.saturating_add(1));
        let (means, next) = read(connector, case, sent, reply)?;
        compare(found, &case.title, &what, &reply.means, &means);
        match next {
            Some(next) => replies(connector, case, &next, &reply.then, &what, found)?,
            None if reply.then.is_empty() => {}
            None => found.push(format!("{}: {what} asks for no further call", case.title)),
        }
    }
    Ok(())
}

fn compare(found: &mut Vec<String>, title: &str, what: &str, want: &Value, got: &Value) {
    if want != got {
        found.push(format!("{title}: {what}\n  expected {want}\n  got      {got}"));
    }
}

/// A call as cases show it, and the call itself.
type Shown = (Value, Option<HttpCall>);

fn shown(call: HttpCall) -> Result<Shown, String> {
    Ok((serde_json::json!({ "call": json(&call)? }), Some(call)))
}

fn encoded(connector: &dyn Connector, case: &Case) -> Result<Shown, String> {
    let value = match &case.ask {
        Ask::Operation(operation) => match connector.encode(operation, &case.cx) {
            Ok(Call::Http(call)) => return shown(call),
            Ok(Call::Immediate(outcome)) => serde_json::json!({ "outcome": json(&outcome)? }),
            Err(error) => serde_json::json!({ "error": error.to_string() }),
        },
        Ask::LookUp(look_up) => match connector.look_up(look_up, &case.cx) {
            Some(Question::Http(call)) => return shown(call),
            Some(Question::Immediate(finding)) => json(&finding)?,
            None => Value::Null,
        },
        Ask::Complete { about, returned } => match connector.complete(about, returned, &case.cx) {
            Some(call) => return shown(call),
            None => Value::Null,
        },
        Ask::Retrieve(id) => match connector.retrieve(id, &case.cx) {
            Some(call) => return shown(call),
            None => Value::Null,
        },
        Ask::Dispute(asked) => match connector.dispute(asked, &case.cx) {
            Some(call) => return shown(call),
            None => Value::Null,
        },
    };
    Ok((value, None))
}

fn read(
    connector: &dyn Connector,
    case: &Case,
    sent: &HttpCall,
    reply: &Reply,
) -> Result<Shown, String> {
    let body = match reply.body.as_str() {
        Some(text) => text.to_owned(),
        None if reply.body.is_null() => String::new(),
        None => reply.body.to_string(),
    };
    let reply =
        HttpReply { status: reply.status, headers: reply.headers.clone(), body: body.into_bytes() };
    match &case.ask {
        Ask::Operation(operation) => match connector.decode(operation, &case.cx, sent, &reply) {
            Decoded::Outcome(outcome) => Ok((json(&outcome)?, None)),
            Decoded::Next(call) => shown(call),
        },
        Ask::LookUp(look_up) => match connector.read_look_up(look_up, &case.cx, sent, &reply) {
            Looked::Finding(finding) => Ok((json(&finding)?, None)),
            Looked::Next(call) => shown(call),
        },
        Ask::Complete { about, .. } => {
            Ok((json(&connector.read_completion(about, &case.cx, &reply))?, None))
        }
        Ask::Retrieve(id) => Ok((json(&connector.read_retrieved(id, &case.cx, &reply))?, None)),
        Ask::Dispute(asked) => Ok((json(&connector.read_dispute(asked, &case.cx, &reply))?, None)),
    }
}

fn json(value: &impl serde::Serialize) -> Result<Value, String> {
    serde_json::to_value(value).map_err(|error| error.to_string())
}
