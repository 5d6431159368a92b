//! What a conclusion rests on: every answer that showed something leaves its kind, status and hash.

use baton_connect::{EventSubject, WebhookEvent};
use baton_engine::doubts;
use baton_flow::{CallId, Event, Evidence, EvidenceKind, Payment};
use baton_types::PaymentId;
use baton_types::outcome::Finding;
use serde_json::{Value, json};

use crate::world::{Setup, World, verdict};

fn setup(replay: bool) -> Setup {
    let mut setup = Setup::default();
    setup.engine.failover_window_ms = if replay { 10_000 } else { 100 };
    setup.engine.replay = replay;
    setup
}

fn on(operation: &str) -> Value {
    json!({"account": "first", "operation": operation})
}

fn answering(commit: &str, answer: &Value) -> Value {
    json!({"fault": {"commit": commit, "answer": answer}})
}

impl World {
    /// The events that name what the next one rests on, with that one's name.
    async fn cited(&self, payment: &Payment) -> Vec<(Evidence, &'static str)> {
        let shown = doubts::show(self.store.as_ref(), None, payment.id).await.unwrap();
        let events: Vec<_> = shown.history.into_iter().flat_map(|chapter| chapter.events).collect();
        let name = |event: &Event| match event {
            Event::Checked { .. } => "checked",
            Event::Concluded { .. } => "concluded",
            _ => "another",
        };
        let pairs = events.windows(2).filter_map(|pair| match pair {
            [Event::Evidence { evidence, call: CallId::Attempt(1) }, next] => {
                Some((evidence.clone(), name(next)))
            }
            _ => None,
        });
        pairs.collect()
    }
}

impl World {
    /// Looks, each time a little later, until the payment is as it is waited for.
    async fn look_until(&self, id: PaymentId, is_so: impl Fn(&Payment) -> bool) {
        for _ in 0..60 {
            self.clock.jump(1_500);
            if is_so(&self.status(id).await.payment) {
                return;
            }
        }
        panic!("it does not come to that: {:?}", self.stored(id).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_check_names_the_answer_that_it_rests_on() {
    for world in World::on_all_stores_with(&setup(false)).await {
        let status = |code: u16| json!({"status": {"status": code}});
        // However often the request's own task asks, nobody answers.
        world.provider.rule(on("lookup"), answering("never", &json!("close")), None).await;
        let lost = answering("first", &json!("close"));
        world.provider.rule(on("sale"), lost, Some(1)).await;
        let told = world.charge(1_000, &["first"]).await.payment;
        assert_eq!(verdict(&told), "in doubt at 1: unknown");
        // Nor whoever looks when that task has left the payment alone.
        let asked = told.attempts[0].checks.len();
        world.look_until(told.id, |seen| seen.attempts[0].checks.len() > asked).await;
        let account = world.engine.account(world.caller.merchant, "first").await.unwrap().unwrap();
        let event = WebhookEvent {
            name: "payment.created".to_owned(),
            id: None,
            subject: EventSubject::Purchase,
            reference: Some(told.attempts[0].reference.clone()),
            provider_reference: None,
            payment_reference: None,
            finding: Finding::Inconclusive,
        };
        world.engine.hear(&account, &event, b"{\"told\": 1}").await.unwrap();
        world.provider.forget_rules().await;
        world.provider.rule(on("lookup"), answering("never", &status(500)), Some(2)).await;
        world.look_until(told.id, |seen| !seen.has_open_calls()).await;
        let settled = world.stored(told.id).await.unwrap();
        assert_eq!(verdict(&settled), "approved at 1");
        // A look-up that had no answer rests on nothing; how many of those there are is up to the machine.
        let checks = &settled.attempts[0].checks;
        let (answered, silent): (Vec<_>, Vec<_>) =
            checks.iter().partition(|check| check.evidence.is_some());
        assert!(!silent.is_empty(), "{checks:?}");
        let rests: Vec<_> = answered
            .iter()
            .map(|check| check.evidence.as_ref().map(|rest| (rest.kind, rest.status)))
            .collect();
        let asked = |status| Some((EvidenceKind::LookUp, Some(status)));
        let told_us = Some((EvidenceKind::Webhook, None));
        assert_eq!(rests, [told_us, asked(500), asked(500), asked(200)]);
        let hashes: Vec<_> =
            checks.iter().filter_map(|check| Some(check.evidence.as_ref()?.hash.clone())).collect();
        assert!(hashes.iter().all(|hash| hash.len() == 64), "{hashes:?}");
        assert_eq!(hashes[1], hashes[2], "the same answer has the same hash");
        assert!(hashes[0] != hashes[1] && hashes[2] != hashes[3], "{hashes:?}");
        let cited = world.cited(&settled).await;
        let names: Vec<_> = cited.iter().map(|(_, next)| *next).collect();
        assert_eq!(names, ["checked", "checked", "checked", "concluded"]);
        assert!(cited.iter().map(|(evidence, _)| &evidence.hash).eq(&hashes));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_a_repeat_is_named_as_one() {
    let world = World::with(setup(true)).await;
    let lost = answering("never", &json!("close"));
    world.provider.rule(on("sale"), lost, Some(1)).await;
    let told = world.charge(1_000, &["first"]).await.payment;
    assert_eq!(verdict(&told), "approved at 1");
    let cited = world.cited(&told).await;
    let kinds: Vec<_> = cited.iter().map(|(rest, next)| (rest.kind, rest.status, *next)).collect();
    let look_up = (EvidenceKind::LookUp, Some(200), "checked");
    assert_eq!(kinds, [look_up, (EvidenceKind::Replay, Some(201), "concluded")], "{told:?}");
}
