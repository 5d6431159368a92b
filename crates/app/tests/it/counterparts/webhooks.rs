//! Webhooks of a real server, verified by the public `standardwebhooks` libraries for Python and JavaScript.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Held, free_port, installed, root, skipped};
use crate::support::http::call;
use crate::support::{Place, Process};

async fn send(server: &Process, key: &str, path: &str, body: Value) -> Value {
    let headers = [("api-key", key)];
    let reply = call(&server.url, "POST", path, &headers, &body.to_string()).await.unwrap();
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    reply.json
}

/// What a receiver has written, once there is as much.
async fn lines(log: &std::path::Path, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{count} wanted: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// `receiver` makes the command line of a receiver, given port, log and secret.
async fn is_content(receiver: impl Fn(u16, &str, &str) -> String) {
    let place = Place::new();
    let server = place.serve(&["--dev"]);
    let operator = server.announced["admin_api_key"].as_str().unwrap().to_owned();
    send(&server, &operator, "/accounts", json!({"merchant_id": "shop"})).await;
    let made =
        send(&server, &operator, "/api_keys/shop", json!({"name": "till", "expiration": "never"}))
            .await;
    let key = made["api_key"].as_str().unwrap();
    let connector = json!({"connector_type": "payment_processor", "connector_name": "sandbox",
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "any"}});
    send(&server, key, "/account/shop/connectors", connector).await;
    let rotate = |overlap: u32| json!({"overlap_seconds": overlap});
    let secret = send(&server, key, "/account/shop/webhook_secret", rotate(0)).await;
    let (port, log) = (free_port(), place.path("received.log"));
    let line = receiver(port, log.to_str().unwrap(), secret["secret"].as_str().unwrap());
    let _receiver = Held::start(&line, "listening");
    let details =
        json!({"webhook_details": {"webhook_url": format!("http://127.0.0.1:{port}/hooks")}});
    send(&server, &operator, "/accounts/shop", details).await;
    let payment = json!({"amount": 6540, "currency": "USD", "confirm": true, "payment_method": "card",
        "description": "Größe 7½ – naïve 漢字 \u{1f600}",
        "payment_method_data": {"card": {"card_number": "4111111111111111", "card_exp_month": "12",
            "card_exp_year": "2040", "card_holder_name": "Ada Lovelace", "card_cvc": "123"}}});
    let made = send(&server, key, "/payments", payment.clone()).await;
    send(&server, key, "/refunds", json!({"payment_id": made["payment_id"], "amount": 40})).await;
    let got = lines(&log, 3).await;
    let kinds: Vec<_> = got.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["payment_processing", "payment_succeeded", "refund_succeeded"]);
    // The receiver still has the old secret while a new one signs too.
    send(&server, key, "/account/shop/webhook_secret", rotate(3_600)).await;
    send(&server, key, "/payments", payment).await;
    for line in lines(&log, 5).await {
        assert_eq!((&line["verified"], &line["forged"]), (&json!(true), &json!(false)), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pythons_library_verifies_what_is_sent() {
    let folder = match installed("python") {
        Ok(folder) => folder,
        Err(why) => return skipped(&why),
    };
    let script = root().join("crates/app/tests/it/counterparts/receiver.py");
    is_content(|port, log, secret| {
        format!("{}/bin/python {} {port} {log} {secret}", folder.display(), script.display())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascripts_library_verifies_what_is_sent() {
    let folder = match installed("npm") {
        Ok(folder) => folder,
        Err(why) => return skipped(&why),
    };
    let script = root().join("crates/app/tests/it/counterparts/receiver.cjs");
    is_content(|port, log, secret| {
        let (folder, script) = (folder.display(), script.display());
        format!("env NODE_PATH={folder} node {script} {port} {log} {secret}")
    })
    .await;
}
