//! `Sandbox`: the simulated provider of this software, in its own dialect (docs/sandbox.md).

use baton_connect::{
    Balance, Body, Call, CardFacts, Connector, CredentialsCheck, Cx, Decoded, DisputeAnswer,
    DisputeCall, EncodeError, Hole, HttpCall, HttpReply, Incoming, Json, LookUp, Looked, Manifest,
    ManifestError, Method, Operation, Parent, Payer, Purchase, Question, Retrieved, Signed, Source,
    Subject, ThreeDs, Usage, WebhookError,
};
use baton_types::outcome::Finding;

mod dispute;
mod reply;
mod retrieve;
mod webhook;

pub(crate) struct Sandbox {
    manifest: Manifest,
}

impl Sandbox {
    pub(crate) fn new() -> Result<Self, ManifestError> {
        Ok(Self { manifest: Manifest::parse(include_str!("manifest.toml"))? })
    }

    fn purchase(&self, purchase: &Purchase, capture: bool) -> Result<HttpCall, EncodeError> {
        let (card, token) = match &purchase.source {
            Source::Card(card) => (card_json(card), Json::Null),
            Source::ProviderToken(token) => (Json::Null, token.as_str().into()),
            Source::Redirect(redirect) => return Err(EncodeError::redirect(redirect)),
        };
        let back = purchase.challenge.as_ref().map(|challenge| challenge.return_url.as_str());
        let body = Json::obj([
            ("reference", purchase.reference.as_str().into()),
            ("amount", self.amount(purchase.amount)?),
            ("capture", capture.into()),
            ("card", card),
            ("token", token),
            ("description", purchase.description.clone().into()),
            ("payer", purchase.payer.as_ref().map_or(Json::Null, payer_json)),
            ("digital", purchase.digital.map_or(Json::Null, Json::from)),
            ("return_url", back.map_or(Json::Null, Json::from)),
            ("stored_credential", purchase.usage.as_ref().map_or(Json::Null, usage_json)),
            ("metadata", Json::obj([("payment", purchase.payment.as_str().into())])),
        ]);
        Ok(post("/payments", &body).moves_money())
    }

    fn modification(
        &self,
        parent: &Parent,
        what: &str,
        amount: Option<baton_types::Money>,
        reference: &str,
    ) -> Result<HttpCall, EncodeError> {
        let id = parent.provider_reference.as_deref().ok_or_else(|| {
            EncodeError::NotSupported(format!("{what} of a payment whose id is not known"))
        })?;
        let amount = amount.map(|amount| self.units(amount)).transpose()?;
        let body = Json::obj([("amount", amount.into()), ("reference", reference.into())]);
        Ok(post(&format!("/payments/{}/{what}", escaped(id)), &body).moves_money())
    }

    fn amount(&self, amount: baton_types::Money) -> Result<Json, EncodeError> {
        Ok(Json::obj([
            ("value", self.units(amount)?.into()),
            ("currency", amount.currency().code().into()),
        ]))
    }

    fn units(&self, amount: baton_types::Money) -> Result<i64, EncodeError> {
        self.manifest
            .to_provider_units(amount)
            .ok_or_else(|| EncodeError::Unfit(format!("the amount {amount}")))
    }
}

impl Connector for Sandbox {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn encode(&self, operation: &Operation, _cx: &Cx) -> Result<Call, EncodeError> {
        Ok(Call::Http(match operation {
            Operation::Authorize(purchase) => self.purchase(purchase, false)?,
            Operation::Charge(purchase) => self.purchase(purchase, true)?,
            Operation::Capture { parent, amount, reference } => {
                self.modification(parent, "captures", Some(*amount), reference)?
            }
            Operation::Refund { parent, amount, reference } => {
                self.modification(parent, "refunds", Some(*amount), reference)?
            }
            Operation::Increment { parent, amount, reference } => {
                self.modification(parent, "increments", Some(*amount), reference)?
            }
            Operation::Void { parent, .. } if parent.provider_reference.is_none() => {
                let body = Json::obj([("reference", parent.reference.as_str().into())]);
                post("/cancels", &body).moves_money()
            }
            Operation::Void { parent, reference } => {
                self.modification(parent, "voids", None, reference)?
            }
            Operation::Tokenize { card, .. } => {
                post("/tokens", &Json::obj([("card", card_json(card))]))
            }
        }))
    }

    fn decode(
        &self,
        operation: &Operation,
        _cx: &Cx,
        _sent: &HttpCall,
        reply: &HttpReply,
    ) -> Decoded {
        Decoded::Outcome(reply::outcome(&self.manifest, operation, reply))
    }

    fn look_up(&self, look_up: &LookUp, _cx: &Cx) -> Option<Question> {
        let path = match &look_up.subject {
            Subject::Authorize | Subject::Charge => "/payments",
            Subject::Capture(_) | Subject::Void(_) | Subject::Refund(_) | Subject::Increment(_) => {
                "/operations"
            }
            Subject::Tokenize => return None,
        };
        Some(Question::Http(by_reference(path, &look_up.reference)))
    }

    fn read_look_up(
        &self,
        look_up: &LookUp,
        _cx: &Cx,
        sent: &HttpCall,
        reply: &HttpReply,
    ) -> Looked {
        let Subject::Void(parent) = &look_up.subject else {
            return reply::finding(&self.manifest, look_up, reply).into();
        };
        if sent.path.starts_with("/payments?") {
            return reply::voided(&parent.reference, reply).into();
        }
        match reply::finding(&self.manifest, look_up, reply) {
            // A cancel by reference is no operation of its own: what it did shows in the payment.
            Finding::NotFound => Looked::Next(by_reference("/payments", &parent.reference)),
            found @ (Finding::Found { .. } | Finding::Voided | Finding::Inconclusive) => {
                found.into()
            }
        }
    }

    fn webhook(&self, _cx: &Cx, message: &Incoming<'_>) -> Result<Vec<Signed>, WebhookError> {
        webhook::read(&self.manifest, message)
    }

    fn retrieve(&self, id: &str, _cx: &Cx) -> Option<HttpCall> {
        let plain =
            id.strip_prefix("sp_").is_some_and(|rest| !rest.is_empty()) && escaped(id) == id;
        plain.then(|| authorized(HttpCall::new(Method::Get, format!("/payments/{id}"))))
    }

    fn read_retrieved(&self, id: &str, _cx: &Cx, reply: &HttpReply) -> Retrieved {
        retrieve::read(&self.manifest, id, reply)
    }

    fn dispute(&self, call: &DisputeCall, _cx: &Cx) -> Option<HttpCall> {
        dispute::call(call)
    }

    fn read_dispute(&self, call: &DisputeCall, _cx: &Cx, reply: &HttpReply) -> DisputeAnswer {
        dispute::read(&self.manifest, call, reply)
    }

    fn check_credentials(&self, cx: &Cx) -> Option<HttpCall> {
        self.balance(cx)
    }

    fn read_credentials_check(&self, _cx: &Cx, reply: &HttpReply) -> CredentialsCheck {
        match reply.status {
            200 => CredentialsCheck::Accepted,
            401 | 403 => CredentialsCheck::Refused,
            _ => CredentialsCheck::Unclear,
        }
    }

    fn balance(&self, _cx: &Cx) -> Option<HttpCall> {
        Some(authorized(HttpCall::new(Method::Get, "/balance")))
    }

    fn read_balance(&self, _cx: &Cx, reply: &HttpReply) -> Option<Vec<Balance>> {
        reply::balances(&self.manifest, reply)
    }
}

fn card_json(card: &CardFacts) -> Json {
    Json::obj([
        ("number", Json::Hole(Hole::CardNumber)),
        ("exp_month", i64::from(card.masked.expiry.month()).into()),
        ("exp_year", i64::from(card.masked.expiry.year()).into()),
        ("cvv", if card.has_cvv { Json::Hole(Hole::Cvv) } else { Json::Null }),
        ("holder", card.holder.clone().into()),
        ("network_token", card.network_token.map_or(Json::Null, |scheme| scheme.as_str().into())),
        ("three_ds", card.three_ds.as_ref().map_or(Json::Null, three_ds_json)),
    ])
}

fn usage_json(usage: &Usage) -> Json {
    let (initiator, network_transaction_id) = match usage {
        Usage::Keeps { .. } => ("payer", None),
        Usage::MerchantInitiated(asked) => ("merchant", asked.network_transaction_id.clone()),
    };
    Json::obj([
        ("initiator", initiator.into()),
        ("network_transaction_id", network_transaction_id.into()),
    ])
}

fn three_ds_json(result: &ThreeDs) -> Json {
    Json::obj([
        ("value", Json::Hole(Hole::AuthenticationValue)),
        ("eci", result.eci.as_str().into()),
        ("transaction_id", result.transaction_id.as_str().into()),
        ("version", result.version.as_str().into()),
        ("sli", result.sli.clone().into()),
    ])
}

fn payer_json(payer: &Payer) -> Json {
    let lines = payer.address.iter().map(|line| line.as_str().into()).collect();
    Json::obj([
        ("ip", payer.ip.as_str().into()),
        ("country", payer.country.as_str().into()),
        ("address", if payer.address.is_empty() { Json::Null } else { Json::Arr(lines) }),
        ("post_code", payer.post_code.clone().into()),
        ("city", payer.city.clone().into()),
        ("state", payer.state.clone().into()),
    ])
}

fn post(path: &str, body: &Json) -> HttpCall {
    authorized(HttpCall::new(Method::Post, path)).body(Body::json(body))
}

fn by_reference(path: &str, reference: &str) -> HttpCall {
    authorized(HttpCall::new(Method::Get, format!("{path}?reference={}", escaped(reference))))
}

fn authorized(call: HttpCall) -> HttpCall {
    let key = Hole::Credential("ApiKey".to_owned());
    call.header("authorization", vec!["Bearer ".into(), key.into()])
}

/// A path or query value. Ids here are `[A-Za-z0-9_-]`; anything else is left out rather than trusted.
fn escaped(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect()
}
