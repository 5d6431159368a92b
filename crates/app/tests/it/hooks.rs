//! Webhooks of a process that is killed: every event arrives, in order, and what comes twice has one id.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::http::call;
use crate::support::{CARD_NUMBER, Place, postgres, said};

/// How many payments are made before and after the kill.
const PAYMENTS: usize = 12;

type Got = Arc<Mutex<Vec<(String, Value)>>>;

/// An endpoint that takes its time: id and body of what came, in order.
fn receiver() -> (u16, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let got: Got = Arc::default();
    let inbox = Arc::clone(&got);
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let inbox = Arc::clone(&inbox);
            std::thread::spawn(move || take(socket, &inbox));
        }
    });
    (port, got)
}

fn take(mut socket: TcpStream, inbox: &Mutex<Vec<(String, Value)>>) -> Option<()> {
    let mut reader = BufReader::new(socket.try_clone().ok()?);
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        match name {
            "webhook-id" => id = value.trim().to_owned(),
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).ok()?;
    inbox.lock().unwrap().push((id, body));
    std::thread::sleep(Duration::from_millis(40));
    socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()
}

async fn send(url: &str, key: &str, path: &str, body: Value) -> Result<Value, String> {
    let reply = call(url, "POST", path, &[("api-key", key)], &body.to_string()).await?;
    if reply.status == 200 { Ok(reply.json) } else { Err(reply.text) }
}

fn payment(id: &str) -> Value {
    json!({"payment_id": id, "amount": 6540, "currency": "USD", "confirm": true, "payment_method": "card",
        "payment_method_data": {"card": {"card_number": CARD_NUMBER, "card_exp_month": "12",
            "card_exp_year": "2040", "card_holder_name": "Ada Lovelace", "card_cvc": "123"}}})
}

async fn killed(database_url: Option<String>) {
    let place = Place::new()
        .on(database_url)
        .with("BATON_WEBHOOKS__RETRY_AFTER_MS", "[200, 200, 200, 500]");
    let place = place.with("BATON_ADMIN_API_KEY", "operator-key");
    let sandbox = place.sandbox(&[]);
    let mut server = place.serve_at(&sandbox);
    let (port, got) = receiver();
    let url = server.url.clone();
    let details = json!({"webhook_url": format!("http://127.0.0.1:{port}/hooks")});
    let account = json!({"merchant_id": "shop", "webhook_details": details});
    send(&url, "operator-key", "/accounts", account).await.unwrap();
    let new = json!({"name": "till", "expiration": "never"});
    let key = send(&url, "operator-key", "/api_keys/shop", new).await.unwrap();
    let key = key["api_key"].as_str().unwrap().to_owned();
    let connector = json!({"connector_type": "payment_processor", "connector_name": "sandbox",
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "any"}});
    send(&url, &key, "/account/shop/connectors", connector).await.unwrap();
    let mut made = Vec::new();
    for number in 0..PAYMENTS {
        let id = format!("before-{number}");
        send(&url, &key, "/payments", payment(&id)).await.unwrap();
        made.push(id);
    }
    // Committed and answered, and at best half of it told.
    server.kill();
    let before = got.lock().unwrap().len();
    assert!(before < 2 * PAYMENTS, "nothing was left to be told: {before}");
    let server = place.serve_at(&sandbox);
    for number in 0..2 {
        let id = format!("after-{number}");
        send(&server.url, &key, "/payments", payment(&id)).await.unwrap();
        made.push(id);
    }
    let begun = Instant::now();
    let all = loop {
        let told = got.lock().unwrap().clone();
        let ids: std::collections::HashSet<_> = told.iter().map(|(id, _)| id).collect();
        if ids.len() == 2 * made.len() {
            break told;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{} of {}", ids.len(), 2 * made.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let mut firsts: HashMap<String, Vec<String>> = HashMap::new();
    let mut bodies: HashMap<String, Value> = HashMap::new();
    for (id, body) in all {
        assert_eq!(body["event_id"], id.as_str());
        assert!(!body.to_string().contains(CARD_NUMBER), "{body}");
        // What comes twice is the same to the letter.
        if let Some(known) = bodies.get(&id) {
            assert_eq!(*known, body);
            continue;
        }
        let object = &body["content"]["object"]["payment_id"];
        let kind = body["event_type"].as_str().unwrap().to_owned();
        firsts.entry(object.as_str().unwrap().to_owned()).or_default().push(kind);
        bodies.insert(id, body);
    }
    for id in made {
        assert_eq!(firsts[&id], ["payment_processing", "payment_succeeded"], "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_owed_is_told_from_sqlite() {
    killed(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_owed_is_told_from_postgresql() {
    if let Some(url) = postgres::database("1").await {
        killed(Some(url)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_is_told_again_by_the_command_line() {
    let place = Place::new()
        .with("BATON_WEBHOOKS__RETRY_AFTER_MS", "[100]")
        .with("BATON_ADMIN_API_KEY", "operator-key");
    let server = place.serve(&["--dev"]);
    let url = server.url.clone();
    let of = |more: &[&str]| {
        let all: Vec<&str> = [&["webhooks"], more, &["--merchant", "shop"]].concat();
        place.run(&all)
    };
    let nobody = of(&["list"]);
    assert!(said(&nobody).contains("unknown_merchant"), "{}", said(&nobody));
    // Nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let details = json!({"webhook_url": format!("http://127.0.0.1:{port}/hooks")});
    let account = json!({"merchant_id": "shop", "webhook_details": details});
    send(&url, "operator-key", "/accounts", account).await.unwrap();
    let new = json!({"name": "till", "expiration": "never"});
    let key = send(&url, "operator-key", "/api_keys/shop", new).await.unwrap();
    let key = key["api_key"].as_str().unwrap().to_owned();
    let connector = json!({"connector_type": "payment_processor", "connector_name": "sandbox",
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "any"}});
    send(&url, &key, "/account/shop/connectors", connector).await.unwrap();
    assert_eq!(said(&of(&["list"])).trim(), "no webhooks");
    send(&url, &key, "/payments", payment("order-1")).await.unwrap();
    let begun = Instant::now();
    let listed = loop {
        let arguments = ["webhooks", "list", "--json", "--merchant", "shop", "--state", "given_up"];
        let listed = place.json(&arguments);
        if listed["data"].as_array().unwrap().len() == 2 {
            break listed;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{listed}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let id = listed["data"][1]["id"].as_str().unwrap();
    let shown = said(&of(&["show", id]));
    for part in
        ["given_up   2 tries  payment_processing  order-1", "automatic_retry", "no connection"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let unknown = of(&["show", "evt_1"]);
    assert!(said(&unknown).contains("unknown_webhook"), "{}", said(&unknown));
    assert_eq!(unknown.status.code(), Some(1));
    let two = of(&["replay", id, "--failed", "--from", "2020-01-01T00:00:00Z"]);
    assert_eq!(two.status.code(), Some(2), "{}", said(&two));

    let (port, got) = receiver();
    let details = json!({"webhook_url": format!("http://127.0.0.1:{port}/hooks")});
    let change = json!({"webhook_details": details});
    send(&url, "operator-key", "/accounts/shop", change).await.unwrap();
    // What a node has read of a merchant's settings counts for two seconds.
    let again = of(&["replay", "--failed", "--from", "2020-01-01T00:00:00Z"]);
    assert_eq!(said(&again).trim(), "2 will be told again");
    let begun = Instant::now();
    while got.lock().unwrap().len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing came");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let told = got.lock().unwrap().clone();
    assert_eq!(told[0].0, id, "in the order of what happened");
    let entries = place.json(&["audit", "list", "--json", "--action", "webhook_replayed"]);
    assert_eq!(entries["data"][0]["detail"]["events"], 2, "{entries}");
    assert!(entries["data"][0]["actor"].as_str().unwrap().starts_with("command-line:"));
    let again = of(&["replay", id]);
    assert!(said(&again).contains("pending    1 try"), "{}", said(&again));
    while got.lock().unwrap().len() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing came");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
