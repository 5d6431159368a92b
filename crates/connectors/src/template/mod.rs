//! `Template`: cards through Template's payments API.
//!
//! A payment is one call. A doubt is resolved by listing the payments with its reference. Left out:
//! authorizations, tokens and webhooks.

use baton_connect::{
    Body, Call, Connector, Cx, Decoded, EncodeError, Hole, HttpCall, HttpReply, Json, LookUp,
    Looked, Manifest, ManifestError, Method, Operation, Purchase, Question, Source, Subject,
    identifier, message,
};
use baton_types::Money;
use baton_types::outcome::{Answer, Doubt, Finding, Outcome, Refused};
use serde::Deserialize;

pub(crate) struct Template {
    manifest: Manifest,
}

/// A payment or a refund, as the provider shows it.
#[derive(Deserialize)]
struct Made {
    id: String,
    reference: String,
    amount: i64,
    currency: String,
    status: String,
    decline_code: Option<String>,
    decline_message: Option<String>,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Made>,
}

impl Template {
    pub(crate) fn new() -> Result<Self, ManifestError> {
        Ok(Self { manifest: Manifest::parse(include_str!("manifest.toml"))? })
    }

    fn charge(&self, purchase: &Purchase) -> Result<HttpCall, EncodeError> {
        let Source::Card(card) = &purchase.source else {
            return Err(EncodeError::NotSupported("tokens".to_owned()));
        };
        let expiry = card.masked.expiry;
        let body = Json::obj([
            ("reference", purchase.reference.as_str().into()),
            ("amount", self.units(purchase.amount)?.into()),
            ("currency", purchase.amount.currency().code().into()),
            // Secrets are holes: they are filled at the socket, and never seen here.
            ("card_number", Json::Hole(Hole::CardNumber)),
            ("expiry", format!("{:02}/{}", expiry.month(), expiry.year()).into()),
            ("cvv", if card.has_cvv { Json::Hole(Hole::Cvv) } else { Json::Null }),
        ]);
        Ok(call(Method::Post, "/payments").body(Body::json(&body)).moves_money())
    }

    fn refund(&self, id: &str, amount: Money, reference: &str) -> Result<HttpCall, EncodeError> {
        let body = Json::obj([
            ("reference", reference.into()),
            ("amount", self.units(amount)?.into()),
            ("currency", amount.currency().code().into()),
        ]);
        let path = format!("/payments/{}/refunds", plain(id));
        Ok(call(Method::Post, &path).body(Body::json(&body)).moves_money())
    }

    fn units(&self, amount: Money) -> Result<i64, EncodeError> {
        let units = self.manifest.to_provider_units(amount);
        units.ok_or_else(|| EncodeError::Unfit(format!("the amount {amount}")))
    }

    /// What an object says; nothing if it is not about what was asked, or says nothing that is documented.
    fn outcome(&self, made: &Made, asked: Money, reference: &str) -> Option<Outcome> {
        let about = made.reference == reference
            && made.currency == asked.currency().code()
            && self.manifest.from_provider_units(made.amount, asked.currency()) == Some(asked);
        let answer = Answer {
            reference: Some(identifier(&made.id)?),
            code: identifier(&made.status),
            ..Answer::default()
        };
        match made.status.as_str() {
            _ if !about => None,
            "succeeded" => Some(Outcome::Approved { amount: Some(asked), answer }),
            "processing" => Some(Outcome::Pending { answer }),
            "declined" => {
                let named = identifier(made.decline_code.as_deref()?)?;
                let (code, by) = self.manifest.decline(&named);
                let message = made.decline_message.as_deref().and_then(message);
                let answer = Answer { code: Some(named), message, ..answer };
                Some(Outcome::Declined { by, code, answer })
            }
            _ => None,
        }
    }
}

impl Connector for Template {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn encode(&self, operation: &Operation, _cx: &Cx) -> Result<Call, EncodeError> {
        let call = match operation {
            Operation::Charge(purchase) => self.charge(purchase)?,
            Operation::Refund { parent, amount, reference } => {
                let unknown = || EncodeError::NotSupported("a payment without an id".to_owned());
                let id = parent.provider_reference.as_deref().ok_or_else(unknown)?;
                self.refund(id, *amount, reference)?
            }
            // The manifest does not claim these, so nobody asks.
            Operation::Authorize(_)
            | Operation::Capture { .. }
            | Operation::Void { .. }
            | Operation::Increment { .. }
            | Operation::Tokenize { .. } => {
                return Err(EncodeError::NotSupported(operation.kind().as_str().to_owned()));
            }
        };
        Ok(Call::Http(call))
    }

    fn decode(
        &self,
        operation: &Operation,
        _cx: &Cx,
        _sent: &HttpCall,
        reply: &HttpReply,
    ) -> Decoded {
        let (asked, reference) = match operation {
            Operation::Charge(purchase) => (purchase.amount, purchase.reference.as_str()),
            Operation::Refund { amount, reference, .. } => (*amount, reference.as_str()),
            Operation::Authorize(_)
            | Operation::Capture { .. }
            | Operation::Void { .. }
            | Operation::Increment { .. }
            | Operation::Tokenize { .. } => return Decoded::unreadable(),
        };
        let refused = |why| {
            let answer = Answer { retry_after_ms: reply.retry_after_ms(), ..Answer::default() };
            Decoded::Outcome(Outcome::Refused { why, answer })
        };
        match reply.status {
            201 => parse::<Made>(reply)
                .and_then(|made| self.outcome(&made, asked, reference))
                .map_or_else(Decoded::unreadable, Decoded::Outcome),
            // Only what the provider documents as "nothing was attempted" is refused.
            400 => refused(Refused::Validation),
            401 | 403 => refused(Refused::Credentials),
            429 => refused(Refused::RateLimited),
            // Everything else leaves a doubt, which a look-up resolves.
            _ => Decoded::unknown(Doubt::UndocumentedStatus),
        }
    }

    fn look_up(&self, look_up: &LookUp, _cx: &Cx) -> Option<Question> {
        let list = match look_up.subject {
            Subject::Charge => "payments",
            Subject::Refund(_) => "refunds",
            Subject::Authorize
            | Subject::Tokenize
            | Subject::Capture(_)
            | Subject::Void(_)
            | Subject::Increment(_) => {
                return None;
            }
        };
        let path = format!("/{list}?reference={}", plain(&look_up.reference));
        Some(Question::Http(call(Method::Get, &path)))
    }

    fn read_look_up(
        &self,
        look_up: &LookUp,
        _cx: &Cx,
        _sent: &HttpCall,
        reply: &HttpReply,
    ) -> Looked {
        let list = (reply.status == 200).then(|| parse::<List>(reply)).flatten();
        let finding = match list.as_ref().map(|list| list.data.as_slice()) {
            Some([]) => Some(Finding::NotFound),
            Some([made]) => look_up
                .amount
                .and_then(|asked| self.outcome(made, asked, &look_up.reference))
                .map(|outcome| Finding::Found { outcome }),
            // Two payments under one reference: an operator has to look.
            Some([_, _, ..]) | None => None,
        };
        finding.unwrap_or(Finding::Inconclusive).into()
    }
}

fn call(method: Method, path: &str) -> HttpCall {
    let key = Hole::Credential("ApiKey".to_owned());
    HttpCall::new(method, path).header("authorization", vec!["Bearer ".into(), key.into()])
}

/// A path or query value: what is no letter or digit is left out rather than trusted.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect()
}

fn parse<T: serde::de::DeserializeOwned>(reply: &HttpReply) -> Option<T> {
    serde_json::from_str(std::str::from_utf8(&reply.body).ok()?).ok()
}
