//! A dispute as a state machine. Pure.
//!
//! The merchant answers once, while it is open: by giving in, or by evidence. What the issuer decides then is chosen by
//! the evidence, or by the administrator, who can also move a dispute to any state. Leaves out: time. A dispute whose
//! time is over stays open until somebody says so.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::payment::{Refusal, Stamp};
use crate::clock::Id;

/// How long the merchant has to answer, in milliseconds: 7 days. Only told.
const RESPOND_MS: i64 = 7 * 24 * 3_600_000;

/// What text of `uncategorized_text` decides at once, as in Stripe's test mode.
const WINNING: &str = "winning_evidence";
const LOSING: &str = "losing_evidence";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// An inquiry: nothing is withdrawn.
    PreDispute,
    Dispute,
    PreArbitration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Opened,
    Challenged,
    Accepted,
    Won,
    Lost,
    Expired,
    Cancelled,
}

impl State {
    pub(crate) fn is_over(self) -> bool {
        !matches!(self, State::Opened | State::Challenged)
    }
}

/// What is disputed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewDispute {
    /// `None` is all that is captured and not disputed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) amount: Option<i64>,
    pub(crate) reason: String,
    pub(crate) stage: Stage,
}

impl NewDispute {
    pub(crate) fn of(reason: &str, stage: Stage) -> NewDispute {
        NewDispute { amount: None, reason: reason.to_owned(), stage }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dispute {
    pub(crate) id: Id,
    pub(crate) amount: i64,
    pub(crate) reason: String,
    pub(crate) stage: Stage,
    pub(crate) state: State,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) evidence: Map<String, Value>,
    #[serde(default)]
    pub(crate) submitted: bool,
}

impl Dispute {
    pub(crate) fn new(stamp: Stamp, amount: i64, new: &NewDispute) -> Dispute {
        Dispute {
            id: stamp.id,
            amount,
            reason: new.reason.clone(),
            stage: new.stage,
            state: State::Opened,
            created_ms: stamp.now_ms,
            updated_ms: stamp.now_ms,
            evidence: Map::new(),
            submitted: false,
        }
    }

    pub(crate) fn respond_by_ms(&self) -> i64 {
        self.created_ms.saturating_add(RESPOND_MS)
    }

    /// The scheme's code for the reason, as Visa numbers them.
    pub(crate) fn reason_code(&self) -> Option<&'static str> {
        Some(match self.reason.as_str() {
            "fraudulent" => "10.4",
            "product_not_received" => "13.1",
            "duplicate" => "12.6",
            "credit_not_processed" => "13.6",
            "product_unacceptable" => "13.3",
            "subscription_canceled" => "13.2",
            _ => return None,
        })
    }

    /// Whether its amount is withdrawn from the merchant.
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.stage != Stage::PreDispute && !matches!(self.state, State::Won | State::Cancelled)
    }

    fn answer(&mut self, now_ms: i64, state: State) -> Result<(), Refusal> {
        if self.state != State::Opened {
            return Err(Refusal::DisputeNotOpen);
        }
        (self.state, self.updated_ms) = (state, now_ms);
        Ok(())
    }

    /// The merchant gives in. Of an inquiry there is nothing to be given up.
    pub(crate) fn accept(&mut self, now_ms: i64) -> Result<(), Refusal> {
        if self.stage == Stage::PreDispute {
            return Err(Refusal::DisputeNotOpen);
        }
        self.answer(now_ms, State::Accepted)
    }

    /// Keeps evidence, and submits all of it if asked to.
    pub(crate) fn explain(
        &mut self,
        now_ms: i64,
        evidence: Map<String, Value>,
        submit: bool,
    ) -> Result<(), Refusal> {
        if self.state != State::Opened {
            return Err(Refusal::DisputeNotOpen);
        }
        self.evidence.extend(evidence);
        self.updated_ms = now_ms;
        if submit {
            self.submitted = true;
            self.answer(now_ms, State::Challenged)?;
        }
        Ok(())
    }

    /// What the issuer decides at once, by what it was told.
    pub(crate) fn decides(&self) -> Option<State> {
        match self.evidence.get("uncategorized_text").and_then(Value::as_str) {
            Some(WINNING) if self.state == State::Challenged => Some(State::Won),
            Some(LOSING) if self.state == State::Challenged => Some(State::Lost),
            _ => None,
        }
    }

    pub(crate) fn move_to(&mut self, now_ms: i64, stage: Option<Stage>, state: State) {
        self.stage = stage.unwrap_or(self.stage);
        (self.state, self.updated_ms) = (state, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Ids;

    #[test]
    fn a_merchant_answers_once_and_only_while_it_is_open() {
        let stamp = Stamp { id: Ids::new().next(5), now_ms: 5 };
        let new = |stage| Dispute::new(stamp, 100, &NewDispute::of("fraudulent", stage));
        let text = |text: &str| Map::from_iter([("uncategorized_text".to_owned(), text.into())]);
        let mut dispute = new(Stage::Dispute);
        assert!(dispute.is_withdrawn());
        dispute.explain(6, text("a first word"), false).unwrap();
        assert_eq!((dispute.state, dispute.submitted), (State::Opened, false));
        dispute.explain(7, text(WINNING), true).unwrap();
        assert_eq!((dispute.state, dispute.decides()), (State::Challenged, Some(State::Won)));
        assert_eq!(dispute.accept(8), Err(Refusal::DisputeNotOpen));
        assert_eq!(dispute.explain(8, text("more"), true), Err(Refusal::DisputeNotOpen));
        dispute.move_to(9, None, State::Won);
        assert!(!dispute.is_withdrawn());
        let mut inquiry = new(Stage::PreDispute);
        assert_eq!(inquiry.accept(6), Err(Refusal::DisputeNotOpen), "nothing was taken");
        assert!(!inquiry.is_withdrawn());
        let mut given_up = new(Stage::PreArbitration);
        given_up.accept(6).unwrap();
        assert_eq!((given_up.state, given_up.is_withdrawn()), (State::Accepted, true));
    }
}
