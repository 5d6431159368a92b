//! What a request is made to do: rules set by the administrator, then scripted amounts, then the card.
//!
//! An action has independent parts. `latency_ms` waits; `verdict` (approve, decline, pending, challenge,
//! partial) is what the issuer says; `refuse` answers an error with nothing attempted; `fault` separates
//! whether the request is committed from what the client gets to see. The first rule that matches (newest
//! first) decides alone; otherwise the amount's action is used, over the card's verdict.
//!
//! Amounts and cards script new payments (authorize, sale) only; rules script every operation.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::codes::{DeclineCode, action_of_amount};
use crate::core::{Card, Verdict};

/// What a request wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OperationKind {
    /// Stripe's dialect: an intent is made or changed, no money moves.
    Create,
    Authorize,
    Sale,
    Capture,
    Void,
    Refund,
    /// What is held is raised.
    Increment,
    Tokenize,
    Lookup,
    /// Adyen's dialect: the result of a challenge is brought.
    Complete,
    /// Cancel by merchant reference.
    Cancel,
    /// A dispute is accepted.
    DisputeAccept,
    /// Evidence is sent.
    DisputeSubmit,
}

/// Whether, and when, the books are changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CommitWhen {
    /// Nothing happens.
    Never,
    /// Before the answer (or the lack of one).
    First,
    /// After the client was left alone.
    Late { after_ms: u64 },
}

/// What the client sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Status {
        status: u16,
        #[serde(default)]
        retry_after_s: Option<u32>,
    },
    /// The connection is closed without a byte.
    Close,
    /// 200 with a body that is no JSON.
    Garbage,
    /// The head and half of the body, then the connection is closed.
    Truncated,
    /// Nothing, until the client leaves.
    Hang,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub(crate) commit: CommitWhen,
    pub(crate) answer: Answer,
}

/// An answered refusal; nothing is attempted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refuse {
    pub(crate) status: u16,
    pub(crate) code: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Action {
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) latency_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refuse: Option<Refuse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<Fault>,
}

impl Action {
    pub(crate) fn verdict(verdict: Verdict) -> Action {
        Action { verdict: Some(verdict), ..Action::default() }
    }

    pub(crate) fn fault(fault: Fault) -> Action {
        Action { fault: Some(fault), ..Action::default() }
    }

    pub(crate) fn latency(latency_ms: u64) -> Action {
        Action { latency_ms, ..Action::default() }
    }

    /// The scripted failure of a capture, void or refund; the other verdicts are about authorisations.
    pub(crate) fn decline(&self) -> Option<DeclineCode> {
        match self.verdict {
            Some(Verdict::Decline(code)) => Some(code),
            Some(
                Verdict::Approve
                | Verdict::Partial { .. }
                | Verdict::Pending { .. }
                | Verdict::Challenge { .. },
            )
            | None => None,
        }
    }
}

/// What rules can look at.
#[derive(Clone, Debug)]
pub(crate) struct Traits {
    pub(crate) account: String,
    pub(crate) operation: OperationKind,
    pub(crate) card: Option<Card>,
    pub(crate) amount: Option<i64>,
    pub(crate) reference: Option<String>,
}

/// All given fields must agree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Match {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<OperationKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    card_last4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

impl Match {
    fn agrees(&self, traits: &Traits) -> bool {
        let last4 = || traits.card.as_ref().map(|card| &card.last4);
        self.account.as_ref().is_none_or(|account| *account == traits.account)
            && self.operation.is_none_or(|operation| operation == traits.operation)
            && self.card_last4.as_ref().is_none_or(|wanted| Some(wanted) == last4())
            && self.amount.is_none_or(|amount| Some(amount) == traits.amount)
            && self
                .reference
                .as_ref()
                .is_none_or(|wanted| Some(wanted) == traits.reference.as_ref())
    }
}

/// What an administrator posts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRule {
    #[serde(default, rename = "match")]
    matches: Match,
    action: Action,
    /// How often it may still apply; without it, for ever.
    #[serde(default)]
    times: Option<u32>,
    /// Of 1000; without it, always.
    #[serde(default)]
    probability_permille: Option<u16>,
}

impl NewRule {
    /// What the types alone do not rule out.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let answered = |status: u16| (400..=599).contains(&status);
        if self.action.refuse.as_ref().is_some_and(|refuse| !answered(refuse.status)) {
            return Err("action.refuse.status must be 400 to 599");
        }
        match self.action.fault.as_ref().map(|fault| &fault.answer) {
            Some(Answer::Status { status, .. }) if !answered(*status) => {
                Err("action.fault.answer.status must be 400 to 599")
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rule {
    pub(crate) id: u64,
    #[serde(flatten)]
    rule: NewRule,
    /// How often the rule has applied.
    applied: u64,
    #[serde(skip)]
    seen: u64,
}

#[derive(Debug)]
struct State {
    rules: Vec<Rule>,
    next_id: u64,
    seed: u64,
}

/// All rules of a running sandbox. They live in memory only.
#[derive(Debug)]
pub(crate) struct Script(Mutex<State>);

impl Script {
    pub(crate) fn new() -> Script {
        Script(Mutex::new(State { rules: Vec::new(), next_id: 1, seed: 0 }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn set_seed(&self, seed: u64) {
        self.lock().seed = seed;
    }

    pub(crate) fn seed(&self) -> u64 {
        self.lock().seed
    }

    pub(crate) fn add(&self, rule: NewRule) -> u64 {
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.rules.push(Rule { id, rule, applied: 0, seen: 0 });
        id
    }

    /// Newest first, which is also the order of matching.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        self.lock().rules.iter().rev().cloned().collect()
    }

    /// Removes one rule, or all. False if there was none.
    pub(crate) fn remove(&self, id: Option<u64>) -> bool {
        let mut state = self.lock();
        let before = state.rules.len();
        state.rules.retain(|rule| id.is_some_and(|id| rule.id != id));
        state.rules.len() < before
    }

    /// What this request is made to do.
    pub(crate) fn plan(&self, traits: &Traits, now_ms: i64) -> Action {
        let from_rule = self.first_match(traits);
        let card_verdict = || {
            let card = traits.card.as_ref()?;
            let expired = card.script == Verdict::Approve && card.is_expired(now_ms);
            match DeclineCode::find("expired_card") {
                Some(code) if expired => Some(Verdict::Decline(code)),
                Some(_) | None => Some(card.script.clone()),
            }
        };
        let is_payment = matches!(traits.operation, OperationKind::Authorize | OperationKind::Sale);
        let mut action = match from_rule {
            Some(action) => action,
            None if is_payment => traits.amount.and_then(action_of_amount).unwrap_or_default(),
            None => Action::default(),
        };
        if is_payment && action.verdict.is_none() {
            action.verdict = card_verdict();
        }
        action
    }

    fn first_match(&self, traits: &Traits) -> Option<Action> {
        let mut state = self.lock();
        let seed = state.seed;
        for rule in state.rules.iter_mut().rev() {
            let used_up = rule.rule.times.is_some_and(|times| rule.applied >= u64::from(times));
            if used_up || !rule.rule.matches.agrees(traits) {
                continue;
            }
            rule.seen += 1;
            let dice = mix(seed ^ mix(rule.id) ^ rule.seen.rotate_left(32)) % 1_000;
            if rule.rule.probability_permille.is_some_and(|chance| dice >= u64::from(chance)) {
                continue;
            }
            rule.applied += 1;
            return Some(rule.rule.action.clone());
        }
        None
    }
}

/// The finaliser of splitmix64: spreads the bits of a counter. Not for secrets.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn traits(operation: OperationKind, amount: i64, number: &str) -> Traits {
        Traits {
            account: "acme".to_owned(),
            operation,
            card: Some(Card::parse(number, 12, 2090, None).unwrap()),
            amount: Some(amount),
            reference: Some("order-1".to_owned()),
        }
    }

    fn rule(value: serde_json::Value) -> NewRule {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_newest_matching_rule_wins_over_amount_and_card() {
        let script = Script::new();
        let sale = traits(OperationKind::Sale, 900_003, "4000000000009987");
        let code = |action: &Action| action.decline().map(|code| code.row().code);
        assert_eq!(code(&script.plan(&sale, 0)), Some("insufficient_funds"), "amount over card");
        script.add(rule(json!({"action": {"verdict": {"decline": "stolen_card"}}})));
        let second = script.add(rule(json!({
            "match": {"account": "acme", "operation": "sale", "card_last4": "9987",
                      "amount": 900_003, "reference": "order-1"},
            "action": {"verdict": {"decline": "call_issuer"}}, "times": 1
        })));
        assert_eq!(script.rules().first().map(|rule| rule.id), Some(second));
        assert_eq!(code(&script.plan(&sale, 0)), Some("call_issuer"));
        assert_eq!(code(&script.plan(&sale, 0)), Some("stolen_card"), "used up");
        assert!(script.remove(Some(second)));
        assert!(!script.remove(Some(second)));
        assert!(script.remove(None));
        assert_eq!(code(&script.plan(&sale, 0)), Some("insufficient_funds"));
    }

    #[test]
    fn a_fault_amount_keeps_the_verdict_of_the_card_and_captures_are_not_scripted() {
        let script = Script::new();
        let dropped =
            script.plan(&traits(OperationKind::Authorize, 910_009, "4000000000009987"), 0);
        assert_eq!(dropped.decline().map(|code| code.row().code), Some("lost_card"));
        assert_eq!(dropped.fault, Some(Fault { commit: CommitWhen::First, answer: Answer::Close }));
        let capture = script.plan(&traits(OperationKind::Capture, 910_009, "4000000000009987"), 0);
        assert_eq!(capture, Action::default());
    }

    #[test]
    fn an_expired_card_is_declined_unless_its_number_says_otherwise() {
        let script = Script::new();
        let code = |number, now_ms| {
            let action = script.plan(&traits(OperationKind::Sale, 100, number), now_ms);
            action.decline().map(|code| code.row().code)
        };
        let in_2096 = 4_000_000_000_000;
        assert_eq!(code("4111111111111111", 0), None);
        assert_eq!(code("4111111111111111", in_2096), Some("expired_card"));
        assert_eq!(code("4000000000009987", in_2096), Some("lost_card"));
    }

    #[test]
    fn chances_follow_the_seed() {
        let run = |seed| -> Vec<bool> {
            let script = Script::new();
            script.set_seed(seed);
            script.add(rule(json!({"action": {"latency_ms": 1}, "probability_permille": 250})));
            let sale = traits(OperationKind::Sale, 100, "4111111111111111");
            (0..1_000).map(|_| script.plan(&sale, 0).latency_ms == 1).collect()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let hits = run(7).into_iter().filter(|hit| *hit).count();
        assert!((180..320).contains(&hits), "{hits} of 1000");
    }

    #[test]
    fn unknown_words_in_a_rule_are_refused() {
        for wrong in [
            json!({"match": {"acount": "a"}, "action": {}}),
            json!({"action": {"verdict": {"decline": "no_such_code"}}}),
            json!({"action": {"fault": {"commit": "sometimes", "answer": "close"}}}),
            json!({"match": {}}),
        ] {
            assert!(serde_json::from_value::<NewRule>(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
