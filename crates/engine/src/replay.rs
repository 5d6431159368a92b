//! A call in doubt is sent once more, with the same key and the same bytes, where its provider documents that
//! it executes a key once.
//!
//! What is sent is the template that was stored with the plan, filled again: nothing is encoded anew. A hole
//! that nobody can fill any more, as that of a CVV whose task has ended, ends the matter. Whether and how
//! often is decided in `baton-flow`; here is what an answer to a repeat is worth.

use baton_connect::{Decoded, HttpCall};
use baton_flow::mutation::mutated;
use baton_flow::{CallId, CallState, EvidenceKind, Input};
use baton_types::DeclineCode;
use baton_types::outcome::Outcome;
use baton_vault::Tenant;
use baton_wire::Exchange;
use tokio::time::Instant;

use crate::task::Task;
use crate::{calls, evidence};

impl Task {
    /// Sends an open call again; nothing if that cannot be done, or its answer says nothing of the first.
    pub(crate) async fn replay(&mut self, id: CallId) -> Option<Input> {
        let planned = self.payment.call(id)?;
        if !matches!(planned.state, CallState::Open { outcome: Outcome::Unknown { .. } }) {
            return None;
        }
        // Counted from the decision: whoever looks the call up meanwhile counts on that, however long it took to record it.
        let send_by = self.again_by.remove(&id).filter(|send_by| Instant::now() < *send_by)?;
        let window_ms = self.engine.config.send_window_ms;
        let latest = self.engine.clock.now().plus_millis(window_ms);
        let is_kept = planned.replay_until.is_some_and(|until| latest < until);
        if !is_kept && !mutated("replay_after_the_key_is_gone") {
            return None;
        }
        let call = stored(planned.template.as_deref()?)?;
        let account = self.account_of(id).await?;
        let operation = calls::operation(&self.payment, id, self.facts_of_purchase())?;
        let card = self.card_of(id);
        let filled = call.fill(&account.secrets(card)).ok()?;
        #[cfg(feature = "mutations")]
        let filled = under_another_key(filled);
        let (connector, target) = (account.connector.as_ref()?, account.target.as_ref()?);
        let started = Instant::now();
        let exchange = self.engine.wire.exchange(target, filled, send_by).await.exchange;
        let rests_on;
        let answered = match exchange {
            Exchange::Reply(reply) => {
                let (kind, payment) = (EvidenceKind::Replay, &self.payment);
                let tenant = Tenant { merchant: payment.merchant, sandbox: payment.order.test };
                rests_on = evidence::of_reply(&self.engine, tenant, kind, &reply);
                connector.decode(&operation, &account.cx, &call, &reply)
            }
            // That the repeat has not left, or has no answer, says nothing of the first.
            Exchange::NotSent(_) | Exchange::Lost(_) => return None,
        };
        let outcome = worth(answered);
        let shown = outcome.as_ref().map_or("nothing", Outcome::class);
        let gateway = &account.row.gateway;
        self.engine.metrics.provider_call(gateway, "replay", shown, started.elapsed());
        tracing::info!(payment = %self.payment.id, call = %id, account = %account.row.name, shown, "sent again");
        let outcome = outcome?;
        self.rests_on = Some((id, rests_on));
        Some(Input::Outcome { call: id, outcome })
    }
}

/// What must never be done: the repeat has a key of its own.
#[cfg(feature = "mutations")]
fn under_another_key(mut filled: baton_connect::Filled) -> baton_connect::Filled {
    let is_key = |name: &str| name.eq_ignore_ascii_case("idempotency-key");
    if mutated("a_fresh_key_on_retry")
        && let Some((_, key)) = filled.headers.iter_mut().find(|(name, _)| is_key(name))
    {
        key.push_str("-again");
    }
    filled
}

/// A template that is the whole of its operation: of a sequence the later calls are not stored.
fn stored(template: &str) -> Option<HttpCall> {
    let call: HttpCall = serde_json::from_str(template).ok()?;
    call.moves_money.then_some(call)
}

/// What the answer to a repeat says of the first request. That the repeat was refused, is still running or
/// was taken for a duplicate says nothing: the first may have been executed all the same.
fn worth(answered: Decoded) -> Option<Outcome> {
    match answered {
        Decoded::Outcome(
            Outcome::Unknown { .. }
            | Outcome::NotSent { .. }
            | Outcome::Refused { .. }
            | Outcome::Declined { code: DeclineCode::DuplicateTransaction, .. },
        )
        | Decoded::Next(_) => None,
        Decoded::Outcome(
            outcome @ (Outcome::Approved { .. }
            | Outcome::Declined { .. }
            | Outcome::Pending { .. }
            | Outcome::ActionRequired { .. }),
        ) => Some(outcome),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use baton_connect::{Body, Hole, Json, Method};
    use baton_types::outcome::{Answer, Doubt, NotSent, Refused};
    use baton_types::{DeclinedBy, Secret};

    use super::*;

    #[test]
    fn the_stored_template_gives_the_same_bytes_again() {
        let body = Body::json(&Json::obj([
            ("amount", 1_000.into()),
            ("name", "Zoë \"Z\" & Co".into()),
            ("key", Json::Hole(Hole::Credential("ApiKey".to_owned()))),
        ]));
        let sent = HttpCall::new(Method::Post, "/payments/sp_1/captures?x=1")
            .header("X-Key", vec!["Bearer ".into(), Hole::Credential("ApiKey".to_owned()).into()])
            .header("Idempotency-Key", vec!["p-c1-1".into()])
            .body(body)
            .moves_money();
        let kept = stored(&serde_json::to_string(&sent).unwrap()).unwrap();
        let key = Secret::new("k\\\"é".to_owned());
        let plain = HashMap::from([("ApiKey".to_owned(), Secret::new("k1".to_owned()))]);
        for (secrets, fits) in [(plain, true), (HashMap::from([("ApiKey".to_owned(), key)]), false)]
        {
            let (first, again) = (sent.fill(&secrets), kept.fill(&secrets));
            assert_eq!((first.is_ok(), again.is_ok()), (fits, fits));
            let (Ok(first), Ok(again)) = (first, again) else { continue };
            assert_eq!((first.method, &first.path), (again.method, &again.path));
            assert_eq!(first.content_type, again.content_type);
            assert_eq!(*first.body, *again.body);
            let headers = |filled: &baton_connect::Filled| -> Vec<(String, String)> {
                filled
                    .headers
                    .iter()
                    .map(|(name, value)| (name.clone(), value.to_string()))
                    .collect()
            };
            assert_eq!(headers(&first), headers(&again));
        }
    }

    #[test]
    fn a_part_of_a_sequence_and_a_call_whose_secrets_are_gone_are_not_sent_again() {
        let part = HttpCall::new(Method::Post, "/intents");
        assert!(stored(&serde_json::to_string(&part).unwrap()).is_none());
        for hole in [Hole::Cvv, Hole::CardNumber, Hole::AuthenticationValue] {
            let body = Body::json(&Json::obj([("x", Json::Hole(hole.clone()))]));
            let call = HttpCall::new(Method::Post, "/payments").body(body).moves_money();
            let kept = stored(&serde_json::to_string(&call).unwrap()).unwrap();
            assert!(kept.fill(&HashMap::<String, Secret>::new()).is_err(), "{hole:?}");
        }
    }

    #[test]
    fn only_an_answer_about_the_operation_is_worth_anything() {
        let answer = Answer::default;
        let declined = |code| Outcome::Declined { by: DeclinedBy::Issuer, code, answer: answer() };
        let rows = [
            (Outcome::Approved { amount: None, answer: answer() }, true),
            (declined(DeclineCode::DoNotHonor), true),
            (Outcome::Pending { answer: answer() }, true),
            (Outcome::ActionRequired { answer: answer() }, true),
            (declined(DeclineCode::DuplicateTransaction), false),
            (Outcome::Refused { why: Refused::Validation, answer: answer() }, false),
            (Outcome::Refused { why: Refused::Credentials, answer: answer() }, false),
            (Outcome::NotSent { why: NotSent::TooLate }, false),
            (Outcome::Unknown { why: Doubt::InProgress }, false),
            (Outcome::Unknown { why: Doubt::UndocumentedStatus }, false),
        ];
        for (outcome, counts) in rows {
            let got = worth(Decoded::Outcome(outcome.clone()));
            assert_eq!(got, counts.then_some(outcome));
        }
        assert_eq!(worth(Decoded::Next(HttpCall::new(Method::Post, "/"))), None);
    }
}
