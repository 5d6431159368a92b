//! Payments that were made at the provider without us: taken over where the account allows it, once, as they
//! are, and then guarded like any other.

use std::sync::Arc;

use baton_engine::{Answered, Brought, EngineError, ListFilter, Target};
use baton_flow::{CallState, OrderKind, Payment, Refusal};
use baton_store::Store;
use baton_types::outcome::Outcome;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{Setup, World, engine_on, key, sums, usd};

const CARD: &str = "4111111111111111";

/// A payment that somebody else makes at the sandbox: its id there.
async fn made(world: &World, account: &str, value: i64, capture: bool, card: &str) -> String {
    let body = json!({
        "reference": "shop-7", "amount": {"value": value, "currency": "USD"}, "capture": capture,
        "card": {"number": card, "exp_month": 12, "exp_year": 2040, "cvv": "123"},
        "metadata": {"payment": "elsewhere"},
    });
    let made = world.provider.ask("POST", &payments(account, ""), Some(body)).await;
    made["id"].as_str().unwrap().to_owned()
}

fn payments(account: &str, rest: &str) -> String {
    format!("/sandbox/{account}/payments{rest}")
}

fn at(account: &str, reference: &str) -> Target {
    Target {
        account: Some(account.to_owned()),
        reference: Some(reference.to_owned()),
        merchant_ref: None,
        card: None,
        brought: Brought::default(),
    }
}

async fn status(world: &World, account: &str, reference: &str) -> Result<Answered, EngineError> {
    world.engine.status(world.caller, &at(account, reference)).await
}

/// All payments that we have.
async fn stored(world: &World) -> Vec<Payment> {
    world.engine.list(world.caller, ListFilter::default(), 100).await.unwrap().0
}

fn approved(result: &Result<Answered, EngineError>) -> bool {
    result.as_ref().is_ok_and(|answered| {
        let call = answered.payment.call(answered.call).unwrap();
        matches!(&call.state, CallState::Final { outcome: Outcome::Approved { .. }, .. })
    })
}

#[tokio::test]
async fn a_foreign_hold_is_taken_over_in_one_commit_and_lives_on_like_our_own() {
    for world in World::on_all_stores().await {
        let id = made(&world, "open", 1_000, false, CARD).await;
        let before = world.store.commits();
        let known = status(&world, "open", &id).await.unwrap().payment;
        assert_eq!(world.store.commits(), before + 1);
        assert!(known.order.imported && known.version == 1 && !known.has_open_calls());
        assert_eq!(
            (known.order.kind, known.status()),
            (OrderKind::Authorize(usd(1_000)), "authorized")
        );
        // From now on it is found without the provider, and without its account's name.
        let down = json!({"fault": {"commit": "never", "answer": "close"}});
        world.provider.rule(json!({"operation": "lookup"}), down, None).await;
        let again = Target { account: None, ..at("open", &id) };
        let again = world.engine.status(world.caller, &again).await.unwrap().payment;
        assert_eq!((again.id, world.store.commits()), (known.id, before + 1));

        let target = at("open", &id);
        let engine = &world.engine;
        let captured = engine.capture(world.caller, &target, usd(600), key("k", b"one")).await;
        assert!(approved(&captured), "{captured:?}");
        let again =
            engine.capture(world.caller, &target, usd(600), key("k", b"one")).await.unwrap();
        assert!(again.replayed, "the same key is the same capture");
        let too_much = engine.capture(world.caller, &target, usd(401), None).await.unwrap_err();
        assert_eq!(too_much, EngineError::Refused(Refusal::TooMuch { available: usd(400) }));
        assert!(approved(&engine.refund(world.caller, &target, usd(250), None).await));
        let voided = engine.void(world.caller, &target, usd(1_000), None).await.unwrap_err();
        assert_eq!(voided, EngineError::Refused(Refusal::AlreadyCaptured));
        let ours = world.stored(known.id).await.unwrap();
        assert_eq!((sums(&ours), ours.status()), ((600, 250), "partially_refunded"));
        let [row] = &world.provider.books().await[..] else { panic!("one payment") };
        assert_eq!((row.captured, row.refunded, row.times_executed), (600, 250, 1));
        assert_eq!(stored(&world).await.len(), 1);
    }
}

/// What was done to a payment before we know it, what it is then here, and what may be given back.
#[tokio::test]
async fn what_was_done_before_counts() {
    let world = World::memory().await;
    let part = |value: i64| json!({"amount": value});
    type Row<'a> = (bool, &'a [(&'a str, Value)], &'a str, (i64, i64), i64);
    let rows: [Row<'_>; 6] = [
        (true, &[], "captured", (1_000, 0), 1_000),
        (true, &[("refunds", part(300))], "partially_refunded", (1_000, 300), 700),
        (true, &[("refunds", part(1_000))], "refunded", (1_000, 1_000), 0),
        (false, &[("captures", part(400))], "partially_captured", (400, 0), 400),
        (
            false,
            &[("captures", part(400)), ("captures", part(600)), ("refunds", part(1))],
            "partially_refunded",
            (1_000, 1),
            999,
        ),
        (false, &[("voids", json!({}))], "voided", (0, 0), 0),
    ];
    for (sale, done, stands, totals, left) in rows {
        let id = made(&world, "open", 1_000, sale, CARD).await;
        for (what, body) in done {
            let path = payments("open", &format!("/{id}/{what}"));
            world.provider.ask("POST", &path, Some(body.clone())).await;
        }
        let known = status(&world, "open", &id).await.unwrap().payment;
        assert_eq!((known.status(), sums(&known)), (stands, totals), "{done:?}");
        let target = at("open", &id);
        let more = world.engine.refund(world.caller, &target, usd(left + 1), None).await;
        assert!(matches!(more, Err(EngineError::Refused(_))), "{more:?}");
        if left > 0 {
            let rest = world.engine.refund(world.caller, &target, usd(left), None).await;
            assert!(approved(&rest), "{rest:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_allowed_not_there_or_not_clear_is_not_stored() {
    let world = World::memory().await;
    let (open, closed) =
        (made(&world, "open", 700, true, CARD).await, made(&world, "first", 700, true, CARD).await);
    let declined = made(&world, "open", 700, true, "4000000000000002").await;
    let pending = json!({"verdict": {"pending": {"after_ms": 600_000, "then": null}}});
    world.provider.rule(json!({"account": "open", "operation": "sale"}), pending, Some(1)).await;
    let pending = made(&world, "open", 700, true, CARD).await;
    let before = world.store.commits();
    let refund = |target: Target| {
        let engine = world.engine.clone();
        async move { engine.refund(world.caller, &target, usd(1), None).await.map(|_| ()) }
    };
    let nowhere = Target { account: None, ..at("open", &open) };
    let by_merchant =
        Target { reference: None, merchant_ref: Some("shop-7".to_owned()), ..at("open", &open) };
    let our_id = baton_engine::new_id::<baton_types::id::kind::Payment>(world.clock.as_ref());
    let rows = [
        (at("first", &closed), EngineError::NotFound),
        (nowhere, EngineError::NotFound),
        (by_merchant, EngineError::NotFound),
        (at("nobody", &open), EngineError::UnknownAccount { index: 0 }),
        (at("open", "sp_0"), EngineError::NotFound),
        (at("open", "sp_01M0000000000000000000000"), EngineError::NotFound),
        (at("open", "pi_1"), EngineError::NotFound),
        (at("open", "sp_1/../../admin"), EngineError::NotFound),
        (at("open", &our_id.to_string()), EngineError::NotFound),
        (at("open", &declined), EngineError::NotFound),
        (at("open", &pending), EngineError::NoAnswer),
        // Somewhere else it is somebody else's.
        (at("open-stripe", &open), EngineError::NotFound),
    ];
    for (target, want) in rows {
        assert_eq!(refund(target.clone()).await, Err(want), "{target:?}");
    }
    let mut live = world.caller;
    live.sandbox = false;
    let of_a_live_key = world.engine.status(live, &at("open", &open)).await.err();
    assert_eq!(of_a_live_key, Some(EngineError::WrongMode { index: 0, test: true }));
    // A provider that is away, slow to say something, or says something else.
    for action in [
        json!({"fault": {"commit": "never", "answer": "close"}}),
        json!({"fault": {"commit": "never", "answer": "garbage"}}),
        json!({"fault": {"commit": "never", "answer": "hang"}}),
        json!({"fault": {"commit": "never", "answer": {"status": {"status": 503}}}}),
        json!({"refuse": {"status": 401, "code": "unauthorized"}}),
        json!({"refuse": {"status": 404, "code": "no_such_path"}}),
    ] {
        world.provider.rule(json!({"operation": "lookup"}), action.clone(), Some(1)).await;
        let got = refund(at("open", &open)).await;
        assert_eq!(got, Err(EngineError::NoAnswer), "{action}");
    }
    assert_eq!((world.store.commits(), stored(&world).await.len()), (before, 0));
    assert!(world.provider.books().await.iter().all(|row| row.refunded == 0));
    refund(at("open", &open)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_on_two_nodes_take_over_one_payment_and_no_more_than_it_holds() {
    for world in World::on_all_stores().await {
        let mut setup = Setup::default();
        setup.engine.node = "node-2".to_owned();
        let store = Arc::clone(&world.store) as Arc<dyn Store>;
        let (other, _) = engine_on(store, &world.clock, world.provider, setup).await;
        let id = made(&world, "open", 1_000, true, CARD).await;
        let target = at("open", &id);
        let results = join_all((0..20).map(|number| {
            let engine = if number % 2 == 0 { &world.engine } else { &other };
            engine.refund(world.caller, &target, usd(300), None)
        }))
        .await;
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(matches!(error, EngineError::Refused(Refusal::TooMuch { .. })), "{error:?}");
        }
        assert_eq!(results.iter().filter(|result| approved(result)).count(), 3);
        let [ours] = &stored(&world).await[..] else { panic!("one payment") };
        assert_eq!((sums(ours), ours.refunds.len()), ((1_000, 900), 3));
        assert_eq!(world.provider.books().await[0].refunded, 900);
    }
}

#[tokio::test]
async fn one_payment_has_one_record_whatever_account_names_it() {
    let world = World::memory().await;
    let id = made(&world, "open", 1_000, true, CARD).await;
    let known = status(&world, "open", &id).await.unwrap().payment;
    // The same place under another name: the record is the first one's.
    assert_eq!(status(&world, "open-twin", &id).await.err(), Some(EngineError::NotFound));
    assert_eq!(stored(&world).await.len(), 1);

    // Our own payment, whose answer was lost: it is in doubt here, and nothing foreign.
    let lost = json!({"fault": {"commit": "first", "answer": "close"}});
    let sale = json!({"account": "open", "operation": "sale"});
    world.provider.rule(sale, lost, Some(1)).await;
    let down = json!({"fault": {"commit": "never", "answer": "close"}});
    // The window for its own look-ups: all of them fail.
    let look_up = json!({"account": "open", "operation": "lookup"});
    world.provider.rule(look_up, down, Some(400)).await;
    let engine = world.engine.clone();
    let charge = crate::world::purchase(OrderKind::Charge(usd(500)), &["open"]);
    let buying = tokio::spawn(async move { engine.purchase(world.caller, charge, None).await });
    let lost = loop {
        let page = world.provider.ask("GET", "/admin/books?limit=10", None).await;
        let rows = page["data"].as_array().unwrap().clone();
        let ours = rows.iter().find(|row| row["metadata"]["payment"] != "elsewhere");
        if let Some(row) = ours {
            break row["id"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    world.provider.ask("DELETE", "/admin/rules", None).await;
    let refund = |account: &'static str| {
        let (engine, target) = (world.engine.clone(), at(account, &lost));
        async move { engine.refund(world.caller, &target, usd(100), None).await }
    };
    let twin = refund("open-twin").await.err();
    assert_eq!(twin, Some(EngineError::NotFound), "it was made at another account");
    let bought = buying.await.unwrap().unwrap().payment;
    let found = status(&world, "open", &lost).await.unwrap().payment;
    assert_eq!((found.id, found.order.imported), (bought.id, false));
    let ids: Vec<_> = stored(&world).await.iter().map(|payment| payment.id).collect();
    assert_eq!(ids.len(), 2, "{ids:?} {}", known.id);
}

#[tokio::test]
async fn a_stripe_intent_is_taken_over_with_its_refunds() {
    for world in World::on_all_stores().await {
        let intent = |capture: &'static str| {
            let form = format!(
                "amount=1000&currency=usd&capture_method={capture}&payment_method=pm_card_visa&confirm=true\
                 &metadata[reference]=shop-7&metadata[payment]=elsewhere"
            );
            let provider = world.provider;
            async move {
                let made =
                    provider.ask_with("POST", "/stripe/stripe/v1/payment_intents", &form).await;
                made["id"].as_str().unwrap().to_owned()
            }
        };
        let (sale, hold, captured) =
            (intent("automatic").await, intent("manual").await, intent("manual").await);
        let refund = format!("payment_intent={sale}&amount=300");
        world.provider.ask_with("POST", "/stripe/stripe/v1/refunds", &refund).await;
        let capture = format!("/stripe/stripe/v1/payment_intents/{captured}/capture");
        world.provider.ask_with("POST", &capture, "amount_to_capture=400").await;
        let rows = [
            (&sale, "partially_refunded", (1_000, 300)),
            (&hold, "authorized", (0, 0)),
            (&captured, "partially_captured", (400, 0)),
        ];
        for (id, stands, totals) in rows {
            let known = status(&world, "open-stripe", id).await.unwrap().payment;
            assert_eq!((known.status(), sums(&known)), (stands, totals), "{id}");
        }
        let (engine, caller) = (&world.engine, world.caller);
        let more = engine.refund(caller, &at("open-stripe", &sale), usd(701), None).await;
        assert!(matches!(more, Err(EngineError::Refused(Refusal::TooMuch { .. }))), "{more:?}");
        assert!(approved(&engine.refund(caller, &at("open-stripe", &sale), usd(700), None).await));
        assert!(approved(&engine.void(caller, &at("open-stripe", &hold), usd(1_000), None).await));
        let rest = engine.refund(caller, &at("open-stripe", &captured), usd(400), None).await;
        assert!(approved(&rest), "{rest:?}");
        let missing = status(&world, "open-stripe", "pi_0").await.err();
        assert_eq!(missing, Some(EngineError::NotFound));
    }
}
