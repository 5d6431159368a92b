//! A card number and a verification code go through a real server, and are then looked for in every byte
//! that it leaves: database files, logs at their most talkative, the sandbox's books, its own answers, and what it tells by
//! webhook.
//!
//! The number is long and unusual: any ten of its digits in a row are a leak. The code has three digits,
//! which occur by chance everywhere: it is looked for beside its usual names, and counted as a word of its
//! own, because a server that kept it would keep it once per payment. Not looked at: the files of the
//! PostgreSQL server (its tables are), and memory.

mod scan;
mod shop;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use crate::support::http::call;
use crate::support::{Client, Place, Process, books, bytes_of, postgres, purchase, rule};
use scan::{Secrets, count_of_words};

/// Of the range of test cards, with a good check digit; its digits occur nowhere else.
pub(crate) const NUMBER: &str = "4000007351902843";
const CODE: &str = "862";
/// What somebody typed as a code: never one, and never to be repeated.
const NOT_A_CODE: &str = "862x86218xx2186";

const SECRETS: Secrets<'_> = Secrets { number: NUMBER, code: CODE, typed: NOT_A_CODE };

/// Payments with the code; a server that kept it would keep it as often.
const PAYMENTS: i64 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn no_number_and_no_code_is_left_on_sqlite() {
    let place = talkative(Place::new());
    let answers = exercise(&place).await;
    let mut left = files(&place);
    left.insert("answers".to_owned(), answers.into_bytes());
    left.insert("the database's rows".to_owned(), sqlite_rows(&place.data().join("baton.db")));
    let names: Vec<&String> = left.keys().collect();
    for name in ["data/baton.db", "data/baton.db-wal", "books.ndjson", "serve.log", shop::TOLD] {
        assert!(left.get(name).is_some_and(|bytes| !bytes.is_empty()), "{name} of {names:?}");
    }
    judge(&left);

    // And were it there, it would be found: in the log, the books, the rows and the write-ahead log.
    for (name, planted) in [("serve.log", NUMBER), ("books.ndjson", r#""cvv":"862""#)] {
        let mut bytes = bytes_of(&place.path(name));
        bytes.extend(planted.bytes());
        std::fs::write(place.path(name), bytes).unwrap();
        assert!(!SECRETS.find(&files(&place)[name]).is_empty(), "planted in {name}");
    }
    let path = place.data().join("baton.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    let hex: String = NUMBER.bytes().map(|byte| format!("{byte:02X}")).collect();
    database.execute_batch(&format!("CREATE TABLE planted AS SELECT '{hex}' AS it")).unwrap();
    assert!(!SECRETS.find(&files(&place)["data/baton.db-wal"]).is_empty());
    assert!(!SECRETS.find(&sqlite_rows(&path)).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_number_and_no_code_is_left_on_postgresql() {
    let skipped = "1: looking for card data in PostgreSQL";
    let Some(url) = postgres::database(skipped).await else { return };
    let place = talkative(Place::new().on(Some(url.clone())));
    let answers = exercise(&place).await;
    let mut left = files(&place);
    left.insert("answers".to_owned(), answers.into_bytes());
    left.insert("the database's rows".to_owned(), postgres_rows(&url).await);
    judge(&left);

    let database = postgres::connect(&url).await;
    let plant = format!("CREATE TABLE planted AS SELECT '{NUMBER}'::bytea AS it");
    database.batch_execute(&plant).await.unwrap();
    assert!(!SECRETS.find(&postgres_rows(&url).await).is_empty(), "bytes are shown in hexadecimal");
}

fn talkative(place: Place) -> Place {
    place
        .with("BATON_LOG__LEVEL", "trace")
        .with("BATON_WIRE__ANSWER_TIMEOUT_MS", "700")
        .with("BATON_PAYMENTS__CALLER_WAIT_MS", "3000")
}

/// Nothing of the number is in any file of a test's folder.
pub(crate) fn no_leak(place: &Place) {
    judge(&files(place));
}

fn judge(left: &BTreeMap<String, Vec<u8>>) {
    let found = left.iter().flat_map(|(name, bytes)| {
        let leaks = SECRETS.find(bytes).into_iter();
        leaks.map(move |(form, around)| format!("{name}: {form}: {around}"))
    });
    let mut found: Vec<String> = found.collect();
    for (name, bytes) in left {
        for (form, word) in scan::words(CODE) {
            let count = count_of_words(bytes, &word);
            if count >= usize::try_from(PAYMENTS / 2).unwrap() {
                found.push(format!("{name}: {count} times the code as a word, {form}"));
            }
        }
    }
    assert!(found.is_empty(), "{} leaks:\n{}", found.len(), found.join("\n"));
}

/// Every file below the test's folder, by its path there.
fn files(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let root = place.path("");
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, bytes_of(&path));
            }
        }
    }
    found
}

/// All rows as text: a value that is split over two pages is whole here.
fn sqlite_rows(path: &Path) -> Vec<u8> {
    let database = rusqlite::Connection::open(path).unwrap();
    let mut names =
        database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let names = names.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let names: Vec<String> = names.map(Result::unwrap).collect();
    assert!(names.iter().any(|name| name == "payments"), "{names:?}");
    let mut text = Vec::new();
    for name in names {
        let mut query = database.prepare(&format!("SELECT * FROM \"{name}\"")).unwrap();
        let columns = query.column_count();
        let mut rows = query.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                use rusqlite::types::ValueRef;
                match row.get_ref(column).unwrap() {
                    ValueRef::Null => {}
                    ValueRef::Integer(number) => text.extend(number.to_string().bytes()),
                    ValueRef::Real(number) => text.extend(number.to_string().bytes()),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => text.extend(bytes),
                }
                text.push(b'\n');
            }
        }
    }
    text
}

async fn postgres_rows(url: &str) -> Vec<u8> {
    let database = postgres::connect(url).await;
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'";
    let tables = database.query(tables, &[]).await.unwrap();
    let names: Vec<String> = tables.iter().map(|row| row.get(0)).collect();
    assert!(names.iter().any(|name| name == "payments"), "{names:?}");
    let mut text = Vec::new();
    for name in names {
        let query = format!("SELECT row::text FROM \"{name}\" AS row");
        for row in database.query(&query, &[]).await.unwrap() {
            text.extend(row.get::<_, String>(0).bytes());
            text.push(b'\n');
        }
    }
    text
}

/// Sends the card through everything, and returns all answers.
async fn exercise(place: &Place) -> String {
    let sandbox = place.sandbox(&[]);
    let refuse = json!({"refuse": {"status": 429, "code": "rate_limited"}});
    rule(&sandbox.url, json!({"match": {"account": "sandbox-b"}, "action": refuse})).await;
    let key = place.key();
    let mut server = place.serve_at(&sandbox);
    let client = Client::new(&server, &key);
    let mut answers = payments(&client).await;
    answers.push_str(&mistakes(&client).await);
    answers.push_str(&shop::exercise(&server, place).await);

    // Killed with the card on its way; the next start looks it up.
    let waiting = client.clone();
    let body = with_code(&body(PAYMENTS + 1, "9100.03", &["sandbox"]));
    let in_flight = tokio::spawn(async move {
        waiting.try_send("POST", "/PaymentGateway/charge", Some("killed"), &body).await
    });
    sleep(Duration::from_millis(300)).await;
    server.kill();
    assert!(in_flight.await.unwrap().is_err(), "it was still on its way");
    let mut server = place.serve_at(&sandbox);
    answers.push_str(&seen_by_all(&server, &sandbox, &key).await);
    // Not a clean end: the write-ahead log is to stay as it is.
    server.kill();
    answers
}

/// Thirty purchases with the code, one in each way that they can go.
async fn payments(client: &Client) -> String {
    // What the sandbox does is chosen by the amount: declines, lost answers, garbage, delays.
    let amounts = ["9000.03", "9100.01", "9100.05", "9100.09", "9100.11", "9100.12", "9100.13"];
    let mut sending = tokio::task::JoinSet::new();
    for no in 0..PAYMENTS {
        let client = client.clone();
        let index = usize::try_from(no).unwrap();
        let ordinary = format!("{}.00", 10 + no);
        let amount = amounts.get(index).copied().unwrap_or(&ordinary).to_owned();
        let operation = if index.is_multiple_of(5) { "authorize" } else { "charge" };
        let failover: &[&str] = &["sandbox-b", "sandbox-a"];
        let accounts = if index.is_multiple_of(3) { failover } else { &["sandbox"] };
        let body = with_code(&body(no, &amount, accounts));
        sending.spawn(async move {
            let path = format!("/PaymentGateway/{operation}");
            let key = format!("payment-{no}");
            client.try_send("POST", &path, Some(&key), &body).await.unwrap()
        });
    }
    let mut answers = String::new();
    let mut succeeded = 0;
    for reply in sending.join_all().await {
        answers.push_str(&reply.text);
        if reply.code() == "Success" && reply.text_of("operationType") == "Charge" {
            succeeded += 1;
            let reference = reply.text_of("gatewayReference");
            let change = with_code(&format!(
                r#"{{"refTransId": "{reference}", "amount": 1.00, "currency": "EUR", "card":
                    {{"cardHolderName": "Ada", "cardNumber": "{NUMBER}", "cvv": "123",
                      "expirationMonth": 12, "expirationYear": 2040}}}}"#
            ));
            let reply = client.send("PUT", "/PaymentGateway/refund", &change).await;
            assert_eq!(reply.code(), "Success", "the same card: {}", reply.text);
            answers.push_str(&reply.text);
        }
    }
    assert!(succeeded > 10, "{answers}");
    answers
}

/// The card where it does not belong.
async fn mistakes(client: &Client) -> String {
    let good = with_code(&body(99, "10.00", &["sandbox"]));
    let mut answers = String::new();
    let swap = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}: {good}");
        good.replace(from, to)
    };
    let number = format!("\"{NUMBER}\"");
    let spaced = "\"4000 0073 5190 2843\"";
    for body in [
        swap("\"order-99\"", &number),
        swap("\"order-99\"", spaced),
        swap("\"Ada Lovelace\"", &number),
        swap("\"EUR\"", &number),
        swap("\"sandbox\"", &number),
        swap("10.00", NUMBER),
        swap("10.00", &number),
        swap("2040", NUMBER),
        swap(&number, NUMBER),
        swap(&number, &format!("\"{NUMBER}x\"")),
        swap(&number, "\"4000007351902844\""),
        swap("\"862\"", &number),
        swap("\"862\"", &format!("\"{NOT_A_CODE}\"")),
        swap("\"862\"", "862"),
        swap("\"862\"", "\"8621\""),
        swap("\"cvv\"", &number),
        swap("\"myRef\"", "\"orderDesc\"").replace("\"order-99\"", &format!("\"for {NUMBER}\"")),
        swap("\"myRef\"", &number),
        swap("\"myRef\"", &format!("\"cardNumber\": {number}, \"userToken\"")),
        good[..good.len() - 2].to_owned(),
        number.clone(),
        format!("cardNumber={NUMBER}&cvv={CODE}"),
    ] {
        let reply = client.charge(&body).await;
        answers.push_str(&reply.text);
        let path = "/PaymentGateway/status";
        answers.push_str(&client.send("POST", path, &body).await.text);
    }
    let reference = format!(r#"{{"refTransId": {number}, "amount": 1, "currency": "EUR"}}"#);
    for (method, operation) in [("PUT", "refund"), ("PUT", "capture"), ("DELETE", "void")] {
        let path = format!("/PaymentGateway/{operation}");
        answers.push_str(&client.send(method, &path, &reference).await.text);
    }
    for path in [format!("/{NUMBER}"), format!("/PaymentGateway/charge?card={NUMBER}&cvv={CODE}")] {
        answers.push_str(&client.send("POST", &path, &good).await.text);
    }
    for (header, value) in [
        ("x-api-key", NUMBER),
        ("idempotency-key", NUMBER),
        ("x-request-id", NUMBER),
        ("traceparent", NUMBER),
        ("user-agent", NUMBER),
    ] {
        let mut headers = vec![(header, value)];
        if header != "x-api-key" {
            headers.push(("x-api-key", &client.key));
        }
        let reply = call(&client.url, "POST", "/PaymentGateway/charge", &headers, &good).await;
        let reply = reply.unwrap();
        answers.push_str(&format!("{:?}{}", reply.headers, reply.text));
    }
    answers
}

/// What others can read of it.
async fn seen_by_all(server: &Process, sandbox: &Process, key: &str) -> String {
    let client = Client::new(server, key);
    let mut seen = Value::from(books(&sandbox.url).await).to_string();
    for path in ["/metrics", "/health/ready"] {
        seen.push_str(&call(&server.url, "GET", path, &[], "").await.unwrap().text);
    }
    let status = json!({"myRef": format!("order-{}", PAYMENTS + 1)}).to_string();
    let status = client.send("POST", "/PaymentGateway/status", &status).await;
    let looked_up = matches!(status.code(), "Accepted" | "Success");
    assert!(looked_up, "looked up, not sent again: {}", status.text);
    seen.push_str(&status.text);
    seen
}

fn body(no: i64, amount: &str, accounts: &[&str]) -> String {
    purchase(0, &format!("order-{no}"), NUMBER, accounts).replacen("0.00", amount, 1)
}

fn with_code(body: &str) -> String {
    let with = body.replace("\"cvv\": \"123\"", &format!("\"cvv\": \"{CODE}\""));
    assert_ne!(with, body);
    with
}
