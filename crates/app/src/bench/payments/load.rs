//! Requests at a fixed rate, and what each of them took.
//!
//! The load is open: requests are due at fixed times whether or not earlier ones have been answered, and
//! each is measured from the time at which it was due. A server that stalls is therefore charged with
//! everything that had to wait (no coordinated omission). Connections are kept alive; a request that finds
//! none idle opens another. What may be open at once is bounded: beyond that a request is not sent, and
//! counts as failed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Api;
use super::http::{Connection, connect};

/// How many requests may be unanswered at once.
pub(super) const MOST_OPEN: usize = 4_000;
/// How long answers are waited for after the last request was due.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whom to ask.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// The server, through one of its APIs with a key.
    Server { api: Api, key: String },
    /// The sandbox itself, with what the server would send it.
    Sandbox,
}

/// How much of what.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// `127.0.0.1:PORT`.
    pub(super) authority: String,
    pub(super) target: Target,
    /// Distinguishes the references of this run from those of others.
    pub(super) name: String,
    pub(super) rate: u32,
    /// Not counted, at the beginning.
    pub(super) warmup: Duration,
    pub(super) time: Duration,
}

/// One answered request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// How late it left here.
    pub(super) late: Duration,
    /// From due to the last byte of the answer.
    pub(super) wall: Duration,
    /// The server's own total, without its waiting for the provider.
    pub(super) server: Duration,
    /// How long the server waited for the provider.
    pub(super) provider: Duration,
}

/// What came of a plan.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Those that were counted and succeeded.
    pub(super) samples: Vec<Sample>,
    pub(super) failed: usize,
    pub(super) first_error: Option<String>,
    /// From the first counted request's due time to the last answer.
    pub(super) took: Duration,
    /// The most that were unanswered at once.
    pub(super) most_open: usize,
}

struct Load {
    plan: Plan,
    idle: Mutex<Vec<Connection>>,
    open: AtomicUsize,
    most_open: AtomicUsize,
}

struct Answer {
    due: Instant,
    at: Instant,
    result: Result<Sample, String>,
}

/// Carries out the plan. `at_start` runs when counting begins.
#[allow(
    clippy::disallowed_methods,
    reason = "each request is a task, and no shutdown waits for it"
)]
pub(super) async fn run(plan: &Plan, at_start: impl Future<Output = ()>) -> Run {
    let begun = Instant::now();
    let counted = begun + plan.warmup;
    let load = Arc::new(Load {
        plan: plan.clone(),
        idle: Mutex::default(),
        open: AtomicUsize::new(0),
        most_open: AtomicUsize::new(0),
    });
    let (sender, mut answers) = mpsc::unbounded_channel();
    let send = async {
        let mut due = schedule(begun, plan.rate, plan.warmup + plan.time);
        while let Some((number, due)) = due.recv().await {
            let (load, sender) = (Arc::clone(&load), sender.clone());
            tokio::spawn(async move {
                let result = load.one(number, due).await;
                let _ = sender.send(Answer { due, at: Instant::now(), result });
            });
        }
        drop(sender);
    };
    let start = async {
        tokio::time::sleep_until(counted).await;
        at_start.await;
    };
    let collect = async {
        let mut run = Run::default();
        let mut last = counted;
        let end = counted + plan.time + PATIENCE;
        let mut received = 0_usize;
        while let Ok(Some(Answer { due, at, result })) =
            tokio::time::timeout_at(end, answers.recv()).await
        {
            received += 1;
            match result {
                Ok(sample) if due >= counted => {
                    run.samples.push(sample);
                    last = last.max(at);
                }
                Ok(_) => {}
                Err(error) => {
                    run.failed += 1;
                    run.first_error.get_or_insert(error);
                }
            }
        }
        let unanswered = count(plan.rate, plan.warmup + plan.time).saturating_sub(received);
        run.failed += unanswered;
        if unanswered > 0 {
            run.first_error.get_or_insert(format!("{unanswered} requests got no answer in time"));
        }
        run.took = last.saturating_duration_since(counted);
        run
    };
    let ((), (), mut run) = tokio::join!(send, start, collect);
    run.most_open = load.most_open.load(Ordering::Relaxed);
    run
}

fn count(rate: u32, time: Duration) -> usize {
    let count = u128::from(rate) * time.as_millis() / 1_000;
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Says when each request is due. A thread of its own: the runtime's timers are good to a millisecond only.
#[allow(clippy::disallowed_methods, reason = "the thread is there to sleep")]
fn schedule(
    begun: Instant,
    rate: u32,
    time: Duration,
) -> mpsc::UnboundedReceiver<(usize, Instant)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for number in 0..count(rate, time) {
            let after = number as u64 * 1_000_000_000 / u64::from(rate.max(1));
            let due = begun + Duration::from_nanos(after);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send((number, due)).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Load {
    async fn one(&self, number: usize, due: Instant) -> Result<Sample, String> {
        let open = self.open.fetch_add(1, Ordering::Relaxed);
        self.most_open.fetch_max(open.saturating_add(1), Ordering::Relaxed);
        let result = if open < MOST_OPEN {
            self.ask(number, due).await
        } else {
            Err(format!("{MOST_OPEN} requests are unanswered; further ones are not sent"))
        };
        self.open.fetch_sub(1, Ordering::Relaxed);
        result
    }

    async fn ask(&self, number: usize, due: Instant) -> Result<Sample, String> {
        let mut connection = self.connection().await?;
        let late = due.elapsed();
        let mut timing = Timing::default();
        match &self.plan.target {
            Target::Sandbox => {
                self.exchange(&mut connection, self.direct(number), r#""status":"captured""#)
                    .await?;
            }
            Target::Server { api: Api::Gateway, key } => {
                let wanted = r#""operationResultCode":"Success""#;
                let told = self.exchange(&mut connection, self.charge(number, key), wanted).await?;
                timing.add(&told)?;
            }
            Target::Server { api: Api::Payments, key } => {
                let wanted = r#""status":"requires_payment_method""#;
                let made = self.exchange(&mut connection, self.intent(number, key), wanted).await?;
                timing.add(&made)?;
                let id = text_of("payment_id", &made.body).ok_or("no payment_id")?;
                let wanted = r#""status":"succeeded""#;
                let told = self.exchange(&mut connection, self.confirm(id, key), wanted).await?;
                timing.add(&told)?;
            }
        }
        let wall = due.elapsed();
        self.idle().push(connection);
        let server = match self.plan.target {
            Target::Sandbox => wall,
            Target::Server { .. } => timing.total.saturating_sub(timing.provider),
        };
        Ok(Sample { late, wall, server, provider: timing.provider })
    }

    /// One request and its answer, which must be good and hold a text.
    async fn exchange(
        &self,
        connection: &mut Connection,
        (builder, body): (hyper::http::request::Builder, String),
        wanted: &str,
    ) -> Result<Told, String> {
        let request = builder
            .header("host", &self.plan.authority)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let reply = connection.send_request(request).await.map_err(|error| error.to_string())?;
        let (parts, body) = reply.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        let text = std::str::from_utf8(&body).unwrap_or_default();
        if !parts.status.is_success() || !text.contains(wanted) {
            return Err(format!("{}: {text}", parts.status));
        }
        let timing = parts.headers.get("server-timing").and_then(|value| value.to_str().ok());
        Ok(Told { timing: timing.map(str::to_owned), body: text.to_owned() })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(&self) -> Result<Connection, String> {
        loop {
            let Some(mut connection) = self.idle().pop() else { break };
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        connect(&self.plan.authority).await
    }

    fn direct(&self, number: usize) -> (hyper::http::request::Builder, String) {
        let name = &self.plan.name;
        let builder = hyper::Request::post("/sandbox/direct/payments")
            .header("authorization", "Bearer sandbox");
        let body = format!(
            r#"{{"reference":"{name}-{number}","amount":{{"value":1023,"currency":"EUR"}},
                "capture":true,"card":{{"number":"4111111111111111","exp_month":12,
                "exp_year":2040,"cvv":"123","holder":"Ada Lovelace"}}}}"#
        );
        (builder, body)
    }

    fn charge(&self, number: usize, key: &str) -> (hyper::http::request::Builder, String) {
        let name = &self.plan.name;
        let (whole, hundredths) = amount(number);
        let body = format!(
            r#"{{"amount": {whole}.{hundredths:02}, "currency": "EUR", "myRef": "{name}-{number}", "card":
                {{"cardHolderName": "Ada Lovelace", "cardNumber": "4111111111111111",
                  "expirationMonth": 12, "expirationYear": 2040, "cvv": "123"}},
                "paymentGatewayAccountNames": ["sandbox"]}}"#
        );
        (hyper::Request::post("/PaymentGateway/charge").header("x-api-key", key), body)
    }

    fn intent(&self, number: usize, key: &str) -> (hyper::http::request::Builder, String) {
        let (whole, hundredths) = amount(number);
        let body = format!(
            r#"{{"amount": {}, "currency": "EUR", "merchant_order_reference_id": "{}-{number}"}}"#,
            whole * 100 + hundredths,
            self.plan.name,
        );
        (hyper::Request::post("/payments").header("api-key", key), body)
    }

    fn confirm(&self, payment: &str, key: &str) -> (hyper::http::request::Builder, String) {
        let body = r#"{"payment_method": "card", "payment_method_data": {"card":
            {"card_number": "4111111111111111", "card_exp_month": "12", "card_exp_year": "2040",
             "card_holder_name": "Ada Lovelace", "card_cvc": "123"}}}"#;
        let path = format!("/payments/{payment}/confirm");
        (hyper::Request::post(path).header("api-key", key), body.to_owned())
    }
}

/// What was answered.
struct Told {
    /// `Server-Timing`, if it is there.
    timing: Option<String>,
    body: String,
}

/// A member's text, of a JSON object without escapes in it.
fn text_of<'a>(name: &str, body: &'a str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("\"{name}\":\""))?;
    rest.split_once('"').map(|(text, _)| text)
}

/// Each payment's own, below those that have a meaning in the sandbox: of two payments at once for the same
/// card and amount, the second waits for the first.
fn amount(number: usize) -> (usize, usize) {
    (10 + number / 100 % 8_000, number % 100)
}

/// What a server says of the requests of one payment.
#[derive(Default)]
struct Timing {
    total: Duration,
    provider: Duration,
}

impl Timing {
    fn add(&mut self, told: &Told) -> Result<(), String> {
        let header = told.timing.as_deref().ok_or("no server-timing header")?;
        self.provider += duration(header, "provider").ok_or("no provider's time")?;
        self.total += duration(header, "total").ok_or("no total")?;
        Ok(())
    }
}

/// `dur` of one entry of a `Server-Timing` header: milliseconds with up to three places.
fn duration(header: &str, name: &str) -> Option<Duration> {
    let entry = header.split(',').map(str::trim).find_map(|entry| entry.strip_prefix(name))?;
    let text = entry.strip_prefix(";dur=")?;
    let (millis, places) = text.split_once('.').unwrap_or((text, "0"));
    let micros = format!("{places:0<3}").parse().ok()?;
    Duration::from_millis(millis.parse().ok()?).checked_add(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;

    use super::*;

    #[test]
    fn durations_are_read_from_the_header() {
        let header = "total;dur=12.5, provider;dur=2.004";
        assert_eq!(duration(header, "total"), Some(Duration::from_micros(12_500)));
        assert_eq!(duration(header, "provider"), Some(Duration::from_micros(2_004)));
        assert_eq!(duration("provider;dur=7", "provider"), Some(Duration::from_millis(7)));
        assert_eq!(duration(header, "store"), None);
    }

    /// A server that rests for a while: whoever was due meanwhile has waited, whoever sent it.
    #[tokio::test]
    async fn a_stall_counts_for_everybody_who_was_due() {
        let stall = Duration::from_millis(300);
        let authority = server(stall).await;
        let plan = Plan {
            authority,
            target: Target::Sandbox,
            name: "stall".to_owned(),
            rate: 100,
            warmup: Duration::ZERO,
            time: Duration::from_secs(1),
        };
        let run = run(&plan, async {}).await;
        assert_eq!((run.samples.len(), run.failed), (100, 0), "{:?}", run.first_error);
        let waited = run.samples.iter().filter(|sample| sample.wall >= stall / 2).count();
        // Half of the stall is 15 requests' worth.
        assert!(waited >= 10, "{waited} of the requests that were due in the stall have waited");
    }

    /// Answers like the sandbox, and stops answering for a time after the tenth request.
    async fn server(stall: Duration) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let until = Arc::new(Mutex::new((0, Instant::now())));
        #[allow(clippy::disallowed_methods, reason = "a test's server")]
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let until = Arc::clone(&until);
                let answer = move |_: hyper::Request<hyper::body::Incoming>| {
                    let until = Arc::clone(&until);
                    async move {
                        let end = {
                            let mut until = until.lock().unwrap();
                            until.0 += 1;
                            if until.0 == 10 {
                                until.1 = Instant::now() + stall;
                            }
                            until.1
                        };
                        tokio::time::sleep_until(end).await;
                        let body = Full::new(Bytes::from(r#"{"status":"captured"}"#));
                        Ok::<_, hyper::Error>(hyper::Response::new(body))
                    }
                };
                let service = hyper::service::service_fn(answer);
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        authority
    }
}
