//! The state machines as Mermaid diagrams, found by trying every input in every state of a small scope:
//! two candidates, an amount of 100, captured and refunded whole or in halves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use baton_flow::{
    CallId, CallState, Facts, Input, OrderKind, Payment, Standing, Verdict, VoidReason, amounts,
    step,
};
use baton_types::DeclinedBy;
use baton_types::outcome::{Finding, Outcome};

use crate::given::{
    T0, action, approved, begun, declined, done, live, new, not_sent, order, pending, refused,
    unknown, usd,
};

/// Transitions and the inputs that cause them.
type Edges = BTreeMap<(String, String), BTreeSet<String>>;

/// More than there are; a payment that could grow without end is found out.
const STATES_MAX: usize = 4_000;

/// How a payment of one kind moves, until nothing new is found.
pub(crate) fn payment(kind: OrderKind) -> String {
    let mut order = order(kind);
    order.candidates.truncate(2);
    // The time does not pass here; without it, every state can be met.
    order.failover_until = T0.plus_millis(i64::MAX);
    order.payer_present = false;
    let begin = step(&new(order), Input::Begin, &live(T0)).unwrap().next;
    let mut edges = Edges::new();
    edges.entry(("[*]".to_owned(), label(&begin))).or_default().insert("begin".to_owned());
    let mut seen = BTreeSet::from([key(&begin)]);
    let mut queue = VecDeque::from([begin]);
    while let Some(from) = queue.pop_front() {
        for (name, input) in inputs(&from) {
            let Ok(step) = step(&from, input, &day_after(&from)) else { continue };
            let (a, b) = (label(&from), label(&step.next));
            if a != b {
                edges.entry((a, b)).or_default().insert(name);
            }
            if seen.insert(key(&step.next)) {
                queue.push_back(step.next);
            }
            assert!(seen.len() < STATES_MAX, "{} states: something grows without end", seen.len());
        }
    }
    print(&edges)
}

/// How one call moves: an authorization with a payer, alone.
pub(crate) fn call() -> String {
    const CALL: CallId = CallId::Attempt(1);
    let mut order = order(OrderKind::Authorize(usd(100)));
    order.candidates.truncate(1);
    order.payer_present = true;
    let begin = begun(order);
    let label = |payment: &Payment| state(&payment.call(CALL).unwrap().state).replace(' ', "_");
    let mut edges = Edges::new();
    edges.entry(("[*]".to_owned(), label(&begin))).or_default().insert("plan".to_owned());
    let mut seen = BTreeSet::from([key(&begin)]);
    let mut queue = VecDeque::from([begin]);
    while let Some(from) = queue.pop_front() {
        let inputs =
            answers(&from, CALL).into_iter().filter(|(name, _)| *name != "approved in part");
        for (name, input) in inputs {
            let Ok(step) = step(&from, input, &day_after(&from)) else { continue };
            let (a, b) = (label(&from), label(&step.next));
            if a != b {
                edges.entry((a, b)).or_default().insert(name.to_owned());
            }
            if seen.insert(key(&step.next)) {
                queue.push_back(step.next);
            }
        }
    }
    print(&edges)
}

/// The live task, so much later that every look-up counts and every retry is due.
fn day_after(payment: &Payment) -> Facts {
    live(payment.updated_at.plus_millis(86_400_000))
}

/// Every input that a state can meet, each with the words for it.
fn inputs(payment: &Payment) -> Vec<(String, Input)> {
    let mut all = Vec::new();
    for (id, _) in payment.calls().filter(|(_, call)| !call.is_concluded()) {
        // Which attempt it is, the state says.
        let kind = match id {
            CallId::Attempt(_) => "",
            CallId::Capture(_) => "capture ",
            CallId::Void(_) => "void ",
            CallId::Refund(_) => "refund ",
            CallId::Increment(_) => "raise ",
        };
        all.extend(
            answers(payment, id).into_iter().map(|(what, input)| (format!("{kind}{what}"), input)),
        );
    }
    for (id, _) in payment.calls().filter(|(_, call)| call.is_concluded()) {
        all.push(("time".to_owned(), Input::Due { call: id }));
    }
    for amount in [usd(50), usd(100)] {
        all.push(("capture".to_owned(), Input::Capture { amount }));
        all.push(("refund".to_owned(), Input::Refund { amount }));
    }
    all.push(("void".to_owned(), Input::Void));
    all
}

/// All that can become of a call.
fn answers(payment: &Payment, call: CallId) -> Vec<(&'static str, Input)> {
    let full = payment.amount_of(call).map_or_else(done, approved);
    let outcomes = [
        ("approved", full),
        ("approved in part", approved(usd(40))),
        ("declined by the issuer", declined(DeclinedBy::Issuer)),
        ("declined by the provider", declined(DeclinedBy::ProviderOther)),
        ("refused", refused()),
        ("not sent", not_sent()),
        ("pending", pending()),
        ("action required", action()),
        ("unknown", unknown()),
    ];
    let is_attempt = matches!(call, CallId::Attempt(_));
    // Another operation is not approved in part or challenged here, and all its failures are alike.
    let is_told = |what| matches!(what, "approved" | "refused" | "unknown");
    let outcomes = outcomes.into_iter().filter(|(what, _)| is_attempt || is_told(*what));
    outcomes
        .map(|(what, outcome)| (what, Input::Outcome { call, outcome }))
        .chain([
            ("found voided", Input::Finding { call, finding: Finding::Voided }),
            ("not found", Input::Finding { call, finding: Finding::NotFound }),
            ("due", Input::Due { call }),
        ])
        .collect()
}

/// How a payment stands, in the words of the picture.
fn label(payment: &Payment) -> String {
    let open = |wanted: fn(CallId) -> bool| {
        payment.calls().any(|(id, call)| wanted(id) && !call.is_concluded())
    };
    let is_voiding = open(|id| matches!(id, CallId::Void(_)));
    let attempt = payment.attempts.len();
    let text = match payment.verdict() {
        Verdict::Running => format!("attempt {attempt} planned"),
        Verdict::InDoubt(no) => match payment.standing(no) {
            Some(Standing::Approved(_)) => format!("attempt {no} unwanted"),
            Some(Standing::Open(Outcome::ActionRequired { .. })) => {
                format!("attempt {no} challenged")
            }
            _ => format!("attempt {no} in doubt"),
        },
        Verdict::Failed(_) => "failed".to_owned(),
        Verdict::Approved(_) => {
            let mut text = payment.status().replace('_', " ");
            let is_requested = payment
                .voids
                .iter()
                .any(|void| void.why == VoidReason::Requested && !void.call.is_concluded());
            for (is_so, what) in [
                (open(|id| matches!(id, CallId::Capture(_))), ", capturing"),
                (is_voiding && is_requested, ", voiding"),
                (open(|id| matches!(id, CallId::Refund(_))), ", refunding"),
            ] {
                text.push_str(if is_so { what } else { "" });
            }
            text
        }
    };
    text.replace(", ", "_").replace(' ', "_")
}

/// What decides the future of a payment, without times, numbers and history.
fn key(payment: &Payment) -> String {
    let open = payment.calls().filter(|(_, call)| !call.is_concluded()).map(|(id, call)| {
        let negatives = call.checks.iter().filter(|check| check.finding == Finding::NotFound);
        let kind = id.to_string().chars().next();
        format!(
            "{kind:?} {:?} {} {}",
            payment.amount_of(id),
            state(&call.state),
            negatives.count().min(2)
        )
    });
    let mut open: Vec<String> = open.collect();
    open.sort_unstable();
    let attempt =
        payment.attempts.last().map(|call| (state(&call.state), call.open_since.is_some()));
    format!("{} {attempt:?} {:?} {open:?}", payment.attempts.len(), amounts::of(payment))
        + &label(payment)
}

fn state(state: &CallState) -> String {
    match state {
        CallState::Planned => "planned".to_owned(),
        CallState::Open { outcome } => format!("open {}", outcome.class()),
        CallState::Final { outcome: Outcome::Declined { by, .. }, .. } => {
            format!("declined by {}", by.as_str())
        }
        CallState::Final { outcome, .. } => outcome.class().to_owned(),
        CallState::Closed { how, .. } => format!("closed {how:?}").to_lowercase(),
    }
}

/// Sorted, one line per transition; states without a way out end.
fn print(edges: &Edges) -> String {
    let mut text = "stateDiagram-v2\n".to_owned();
    for ((from, to), inputs) in edges {
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        text.push_str(&format!("    {from} --> {to}: {}\n", inputs.join(", ")));
    }
    let left: BTreeSet<&String> = edges.keys().map(|(from, _)| from).collect();
    let entered: BTreeSet<&String> = edges.keys().map(|(_, to)| to).collect();
    for end in entered.difference(&left) {
        text.push_str(&format!("    {end} --> [*]\n"));
    }
    text
}
