//! How long a page of a merchant's payments takes among very many, over HTTP.
//!
//! ```text
//! cargo run --release -p baton-api --example bench_lists -- --backend sqlite --payments 1000000
//! tools/with-postgres cargo run --release -p baton-api --example bench_lists -- --backend postgres
//! ```
//!
//! Options: `--backend sqlite|postgres`, `--payments N`, `--requests N` per row of the table, `--path DIRECTORY` (SQLite; the
//! default is the temporary directory). One payment is made through the API, with everything that a payment has;
//! the others are copies of what that has stored, a second apart, under ids of their own: one in a hundred has failed,
//! one in ten is of the customer who is asked for. Then requests are sent one after the other.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "a program that measures, with the server of the tests"
)]

#[path = "../tests/it/client.rs"]
mod client;
/// Answers are not held against the description here: that would be measured too.
mod described {
    pub(crate) fn check(_: &str, _: &str, _: &crate::client::Seen) {}
}
#[path = "../tests/it/logs.rs"]
mod logs;
#[path = "../tests/it/server.rs"]
mod server;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use baton_store::{
    DocumentRow, EventRow, ListQuery, ListedRow, OpenOptions, PaymentRow, Store, Write, open,
};
use baton_types::{EventId, MerchantId, PaymentId, Timestamp};
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use server::{OPERATOR, Server};

struct Arguments {
    backend: String,
    payments: u64,
    requests: usize,
    path: PathBuf,
}

fn arguments() -> Arguments {
    let mut parsed = Arguments {
        backend: "sqlite".to_owned(),
        payments: 1_000_000,
        requests: 300,
        path: std::env::temp_dir(),
    };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let value = given.next().expect("every option has a value");
        match name.as_str() {
            "--backend" => parsed.backend = value,
            "--payments" => parsed.payments = value.parse().unwrap(),
            "--requests" => parsed.requests = value.parse().unwrap(),
            "--path" => parsed.path = value.into(),
            _ => panic!("unknown option {name}"),
        }
    }
    parsed
}

/// What one payment has stored.
struct Template {
    merchant: MerchantId,
    document: DocumentRow,
    payment: PaymentRow,
    status: String,
}

impl Template {
    /// The writes of a copy.
    fn copy(&self, n: u64, of: u64) -> Vec<Write> {
        let ago = i64::try_from(of - n).unwrap() * 1_000;
        let at = Timestamp::from_millis(self.document.created_at.millis() - ago - 60_000);
        let mut random = [0_u8; 10];
        random[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let millis = u64::try_from(at.millis()).unwrap();
        let id = EventId::from_parts(millis, random);
        let payment = PaymentId::from_bytes(*id.as_bytes());
        let name = format!("pay_{}", id.to_string().split_once('_').unwrap().1);
        let (old, own) = (self.payment.id.to_string(), payment.to_string());
        let customer =
            if n.is_multiple_of(10) { "ada".to_owned() } else { format!("c{}", n % 5_000) };
        let body = self.document.body.replace(&self.document.id, &name).replace(&old, &own);
        let document = DocumentRow {
            id: name.clone(),
            version: 1,
            owner: customer.clone(),
            created_at: at,
            updated_at: at,
            body,
            ..self.document.clone()
        };
        let made = PaymentRow {
            id: payment,
            created_at: at,
            updated_at: at,
            snapshot: self.payment.snapshot.replace(&old, &own).replace(&self.document.id, &name),
            ..self.payment.clone()
        };
        let event = EventRow {
            id,
            merchant: self.merchant,
            payment,
            version: made.version,
            at,
            schema: 1,
            body: "[]".to_owned(),
        };
        let listed = ListedRow {
            merchant: self.merchant,
            kind: document.kind.clone(),
            id: name,
            payment: Some(payment),
            call: None,
            owner: customer,
            profile: "pro_bench".to_owned(),
            several: false,
            status: if n % 100 == 7 { "failed".to_owned() } else { self.status.clone() },
            currency: "USD".to_owned(),
            amount: i64::try_from(n % 10_000).unwrap() + 1,
            account: Some("mca_bench".to_owned()),
            connector: Some("sandbox".to_owned()),
            method: Some("card".to_owned()),
            method_type: None,
            authentication: Some("no_three_ds".to_owned()),
            network: Some("visa".to_owned()),
            reference: None,
            created_at: at,
        };
        vec![
            Write::Document(document),
            Write::Event(event),
            Write::Payment(made),
            Write::Listed(listed),
        ]
    }
}

/// A merchant with a key, and a payment of its.
async fn shop(server: &Server) -> (String, Value) {
    let send = async |key: &str, path: &str, body: Value| {
        let headers = [("api-key", key), ("content-type", "application/json")];
        let body = body.to_string();
        let seen = client::send(server.addr, "POST", path, &headers, body.as_bytes()).await;
        assert_eq!(seen.status, 200, "{path}: {seen:?}");
        seen.json()
    };
    send(OPERATOR, "/accounts", json!({"merchant_id": "bench"})).await;
    let key = json!({"name": "bench", "expiration": "never"});
    let key = send(OPERATOR, "/api_keys/bench", key).await;
    let connector = json!({
        "connector_type": "payment_processor", "connector_name": "sandbox",
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "any"},
    });
    send(OPERATOR, "/account/bench/connectors", connector).await;
    let key = key["api_key"].as_str().unwrap().to_owned();
    let address = json!({"address": {"line1": "1 Main Street", "city": "London", "zip": "SW1A 1AA",
        "country": "GB", "first_name": "Ada", "last_name": "Lovelace"}, "email": "ada@example.com"});
    let payment = json!({
        "amount": 6540, "currency": "USD", "confirm": true, "payment_method": "card",
        "payment_method_data": {"card": {"card_number": "4111111111111111", "card_exp_month": "10",
            "card_exp_year": "90", "card_holder_name": "Ada Lovelace", "card_cvc": "123"}},
        "customer_id": "ada", "name": "Ada Lovelace", "email": "ada@example.com",
        "billing": address, "shipping": address, "metadata": {"order": "4711"},
    });
    let made = send(&key, "/payments", payment).await;
    (key, made)
}

#[tokio::main]
async fn main() {
    let arguments = arguments();
    let options = OpenOptions { migrate: true, ..OpenOptions::default() };
    let folder = tempfile::tempdir_in(&arguments.path).unwrap();
    let store: Arc<dyn Store> = match arguments.backend.as_str() {
        "sqlite" => {
            let url = format!("sqlite:{}", folder.path().join("baton.db").display());
            open(&url, options).await.unwrap()
        }
        "postgres" => {
            let url = std::env::var("BATON_TEST_POSTGRES_URL").expect("use tools/with-postgres");
            open(&url, options).await.unwrap()
        }
        other => panic!("unknown backend {other}"),
    };
    let server = Server::on(Arc::clone(&store)).await;
    let (key, made) = shop(&server).await;
    let merchant = store.merchant_by_name("bench").await.unwrap().unwrap().id;
    let one = store.lists().listed(&ListQuery::of(merchant, "intent")).await.unwrap().remove(0);
    let status = made["status"].as_str().unwrap().to_owned();
    let template = Template { merchant, document: one.0, payment: one.1.unwrap(), status };
    let begun = Instant::now();
    fill(&store, &template, arguments.payments).await;
    println!(
        "{}: {} payments stored in {:?}",
        arguments.backend,
        arguments.payments,
        begun.elapsed()
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    measure(&server, &key, &template, &arguments).await;
}

async fn fill(store: &Arc<dyn Store>, template: &Template, payments: u64) {
    const SET: u64 = 25;
    let sets = (0..payments.div_ceil(SET)).map(|set| {
        let (first, end) = (set * SET, payments.min((set + 1) * SET));
        let writes: Vec<Write> = (first..end).flat_map(|n| template.copy(n, payments)).collect();
        async move { store.commit(writes.into()).await.unwrap() }
    });
    stream::iter(sets).buffer_unordered(64).collect::<Vec<()>>().await;
}

async fn measure(server: &Server, key: &str, template: &Template, arguments: &Arguments) {
    let ago = |part: u64| {
        let seconds = i64::try_from(arguments.payments / 100 * part).unwrap();
        let at = template.document.created_at.millis() - seconds * 1_000;
        Timestamp::from_millis(at).to_rfc3339()
    };
    let (half, third) = (ago(50), ago(34));
    let get = |query: &str| ("GET", format!("/payments/list?limit=50{query}"), Value::Null);
    let post = |body: Value| ("POST", "/payments/list".to_owned(), body);
    let rows = [
        ("50 newest", get("")),
        ("50 before a time in the middle", get(&format!("&created.lte={half}"))),
        ("50 in a range of time", get(&format!("&created.gte={half}&created.lte={third}"))),
        ("50 newest of a customer", get("&customer_id=ada")),
        ("50 newest and the total", post(json!({"limit": 50}))),
        ("50 of a status, and the total", post(json!({"limit": 50, "status": ["failed"]}))),
        (
            "50 of a range and two filters, and the total",
            post(json!({"limit": 50, "start_time": half,
            "end_time": third, "status": ["succeeded"], "amount_filter": {"start_amount": 5_000}})),
        ),
        ("50 highest, and the total", post(json!({"limit": 50, "order": {"on": "amount"}}))),
    ];
    for (name, (method, path, body)) in rows {
        let headers = [("api-key", key), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut times = Vec::new();
        let mut size = 0;
        let begun = Instant::now();
        while times.len() < arguments.requests && begun.elapsed() < Duration::from_secs(20) {
            let sent = Instant::now();
            let seen = client::send(server.addr, method, &path, &headers, body.as_bytes()).await;
            times.push(sent.elapsed());
            assert_eq!(seen.status, 200, "{seen:?}");
            size = seen.body.len();
        }
        times.sort_unstable();
        let at = |permille: usize| times[(times.len() * permille / 1_000).min(times.len() - 1)];
        println!("{name}: p50 {:?} p99 {:?} of {}, {size} bytes", at(500), at(990), times.len());
    }
}
