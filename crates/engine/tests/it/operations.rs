//! Every operation on every store, and who may not do it.

use baton_engine::{EngineError, Target, measure_waits};
use baton_flow::{CallId, OrderKind, Refusal};
use baton_types::outcome::Outcome;
use serde_json::json;

use crate::world::{VISA, World, by_id, card, purchase, sums, usd, verdict};

fn outcome_class(answered: &baton_engine::Answered) -> &'static str {
    let call = answered.payment.call(answered.call).unwrap();
    match &call.state {
        baton_flow::CallState::Final { outcome, .. } => outcome.class(),
        state => panic!("{state:?}"),
    }
}

#[tokio::test]
async fn a_hold_is_captured_in_parts_and_refunded_in_parts() {
    for world in World::on_all_stores().await {
        let (held, waited) = measure_waits(Box::pin(world.authorize(1_000, &["first"]))).await;
        let id = held.payment.id;
        assert_eq!(
            (verdict(&held.payment).as_str(), held.payment.status()),
            ("approved at 1", "authorized")
        );
        assert!(!held.replayed && waited.as_micros() > 0);
        for (number, minor) in [(1, 300), (2, 600)] {
            let captured = world.capture(id, minor).await.unwrap();
            assert_eq!(captured.call, CallId::Capture(number));
            assert_eq!(outcome_class(&captured), "approved");
        }
        assert_eq!(
            world.capture(id, 101).await.unwrap_err(),
            EngineError::Refused(Refusal::TooMuch { available: usd(100) })
        );
        assert_eq!(
            world.capture(id, 0).await.unwrap_err(),
            EngineError::Refused(Refusal::NotPositive)
        );
        let voided = world.void(id, 1_000).await.unwrap_err();
        assert_eq!(voided, EngineError::Refused(Refusal::AlreadyCaptured));
        for (number, minor) in [(1, 1), (2, 499), (3, 400)] {
            let refunded = world.refund(id, minor).await.unwrap();
            assert_eq!(refunded.call, CallId::Refund(number));
            assert_eq!(outcome_class(&refunded), "approved");
        }
        assert!(matches!(
            world.refund(id, 1).await.unwrap_err(),
            EngineError::Refused(Refusal::TooMuch { .. })
        ));
        let status = world.status(id).await.payment;
        assert_eq!((status.status(), sums(&status)), ("refunded", (900, 900)));
        let [row] = &world.provider.books().await[..] else { panic!("one payment") };
        assert_eq!((row.authorized, row.captured, row.refunded), (1_000, 900, 900));
        assert_eq!(row.payment, id.to_string());
        world.provider.assert_nothing_twice().await;
    }
}

#[tokio::test]
async fn a_hold_and_a_fresh_charge_can_be_voided_as_a_whole_and_once() {
    for world in World::on_all_stores().await {
        for kind in [OrderKind::Authorize(usd(700)), OrderKind::Charge(usd(700))] {
            let id = world.buy(kind, &["first"]).await.unwrap().payment.id;
            assert_eq!(
                world.void(id, 699).await.unwrap_err(),
                EngineError::NotTheWhole { whole: usd(700) }
            );
            let voided = world.void(id, 700).await.unwrap();
            assert_eq!((voided.call, outcome_class(&voided)), (CallId::Void(1), "approved"));
            assert_eq!(voided.payment.status(), "voided");
            assert_eq!(
                world.void(id, 700).await.unwrap_err(),
                EngineError::Refused(Refusal::AlreadyVoided)
            );
            assert_eq!(
                world.refund(id, 1).await.unwrap_err(),
                EngineError::Refused(Refusal::AlreadyVoided)
            );
        }
        let books = world.provider.books().await;
        assert_eq!(books.len(), 2);
        assert!(books.iter().all(|row| row.voided && !row.is_live()), "{books:?}");
    }
}

#[tokio::test]
async fn a_modification_that_the_provider_declines_leaves_everything_as_it_was() {
    let world = World::memory().await;
    let id = world.authorize(1_000, &["first"]).await.payment.id;
    let decline = json!({"verdict": {"decline": "do_not_honor"}});
    world.provider.rule(json!({"operation": "capture"}), decline.clone(), Some(1)).await;
    let declined = world.capture(id, 600).await.unwrap();
    assert_eq!(outcome_class(&declined), "declined");
    assert_eq!((declined.payment.status(), sums(&declined.payment)), ("authorized", (0, 0)));
    world.capture(id, 1_000).await.unwrap();
    world.provider.rule(json!({"operation": "refund"}), decline, Some(1)).await;
    let declined = world.refund(id, 400).await.unwrap();
    assert_eq!((outcome_class(&declined), sums(&declined.payment)), ("declined", (1_000, 0)));
    assert_eq!(sums(&world.refund(id, 1_000).await.unwrap().payment), (1_000, 1_000));
}

#[tokio::test]
async fn a_lost_answer_to_a_modification_is_found_and_counts_against_what_is_left() {
    let world = World::memory().await;
    let id = world.charge(1_000, &["first"]).await.payment.id;
    let lost = json!({"fault": {"commit": "first", "answer": "close"}});
    world.provider.rule(json!({"operation": "refund"}), lost, Some(1)).await;
    let found = world.refund(id, 600).await.unwrap();
    assert_eq!((outcome_class(&found), sums(&found.payment)), ("approved", (1_000, 600)));

    let lost = json!({"fault": {"commit": "never", "answer": "close"}});
    world.provider.rule(json!({"operation": "refund"}), lost, Some(1)).await;
    world.clock.jump(60_000);
    let doubtful = world.refund(id, 400).await.unwrap();
    assert!(!doubtful.payment.call(CallId::Refund(2)).unwrap().is_concluded());
    assert!(matches!(
        world.refund(id, 1).await.unwrap_err(),
        EngineError::Refused(Refusal::TooMuch { .. })
    ));
    let settled = world.settle(id).await.payment;
    assert!(!settled.has_open_calls(), "{settled:?}");
    assert_eq!(sums(&world.refund(id, 400).await.unwrap().payment), (1_000, 1_000));
}

#[tokio::test]
async fn a_token_is_made_and_pays_where_it_was_made() {
    for world in World::on_all_stores().await {
        let made = world.buy(OrderKind::Tokenize, &["first"]).await.unwrap();
        assert_eq!(made.payment.status(), "tokenized");
        let call = made.payment.call(made.call).unwrap();
        let baton_flow::CallState::Final { outcome: Outcome::Approved { amount, answer }, .. } =
            &call.state
        else {
            panic!("{call:?}")
        };
        assert_eq!(*amount, None);
        let token = answer.token.clone().unwrap();
        let mut paid = purchase(OrderKind::Charge(usd(500)), &["first"]);
        paid.card = None;
        paid.provider_token = Some(token.clone());
        let paid = world.engine.purchase(world.caller, paid, None).await.unwrap();
        assert_eq!(paid.payment.status(), "captured");

        let mut elsewhere = purchase(OrderKind::Charge(usd(500)), &["second"]);
        elsewhere.card = None;
        elsewhere.provider_token = Some(token);
        let refused = world.engine.purchase(world.caller, elsewhere, None).await.unwrap();
        assert_eq!(verdict(&refused.payment), "refused at 1");
        assert_eq!(world.provider.executed().await, ["first"]);
    }
}

#[tokio::test]
async fn a_payment_is_found_by_every_reference_that_it_has() {
    for world in World::on_all_stores().await {
        let mut order = purchase(OrderKind::Authorize(usd(1_000)), &["first"]);
        order.merchant_ref = Some("order-7".to_owned());
        let older = world.engine.purchase(world.caller, order, None).await.unwrap();
        // References are ordered by the millisecond.
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        let mut order = purchase(OrderKind::Authorize(usd(1_000)), &["second"]);
        order.merchant_ref = Some("order-7".to_owned());
        let newer = world.engine.purchase(world.caller, order, None).await.unwrap();
        let captured = world.capture(newer.payment.id, 400).await.unwrap();
        let reference = |answered: &baton_engine::Answered| {
            let call = answered.payment.call(answered.call).unwrap();
            match &call.state {
                baton_flow::CallState::Final { outcome, .. } => {
                    outcome.answer().unwrap().reference.clone()
                }
                state => panic!("{state:?}"),
            }
        };
        let target =
            |account: Option<&str>, reference: Option<String>, merchant_ref: Option<&str>| Target {
                account: account.map(str::to_owned),
                reference,
                merchant_ref: merchant_ref.map(str::to_owned),
                card: None,
                brought: baton_engine::Brought::default(),
            };
        let (old, new) = (older.payment.id, newer.payment.id);
        let rows = [
            (target(None, Some(new.to_string()), None), Some((new, CallId::Attempt(1)))),
            (target(Some("second"), Some(new.to_string()), None), Some((new, CallId::Attempt(1)))),
            (target(Some("first"), Some(new.to_string()), None), None),
            (target(None, reference(&newer), None), Some((new, CallId::Attempt(1)))),
            (target(Some("second"), reference(&captured), None), Some((new, CallId::Capture(1)))),
            (target(Some("first"), reference(&newer), None), None),
            (target(None, None, Some("order-7")), Some((new, CallId::Attempt(1)))),
            (target(Some("first"), None, Some("order-7")), Some((old, CallId::Attempt(1)))),
            (target(None, None, Some("order-8")), None),
            (target(None, Some("order-7".to_owned()), None), None),
            (target(None, None, None), None),
        ];
        for (target, expected) in rows {
            let found = world.engine.status(world.caller, &target).await;
            let found = found.map(|answered| (answered.payment.id, answered.call));
            assert_eq!(found.ok(), expected, "{target:?}");
        }
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_carried_out_reaches_no_provider_and_leaves_no_trace() {
    let world = World::memory().await;
    let id = world.charge(1_000, &["first"]).await.payment.id;
    let before = (world.store.commits(), world.provider.books().await.len());
    let charge = OrderKind::Charge(usd(1_000));
    let unknown = |index| Some(EngineError::UnknownAccount { index });
    let live_account = Some(EngineError::WrongMode { index: 1, test: false });
    assert_eq!(world.buy(charge, &["first", "nobody"]).await.err(), unknown(1));
    assert_eq!(world.buy(charge, &[]).await.err(), unknown(0));
    assert_eq!(world.buy(charge, &["first", "live"]).await.err(), live_account);

    let mut live = world.caller;
    live.sandbox = false;
    let bought = world.engine.purchase(live, purchase(charge, &["first"]), None).await;
    assert_eq!(bought.err(), Some(EngineError::WrongMode { index: 0, test: true }));
    // A live key knows nothing of a sandbox payment, however it is named.
    let refund = |caller, target: Target| {
        let engine = world.engine.clone();
        async move { engine.refund(caller, &target, usd(1), None).await }
    };
    assert_eq!(refund(live, by_id(id)).await.err(), Some(EngineError::NotFound));
    let at_first = Target { account: Some("first".to_owned()), ..by_id(id) };
    let refused = refund(live, at_first).await.err();
    assert_eq!(refused, Some(EngineError::WrongMode { index: 0, test: true }));

    let with_card = |number| Target { card: Some(card(number, "737").masked()), ..by_id(id) };
    let other = refund(world.caller, with_card("4242424242424242")).await.err();
    assert_eq!(other, Some(EngineError::OtherCard));
    let nobodys = by_id(baton_engine::new_id(world.clock.as_ref()));
    assert_eq!(refund(world.caller, nobodys).await.err(), Some(EngineError::NotFound));
    assert_eq!((world.store.commits(), world.provider.books().await.len()), before);
    let same = refund(world.caller, with_card(VISA)).await.unwrap();
    assert_eq!(outcome_class(&same), "approved");
}

#[tokio::test]
async fn what_a_connector_does_not_claim_is_never_sent() {
    let world = World::memory().await;
    let answered = world.buy(OrderKind::Tokenize, &["test-success", "test-failure"]).await.unwrap();
    assert_eq!(verdict(&answered.payment), "not_sent at 2");
    assert_eq!(answered.payment.version, 1, "planned and concluded in one commit");
    let answered = world.buy(OrderKind::Tokenize, &["test-success", "first"]).await.unwrap();
    assert_eq!(verdict(&answered.payment), "approved at 2");
}
