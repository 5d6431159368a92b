//! Failover between the connectors of Stripe and Adyen, each in its own dialect of the simulated provider.
//!
//! The provider honours no idempotency keys here: what is sent twice is executed twice, and shows.

use baton_connect::{
    Challenge, Cx, EventSubject, Freshness, HttpReply, Incoming, LookUp, Looked, Question,
    Returned, Subject, WebhookEvent,
};
use baton_engine::{Change, Heard};
use baton_flow::{OrderKind, Payment, amounts};
use baton_types::outcome::{Answer, Finding, NextAction, Outcome};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{HMAC_KEY, Setup, World, by_id, purchase, sums, usd, verdict};

/// What one operation at the first account does, what the client is told of the list in the end, and
/// which accounts executed a payment.
struct Row(&'static str, &'static str, Value, &'static str, &'static [&'static str]);

const STRIPE: &[&str] = &["stripe"];
const ADYEN: &[&str] = &["adyen"];
const BOTH: &[&str] = &["adyen", "stripe"];
const NOBODY: &[&str] = &[];

fn fault(commit: &Value, answer: &Value) -> Value {
    json!({"fault": {"commit": commit, "answer": answer}})
}

fn decline(code: &str) -> Value {
    json!({"verdict": {"decline": code}})
}

fn status(status: u16) -> Value {
    json!({"status": {"status": status}})
}

fn refuse(status: u16, code: &str) -> Value {
    json!({"refuse": {"status": status, "code": code}})
}

fn pending(then: &Value) -> Value {
    json!({"verdict": {"pending": {"after_ms": 700, "then": then}}})
}

/// `pay` stands for the call that moves money: `sale` or `authorize`.
fn stripe_first() -> Vec<Row> {
    let (never, first, late) = (json!("never"), json!("first"), json!({"late": {"after_ms": 700}}));
    let [close, garbage, hang] = ["close", "garbage", "hang"].map(Value::from);
    vec![
        Row("approves", "pay", json!({}), "approved at 1", STRIPE),
        // A call that only prepares: whatever becomes of it, nothing was charged and nothing will be.
        Row("intent 500", "create", fault(&never, &status(500)), "approved at 2", ADYEN),
        Row("intent made, 500", "create", fault(&first, &status(500)), "approved at 2", ADYEN),
        Row("intent 429", "create", fault(&never, &status(429)), "approved at 2", ADYEN),
        Row("intent lost", "create", fault(&first, &close), "approved at 2", ADYEN),
        Row("card hangs", "tokenize", fault(&never, &hang), "approved at 2", ADYEN),
        Row("card garbage", "tokenize", fault(&first, &garbage), "approved at 2", ADYEN),
        // The confirmation was refused: nothing was attempted.
        Row("429", "pay", fault(&never, &status(429)), "approved at 2", ADYEN),
        Row("400", "pay", refuse(400, "parameter_invalid"), "approved at 2", ADYEN),
        Row("401", "pay", refuse(401, ""), "approved at 2", ADYEN),
        Row("403", "pay", refuse(403, ""), "approved at 2", ADYEN),
        // Declined: by whom decides.
        Row("issuer declines", "pay", decline("insufficient_funds"), "declined at 1", STRIPE),
        Row("risk declines", "pay", decline("risk_blocked"), "declined at 1", STRIPE),
        // The answer is lost: the intent shows what happened.
        Row("500 after commit", "pay", fault(&first, &status(500)), "approved at 1", STRIPE),
        Row("dropped after commit", "pay", fault(&first, &close), "approved at 1", STRIPE),
        Row("garbage", "pay", fault(&first, &garbage), "approved at 1", STRIPE),
        Row("hangs after commit", "pay", fault(&first, &hang), "approved at 1", STRIPE),
        Row("pending, approved", "pay", pending(&json!(null)), "approved at 1", STRIPE),
        Row("pending, declined", "pay", pending(&json!("do_not_honor")), "declined at 1", STRIPE),
        // It never arrived, or not yet: the cancelled intent refuses it, and the next is tried at once.
        Row("500", "pay", fault(&never, &status(500)), "approved at 2", ADYEN),
        Row("dropped", "pay", fault(&never, &close), "approved at 2", ADYEN),
        Row("hangs", "pay", fault(&never, &hang), "approved at 2", ADYEN),
        Row("dropped, then late", "pay", fault(&late, &close), "approved at 2", ADYEN),
        Row("504, then late", "pay", fault(&late, &status(504)), "approved at 2", ADYEN),
        // Nobody is there to be challenged: Stripe is asked to decline instead.
        Row(
            "challenge",
            "pay",
            json!({"verdict": {"challenge": {"abandoned": false}}}),
            "declined at 1",
            STRIPE,
        ),
    ]
}

fn adyen_first() -> Vec<Row> {
    let (never, first, late) = (json!("never"), json!("first"), json!({"late": {"after_ms": 700}}));
    let [close, garbage, hang] = ["close", "garbage", "hang"].map(Value::from);
    let doubt = "in doubt at 1: unknown";
    vec![
        Row("approves", "pay", json!({}), "approved at 1", ADYEN),
        Row("429", "pay", fault(&never, &status(429)), "approved at 2", STRIPE),
        // Adyen says that it has passed nothing on: transient-error.
        Row("503, transient", "pay", fault(&never, &status(503)), "approved at 2", STRIPE),
        Row("401", "pay", refuse(401, "000"), "approved at 2", STRIPE),
        Row("403", "pay", refuse(403, "901"), "approved at 2", STRIPE),
        Row("422", "pay", refuse(422, "137"), "approved at 2", STRIPE),
        Row("issuer declines", "pay", decline("insufficient_funds"), "declined at 1", ADYEN),
        Row("risk declines", "pay", decline("risk_blocked"), "declined at 1", ADYEN),
        Row("acquirer error", "pay", decline("system_malfunction"), "approved at 2", BOTH),
        Row("not submitted", "pay", decline("merchant_account_disabled"), "approved at 2", BOTH),
        // There is no look-up: the webhook will tell. Until then nobody else is asked.
        Row("422, key in use", "pay", refuse(422, "704"), doubt, NOBODY),
        Row("500", "pay", fault(&never, &status(500)), doubt, NOBODY),
        Row("500 after commit", "pay", fault(&first, &status(500)), doubt, ADYEN),
        Row("dropped", "pay", fault(&never, &close), doubt, NOBODY),
        Row("dropped after commit", "pay", fault(&first, &close), doubt, ADYEN),
        Row("dropped, then late", "pay", fault(&late, &close), doubt, ADYEN),
        Row("garbage", "pay", fault(&first, &garbage), doubt, ADYEN),
        Row("hangs", "pay", fault(&never, &hang), doubt, NOBODY),
    ]
}

async fn run(row: &Row, list: [&str; 2], kind: OrderKind) {
    let Row(name, operation, action, expected, executed) = row;
    let mut setup = Setup::default();
    // Long enough for the look-up that comes after two seconds, too short for the one after ten.
    setup.engine.failover_window_ms = 6_000;
    let world = World::with(setup).await;
    let pay = if matches!(kind, OrderKind::Charge(_)) { "sale" } else { "authorize" };
    let operation = if *operation == "pay" { pay } else { operation };
    let matches = json!({"account": list[0], "operation": operation});
    world.provider.rule(matches, action.clone(), None).await;
    let answered = world.buy(kind, &list).await.unwrap();
    let what = format!("{} first, {name}, {}", list[0], kind.as_str());
    assert_eq!(verdict(&answered.payment), *expected, "{what}");
    // What was to be executed late has been by now, or refused.
    tokio::time::sleep(std::time::Duration::from_millis(800)).await;
    let books = world.provider.books().await;
    // An intent that was never confirmed is no payment.
    let mut paid: Vec<&str> = books
        .iter()
        .filter(|row| row.status != "created")
        .map(|row| row.account.as_str())
        .collect();
    paid.sort_unstable();
    assert_eq!(paid, *executed, "{what}: {books:?}");
    world.provider.assert_nothing_twice().await;
    let live = books.iter().filter(|row| row.is_live()).count();
    assert!(live <= 1, "{what}: {books:?}");
    if expected.starts_with("approved") {
        assert_eq!(live, 1, "{what}: {books:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stripe_fails_in_every_way_and_adyen_is_next() {
    let table = stripe_first();
    for kind in [OrderKind::Charge(usd(1_000)), OrderKind::Authorize(usd(1_000))] {
        join_all(table.iter().map(|row| run(row, ["stripe", "adyen"], kind))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adyen_fails_in_every_way_and_stripe_is_next() {
    let table = adyen_first();
    for kind in [OrderKind::Charge(usd(1_000)), OrderKind::Authorize(usd(1_000))] {
        join_all(table.iter().map(|row| run(row, ["adyen", "stripe"], kind))).await;
    }
}

#[tokio::test]
async fn one_that_refuses_connections_is_passed_over_whichever_it_is() {
    let world = World::memory().await;
    let rows = [
        (["stripe-down", "adyen"], "approved at 2"),
        (["adyen-down", "stripe"], "approved at 2"),
        (["stripe-down", "adyen-down"], "not_sent at 2"),
    ];
    for (list, expected) in rows {
        assert_eq!(verdict(&world.charge(1_000, &list).await.payment), expected, "{list:?}");
    }
    assert_eq!(world.provider.executed().await, ["adyen", "stripe"]);
    world.provider.assert_nothing_twice().await;
}

/// The confirmation is late: it arrives after the intent was seen unconfirmed, and just before our cancel. Stripe tells
/// of the hold before the cancel is answered. What is told as approved must not be what the cancel releases.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_our_own_cancel_releases_is_not_told_as_approved() {
    let mut setup = Setup::default();
    setup.engine.failover_window_ms = 10_000;
    let world = std::sync::Arc::new(World::with(setup).await);
    let on = |operation: &str| json!({"account": "stripe", "operation": operation});
    let late = fault(&json!({"late": {"after_ms": 400}}), &json!("close"));
    world.provider.rule(on("authorize"), late, None).await;
    world.provider.rule(on("void"), json!({"latency_ms": 1_500}), None).await;
    let (buys, asked) = (std::sync::Arc::clone(&world), OrderKind::Authorize(usd(1_000)));
    let bought = tokio::spawn(async move { buys.buy(asked, &["stripe"]).await.unwrap() });
    // Until the hold is there, and the cancel under way.
    let held = async || world.provider.books().await.iter().any(|row| row.status == "authorized");
    while !held().await {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let id = baton_types::PaymentId::parse(&world.provider.books().await[0].payment).unwrap();
    let open = world.stored(id).await.unwrap();
    let account = world.engine.account(world.caller.merchant, "stripe").await.unwrap().unwrap();
    let outcome = Outcome::Approved { amount: Some(usd(1_000)), answer: Answer::default() };
    let event = WebhookEvent {
        name: "payment_intent.amount_capturable_updated".to_owned(),
        id: None,
        subject: EventSubject::Purchase,
        reference: Some(open.attempts[0].reference.clone()),
        provider_reference: None,
        payment_reference: None,
        finding: Finding::Found { outcome },
    };
    assert_eq!(world.engine.hear(&account, &event, b"{}").await, Ok(Heard::Taken));
    let told = world.status(id).await.payment;
    let is_live =
        async || world.provider.books().await.iter().any(crate::provider::Booked::is_live);
    assert!(is_live().await, "our cancel is still on its way");
    assert!(verdict(&told).starts_with("in doubt at 1"), "{}", verdict(&told));
    assert_eq!(verdict(&bought.await.unwrap().payment), "Voided at 1: InDoubt");
    assert!(!is_live().await);
}

#[tokio::test]
async fn stripe_captures_refunds_and_voids() {
    let world = World::memory().await;
    let id = world.authorize(1_000, &["stripe"]).await.payment.id;
    let captured = world.capture(id, 400).await.unwrap().payment;
    assert_eq!(sums(&captured), (400, 0));
    let refunded = world.refund(id, 150).await.unwrap().payment;
    assert_eq!(sums(&refunded), (400, 150));
    let [booked] = &world.provider.books().await[..] else { panic!("one payment") };
    assert_eq!((booked.captured, booked.refunded), (400, 150));

    let held = world.authorize(1_000, &["stripe"]).await.payment.id;
    let voided = world.void(held, 1_000).await.unwrap().payment;
    assert_eq!(voided.status(), "voided");
    // What is captured cannot be cancelled, and the refusal changes nothing.
    let charged = world.charge(1_000, &["stripe"]).await.payment.id;
    let refused = world.void(charged, 1_000).await.unwrap().payment;
    assert_eq!((refused.status(), sums(&refused)), ("captured", (1_000, 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stripes_lost_answers_to_changes_are_looked_up() {
    let lost = |operation: &str| {
        (json!({"operation": operation}), fault(&json!("first"), &json!("close")))
    };
    let world = World::memory().await;
    let id = world.authorize(1_000, &["stripe"]).await.payment.id;
    for operation in ["capture", "refund"] {
        let (matches, action) = lost(operation);
        world.provider.rule(matches, action, Some(1)).await;
    }
    assert_eq!(sums(&world.capture(id, 400).await.unwrap().payment), (400, 0));
    assert_eq!(sums(&world.refund(id, 400).await.unwrap().payment), (400, 400));
    let held = world.authorize(1_000, &["stripe"]).await.payment.id;
    let (matches, action) = lost("void");
    world.provider.rule(matches, action, Some(1)).await;
    assert_eq!(world.void(held, 1_000).await.unwrap().payment.status(), "voided");
    world.provider.assert_nothing_twice().await;
}

/// Hears what the provider tells until nothing of the payment is open any more.
async fn hear_all(world: &World, hooks: &Received, account: &str, payment: &Payment) -> Vec<Heard> {
    let account = world.engine.account(world.caller.merchant, account).await.unwrap().unwrap();
    let mut heard = Vec::new();
    for _ in 0..8 {
        let stored = world.stored(payment.id).await.unwrap();
        if !stored.has_open_calls() {
            return heard;
        }
        let (headers, body) = hooks.next().await;
        let now = baton_engine::Clock::now(world.clock.as_ref());
        let fresh = Freshness { now, tolerance_ms: 300_000 };
        let message = Incoming { headers: &headers, body: &body };
        for event in account.webhook(&message, fresh).unwrap().events {
            heard.push(world.engine.hear(&account, &event, b"{}").await.unwrap());
            // It may come twice.
            let again = world.engine.hear(&account, &event, b"{}").await.unwrap();
            assert_ne!(again, Heard::Unknown, "{event:?}");
        }
    }
    panic!("still open: {:?}", world.stored(payment.id).await);
}

#[tokio::test]
async fn adyen_has_received_a_change_and_the_webhook_tells_its_outcome() {
    let world = impatient().await;
    let hooks = webhooks_of(&world, "adyen", "adyen", HMAC_KEY).await;
    let id = world.authorize(1_000, &["adyen"]).await.payment.id;
    let captured = world.capture(id, 400).await.unwrap().payment;
    assert!(captured.has_open_calls(), "received is not captured: {captured:?}");
    assert_eq!(sums(&captured), (0, 0));
    hear_all(&world, &hooks, "adyen", &captured).await;
    assert_eq!(sums(&world.stored(id).await.unwrap()), (400, 0));
    let refunded = world.refund(id, 150).await.unwrap().payment;
    hear_all(&world, &hooks, "adyen", &refunded).await;
    assert_eq!(sums(&world.stored(id).await.unwrap()), (400, 150));

    // What is held is raised by its own word too, or stays as it was.
    let raised = world.authorize(1_000, &["adyen"]).await.payment.id;
    for (no, (amount, held)) in (1..).zip([(1_500, 1_500), (1_800, 1_500)]) {
        let more = Change::Increment(usd(amount));
        let asked = world.engine.change_alongside(world.caller, raised, more, None).await.unwrap();
        let before = amounts::of(&asked.payment).unwrap().authorized;
        assert!(asked.payment.has_open_calls() && before != usd(amount), "{no}");
        hear_all(&world, &hooks, "adyen", &asked.payment).await;
        let now = world.stored(raised).await.unwrap();
        assert_eq!(amounts::of(&now).unwrap().authorized, usd(held), "{no}");
        let no_more = decline("insufficient_funds");
        world.provider.rule(json!({"operation": "increment"}), no_more, None).await;
    }

    // One that fails gives the amount back.
    world.provider.rule(json!({"operation": "refund"}), decline("provider_declined"), None).await;
    let failed = world.refund(id, 250).await.unwrap().payment;
    hear_all(&world, &hooks, "adyen", &failed).await;
    assert_eq!(sums(&world.stored(id).await.unwrap()), (400, 150));

    let held = world.authorize(1_000, &["adyen"]).await.payment.id;
    let voided = world.void(held, 1_000).await.unwrap().payment;
    hear_all(&world, &hooks, "adyen", &voided).await;
    assert_eq!(world.stored(held).await.unwrap().status(), "voided");
}

#[tokio::test]
async fn a_charge_whose_answer_was_lost_at_adyen_is_approved_by_its_webhook() {
    let world = impatient().await;
    let hooks = webhooks_of(&world, "adyen", "adyen", HMAC_KEY).await;
    let lost = fault(&json!("first"), &json!("close"));
    world.provider.rule(json!({"account": "adyen"}), lost, None).await;
    let told = world.charge(1_000, &["adyen", "stripe"]).await.payment;
    assert_eq!(verdict(&told), "in doubt at 1: unknown");
    let heard = hear_all(&world, &hooks, "adyen", &told).await;
    assert_eq!(heard, [Heard::Taken]);
    let stored = world.stored(told.id).await.unwrap();
    assert_eq!((verdict(&stored).as_str(), sums(&stored)), ("approved at 1", (1_000, 0)));
    assert_eq!(world.provider.executed().await, ["adyen"]);
}

/// Callers who are told soon that the outcome is not known yet.
async fn impatient() -> World {
    let mut setup = Setup::default();
    setup.engine.caller_wait_ms = 500;
    World::with(setup).await
}

async fn tokenized(world: &World, account: &str) -> String {
    let made = world.buy(OrderKind::Tokenize, &[account]).await.unwrap().payment;
    let (_, outcome) = match made.verdict() {
        baton_flow::Verdict::Approved(no) => (no, made.attempts[usize::from(no) - 1].clone()),
        other => panic!("{account}: {other:?}"),
    };
    match outcome.state {
        baton_flow::CallState::Final { outcome, .. } => {
            outcome.answer().unwrap().token.clone().unwrap()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_that_the_provider_made_is_charged_again() {
    let world = World::memory().await;
    for account in ["stripe", "adyen"] {
        let token = tokenized(&world, account).await;
        let mut again = purchase(OrderKind::Charge(usd(700)), &[account]);
        again.card = None;
        again.provider_token = Some(token);
        let paid = world.engine.purchase(world.caller, again, None).await.unwrap().payment;
        assert_eq!(verdict(&paid), "approved at 1", "{account}");
    }
    assert_eq!(world.provider.books().await.iter().filter(|row| row.captured == 700).count(), 2);
}

fn next_action(payment: &Payment) -> Option<NextAction> {
    match &payment.attempts[0].state {
        baton_flow::CallState::Open { outcome } => {
            outcome.answer()?.next_action.as_deref().cloned()
        }
        _ => None,
    }
}

#[tokio::test]
async fn a_payer_who_is_there_gets_the_challenge() {
    let mut setup = Setup::default();
    setup.engine.caller_wait_ms = 1_500;
    let world = World::with(setup).await;
    for (account, minor) in [("stripe", 1_000), ("adyen", 2_000)] {
        let challenge = json!({"verdict": {"challenge": {"abandoned": false}}});
        world.provider.rule(json!({"account": account}), challenge, None).await;
        let mut bought = purchase(OrderKind::Charge(usd(minor)), &[account]);
        bought.challenge = Some(Challenge { return_url: "https://shop.test/back".to_owned() });
        let told = world.engine.purchase(world.caller, bought, None).await.unwrap().payment;
        assert_eq!(verdict(&told), "in doubt at 1: action_required", "{account}");
        let Some(NextAction::Redirect { url, form: None }) = next_action(&told) else {
            panic!("{account}: {told:?}");
        };
        assert!(url.contains("/challenge/"), "{url}");
    }
    let [stripe, adyen] = &world.provider.books().await[..] else { panic!("two") };
    assert_eq!((stripe.voided, adyen.voided), (false, false));
}

/// Presses a button on the provider's page; what the browser brings back then.
async fn press(world: &World, payment: &Payment, button: &str) -> Returned {
    let Some(NextAction::Redirect { url, .. }) = next_action(payment) else {
        panic!("{payment:?}")
    };
    let (_, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let pressed = world.provider.form(&format!("/{path}"), &format!("outcome={button}")).await;
    let location = pressed.strip_prefix("https://shop.test/back?").unwrap().to_owned();
    let pairs = location.split('&').filter_map(|pair| pair.split_once('='));
    Returned(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[tokio::test]
async fn a_payer_who_comes_back_completes_the_payment_once() {
    let mut setup = Setup::default();
    setup.engine.caller_wait_ms = 1_500;
    let world = World::with(setup).await;
    let challenge = json!({"verdict": {"challenge": {"abandoned": false}}});
    world.provider.rule(json!({}), challenge, None).await;
    let open = async |account: &str, minor: i64| {
        let mut bought = purchase(OrderKind::Charge(usd(minor)), &[account]);
        bought.challenge = Some(Challenge { return_url: "https://shop.test/back".to_owned() });
        bought.allow_duplicate = true;
        world.engine.purchase(world.caller, bought, None).await.unwrap().payment
    };
    let back = async |payment: &Payment, returned: &Returned| {
        let returned = returned.clone();
        let seen = world.engine.returned(world.caller, payment.id, returned).await.unwrap();
        verdict(&seen)
    };
    let rows = [
        ("stripe", "approve", "approved at 1"),
        ("stripe", "fail", "declined at 1"),
        ("adyen", "approve", "approved at 1"),
        ("adyen", "fail", "declined at 1"),
    ];
    for (account, button, want) in rows {
        let payment = open(account, 1_000).await;
        // Back without having done anything: as open as before.
        let nothing = Returned::default();
        let still = "in doubt at 1: action_required";
        assert_eq!(back(&payment, &nothing).await, still, "{account} {button}");
        let returned = press(&world, &payment, button).await;
        if account == "adyen" {
            // Somebody else's result, and none at all.
            let other = open(account, 2_000).await;
            let theirs = press(&world, &other, "approve").await;
            let made_up = Returned([("redirectResult".to_owned(), "x".to_owned())].into());
            for wrong in [theirs, made_up] {
                assert_eq!(back(&payment, &wrong).await, still, "{account} {button}");
            }
        }
        for _ in 0..3 {
            assert_eq!(back(&payment, &returned).await, want, "{account} {button}");
        }
    }
}

/// What the provider sends to an endpoint, as it arrives there.
async fn webhooks_of(world: &World, account: &str, dialect: &str, secret: &str) -> Received {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let endpoint = json!({"url": url, "secret": secret, "dialect": dialect});
    let path = format!("/admin/accounts/{account}/webhook");
    world.provider.ask("PUT", &path, Some(endpoint)).await;
    Received { listener }
}

struct Received {
    listener: tokio::net::TcpListener,
}

type Message = (Vec<(String, String)>, Vec<u8>);

impl Received {
    async fn next(&self) -> Message {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let field = |line: &str| {
                    let (name, value) = line.split_once(':')?;
                    Some((name.to_lowercase(), value.trim().to_owned()))
                };
                let headers: Vec<_> = head.lines().filter_map(field).collect();
                let length = headers.iter().find(|(name, _)| name == "content-length").unwrap();
                if body.len() >= length.1.parse::<usize>().unwrap() {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(answer).await.unwrap();
                    return (headers, body.as_bytes().to_vec());
                }
            }
            let mut part = [0; 4096];
            let read = stream.read(&mut part).await.unwrap();
            assert!(read > 0, "the webhook was cut short");
            bytes.extend_from_slice(&part[..read]);
        }
    }
}

#[tokio::test]
async fn signed_webhooks_say_what_became_of_a_lost_charge() {
    for (account, dialect, secret) in
        [("stripe", "stripe", "whsec_1"), ("adyen", "adyen", HMAC_KEY)]
    {
        let world = impatient().await;
        let hooks = webhooks_of(&world, account, dialect, secret).await;
        let lost = fault(&json!("first"), &json!("close"));
        world.provider.rule(json!({"account": account, "operation": "sale"}), lost, None).await;
        let payment = world.charge(1_000, &[account]).await.payment;
        let reference = payment.attempts[0].reference.clone();
        let account = world.engine.account(world.caller.merchant, account).await.unwrap();
        let account = account.unwrap();
        let now = baton_engine::Clock::now(world.clock.as_ref());
        let fresh = Freshness { now, tolerance_ms: 300_000 };
        loop {
            let (headers, body) = hooks.next().await;
            let message = Incoming { headers: &headers, body: &body };
            let events = account.webhook(&message, fresh).unwrap().events;
            let paid = events.iter().find(|event| match &event.finding {
                Finding::Found { outcome: Outcome::Approved { amount, .. } } => {
                    *amount == Some(usd(1_000))
                }
                _ => false,
            });
            // One byte more or less, and nobody believes it.
            let mut forged = body.clone();
            let at = forged.windows(4).position(|four| four == b"1000").unwrap_or(0);
            forged[at] = forged[at].wrapping_add(1);
            let forged = Incoming { headers: &headers, body: &forged };
            assert!(account.webhook(&forged, fresh).is_err(), "a forged one");
            if let Some(paid) = paid {
                assert_eq!(paid.reference.as_deref(), Some(reference.as_str()));
                break;
            }
        }
    }
}

#[tokio::test]
async fn the_status_of_a_doubt_at_adyen_stays_a_doubt() {
    let world = impatient().await;
    let lost = fault(&json!("never"), &json!("close"));
    world.provider.rule(json!({"account": "adyen"}), lost, None).await;
    let told = world.charge(1_000, &["adyen", "stripe"]).await.payment;
    let settled = world.settle(told.id).await.payment;
    assert_eq!(verdict(&settled), "in doubt at 1: unknown", "never absent without a look-up");
    let refused = world.engine.refund(world.caller, &by_id(told.id), usd(1_000), None).await;
    assert!(refused.is_err(), "nothing can be given back that may not have been taken");
}

#[tokio::test]
async fn an_intent_whose_id_nobody_recorded_is_found_in_the_list_of_its_time() {
    let world = World::memory().await;
    for _ in 0..3 {
        world.charge(700, &["stripe"]).await;
    }
    let payment = world.charge(1_000, &["stripe"]).await.payment;
    let attempt = &payment.attempts[0];
    let connectors = world.engine.connectors();
    let stripe = connectors.iter().find(|c| c.manifest().id == "stripe").unwrap();
    let find = async |reference: &str, planned_at| {
        let look_up = LookUp {
            subject: Subject::Charge,
            reference: reference.to_owned(),
            provider_reference: None,
            amount: Some(usd(1_000)),
            planned_at: Some(planned_at),
        };
        let cx = Cx::default();
        let Some(Question::Http(call)) = stripe.look_up(&look_up, &cx) else { panic!("a call") };
        let body = world.provider.ask("GET", &format!("/stripe/stripe{}", call.path), None).await;
        let reply = HttpReply { status: 200, headers: Vec::new(), body: body.to_string().into() };
        stripe.read_look_up(&look_up, &cx, &call, &reply)
    };
    let found = find(&attempt.reference, attempt.planned_at).await;
    let Looked::Finding(Finding::Found { outcome: Outcome::Approved { .. } }) = found else {
        panic!("{found:?}");
    };
    let other = find("another", attempt.planned_at).await;
    assert_eq!(other, Looked::Finding(Finding::NotFound));
    let elsewhere = find(&attempt.reference, attempt.planned_at.minus(86_400_000)).await;
    assert_eq!(elsewhere, Looked::Finding(Finding::NotFound), "the window keeps the list short");
}

#[tokio::test]
async fn a_decline_without_a_mapping_is_counted_and_final() {
    let world = World::memory().await;
    let matches = json!({"account": "stripe", "operation": "sale"});
    world.provider.rule(matches, refuse(402, "a_code_of_next_year"), None).await;
    let told = world.charge(1_000, &["stripe", "adyen"]).await.payment;
    assert_eq!(verdict(&told), "declined at 1", "an unknown reason is nobody else's business");
    let mut registry = prometheus_client::registry::Registry::default();
    world.engine.metrics().register(&mut registry);
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    assert!(page.contains("unmapped_declines_total{gateway=\"Stripe\"} 1"), "{page}");
}

#[tokio::test]
async fn a_webhook_that_is_faster_than_the_answer_has_to_come_again() {
    let mut setup = Setup::default();
    // The webhook comes at once, the answer never.
    setup.wire.answer_timeout = std::time::Duration::from_millis(1_500);
    setup.engine.caller_wait_ms = 3_000;
    let world = World::with(setup).await;
    let hooks = webhooks_of(&world, "adyen", "adyen", HMAC_KEY).await;
    let hangs = fault(&json!("first"), &json!("hang"));
    world.provider.rule(json!({"account": "adyen"}), hangs, None).await;
    let account = world.engine.account(world.caller.merchant, "adyen").await.unwrap().unwrap();
    let hear = async {
        let (headers, body) = hooks.next().await;
        let now = baton_engine::Clock::now(world.clock.as_ref());
        let fresh = Freshness { now, tolerance_ms: 300_000 };
        let message = Incoming { headers: &headers, body: &body };
        let event = account.webhook(&message, fresh).unwrap().events.remove(0);
        let early = world.engine.hear(&account, &event, b"{}").await.unwrap();
        (event, early)
    };
    let (told, (event, early)) = tokio::join!(world.charge(1_000, &["adyen"]), hear);
    assert_eq!(early, Heard::Early);
    assert_eq!(verdict(&told.payment), "in doubt at 1: unknown");
    assert_eq!(world.engine.hear(&account, &event, b"{}").await.unwrap(), Heard::Taken);
    assert_eq!(world.engine.hear(&account, &event, b"{}").await.unwrap(), Heard::Known);
    assert_eq!(verdict(&world.stored(told.payment.id).await.unwrap()), "approved at 1");
    let mut other = event.clone();
    other.reference = Some("another".to_owned());
    other.provider_reference = None;
    assert_eq!(world.engine.hear(&account, &other, b"{}").await.unwrap(), Heard::Unknown);
}
