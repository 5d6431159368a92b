//! `hold_safe`, row by row: who is tried beside whom, which hold wins, and what becomes of the others.

use baton_flow::failover::{Next, Stop, next};
use baton_flow::{
    CallId, CallState, Cancel, DoubtMode, Effect, Event, HOLD_MS, Input, OrderKind, Payment, Timer,
    Verdict, step,
};
use baton_types::outcome::{Answer, Finding, Outcome};
use baton_types::{DeclinedBy, Timestamp};

use crate::given::{
    T0, action, approved, declined, done, later, live, new, not_sent, order, pending, refused,
    take, unknown, usd,
};

/// A script is an order and what happens: `a1=?` answers a call, `a1~` is a look-up that shows nothing,
/// `+60` lets seconds pass and timers come due, `gone` ends the request's own task. What is shown at the
/// end is every call that was planned, how the payment stands, and what may be tried next.
#[test]
fn of_several_holds_one_is_kept_and_the_others_are_voided() {
    #[rustfmt::skip]
    let rows = [
        // Nothing in doubt: as ever, but that a sale is authorized and then captured.
        ("sale a1=ok",                         "a1 ok, c1 planned: running"),
        ("sale a1=ok c1=ok",                   "a1 ok, c1 ok: approved 1"),
        ("sale a1=ok c1=?",                    "a1 ok, c1 ?: in doubt 1"),
        ("sale a1=ok c1=? c1~ok",              "a1 ok, c1 ok: approved 1"),
        ("hold a1=ok",                         "a1 ok: approved 1"),
        ("sale a1=no",                         "a1 no: failed"),
        ("sale a1=other a2=ok c1=ok",          "a1 other, a2 ok, c1 ok: approved 2"),
        // A doubt bars the next one until its provider has been asked once, and then does not.
        ("sale a1=?",                          "a1 ?: in doubt 1"),
        ("sale a1=? a1~",                      "a1 ?, a2 planned: running"),
        ("sale a1=? a1~none",                  "a1 ?, a2 planned: running"),
        ("hold a1=? a1~",                      "a1 ?, a2 planned: running"),
        ("sale a1=pending a1~",                "a1 pending: in doubt 1"),
        ("sale a1=action a1~",                 "a1 action: in doubt 1"),
        ("sale gone a1=? a1~",                 "a1 ?: in doubt 1"),
        ("sale late a1=? a1~",                 "a1 ?: in doubt 1"),
        ("sale plain a1=? a1~",                "a1 unsent, a2 unsent, a3 unsent: failed"),
        ("token a1=?",                         "a1 ?, a2 planned: running"),
        // Two holds at most.
        ("sale a1=? a1~ a2=? a2~",             "a1 ?, a2 ?: in doubt 1"),
        ("sale a1=? a1~ a2=? a2~ a1=other",    "a1 other, a2 ?, a3 planned: running"),
        ("sale a1=? a1~ a2=other",             "a1 ?, a2 other, a3 planned: running"),
        ("sale a1=? a1~ a2=no",                "a1 ?, a2 no: in doubt 1"),
        // The later one is approved: it wins, and the earlier one is voided whatever it turns out to be.
        ("sale a1=? a1~ a2=ok",                "a1 ?, a2 ok, c1 planned, v1 planned: running"),
        ("hold a1=? a1~ a2=ok",                "a1 ?, a2 ok, v1 planned: approved 2"),
        ("sale a1=? a1~ a2=ok c1=ok",          "a1 ?, a2 ok, c1 ok, v1 planned: approved 2"),
        ("sale a1=? a1~ a2=ok c1=ok v1=ok",    "a1 voided, a2 ok, c1 ok, v1 ok: approved 2"),
        ("sale a1=? a1~ a2=ok c1=ok a1=ok",    "a1 ok, a2 ok, c1 ok, v1 planned: approved 2"),
        ("sale a1=? a1~ a2=ok a1=ok v1=no c1=ok", "a1 ok, a2 ok, c1 ok, v1 no: approved 2"),
        ("sale a1=? a1~ a2=ok c1=ok a1=ok v1=no +2", "a1 ok, a2 ok, c1 ok, v1 no, v2 planned: approved 2"),
        ("sale a1=? a1~ a1=ok a2=ok c1=ok",    "a1 ok, a2 ok, c1 ok, v1 planned: approved 2"),
        // The later one is not: the earlier one wins if it is approved before its void leaves.
        ("sale a1=? a1~ a1=ok",                "a1 ok, a2 planned: running"),
        ("sale a1=? a1~ a2=? a1=ok",           "a1 ok, a2 ?: in doubt 1"),
        ("sale a1=? a1~ a2=no a1=ok",          "a1 ok, a2 no, c1 planned: running"),
        ("sale a1=? a1~ a1=ok a2=no c1=ok",    "a1 ok, a2 no, c1 ok: approved 1"),
        ("hold a1=? a1~ a1=ok a2=no",          "a1 ok, a2 no: approved 1"),
        ("hold a1=? a1~ a1=ok a2=no +60",      "a1 ok, a2 no: approved 1"),
        ("sale a1=? a1~ a1=ok a2=? a2=unsent", "a1 ok, a2 unsent, c1 planned: running"),
        // After a minute it is voided, and can win no more.
        ("sale a1=? a1~ a2=no +59",            "a1 ?, a2 no: in doubt 1"),
        ("sale a1=? a1~ a2=no +60",            "a1 ?, a2 no, v1 planned: in doubt 1"),
        ("sale a1=? a1~ a2=no +60 a1=ok",      "a1 ok, a2 no, v1 planned: in doubt 1"),
        ("sale a1=? a1~ a2=no +60 a1=ok v1=ok", "a1 ok, a2 no, v1 ok: failed"),
        ("sale a1=? a1~ a2=no +60 a1=no v1=no", "a1 no, a2 no, v1 no: failed"),
        ("sale a1=? a1~ a2=no +60 v1=ok",      "a1 voided, a2 no, v1 ok: failed"),
        ("sale a1=? a1~ a1=ok a2=? +60",       "a1 ok, a2 ?, v1 planned: in doubt 1"),
        ("sale a1=? a1~ a1=ok a2=? +60 a2=ok", "a1 ok, a2 ok, c1 planned, v1 planned: running"),
        ("sale a1=? a1~ a1=ok a2=? +60 a2=no v1=ok", "a1 ok, a2 no, v1 ok: failed"),
        // A void in doubt is repeated where its provider cannot be asked about it, and nowhere else.
        ("sale a1=? a1~ a2=ok c1=ok v1=? +60", "a1 ?, a2 ok, c1 ok, v1 ?: approved 2"),
        ("sale silent a1=? a1~ a2=ok c1=ok gone v1=? +2",  "a1 ?, a2 ok, c1 ok, v1 ?, v2 planned: approved 2"),
        ("sale silent a1=? a1~ a2=ok c1=ok +106", "a1 ?, a2 ok, c1 ok, v1 ?: approved 2"),
        ("sale silent a1=? a1~ a2=ok c1=ok +120", "a1 ?, a2 ok, c1 ok, v1 ?, v2 planned: approved 2"),
        ("sale silent a1=? a1~ a1=ok a2=ok c1=ok gone v1=? +2", "a1 ok, a2 ok, c1 ok, v1 ?, v2 planned: approved 2"),
        ("sale silent keys a1=? a1~ a2=ok c1=ok gone v1=? +2", "a1 ?, a2 ok, c1 ok, v1 ?: approved 2"),
        // The provider has it, and is given more time to confirm it.
        ("sale silent a1=? a1~ a2=ok c1=ok gone v1=pending +599", "a1 ?, a2 ok, c1 ok, v1 pending: approved 2"),
        ("sale silent a1=? a1~ a2=ok c1=ok gone v1=pending +3600",
            "a1 ?, a2 ok, c1 ok, v1 pending, v2 planned: approved 2"),
        // Whichever is confirmed ends them all; so does whatever else ends the attempt.
        ("sale silent a1=? a1~ a2=ok c1=ok gone v1=? +2 v2=ok", "a1 voided, a2 ok, c1 ok, v1 voided, v2 ok: approved 2"),
        ("sale silent a1=? a1~ a2=ok c1=ok gone v1=? +2 v1=ok v2=?",
            "a1 voided, a2 ok, c1 ok, v1 ok, v2 voided: approved 2"),
        ("sale silent a1=? a1~ a2=ok c1=ok v1=? a1=no", "a1 no, a2 ok, c1 ok, v1 voided: approved 2"),
        ("sale silent a1=? a1~ a2=no +60 gone v1=? +10 v2=no", "a1 ?, a2 no, v1 ?, v2 no: in doubt 1"),
        // It never hits a winner: who has a void cannot win, and a capture's hold has none.
        ("sale silent a1=? a1~ a2=no +60 gone v1=? +10 a1=ok", "a1 ok, a2 no, v1 ?, v2 planned: in doubt 1"),
        ("sale silent a1=ok c1=no gone v1=? +2",    "a1 ok, c1 no, v1 ?, v2 planned: in doubt 1"),
        // What keeps out a late arrival and voids nothing, fences.
        ("sale fence a1=? a1~ a2=ok c1=ok v1=none", "a1 fenced, a2 ok, c1 ok, v1 none: approved 2"),
        ("sale fence a1=? a1~ a2=ok c1=ok v1=ok", "a1 voided, a2 ok, c1 ok, v1 ok: approved 2"),
        ("sale a1=? a1~ a2=ok c1=ok v1=none",  "a1 voided, a2 ok, c1 ok, v1 none: approved 2"),
        ("sale fence a1=? a1~ a1=pending a2=ok c1=ok v1=none", "a1 voided, a2 ok, c1 ok, v1 none: approved 2"),
        // Approved in part is not approved.
        ("sale a1=? a1~ a2=part",              "a1 ?, a2 part, v1 planned: in doubt 1"),
        ("sale a1=? a1~ a2=part a1=ok",        "a1 ok, a2 part, c1 planned, v1 planned: running"),
        // A capture that did nothing is tried again; a hold that cannot be captured is given back.
        ("sale a1=ok c1=unsent",               "a1 ok, c1 unsent: in doubt 1"),
        ("sale a1=ok c1=unsent +2",            "a1 ok, c1 unsent, c2 planned: running"),
        ("sale a1=ok c1=refused +2 c2=ok",     "a1 ok, c1 refused, c2 ok: approved 1"),
        ("sale a1=ok c1=no",                   "a1 ok, c1 no, v1 planned: in doubt 1"),
        ("sale a1=ok c1=no v1=ok",             "a1 ok, c1 no, v1 ok: failed"),
        ("sale a1=ok c1=no v1=no +2",          "a1 ok, c1 no, v1 no, v2 planned: in doubt 1"),
        ("sale a1=ok c1=refused +2 c2=refused +8 c3=refused +20 c4=refused",
            "a1 ok, c1 refused, c2 refused, c3 refused, c4 refused, v1 planned: in doubt 1"),
        ("sale a1=? a1~ a2=ok c1=no v1=ok",    "a1 voided, a2 ok, c1 no, v1 ok, v2 planned: in doubt 2"),
        ("sale a1=? a1~ a2=ok c1=no v1=ok v2=ok", "a1 voided, a2 ok, c1 no, v1 ok, v2 ok: failed"),
        // Whoever is gone, what is owed is still done.
        ("sale a1=? a1~ gone a2=ok",           "a1 ?, a2 ok, c1 planned, v1 planned: running"),
        ("hold a1=? a1~ gone a2=? a2=ok",      "a1 ?, a2 ok, v1 planned: approved 2"),
        // A hold that two look-ups did not find is not there.
        ("sale a1=? a1~ a2=no a1~absent",      "a1 absent, a2 no: failed"),
        ("sale a1=? a1~ a2=other a3=other a1~absent", "a1 absent, a2 other, a3 other: failed"),
    ];
    let shown = |(script, _): &(&'static str, _)| (*script, Play::of(script).shown());
    let shown: Vec<(&str, String)> = rows.iter().map(shown).collect();
    let expected = rows.map(|(script, expected)| (script, expected.to_owned()));
    let differs = shown.iter().zip(&expected).filter(|(is, ought)| is != ought);
    assert_eq!(differs.collect::<Vec<_>>(), []);
}

/// The void is promised in the very step that plans the next attempt.
#[test]
fn the_obligation_is_in_the_step_that_plans_the_next_attempt() {
    let play = Play::of("sale a1=?");
    let asked = Input::Finding { call: CallId::Attempt(1), finding: Finding::Inconclusive };
    let step = take(&play.payment, asked, &live(play.now));
    assert_eq!(step.effects, [Effect::Call(CallId::Attempt(2))]);
    let due_at = play.now.plus_millis(HOLD_MS);
    let promised = step.next.obligation(1).expect("it is promised");
    assert_eq!((promised.attempt, promised.due_at), (1, due_at));
    assert!(step.events.contains(&Event::Obliged { call: CallId::Attempt(1), due_at }));
    let timer = step.timers.iter().rev().find_map(|timer| match timer {
        Timer::Set { call, at } => (*call == CallId::Attempt(1)).then_some(*at),
        Timer::Clear { .. } => None,
    });
    assert!(timer.is_some_and(|at| at <= due_at), "it is not forgotten");
    assert_eq!(step.next.obligation(2), None);
}

/// The rule itself, where a doubt may be passed.
#[test]
fn the_rule_lets_pass_what_can_be_voided_and_no_more_than_two_holds() {
    let play = Play::of("hold a1=? a1~");
    let mut payment = play.payment.clone();
    payment.attempts.truncate(1);
    assert_eq!(next(&payment, play.now), Next::Try(1));
    for doubt in [DoubtMode::ResolveFirst, DoubtMode::Stop] {
        let mut other = payment.clone();
        other.order.doubt = doubt;
        assert_eq!(next(&other, play.now), Next::Wait, "{doubt:?}");
    }
    let mut cannot = payment.clone();
    cannot.order.candidates[0].cancel = None;
    assert_eq!(next(&cannot, play.now), Next::Wait);
    let mut fences = payment.clone();
    fences.order.candidates[0].cancel = Some(Cancel::Fence);
    assert_eq!(next(&fences, play.now), Next::Try(1));
    assert_eq!(next(&payment, payment.order.failover_until), Next::Stop(Stop::TooLate));
    assert_eq!(next(&Play::of("hold a1=? a1~ a2=? a2~").payment, play.now), Next::Wait);
}

struct Play {
    payment: Payment,
    now: Timestamp,
    is_live: bool,
    timers: std::collections::BTreeMap<CallId, Timestamp>,
}

impl Play {
    fn of(script: &str) -> Self {
        let mut words = script.split_whitespace().peekable();
        let kind = match words.next() {
            Some("sale") => OrderKind::Charge(usd(100)),
            Some("hold") => OrderKind::Authorize(usd(100)),
            Some("token") => OrderKind::Tokenize,
            other => panic!("no order is called {other:?}"),
        };
        let mut order = order(kind);
        order.doubt = DoubtMode::HoldSafe;
        if words.next_if_eq(&"plain").is_some() {
            order.candidates.iter_mut().for_each(|candidate| candidate.cancel = None);
            assert_eq!(words.by_ref().count(), 2, "nothing is sent, so nothing happens");
        }
        for candidate in &mut order.candidates {
            if words.peek() == Some(&"fence") {
                candidate.cancel = Some(Cancel::Fence);
            }
            if words.peek() == Some(&"silent") {
                candidate.quiet_ms = None;
            }
        }
        words.next_if(|word| ["fence", "silent"].contains(word));
        if words.next_if_eq(&"keys").is_some() {
            order
                .candidates
                .iter_mut()
                .for_each(|candidate| candidate.replay_ms = Some(86_400_000));
        }
        let is_late = words.next_if_eq(&"late").is_some();
        let mut play = Self {
            payment: new(order),
            now: T0,
            is_live: true,
            timers: std::collections::BTreeMap::new(),
        };
        play.feed(Input::Begin);
        if is_late {
            play.now = play.payment.order.failover_until;
        }
        words.for_each(|word| play.word(word));
        play
    }

    fn word(&mut self, word: &str) {
        if word == "gone" {
            self.is_live = false;
        } else if let Some(seconds) = word.strip_prefix('+') {
            self.pass(self.now.plus_millis(seconds.parse::<i64>().unwrap() * 1_000));
        } else if let Some((call, finding)) = word.split_once('~') {
            let call: CallId = call.parse().unwrap();
            let finding = match finding {
                "" => Finding::Inconclusive,
                "none" => Finding::NotFound,
                "absent" => {
                    self.now = self.payment.call(call).unwrap().absent_after.unwrap();
                    self.now = self.now.plus_millis(1);
                    self.feed(Input::Finding { call, finding: Finding::NotFound });
                    Finding::NotFound
                }
                found => Finding::Found { outcome: self.outcome(call, found) },
            };
            self.feed(Input::Finding { call, finding });
        } else {
            let (call, outcome) = word.split_once('=').unwrap();
            let call: CallId = call.parse().unwrap();
            let outcome = self.outcome(call, outcome);
            self.feed(Input::Outcome { call, outcome });
        }
    }

    fn outcome(&self, call: CallId, word: &str) -> Outcome {
        match word {
            "ok" => self.payment.amount_of(call).map_or_else(done, approved),
            // A cancel that was confirmed and had nothing to cancel.
            "none" => Outcome::Approved { amount: None, answer: Answer::default() },
            "part" => approved(usd(60)),
            "no" => declined(DeclinedBy::Issuer),
            "other" => declined(DeclinedBy::ProviderOther),
            "refused" => refused(),
            "unsent" => not_sent(),
            "pending" => pending(),
            "action" => action(),
            "?" => unknown(),
            other => panic!("no outcome is called {other}"),
        }
    }

    fn feed(&mut self, input: Input) {
        let facts = if self.is_live { live(self.now) } else { later(self.now) };
        let taken = step(&self.payment, input.clone(), &facts);
        let taken = taken.unwrap_or_else(|refusal| panic!("{input:?}: {refusal}"));
        for timer in taken.timers {
            match timer {
                Timer::Set { call, at } => self.timers.insert(call, at),
                Timer::Clear { call } => self.timers.remove(&call),
            };
        }
        self.payment = taken.next;
    }

    /// Timers come due as they do without the request's task; look-ups show nothing.
    fn pass(&mut self, until: Timestamp) {
        loop {
            let due = self.timers.iter().map(|(id, at)| (*at, *id)).min();
            let Some((at, call)) = due.filter(|(at, _)| *at <= until) else { break };
            self.now = self.now.max(at);
            let is_live = std::mem::replace(&mut self.is_live, false);
            self.feed(Input::Due { call });
            self.is_live = is_live;
        }
        self.now = until;
    }

    fn shown(&self) -> String {
        let call = |(id, call): (CallId, &baton_flow::Call)| {
            let word = match &call.state {
                CallState::Planned => "planned".to_owned(),
                CallState::Closed { how, .. } => format!("{how:?}").to_lowercase(),
                CallState::Open { outcome } | CallState::Final { outcome, .. } => {
                    self.word_of(id, outcome).to_owned()
                }
            };
            format!("{id} {word}")
        };
        let calls: Vec<String> = self.payment.calls().map(call).collect();
        let verdict = match self.payment.verdict() {
            Verdict::Running => "running".to_owned(),
            Verdict::InDoubt(no) => format!("in doubt {no}"),
            Verdict::Approved(no) => format!("approved {no}"),
            Verdict::Failed(_) => "failed".to_owned(),
        };
        format!("{}: {verdict}", calls.join(", "))
    }

    fn word_of(&self, id: CallId, outcome: &Outcome) -> &'static str {
        if matches!(outcome, Outcome::Unknown { .. }) {
            return "?";
        }
        let words =
            ["ok", "none", "part", "no", "other", "refused", "unsent", "pending", "action", "?"];
        let is_it = |word: &&&str| self.outcome(id, word) == *outcome;
        // Of the reasons why nothing was sent any will do.
        words.iter().find(is_it).copied().unwrap_or("unsent")
    }
}
