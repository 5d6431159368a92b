//! A process that dies at any commit or in any call, and what the next one makes of what it finds.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_engine::{Answered, Caller, Change, Clock as _, Engine};
use baton_flow::{CallId, CallState, OrderKind, Payment, Verdict, amounts};
use baton_store::memory::Sync;
use baton_store::{MemoryStore, Store, Write};
use baton_types::PaymentId;
use baton_types::outcome::Outcome;
use futures_util::future::join_all;
use serde_json::json;

use crate::probe::{Act, Probe};
use crate::provider::Provider;
use crate::world::{Ahead, Setup, by_id, engine_on, purchase, stored, sums, usd, verdict};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    Charge,
    /// An authorization of nothing.
    Verification,
    Failover,
    Capture,
    Increment,
    Refund,
}

impl Scenario {
    const ALL: [Self; 6] = [
        Self::Charge,
        Self::Verification,
        Self::Failover,
        Self::Capture,
        Self::Increment,
        Self::Refund,
    ];

    /// How many commits of payments it takes from beginning to end.
    fn commits(self) -> usize {
        match self {
            Self::Charge | Self::Verification => 2,
            Self::Failover | Self::Capture | Self::Increment | Self::Refund => 4,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    /// The n-th commit never happens: what led to it is lost.
    BeforeCommit(usize),
    /// The n-th commit is durable, and nothing follows it: its call is not sent.
    AfterCommit(usize),
    /// The call that the n-th commit planned has been sent, and the provider is working on it.
    InCall(usize),
    /// Everything has been told.
    AtTheEnd,
}

/// What a client was told, and only successes.
#[derive(Clone, Copy, Debug)]
enum Told {
    Purchased(PaymentId),
    Captured(PaymentId, i64),
    Raised(PaymentId, i64),
    Refunded(PaymentId, i64),
}

impl Told {
    fn payment(self) -> PaymentId {
        match self {
            Self::Purchased(id)
            | Self::Captured(id, _)
            | Self::Raised(id, _)
            | Self::Refunded(id, _) => id,
        }
    }
}

async fn play(scenario: Scenario, engine: Engine, caller: Caller, told: Arc<Mutex<Vec<Told>>>) {
    let tell = |what: Told, answered: &Answered| {
        let approved = matches!(answered.payment.verdict(), Verdict::Approved(_));
        let call = answered.payment.call(answered.call).unwrap();
        let done = |state: &CallState| {
            matches!(state, CallState::Final { outcome: Outcome::Approved { .. }, .. })
        };
        if approved && (matches!(answered.call, CallId::Attempt(_)) || done(&call.state)) {
            told.lock().unwrap().push(what);
        }
    };
    let (kind, accounts) = match scenario {
        Scenario::Charge | Scenario::Refund => (OrderKind::Charge(usd(1_000)), &["first"][..]),
        Scenario::Verification => (OrderKind::Authorize(usd(0)), &["first"][..]),
        Scenario::Capture | Scenario::Increment => {
            (OrderKind::Authorize(usd(1_000)), &["first"][..])
        }
        Scenario::Failover => {
            (OrderKind::Charge(usd(1_000)), &["test-failure", "first", "second"][..])
        }
    };
    let bought = engine.purchase(caller, purchase(kind, accounts), None).await.unwrap();
    let id = bought.payment.id;
    tell(Told::Purchased(id), &bought);
    if scenario == Scenario::Capture {
        let captured = engine.capture(caller, &by_id(id), usd(400), None).await.unwrap();
        tell(Told::Captured(id, 400), &captured);
    }
    if scenario == Scenario::Increment {
        let more = Change::Increment(usd(1_500));
        let raised = engine.change_alongside(caller, id, more, None).await.unwrap();
        tell(Told::Raised(id, 1_500), &raised);
    }
    if scenario == Scenario::Refund {
        let refunded = engine.refund(caller, &by_id(id), usd(300), None).await.unwrap();
        tell(Told::Refunded(id, 300), &refunded);
    }
}

struct Remains {
    memory: Arc<MemoryStore>,
    clock: Arc<Ahead>,
    provider: Provider,
    told: Vec<Told>,
    /// Every payment of which a commit was asked for.
    payments: BTreeSet<PaymentId>,
}

/// One life of a process, on a thread of its own, so that its end drops every task at once.
async fn live_and_die(scenario: Scenario, crash: Crash, sync: Sync) -> Remains {
    let provider = Provider::start().await;
    for operation in ["sale", "authorize", "capture", "increment", "refund", "void"] {
        let slow = json!({"latency_ms": 120});
        provider.rule(json!({"operation": operation}), slow, None).await;
    }
    if scenario == Scenario::Failover {
        let limit = json!({"refuse": {"status": 429, "code": "rate_limited"}});
        provider.rule(json!({"account": "first", "operation": "sale"}), limit, None).await;
    }
    let (memory, clock) = (Arc::new(MemoryStore::new(sync)), Arc::new(Ahead::default()));
    let (told, payments) = (Arc::default(), Arc::new(Mutex::new(BTreeSet::new())));
    let probe = Probe::new(Arc::clone(&memory) as Arc<dyn Store>);
    let (seen, dying) = (Arc::clone(&payments), Arc::clone(&probe));
    probe.script(move |number, set| {
        let rows = set.writes.iter().filter_map(|write| match write {
            Write::Payment(row) => Some(row.id),
            _ => None,
        });
        seen.lock().unwrap().extend(rows);
        match crash {
            Crash::BeforeCommit(n) if n == number => Act::DieBefore,
            Crash::AfterCommit(n) if n == number => Act::DieAfter,
            Crash::InCall(n) if n == number => {
                let dying = Arc::clone(&dying);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(60)).await;
                    dying.died.add_permits(1);
                });
                Act::Pass
            }
            _ => Act::Pass,
        }
    });
    let (heard, store, time) = (Arc::clone(&told), Arc::clone(&memory), Arc::clone(&clock));
    let life = move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async {
            let shared = Arc::clone(&probe) as Arc<dyn Store>;
            let (engine, caller) = engine_on(shared, &time, provider, Setup::default()).await;
            store.sync();
            tokio::select! {
                () = play(scenario, engine, caller, heard) => {}
                permit = probe.died.acquire() => drop(permit),
            }
        });
    };
    tokio::task::spawn_blocking(|| std::thread::spawn(life).join().unwrap()).await.unwrap();
    memory.power_loss();
    // What the provider was working on comes to its end.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let payments = payments.lock().unwrap().clone();
    let told = told.lock().unwrap().clone();
    Remains { memory, clock, provider, told, payments }
}

/// The next process finds what is there. Returns what is wrong then.
async fn rise_and_check(remains: Remains) -> Result<(), String> {
    let Remains { memory, clock, provider, told, payments } = remains;
    let sent = provider.applied().await;
    let store = Arc::clone(&memory) as Arc<dyn Store>;
    let (engine, caller) = engine_on(Arc::clone(&store), &clock, provider, Setup::default()).await;
    let mut planned = Vec::new();
    for id in &payments {
        let Some(payment) = stored(store.as_ref(), caller, *id).await else { continue };
        let calls = payment.calls().filter(|(_, call)| call.state == CallState::Planned);
        planned.extend(calls.map(|(call, _)| (*id, call)));
    }
    engine.start();
    let mut wrong = String::new();
    for (id, call) in planned {
        let mut recovered = false;
        for _ in 0..100 {
            let payment = stored(store.as_ref(), caller, id).await.unwrap();
            recovered = payment.call(call).unwrap().open_since.is_some();
            if recovered {
                break;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        if !recovered {
            writeln!(wrong, "{call} of {id} was not taken up").unwrap();
        }
    }
    for id in &payments {
        for _ in 0..6 {
            let Some(payment) = stored(store.as_ref(), caller, *id).await else { break };
            if !payment.has_open_calls() {
                break;
            }
            clock.jump(20_000);
            engine.status(caller, &by_id(*id)).await.unwrap();
        }
    }
    engine.shut_down(Duration::from_secs(5)).await;
    if provider.applied().await != sent {
        writeln!(wrong, "something was sent again").unwrap();
    }
    provider.assert_nothing_twice().await;
    compare(&mut wrong, store.as_ref(), caller, provider, &told, &payments).await;
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// What clients were told, what we have and what the provider has.
async fn compare(
    wrong: &mut String,
    store: &dyn Store,
    caller: Caller,
    provider: Provider,
    told: &[Told],
    payments: &BTreeSet<PaymentId>,
) {
    let books = provider.books().await;
    for what in told {
        let Some(payment) = stored(store, caller, what.payment()).await else {
            writeln!(wrong, "told {what:?}, and it is not there").unwrap();
            continue;
        };
        let (captured, refunded) = sums(&payment);
        let kept = match what {
            Told::Purchased(_) => matches!(payment.verdict(), Verdict::Approved(_)),
            Told::Captured(_, minor) => captured == *minor,
            Told::Raised(_, minor) => held(&payment) == *minor,
            Told::Refunded(_, minor) => refunded == *minor,
        };
        if !kept {
            writeln!(wrong, "told {what:?}, and it stands {}", verdict(&payment)).unwrap();
        }
    }
    for row in &books {
        let id = PaymentId::parse(&row.payment).unwrap();
        assert!(payments.contains(&id));
        match stored(store, caller, id).await {
            Some(ours)
                if sums(&ours) == (row.captured, row.refunded)
                    && (row.voided || held(&ours) == row.authorized) => {}
            Some(ours) => writeln!(wrong, "{row:?}, and we have {:?}", sums(&ours)).unwrap(),
            None => writeln!(wrong, "{row:?}, and we know nothing of it").unwrap(),
        }
    }
}

/// What a payment holds or has taken, in minor units.
fn held(payment: &Payment) -> i64 {
    amounts::of(payment).map_or(0, |sums| sums.authorized.minor())
}

async fn survive(scenario: Scenario, crash: Crash) {
    let remains = live_and_die(scenario, crash, Sync::EveryCommit).await;
    let (told, books) = (remains.told.len(), remains.provider.books().await.len());
    let result = rise_and_check(remains).await;
    assert_eq!(result, Ok(()), "{scenario:?}, {crash:?}, told {told}, booked {books}");
    if crash == Crash::AtTheEnd {
        let expected = match scenario {
            Scenario::Capture | Scenario::Increment | Scenario::Refund => 2,
            Scenario::Charge | Scenario::Verification | Scenario::Failover => 1,
        };
        assert_eq!((told, books), (expected, 1), "{scenario:?}: the scenario is what it seems");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_point_loses_no_success_and_sends_nothing_again() {
    for scenario in Scenario::ALL {
        let mut points = vec![Crash::AtTheEnd];
        for number in 1..=scenario.commits() {
            points.push(Crash::BeforeCommit(number));
            points.push(Crash::AfterCommit(number));
            points.push(Crash::InCall(number));
        }
        join_all(points.into_iter().map(|crash| survive(scenario, crash))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_durable_commits_the_same_check_fails() {
    for scenario in Scenario::ALL {
        let remains = live_and_die(scenario, Crash::AtTheEnd, Sync::Manual).await;
        let wrong = rise_and_check(remains).await.unwrap_err();
        assert!(wrong.contains("and it is not there"), "{wrong}");
        assert!(wrong.contains("and we know nothing of it"), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_a_crash_left_behind_is_taken_up_at_the_next_start() {
    // More than are taken up at once.
    const LEFT: usize = 150;
    let provider = Provider::start().await;
    let clock = Arc::new(Ahead::default());
    let memory = Arc::new(MemoryStore::default());
    let probe = Probe::new(Arc::clone(&memory) as Arc<dyn Store>);
    let payments = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&payments);
    // Each process dies after its first plan; the engine's own tasks never hear of it.
    probe.script(move |_, set| {
        let rows = set.writes.iter().filter_map(|write| match write {
            Write::Payment(row) => Some(row.id),
            _ => None,
        });
        seen.lock().unwrap().extend(rows);
        Act::DieAfter
    });
    let setup = Setup::default();
    let shared = Arc::clone(&probe) as Arc<dyn Store>;
    let (engine, caller) = engine_on(shared, &clock, provider, setup.clone()).await;
    // Each for something else: of two for the same, the second waits for the first.
    let charge = |n: i64| purchase(OrderKind::Charge(usd(100 + n)), &["first"]);
    let all = join_all((0_i64..).take(LEFT).map(|n| engine.purchase(caller, charge(n), None)));
    assert!(tokio::time::timeout(Duration::from_millis(1_000), all).await.is_err());

    let store = Arc::clone(&memory) as Arc<dyn Store>;
    let (engine, caller) = engine_on(Arc::clone(&store), &clock, provider, setup).await;
    engine.start();
    let payments = payments.lock().unwrap().clone();
    assert_eq!(payments.len(), LEFT);
    let mut open = 0;
    for _ in 0..200 {
        open = 0;
        for id in &payments {
            let payment = stored(store.as_ref(), caller, *id).await.unwrap();
            let call = payment.call(CallId::Attempt(1)).unwrap();
            open += usize::from(!call.checks.is_empty());
        }
        if open == LEFT {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(open, LEFT, "every one was looked up");
    assert!(provider.books().await.is_empty(), "and none was sent");

    // From then on the timers do it, without anybody asking.
    let mut timers = u64::MAX;
    for _ in 0..20 {
        clock.jump(20_000);
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        timers = store.describe().await.unwrap().timers;
        if timers == 0 {
            break;
        }
    }
    for id in &payments {
        let payment = stored(store.as_ref(), caller, *id).await.unwrap();
        assert_eq!(verdict(&payment), "Fenced at 1: InDoubt", "{timers} timers");
    }
    assert_eq!(timers, 0);
    engine.shut_down(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn whoever_resolves_a_payment_does_not_try_its_next_account() {
    let provider = Provider::start().await;
    let pending = json!({"verdict": {"pending": {"after_ms": 300, "then": "provider_declined"}}});
    provider.rule(json!({"account": "first"}), pending, Some(1)).await;
    let (memory, clock) = (Arc::new(MemoryStore::default()), Arc::new(Ahead::default()));
    let probe = Probe::new(Arc::clone(&memory) as Arc<dyn Store>);
    let id = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&id);
    // It dies once it has recorded that the first account is not done yet.
    probe.script(move |number, set| {
        let row = |write: &Write| matches!(write, Write::Payment(_)).then(|| write.clone());
        if let Some(Write::Payment(row)) = set.writes.iter().find_map(row) {
            *seen.lock().unwrap() = Some(row.id);
        }
        if number == 2 { Act::DieAfter } else { Act::Pass }
    });
    let shared = Arc::clone(&probe) as Arc<dyn Store>;
    let (engine, caller) = engine_on(shared, &clock, provider, Setup::default()).await;
    let charge = purchase(OrderKind::Charge(usd(100)), &["first", "second"]);
    let charge = engine.purchase(caller, charge, None);
    assert!(tokio::time::timeout(Duration::from_millis(500), charge).await.is_err());

    let id = id.lock().unwrap().unwrap();
    let (engine, caller) =
        engine_on(Arc::clone(&memory) as Arc<dyn Store>, &clock, provider, Setup::default()).await;
    engine.start();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let payment = stored(memory.as_ref(), caller, id).await.unwrap();
    // The list would go on, and there is time. That the card has gone with the process nobody can know here:
    // "failed" is told only when no task can take it back.
    assert!(payment.attempts[0].is_concluded() && payment.order.failover_until > clock.now());
    assert_eq!((verdict(&payment).as_str(), payment.attempts.len()), ("running", 1));
    clock.jump(60_000);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let payment = stored(memory.as_ref(), caller, id).await.unwrap();
    assert_eq!((verdict(&payment).as_str(), payment.attempts.len()), ("declined at 1", 1));
    assert_eq!(provider.executed().await, ["first"]);
    engine.shut_down(Duration::from_secs(5)).await;
}
