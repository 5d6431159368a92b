//! Authorizations of nothing, which only verify their card, and raises of what is held: at every provider, with lost
//! answers and crashes.

use std::time::Duration;

use baton_engine::Change;
use baton_flow::{OrderKind, Payment, amounts};
use baton_store::Write;
use baton_types::PaymentId;
use serde_json::{Value, json};

use crate::probe::Act;
use crate::world::{Setup, World, by_id, purchase, stored, usd, verdict};

const KINDS: [&str; 3] = ["first", "stripe", "adyen"];

async fn verify(world: &World, at: &str) -> Payment {
    let made = world.buy(OrderKind::Authorize(usd(0)), &[at]).await.unwrap();
    Payment::clone(&made.payment)
}

#[tokio::test]
async fn a_card_is_verified_at_every_provider_and_no_money_moves() {
    let world = World::memory().await;
    for at in KINDS {
        assert_eq!(verdict(&verify(&world, at).await), "approved at 1", "{at}");
    }
    let decline = json!({"verdict": {"decline": "do_not_honor"}});
    world.provider.rule(json!({"operation": "authorize"}), decline, None).await;
    for at in KINDS {
        assert_eq!(verdict(&verify(&world, at).await), "declined at 1", "{at}");
    }
    let books = world.provider.books().await;
    assert_eq!(books.len(), 6);
    assert!(books.iter().all(|row| !row.is_live() && row.captured == 0), "{books:?}");
    // Nothing of it can be taken.
    let id = verify(&World::memory().await, "first").await.id;
    assert!(world.capture(id, 1).await.is_err());
}

/// Lost answers, and what each provider is found to have done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_looked_up_and_what_was_not_done_is_cancelled() {
    let close = |commit: Value| json!({"fault": {"commit": commit, "answer": "close"}});
    let late = json!({"late": {"after_ms": 700}});
    let rows = [
        ("first", close(json!("first")), "approved at 1"),
        ("first", close(json!("never")), "Fenced at 1: InDoubt"),
        ("first", close(late.clone()), "Fenced at 1: InDoubt"),
        ("stripe", close(json!("first")), "approved at 1"),
        ("stripe", close(json!("never")), "Voided at 1: InDoubt"),
        ("stripe", close(late), "Voided at 1: InDoubt"),
        // It cannot be asked: its webhook tells.
        ("adyen", close(json!("first")), "in doubt at 1: unknown"),
    ];
    let each = rows.into_iter().map(|(at, fault, want)| async move {
        let mut setup = Setup::default();
        setup.engine.failover_window_ms = 6_000;
        let world = World::with(setup).await;
        world.provider.rule(json!({"operation": "authorize"}), fault.clone(), None).await;
        let made = verify(&world, at).await;
        assert_eq!(verdict(&made), want, "{at} {fault}");
        tokio::time::sleep(Duration::from_millis(900)).await;
        let books = world.provider.books().await;
        assert!(books.iter().all(|row| !row.is_live()), "{at} {fault} {books:?}");
        world.provider.assert_nothing_twice().await;
    });
    futures_util::future::join_all(each).await;
}

/// A challenge that nobody is there to take is cancelled at the provider.
#[tokio::test]
async fn a_challenge_without_a_payer_ends_at_the_provider() {
    let world = World::memory().await;
    let challenge = json!({"verdict": {"challenge": {"abandoned": false}}});
    world.provider.rule(json!({"operation": "authorize"}), challenge, None).await;
    for at in ["first", "stripe"] {
        assert_eq!(verdict(&verify(&world, at).await), "Voided at 1: ActionRequired", "{at}");
    }
    assert!(world.provider.books().await.iter().all(|row| row.voided));
}

/// A process dies at this commit of a payment, just after it or before; what another one finds in the end, and how much is
/// held then by our books and by the provider's.
async fn dies(world: &World, (number, act): (usize, Act), raise: bool) -> (String, i64, Vec<i64>) {
    let id = std::sync::Arc::new(std::sync::Mutex::new(None::<PaymentId>));
    let seen = std::sync::Arc::clone(&id);
    world.store.script(move |no, set| {
        for write in &set.writes {
            if let Write::Payment(row) = write {
                *seen.lock().unwrap() = Some(row.id);
            }
        }
        if no == number { act.clone() } else { Act::Pass }
    });
    let whole = if raise { 1_000 } else { 0 };
    let asked = async {
        let asked = purchase(OrderKind::Authorize(usd(whole)), &["first"]);
        let made = world.engine.purchase(world.caller, asked, None).await.unwrap();
        let more = Change::Increment(usd(1_500));
        world.engine.change_alongside(world.caller, made.payment.id, more, None).await
    };
    assert!(tokio::time::timeout(Duration::from_millis(1_500), asked).await.is_err());
    world.store.script(|_, _| Act::Pass);
    let id = id.lock().unwrap().unwrap();
    let node = world.another_node().await;
    node.start();
    let mut found = None;
    for _ in 0..60 {
        world.clock.jump(20_000);
        node.status(world.caller, &by_id(id)).await.unwrap();
        let payment = stored(world.store.as_ref(), world.caller, id).await.unwrap();
        let is_open = payment.has_open_calls();
        found = Some(payment);
        if !is_open {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    node.shut_down(Duration::from_secs(5)).await;
    let payment = found.unwrap();
    assert!(!payment.has_open_calls(), "{payment:?}");
    let held = amounts::of(&payment).map_or(0, |sums| sums.authorized.minor());
    let booked = world.provider.books().await.iter().map(|row| row.authorized).collect();
    (verdict(&payment), held, booked)
}

/// When the plan is durable and its call has not left, and when the call was answered and that is not recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dies_over_a_new_call_leaves_it_to_be_looked_up_on_every_store() {
    let rows = [
        (1, Act::DieAfter, false, "Fenced at 1: InDoubt", 0, vec![]),
        (2, Act::DieBefore, false, "approved at 1", 0, vec![0]),
        (3, Act::DieAfter, true, "approved at 1", 1_000, vec![1_000]),
        (4, Act::DieBefore, true, "approved at 1", 1_500, vec![1_500]),
    ];
    for (number, act, raise, end, held, booked) in rows {
        for world in World::on_all_stores().await {
            let got = dies(&world, (number, act.clone()), raise).await;
            assert_eq!(got, (end.to_owned(), held, booked.clone()), "dies at commit {number}");
        }
    }
}
