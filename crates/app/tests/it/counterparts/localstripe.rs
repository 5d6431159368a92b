//! Stripe's connector against localstripe, which ignores idempotency keys: what is sent twice is charged
//! twice, and shows.
//!
//! localstripe binds all interfaces, so it runs in a network namespace of its own with nothing but a
//! loopback, and is reached through a Unix socket.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use baton_connect::{Freshness, Incoming, WebhookError, WebhookEvent};
use baton_types::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Held, installed, root, serve, skipped};
use crate::support::http::{Reply, call};
use crate::support::{Client, Place, purchase};

const APPROVED: &str = "4242424242424242";
const DECLINED: &str = "4000000000000341";
const CHALLENGED: &str = "4000000000003220";

struct Localstripe {
    url: String,
    _process: Held,
}

/// Carries what arrives at a port of our loopback to the namespace's socket.
fn bridge(socket: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for here in listener.incoming().map_while(Result::ok) {
            let Ok(there) = UnixStream::connect(&socket) else { continue };
            let (mut to, mut from) = (there.try_clone().unwrap(), there);
            let (mut reader, mut writer): (TcpStream, TcpStream) =
                (here.try_clone().unwrap(), here);
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut reader, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut writer);
                let _ = writer.shutdown(Shutdown::Both);
            });
        }
    });
    url
}

impl Localstripe {
    fn start(folder: &Path) -> Result<Localstripe, String> {
        let python = installed("python")?.join("bin/python");
        let mut alone = Command::new("unshare");
        alone.args(["--map-root-user", "--net", "--pid", "--fork", "true"]);
        if !alone.status().is_ok_and(|status| status.success()) {
            return Err("no network namespace can be made here".to_owned());
        }
        let socket = folder.join("localstripe.sock");
        let shim = root().join("tools/localstripe-shim.py");
        let inside = format!(
            "ip link set lo up && exec {} {} {} <&3",
            python.display(),
            shim.display(),
            socket.display()
        );
        let line =
            format!("unshare --map-root-user --net --pid --fork --kill-child sh -c '{inside}'");
        let process = Held::start(&line, "ready");
        Ok(Localstripe { url: bridge(socket), _process: process })
    }

    /// As Stripe's own clients send it.
    async fn post(&self, path: &str, form: &str) -> Value {
        let headers = [("authorization", "Bearer sk_test_12345")];
        let reply = call(&self.url, "POST", path, &headers, form).await.unwrap();
        assert!(reply.status == 200, "POST {path}: {}", reply.text);
        reply.json
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("authorization", "Bearer sk_test_12345")];
        let reply = call(&self.url, method, path, &headers, &body).await.unwrap();
        assert!(reply.status == 200, "{method} {path}: {}", reply.text);
        reply.json
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null).await
    }

    /// Drops the connection of the next request to such a path.
    async fn fault(&self, end: &str, when: &str) {
        self.ask("POST", "/_fault", &json!({"end": end, "when": when})).await;
    }

    /// Everything in localstripe's books of one kind, oldest first.
    async fn books(&self, kind: &str) -> Vec<Value> {
        let mut all = self.get(&format!("/v1/{kind}?limit=100")).await;
        all["data"].as_array_mut().map(std::mem::take).unwrap()
    }

    async fn intent_of(&self, reply: &Reply) -> Value {
        let id = reply.text_of("gatewayReference");
        self.get(&format!("/v1/payment_intents/{id}")).await
    }
}

/// The server at localstripe; nothing, and a word about it, where that cannot be.
struct World {
    stripe: Localstripe,
    client: Client,
    _place: Place,
    _server: crate::support::Process,
}

fn world() -> Option<World> {
    let place = Place::new();
    let folder = place.path("localstripe");
    std::fs::create_dir(&folder).unwrap();
    let stripe = match Localstripe::start(&folder) {
        Ok(stripe) => stripe,
        Err(why) => {
            skipped(&format!("localstripe: {why}"));
            return None;
        }
    };
    let credentials = "{ SecretKey = \"sk_test_12345\", WebhookSecret = \"whsec_localstripe\" }";
    let account = format!("{credentials}\nallow_foreign_references = true");
    let server = serve(&place, "Stripe", &stripe.url, &account);
    let client = Client::new(&server, &place.key());
    Some(World { stripe, client, _place: place, _server: server })
}

impl World {
    async fn pay(&self, operation: &str, amount: i64, card: &str, accounts: &[&str]) -> Reply {
        let body = purchase(amount, &format!("{operation}-{amount}"), card, accounts);
        self.client.send("POST", &format!("/PaymentGateway/{operation}"), &body).await
    }

    async fn change(&self, method: &str, operation: &str, of: &Reply, amount: &str) -> Reply {
        let reference = of.text_of("gatewayReference");
        let body =
            format!(r#"{{"refTransId": "{reference}", "amount": {amount}, "currency": "EUR"}}"#);
        self.client.send(method, &format!("/PaymentGateway/{operation}"), &body).await
    }

    /// No intent was confirmed twice, and no payment has two charges that stand.
    async fn nothing_was_sent_twice(&self) {
        let calls = self.stripe.get("/_calls").await;
        let mut confirmed: Vec<&str> = Vec::new();
        for call in calls.as_array().unwrap() {
            let path = call["path"].as_str().unwrap();
            if call["method"] == "POST" {
                assert!(call["key"].is_string() || path.ends_with("/cancel"), "no key: {call}");
            }
            if path.ends_with("/confirm") {
                assert!(!confirmed.contains(&path), "sent twice: {path}");
                confirmed.push(path);
            }
        }
        let mut payments: Vec<String> = Vec::new();
        for intent in self.stripe.books("payment_intents").await {
            let payment = intent["metadata"]["payment"].as_str().unwrap().to_owned();
            if matches!(intent["status"].as_str(), Some("succeeded" | "requires_capture")) {
                assert!(!payments.contains(&payment), "charged twice: {payment}");
                payments.push(payment);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_run_their_whole_life_at_localstripe() {
    let Some(world) = world() else { return };
    assert_eq!(world.stripe.get("/_interfaces").await, json!(["lo"]), "nothing but loopback");

    let charged = world.pay("charge", 1_023, APPROVED, &["provider"]).await;
    assert_eq!(charged.code(), "Success", "{}", charged.text);
    let intent = world.stripe.intent_of(&charged).await;
    let shown = (&intent["status"], &intent["amount"], &intent["currency"]);
    assert_eq!(shown, (&json!("succeeded"), &json!(1_023), &json!("eur")));
    assert_eq!(intent["capture_method"], "automatic");

    let declined = world.pay("charge", 500, DECLINED, &["provider", "test-success"]).await;
    assert_eq!(declined.code(), "Rejected", "{}", declined.text);
    assert_eq!(declined.text_of("reason"), "generic_decline", "{}", declined.text);

    let held = world.pay("authorize", 1_000, APPROVED, &["provider"]).await;
    assert_eq!(held.code(), "Success", "{}", held.text);
    assert_eq!(world.stripe.intent_of(&held).await["status"], "requires_capture");
    let captured = world.change("PUT", "capture", &held, "4.00").await;
    assert_eq!(captured.code(), "Success", "{}", captured.text);
    let intent = world.stripe.intent_of(&held).await;
    assert_eq!(
        (&intent["status"], &intent["latest_charge"]["amount_refunded"]),
        (&json!("succeeded"), &json!(600))
    );

    let held = world.pay("authorize", 1_100, APPROVED, &["provider"]).await;
    let whole = world.change("PUT", "capture", &held, "11.00").await;
    assert_eq!(whole.code(), "Success", "{}", whole.text);

    let held = world.pay("authorize", 1_200, APPROVED, &["provider"]).await;
    let voided = world.change("DELETE", "void", &held, "12.00").await;
    assert_eq!(voided.code(), "Success", "{}", voided.text);
    assert_eq!(world.stripe.intent_of(&held).await["status"], "canceled");

    for amount in ["2.50", "7.73"] {
        let refunded = world.change("PUT", "refund", &charged, amount).await;
        assert_eq!(refunded.code(), "Success", "{}", refunded.text);
    }
    let intent = world.stripe.intent_of(&charged).await;
    assert_eq!(intent["latest_charge"]["amount_refunded"], 1_023);

    // Nobody is there to take a challenge: it is cancelled, and nobody else is asked.
    let challenged = world.pay("charge", 1_300, CHALLENGED, &["provider", "test-success"]).await;
    assert_eq!(challenged.code(), "Rejected", "{}", challenged.text);
    assert_eq!(challenged.text_of("reason"), "action_required", "{}", challenged.text);
    let intents = world.stripe.books("payment_intents").await;
    let intent = intents.iter().find(|intent| intent["amount"] == 1_300).unwrap();
    assert_eq!(intent["status"], "canceled");
    world.nothing_was_sent_twice().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_at_localstripe_is_found_or_fenced() {
    let Some(world) = world() else { return };
    world.stripe.fault("/confirm", "after").await;
    let found = world.pay("charge", 700, APPROVED, &["provider", "test-success"]).await;
    assert_eq!(found.code(), "Success", "{}", found.text);
    assert_eq!(world.stripe.intent_of(&found).await["status"], "succeeded");

    // It never arrived. The intent is cancelled, and only then the next account is asked.
    world.stripe.fault("/confirm", "before").await;
    let fenced = world.pay("charge", 800, APPROVED, &["provider", "test-success"]).await;
    assert_eq!(fenced.code(), "Success", "{}", fenced.text);
    assert!(fenced.text_of("gatewayReference").starts_with("null-"), "{}", fenced.text);
    let intents = world.stripe.books("payment_intents").await;
    let intent = intents.iter().find(|intent| intent["amount"] == 800).unwrap();
    assert_eq!(intent["status"], "canceled");

    // A call that only prepares is lost: nothing can have been charged.
    world.stripe.fault("/payment_methods", "after").await;
    let passed = world.pay("charge", 900, APPROVED, &["provider", "test-success"]).await;
    assert!(passed.text_of("gatewayReference").starts_with("null-"), "{}", passed.text);

    let held = world.pay("authorize", 1_000, APPROVED, &["provider"]).await;
    world.stripe.fault("/capture", "after").await;
    let captured = world.change("PUT", "capture", &held, "10.00").await;
    assert_eq!(captured.code(), "Success", "{}", captured.text);
    world.stripe.fault("/refunds", "after").await;
    let refunded = world.change("PUT", "refund", &found, "7.00").await;
    assert_eq!(refunded.code(), "Success", "{}", refunded.text);
    let refunds = world.stripe.books("refunds").await;
    assert_eq!(refunds.len(), 1, "given back once: {refunds:?}");
    world.nothing_was_sent_twice().await;
}

/// Intents that somebody else made there are taken over as they stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_at_localstripe_by_others_is_taken_over() {
    let Some(world) = world() else { return };
    let intent = async |capture: &str, refund: i64| {
        let method = format!(
            "type=card&card[number]={APPROVED}&card[exp_month]=12&card[exp_year]=2040&card[cvc]=123"
        );
        let method = world.stripe.post("/v1/payment_methods", &method).await;
        let method = method["id"].as_str().unwrap();
        let form = format!(
            "amount=1000&currency=eur&capture_method={capture}&confirm=true&payment_method={method}"
        );
        let made = world.stripe.post("/v1/payment_intents", &form).await;
        if refund > 0 {
            let id = made["id"].as_str().unwrap();
            let form = format!("payment_intent={id}&amount={refund}");
            world.stripe.post("/v1/refunds", &form).await;
        }
        made["id"].as_str().unwrap().to_owned()
    };
    let change = async |method: &str, operation: &str, id: &str, amount: &str| {
        let body = format!(
            r#"{{"refTransId": "{id}", "paymentGatewayAccountName": "provider", "amount": {amount}, "currency": "EUR"}}"#
        );
        world.client.send(method, &format!("/PaymentGateway/{operation}"), &body).await
    };
    let sale = intent("automatic", 300).await;
    let too_much = change("PUT", "refund", &sale, "7.01").await;
    assert_eq!((too_much.status, too_much.text_of("reason").as_str()), (409, "not_allowed"));
    let rest = change("PUT", "refund", &sale, "7.00").await;
    assert_eq!(rest.code(), "Success", "{}", rest.text);
    let shown = world.stripe.get(&format!("/v1/payment_intents/{sale}")).await;
    assert_eq!(shown["latest_charge"]["amount_refunded"], 1_000);

    let hold = intent("manual", 0).await;
    let captured = change("PUT", "capture", &hold, "10.00").await;
    assert_eq!(captured.code(), "Success", "{}", captured.text);
    let hold = intent("manual", 0).await;
    let voided = change("DELETE", "void", &hold, "10.00").await;
    assert_eq!(voided.code(), "Success", "{}", voided.text);
    let shown = world.stripe.get(&format!("/v1/payment_intents/{hold}")).await;
    assert_eq!(shown["status"], "canceled");
    let missing = change("PUT", "refund", "pi_missing", "1.00").await;
    assert_eq!((missing.status, missing.text_of("reason").as_str()), (409, "unknown_reference"));
}

type Message = (Vec<(String, String)>, Vec<u8>);

fn read(
    message: &Message,
    secret: &str,
    now: Timestamp,
) -> Result<Vec<WebhookEvent>, WebhookError> {
    let connectors = baton_connectors::all().unwrap();
    let stripe = connectors.iter().find(|c| c.manifest().id == "stripe").unwrap();
    let incoming = Incoming { headers: &message.0, body: &message.1 };
    let secrets = [("WebhookSecret".to_owned(), Secret::new(secret.to_owned()))];
    let secrets: std::collections::HashMap<_, _> = secrets.into_iter().collect();
    let freshness = Freshness { now, tolerance_ms: 300_000 };
    let mut events = Vec::new();
    for signed in stripe.webhook(&baton_connect::Cx::default(), &incoming)? {
        events.extend(signed.open(&secrets, &baton_engine::Hmac, freshness)?.events);
    }
    Ok(events)
}

fn base64(text: &str) -> Vec<u8> {
    baton_connect::bytes_of_base64(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn localstripes_signed_webhooks_are_believed_and_forged_ones_are_not() {
    let Some(world) = world() else { return };
    let charged = world.pay("charge", 1_023, APPROVED, &["provider"]).await;
    assert_eq!(charged.code(), "Success", "{}", charged.text);
    let reference = world.stripe.intent_of(&charged).await["metadata"]["reference"].clone();
    // localstripe waits a second before it tells.
    let mut told = Vec::new();
    for _ in 0..50 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        told = world.stripe.get("/_hooks").await.as_array().unwrap().clone();
        if !told.is_empty() {
            break;
        }
    }
    let message = |hook: &Value| -> Message {
        let headers = hook["headers"].as_array().unwrap().iter();
        let headers = headers.map(|pair| {
            (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned())
        });
        (headers.collect(), base64(hook["body"].as_str().unwrap()))
    };
    let messages: Vec<Message> = told.iter().map(message).collect();
    assert!(!messages.is_empty(), "a webhook");
    let event: Value = serde_json::from_slice(&messages[0].1).unwrap();
    let at = Timestamp::from_millis(event["created"].as_i64().unwrap() * 1_000);
    let events = read(&messages[0], "whsec_localstripe", at).unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(json!(events[0].reference), reference);
    let approved = matches!(&events[0].finding,
        baton_types::outcome::Finding::Found { outcome } if outcome.class() == "approved");
    assert!(approved, "{events:?}");

    assert_eq!(read(&messages[0], "whsec_other", at), Err(WebhookError::BadSignature));
    let later = at.plus_millis(300_001);
    assert_eq!(read(&messages[0], "whsec_localstripe", later), Err(WebhookError::TooOld));
    let mut forged = messages[0].clone();
    let digit = forged.1.iter().position(u8::is_ascii_digit).unwrap();
    forged.1[digit] ^= 1;
    assert_eq!(read(&forged, "whsec_localstripe", at), Err(WebhookError::BadSignature));
}
