//! Clients that charge, capture, void and refund while the server comes and goes.
//!
//! A client keeps a record of every request and of every answer. Each order has an amount of its own, by
//! which it is found in the provider's books without trusting anything that the server says.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::support::http::Reply;
use crate::support::random::Random;
use crate::support::{CARD_NUMBER, Client, major, purchase};

/// Amounts up to 9,000.00 have no special meaning to the sandbox.
const FIRST_AMOUNT: i64 = 10_000;
const LAST_AMOUNT: i64 = 890_000;

/// A request as a client knows it.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) what: What,
    body: String,
    key: String,
    /// What the client was told, in order.
    pub(super) answers: Vec<Answer>,
    /// How often it was not told anything.
    pub(super) lost: u32,
    /// Whether the latest sending was not answered: then no earlier answer is the last word.
    pub(super) open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Charge,
    Authorize,
    Capture(i64),
    Void,
    Refund(i64),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) code: String,
    pub(super) payment: String,
    /// The provider's id of what was done.
    pub(super) provider_id: String,
    pub(super) attempts: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Order {
    /// In minor units of EUR; no other order has it.
    pub(super) amount: i64,
    pub(super) requests: Vec<Request>,
}

impl Order {
    pub(super) fn reference(&self) -> String {
        format!("order-{}", self.amount)
    }
}

impl Answer {
    pub(super) fn of(reply: &Reply) -> Answer {
        Answer {
            code: reply.code().to_owned(),
            payment: reply.text_of("transactionId"),
            provider_id: reply.text_of("gatewayReference"),
            attempts: reply.json["attempts"].as_array().map_or(0, Vec::len),
        }
    }

    pub(super) fn is_success(&self) -> bool {
        self.code == "Success"
    }

    /// Whether the client may take it as the last word.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self.code.as_str(),
            "Success" | "Rejected" | "TemporaryFailure" | "FatalFailure" | "NotImplemented"
        )
    }
}

impl Request {
    fn new(what: What, order: i64, no: usize, body: String) -> Request {
        let key = format!("key-{order}-{no}");
        Request { what, body, key, answers: Vec::new(), lost: 0, open: false }
    }

    /// For the comparison's own tests.
    pub(super) fn with(what: What, answers: Vec<Answer>) -> Request {
        Request { answers, ..Request::new(what, 0, 0, String::new()) }
    }

    /// The latest answer, if it is one to the latest sending.
    pub(super) fn last(&self) -> Option<&Answer> {
        self.answers.last().filter(|_| !self.open)
    }

    async fn send(&mut self, client: &Client) -> Option<&Answer> {
        let (method, path) = match self.what {
            What::Charge => ("POST", "/PaymentGateway/charge"),
            What::Authorize => ("POST", "/PaymentGateway/authorize"),
            What::Capture(_) => ("PUT", "/PaymentGateway/capture"),
            What::Void => ("DELETE", "/PaymentGateway/void"),
            What::Refund(_) => ("PUT", "/PaymentGateway/refund"),
        };
        match client.try_send(method, path, Some(&self.key), &self.body).await {
            Ok(reply) => {
                let answer = Answer::of(&reply);
                assert!(!answer.code.is_empty(), "{}: {} {}", self.body, reply.status, reply.text);
                self.answers.push(answer);
                self.open = false;
                self.last()
            }
            Err(_) => {
                self.lost += 1;
                self.open = true;
                None
            }
        }
    }
}

/// What all clients share.
pub(super) struct Shop {
    /// Where the server is, while it lives.
    server: watch::Receiver<Option<Client>>,
    seed: u64,
    next: AtomicI64,
    closing: AtomicBool,
    orders: Mutex<Vec<Order>>,
}

impl Shop {
    pub(super) fn new(server: watch::Receiver<Option<Client>>, seed: u64) -> Shop {
        let next = AtomicI64::new(FIRST_AMOUNT);
        Shop { server, seed, next, closing: AtomicBool::new(false), orders: Mutex::default() }
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    pub(super) fn orders(&self) -> Vec<Order> {
        std::mem::take(&mut self.orders.lock().unwrap())
    }

    /// One client: an order after the other until the shop closes.
    pub(super) async fn buy(self: std::sync::Arc<Shop>) {
        while !self.is_closing() {
            let amount = self.next.fetch_add(1, Ordering::Relaxed);
            assert!(amount < LAST_AMOUNT, "too many orders for one run");
            let mut random = Random::new(self.seed ^ (u64::try_from(amount).unwrap() << 20));
            let mut order = Order { amount, requests: Vec::new() };
            self.place(&mut order, &mut random).await;
            self.orders.lock().unwrap().push(order);
        }
    }

    async fn place(&self, order: &mut Order, random: &mut Random) {
        let plan = plan(order.amount, random);
        // Some clients are not there any more to ask again; their orders are looked at in the end.
        let gives_up = random.chance(35);
        for what in plan {
            let no = order.requests.len();
            let body = body(order, what, random);
            order.requests.push(Request::new(what, order.amount, no, body));
            let request = &mut order.requests[no];
            self.carry_through(request, gives_up).await;
            if !request.last().is_some_and(Answer::is_success) {
                return;
            }
        }
    }

    /// Sends a request, and again with the same key when nothing came back, or "try again".
    async fn carry_through(&self, request: &mut Request, gives_up: bool) {
        let mut refused = 0;
        loop {
            let Some(client) = self.client().await else { return };
            match request.send(&client).await {
                None if gives_up || self.is_closing() => return,
                None => {}
                Some(answer) if answer.code == "TemporaryFailure" && refused < 2 => refused += 1,
                Some(_) => return,
            }
            sleep(Duration::from_millis(30)).await;
        }
    }

    async fn client(&self) -> Option<Client> {
        let mut server = self.server.clone();
        let up = timeout(Duration::from_secs(60), server.wait_for(Option::is_some)).await;
        up.ok()?.ok()?.clone()
    }
}

fn plan(amount: i64, random: &mut Random) -> Vec<What> {
    let part =
        |random: &mut Random, of: i64| 1 + of * random.next().cast_signed().rem_euclid(45) / 100;
    let mut plan = match random.between(0, 100) {
        0..45 => vec![What::Charge],
        45..60 => return vec![What::Authorize, What::Void],
        60..85 => vec![What::Authorize, What::Capture(amount)],
        _ => vec![What::Authorize, What::Capture(amount / 2 + part(random, amount))],
    };
    if random.chance(50) {
        let captured = amount / 2;
        plan.push(What::Refund(part(random, captured)));
        if random.chance(30) {
            plan.push(What::Refund(part(random, captured)));
        }
    }
    plan
}

fn body(order: &Order, what: What, random: &mut Random) -> String {
    match what {
        What::Charge | What::Authorize => {
            let mut accounts = vec!["sandbox-a", "sandbox-b", "sandbox-c"];
            accounts.rotate_left(usize::try_from(random.between(0, 3)).unwrap());
            accounts.truncate(usize::try_from(random.between(1, 4)).unwrap());
            let card = match random.between(0, 100) {
                0..3 => "4000000000009110",
                3..6 => "4000000000009995",
                _ => CARD_NUMBER,
            };
            purchase(order.amount, &order.reference(), card, &accounts)
        }
        What::Capture(amount) | What::Refund(amount) => change(order, amount, random),
        What::Void => change(order, order.amount, random),
    }
}

/// A change of the order's payment, named as the provider or as we call it.
fn change(order: &Order, amount: i64, random: &mut Random) -> String {
    let made = order.requests[0].last().unwrap();
    let reference = if random.chance(50) { &made.provider_id } else { &made.payment };
    let reference = json!(reference);
    format!(r#"{{"refTransId": {reference}, "amount": {}, "currency": "EUR"}}"#, major(amount))
}

/// How an order's payment stands, asked by the client's own reference.
pub(super) async fn status(client: &Client, order: &Order) -> Answer {
    let body = json!({ "myRef": order.reference() }).to_string();
    Answer::of(&client.send("POST", "/PaymentGateway/status", &body).await)
}

/// What clients do in the end: they send what was not answered for good again, and also what was
/// approved, which must not happen again.
pub(super) async fn ask_again(client: &Client, orders: &mut [Order]) {
    let mut asking = tokio::task::JoinSet::new();
    let share = orders.len().div_ceil(8).max(1);
    for (index, share) in orders.chunks(share).enumerate() {
        let (client, mut share) = (client.clone(), share.to_vec());
        asking.spawn(async move {
            for request in share.iter_mut().flat_map(|order| &mut order.requests) {
                ask_to_the_end(&client, request).await;
            }
            (index, share)
        });
    }
    let mut answered = asking.join_all().await;
    answered.sort_by_key(|(index, _)| *index);
    let answered = answered.into_iter().flat_map(|(_, share)| share);
    for (order, answered) in orders.iter_mut().zip(answered) {
        *order = answered;
    }
}

async fn ask_to_the_end(client: &Client, request: &mut Request) {
    if request.last().is_some_and(|answer| answer.is_final() && !answer.is_success()) {
        return;
    }
    for _ in 0..300 {
        match request.send(client).await {
            Some(answer) if answer.is_final() => return,
            // In doubt: it was sent a moment ago, for the first time.
            Some(_) | None => sleep(Duration::from_millis(100)).await,
        }
    }
}
