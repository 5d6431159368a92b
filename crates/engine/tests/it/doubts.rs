//! Operators: what is in doubt is listed, shown and settled by hand; what contradicts a conclusion is an incident.

use std::sync::Arc;

use baton_connect::{EventSubject, WebhookEvent};
use baton_engine::audit::{Action, Actor};
use baton_engine::doubts::{self, CallId, DoubtFilter, Settlement, Verdict};
use baton_engine::incidents::{self, IncidentFilter, Kept, Status};
use baton_engine::{EngineError, Heard};
use baton_flow::{CallState, Event, Payment};
use baton_store::{AuditQuery, CommitError, Guard, Store as _};
use baton_types::PaymentId;
use baton_types::outcome::{Answer, Finding, Outcome};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::probe::Act;
use crate::world::{Setup, World, usd, verdict};

const FIRST: CallId = CallId::Attempt(1);

fn setup() -> Setup {
    let mut setup = Setup::default();
    setup.engine.failover_window_ms = 300;
    setup
}

fn lost(commit: &Value) -> Value {
    json!({"fault": {"commit": commit, "answer": "close"}})
}

impl World {
    /// A charge whose answer was lost at the first account, which never carries it out.
    async fn doubt(&self, minor: i64) -> Payment {
        self.keeps_doubts().await;
        let sale = json!({"account": "first", "operation": "sale"});
        self.provider.rule(sale, lost(&json!("never")), Some(1)).await;
        let told = self.charge(minor, &["first", "second"]).await.payment;
        assert_eq!(verdict(&told), "in doubt at 1: unknown");
        Payment::clone(&told)
    }

    async fn settle_as(&self, id: PaymentId, how: Settlement) -> Result<Payment, EngineError> {
        let reason = "ticket 4711".to_owned();
        let verdict = Verdict { merchant: None, payment: id, call: FIRST, how, reason };
        self.engine.settle(&Actor::Operator, &verdict).await
    }

    async fn listed(&self, filter: &DoubtFilter) -> Vec<PaymentId> {
        let (page, _) = doubts::list(self.store.as_ref(), filter, 100).await.unwrap();
        page.iter().map(|doubt| doubt.payment.id).collect()
    }

    async fn incidents(&self) -> Vec<Kept> {
        incidents::list(self.store.as_ref(), &IncidentFilter::default(), 100).await.unwrap().0
    }

    /// What the first account's provider tells of a call.
    async fn told(&self, payment: &Payment, name: &str, finding: Finding) -> Heard {
        let account = self.engine.account(self.caller.merchant, "first").await.unwrap().unwrap();
        let event = WebhookEvent {
            name: name.to_owned(),
            id: None,
            subject: EventSubject::Purchase,
            reference: Some(payment.call(FIRST).unwrap().reference.clone()),
            provider_reference: None,
            payment_reference: None,
            finding,
        };
        self.engine.hear(&account, &event, b"{}").await.unwrap()
    }
}

fn approved(minor: i64) -> Finding {
    let answer = Answer { reference: Some("sp_1".to_owned()), ..Answer::default() };
    Finding::Found { outcome: Outcome::Approved { amount: Some(usd(minor)), answer } }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubts_are_listed_with_filters_and_pages_and_counted() {
    for world in World::on_all_stores_with(&setup()).await {
        world.charge(1, &["first"]).await;
        let mut ids = Vec::new();
        for minor in [100, 200, 300] {
            ids.push(world.doubt(minor).await.id);
        }
        assert_eq!(world.listed(&DoubtFilter::default()).await, ids);
        let only = |account: &str| DoubtFilter {
            account: Some(account.to_owned()),
            merchant: Some(world.caller.merchant),
            test: Some(true),
            ..DoubtFilter::default()
        };
        assert_eq!(world.listed(&only("first")).await, ids);
        assert_eq!(world.listed(&only("second")).await, []);
        let live = DoubtFilter { test: Some(false), ..DoubtFilter::default() };
        assert_eq!(world.listed(&live).await, []);
        let (page, more) =
            doubts::list(world.store.as_ref(), &DoubtFilter::default(), 2).await.unwrap();
        assert_eq!((page.len(), more), (2, true));
        let after = page.last().map(|doubt| (doubt.payment.id, doubt.call));
        let (since, rest) = (page[0].since, DoubtFilter { after, ..DoubtFilter::default() });
        assert_eq!(world.listed(&rest).await, ids[2..]);
        let early = DoubtFilter { before: Some(since), ..DoubtFilter::default() };
        assert_eq!(world.listed(&early).await, []);
        let summary = doubts::summary(world.store.as_ref()).await.unwrap();
        assert_eq!((summary.payments, summary.oldest), (3, Some(since)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_settled_by_hand_is_one_commit_with_its_audit_entry() {
    for world in World::on_all_stores_with(&setup()).await {
        let id = world.doubt(1_000).await.id;
        let keys = world.stored(id).await.unwrap().guards;
        assert_eq!(keys.len(), 1);
        let early = world.settle_as(id, Settlement::Absent).await.unwrap_err();
        assert!(early.to_string().contains("too early"), "{early}");
        world.clock.jump(60_000);
        let settled = world.settle_as(id, Settlement::Absent).await.unwrap();
        assert_eq!(verdict(&settled), "Absent at 1: InDoubt");
        assert_eq!(world.stored(id).await.unwrap(), settled);
        assert_eq!(settled.guards, [""; 0], "what it kept others from is free again");
        assert_eq!(world.store.guard(world.caller.merchant, &keys[0]).await, Ok(None));
        assert_eq!(world.listed(&DoubtFilter::default()).await, []);

        // Nobody overwrites it, and nobody else was asked.
        for how in Settlement::ALL {
            let again = world.settle_as(id, how).await.unwrap_err();
            assert_eq!(again, EngineError::Refused(baton_flow::Refusal::Concluded));
        }
        assert_eq!(world.provider.executed().await, [""; 0]);
        let query =
            AuditQuery { subject: Some(id.to_string()), limit: 10, ..AuditQuery::default() };
        let entries = world.store.audit(&query).await.unwrap();
        let [entry] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!(
            (entry.actor.as_str(), entry.action.as_str()),
            ("operator", Action::PaymentSettled.as_str())
        );
        let detail: Value = serde_json::from_str(&entry.detail).unwrap();
        assert_eq!(detail, json!({"call": "a1", "as": "absent", "reason": "ticket 4711"}));

        let shown = doubts::show(world.store.as_ref(), None, id).await.unwrap();
        let last = shown.history.last().unwrap();
        assert!(matches!(&last.events[0], Event::Settled { by, reason, .. }
            if by == "operator" && reason == "ticket 4711"));
        assert_eq!(shown.history.len() as u64, settled.version);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requests_own_task_tries_nobody_behind_a_settlement() {
    let mut setup = Setup::default();
    setup.engine.failover_window_ms = 8_000;
    let world = Arc::new(World::with(setup).await);
    world.keeps_doubts().await;
    let sale = json!({"account": "first", "operation": "sale"});
    world.provider.rule(sale, lost(&json!("never")), None).await;
    let asking = Arc::clone(&world);
    let asked = tokio::spawn(async move { asking.charge(1_000, &["first", "second"]).await });
    let mut id = None;
    for _ in 0..100 {
        id = world.listed(&DoubtFilter::default()).await.first().copied();
        if id.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world.settle_as(id.unwrap(), Settlement::Declined).await.unwrap();
    let told = asked.await.unwrap();
    assert_eq!(verdict(&told.payment), "declined at 1");
    assert_eq!(told.payment.attempts.len(), 1);
    assert_eq!(world.provider.executed().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_settles_and_who_finds_out_meet_at_the_payments_version() {
    let world = Arc::new(World::with(setup()).await);
    let id = world.doubt(1_000).await.id;
    world.clock.jump(60_000);
    // The settlement's commit is held while a webhook concludes the call.
    let (gate, reached) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (hold, seen) = (Arc::clone(&gate), Arc::clone(&reached));
    world.store.script(move |_, set| {
        let audited = set.writes.iter().any(|w| matches!(w, baton_store::Write::Audit(_)));
        if audited {
            seen.add_permits(1);
            Act::Hold(Arc::clone(&hold))
        } else {
            Act::Pass
        }
    });
    let settling = Arc::clone(&world);
    let settled = tokio::spawn(async move { settling.settle_as(id, Settlement::Voided).await });
    reached.acquire().await.unwrap().forget();
    let payment = world.stored(id).await.unwrap();
    assert_eq!(world.told(&payment, "payment.captured", approved(1_000)).await, Heard::Taken);
    gate.add_permits(10);
    let refused = settled.await.unwrap().unwrap_err();
    assert_eq!(refused, EngineError::Refused(baton_flow::Refusal::Concluded));
    assert_eq!(verdict(&world.stored(id).await.unwrap()), "approved at 1");
    let query = AuditQuery { subject: Some(id.to_string()), limit: 10, ..AuditQuery::default() };
    assert_eq!(world.store.audit(&query).await, Ok(vec![]), "no entry without its deed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_truth_opens_one_incident_and_reopens_nothing() {
    for world in World::on_all_stores_with(&setup()).await {
        world.keeps_doubts().await;
        // The provider carries it out later than anybody looks.
        let sale = json!({"account": "first", "operation": "sale"});
        let late = json!({"late": {"after_ms": 2_500}});
        world.provider.rule(sale, lost(&late), Some(1)).await;
        let doubt = world.charge(1_000, &["first"]).await.payment;
        world.clock.jump(60_000);
        let told = world.settle_as(doubt.id, Settlement::Absent).await.unwrap();
        assert_eq!(verdict(&told), "Absent at 1: InDoubt");
        for _ in 0..100 {
            if !world.provider.executed().await.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(world.told(&told, "payment.captured", approved(1_000)).await, Heard::Known);
        let kept = world.incidents().await;
        let [incident] = &kept[..] else { panic!("{kept:?}") };
        assert_eq!(incident.status, Status::Open);
        let body = &incident.incident;
        assert_eq!(
            (body.payment, body.call.as_str(), body.account.as_str()),
            (doubt.id, "a1", "first")
        );
        assert_eq!((body.what.as_str(), body.proposed.as_str()), ("taken", "refund"));
        assert_eq!(
            (body.amount, body.told_by.as_str()),
            (Some(usd(1_000)), "webhook payment.captured")
        );
        let Finding::Found { outcome: Outcome::Approved { .. } } = &body.looked_up else {
            panic!("{body:?}")
        };
        // The answer that was told stands; the history has one more entry, with the incident's name.
        let stored = world.stored(doubt.id).await.unwrap();
        assert_eq!((verdict(&stored), stored.version), (verdict(&told), told.version + 1));
        let shown = doubts::show(world.store.as_ref(), None, doubt.id).await.unwrap();
        assert!(
            matches!(&shown.history.last().unwrap().events[..], [Event::Contradicted { incident: name, .. }]
            if *name == incident.id)
        );

        // Told again, in any order, it stays one.
        for _ in 0..3 {
            world.told(&told, "payment.captured", approved(1_000)).await;
        }
        assert_eq!(world.incidents().await.len(), 1);
        assert_eq!(world.stored(doubt.id).await.unwrap().version, stored.version);
        assert_eq!(incidents::unresolved(world.store.as_ref()).await, Ok(1));

        resolved(&world, &incident.id).await;
        world.told(&told, "payment.captured", approved(1_000)).await;
        assert_eq!(world.incidents().await[0].status, Status::Resolved, "nor is it reopened");
    }
}

async fn resolved(world: &World, id: &str) {
    let (audit, by) = (world.engine.audit(), &Actor::Operator);
    let make =
        |status, reason: &'static str| incidents::resolve(audit, by, None, id, status, reason);
    let seen = make(Status::Acknowledged, "on it").await.unwrap();
    assert_eq!((seen.status, seen.incident.notes.len()), (Status::Acknowledged, 1));
    let done = make(Status::Resolved, "refunded").await.unwrap();
    assert_eq!(
        (done.status, done.incident.notes[1].reason.as_str()),
        (Status::Resolved, "refunded")
    );
    let again = make(Status::Acknowledged, "again").await.unwrap_err();
    assert_eq!(again, EngineError::Refused(baton_flow::Refusal::Concluded));
    let unknown = incidents::resolve(audit, by, None, "inc_0", Status::Resolved, "x").await;
    assert_eq!(unknown.unwrap_err(), EngineError::NotFound);
    assert_eq!(incidents::unresolved(world.store.as_ref()).await, Ok(0));
    let query = AuditQuery { subject: Some(id.to_owned()), limit: 10, ..AuditQuery::default() };
    assert_eq!(world.store.audit(&query).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_news_opens_no_incident() {
    let world = World::with(setup()).await;
    // Declined here and there; an approval that the provider itself knows nothing of.
    let decline = json!({"verdict": {"decline": "do_not_honor"}});
    world.provider.rule(json!({"account": "first", "operation": "sale"}), decline, Some(1)).await;
    let declined = world.charge(1_000, &["first"]).await.payment;
    assert_eq!(verdict(&declined), "declined at 1");
    let version = declined.version;
    assert_eq!(world.told(&declined, "payment.captured", approved(1_000)).await, Heard::Known);
    assert_eq!(world.incidents().await.len(), 0, "the look-up says what we say");
    assert_eq!(world.stored(declined.id).await.unwrap().version, version);

    // A hold that was released: its approval arrives late.
    let held = world.authorize(700, &["first"]).await.payment;
    world.void(held.id, 700).await.unwrap();
    let voided = world.stored(held.id).await.unwrap();
    world.told(&voided, "payment.authorized", approved(700)).await;
    assert_eq!(world.incidents().await.len(), 0);

    // If the provider does not answer, somebody has to look.
    let blind = json!({"fault": {"commit": "never", "answer": {"status": {"status": 500}}}});
    world.provider.rule(json!({"account": "first", "operation": "lookup"}), blind, None).await;
    world.told(&declined, "payment.captured", approved(1_000)).await;
    let kept = world.incidents().await;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].incident.looked_up, Finding::Inconclusive);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_after_the_conclusion_opens_an_incident() {
    let mut setup = setup();
    setup.engine.caller_wait_ms = 300;
    let world = World::with(setup).await;
    let slow = json!({"latency_ms": 1_200});
    world.provider.rule(json!({"account": "first", "operation": "sale"}), slow, Some(1)).await;
    let told = world.charge(1_000, &["first"]).await.payment;
    assert_eq!(verdict(&told), "running");
    // Another node takes the plan for a dead one's, and an operator calls it declined.
    world.clock.jump(200_000);
    let mut heir_setup = Setup::default();
    heir_setup.engine.node = "node-2".to_owned();
    let store = Arc::clone(&world.store) as Arc<dyn baton_store::Store>;
    let (heir, _) = crate::world::engine_on(store, &world.clock, world.provider, heir_setup).await;
    let blind = json!({"fault": {"commit": "never", "answer": {"status": {"status": 500}}}});
    world.provider.rule(json!({"account": "first", "operation": "lookup"}), blind, None).await;
    heir.start();
    for _ in 0..60 {
        let payment = world.stored(told.id).await.unwrap();
        if matches!(payment.call(FIRST).unwrap().state, CallState::Open { .. }) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    world.settle_as(told.id, Settlement::Declined).await.unwrap();
    let mut kept = Vec::new();
    for _ in 0..200 {
        kept = world.incidents().await;
        if !kept.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let [incident] = &kept[..] else { panic!("{kept:?}") };
    assert_eq!(
        (incident.incident.told_by.as_str(), incident.incident.what.as_str()),
        ("answer", "taken")
    );
    assert_eq!(verdict(&world.stored(told.id).await.unwrap()), "declined at 1");
    heir.shut_down(std::time::Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incident_that_cannot_be_recorded_is_told_again() {
    let world = World::with(setup()).await;
    let doubt = world.doubt(1_000).await;
    world.clock.jump(60_000);
    let settled = world.settle_as(doubt.id, Settlement::Absent).await.unwrap();
    let account = world.engine.account(world.caller.merchant, "first").await.unwrap().unwrap();
    let event = WebhookEvent {
        name: "payment.captured".to_owned(),
        id: None,
        subject: EventSubject::Purchase,
        reference: Some(settled.call(FIRST).unwrap().reference.clone()),
        provider_reference: None,
        payment_reference: None,
        finding: approved(1_000),
    };
    world.store.script(|_, _| Act::Fail(CommitError::Unavailable("full".into())));
    let answer = world.engine.hear(&account, &event, b"{}").await;
    assert_eq!(answer, Err(EngineError::Unavailable));
    // Another writer of the payment was first: the incident is opened all the same.
    world.store.script(|number, _| {
        if number == 1 { Act::Fail(CommitError::Conflict(Guard::Version)) } else { Act::Pass }
    });
    assert_eq!(world.engine.hear(&account, &event, b"{}").await, Ok(Heard::Known));
    assert_eq!(world.incidents().await.len(), 1);
    // What is not found where something was told is no proof against it.
    assert_eq!(world.incidents().await[0].incident.looked_up, Finding::NotFound);
}
