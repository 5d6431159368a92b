//! Charges at a fixed rate, and what that adds to the provider's own time.
//!
//! ```text
//! cargo run --release -p baton --example load -- --url http://127.0.0.1:8080 --key sk_sandbox_… \
//!     --rate 500 --seconds 10 --accounts sandbox
//! ```
//!
//! The load is open: charges are due at fixed times whether or not earlier ones have been answered, and
//! each is measured from the time at which it was due. A server that stalls is therefore charged with
//! everything that had to wait (no coordinated omission). Connections are kept alive; a charge that finds
//! none idle opens another.
//!
//! Reported, in milliseconds: `wall` from due to the last byte of the answer; `added`, wall without the
//! time that the server says it waited for providers (`server-timing`); `server`, the server's own total
//! without that time; `late`, how late the charge left here, which is this program's own share of wall.
//! `--warmup` seconds (default 2) come first and are not counted. `--json` prints one object.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program that measures: it needs the clock, tasks, and a voice"
)]

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

type Failure = Box<dyn Error + Send + Sync>;
type Connection = SendRequest<Full<Bytes>>;

#[derive(Clone, Debug)]
struct Arguments {
    authority: String,
    key: String,
    rate: u32,
    seconds: u32,
    warmup: u32,
    accounts: Vec<String>,
    json: bool,
}

fn arguments() -> Result<Arguments, Failure> {
    let mut parsed = Arguments {
        authority: String::new(),
        key: String::new(),
        rate: 500,
        seconds: 10,
        warmup: 2,
        accounts: vec!["sandbox".to_owned()],
        json: false,
    };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        if name == "--json" {
            parsed.json = true;
            continue;
        }
        let value = given.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--url" => {
                let authority = value.strip_prefix("http://").ok_or("--url begins with http://")?;
                parsed.authority = authority.trim_end_matches('/').to_owned();
            }
            "--key" => parsed.key = value,
            "--rate" => parsed.rate = value.parse()?,
            "--seconds" => parsed.seconds = value.parse()?,
            "--warmup" => parsed.warmup = value.parse()?,
            "--accounts" => parsed.accounts = value.split(',').map(str::to_owned).collect(),
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    if parsed.authority.is_empty() || parsed.key.is_empty() || parsed.rate == 0 {
        return Err("--url and --key are required, and --rate is at least 1".into());
    }
    Ok(parsed)
}

/// What all charges share.
struct Load {
    arguments: Arguments,
    idle: Mutex<Vec<Connection>>,
}

/// One answered charge.
struct Sample {
    late: Duration,
    wall: Duration,
    server: Duration,
    provider: Duration,
    done: Instant,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = arguments()?;
    let load = Arc::new(Load { arguments: arguments.clone(), idle: Mutex::default() });
    let (sender, mut results) = mpsc::unbounded_channel();
    let begun = Instant::now();
    let seconds = arguments.warmup.saturating_add(arguments.seconds);
    let mut due = schedule(begun, arguments.rate, seconds);
    while let Some((number, due)) = due.recv().await {
        let (load, sender) = (Arc::clone(&load), sender.clone());
        tokio::spawn(async move {
            let result = load.charge(number, due).await;
            let _ = sender.send((due, result));
        });
    }
    drop(sender);
    let counted = begun + Duration::from_secs(arguments.warmup.into());
    let (mut samples, mut errors) = (Vec::new(), Vec::new());
    while let Some((due, result)) = results.recv().await {
        match result {
            Ok(sample) if due >= counted => samples.push(sample),
            Ok(_) => {}
            Err(error) => errors.push(error.to_string()),
        }
    }
    report(&arguments, counted, &samples, &errors);
    Ok(())
}

/// Says when each charge is due. A thread of its own: the runtime's timers are good to a millisecond only.
fn schedule(begun: Instant, rate: u32, seconds: u32) -> mpsc::UnboundedReceiver<(u64, Instant)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for number in 0..u64::from(rate) * u64::from(seconds) {
            let due = begun + Duration::from_nanos(number * 1_000_000_000 / u64::from(rate));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send((number, due)).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Load {
    async fn charge(&self, number: u64, due: Instant) -> Result<Sample, Failure> {
        let mut connection = self.connection().await?;
        let request = self.request(number)?;
        let late = due.elapsed();
        let reply = connection.send_request(request).await?;
        let (parts, body) = reply.into_parts();
        let body = body.collect().await?.to_bytes();
        let (done, wall) = (Instant::now(), due.elapsed());
        let result: Value = serde_json::from_slice(&body).unwrap_or_default();
        if result.get("operationResultCode").and_then(Value::as_str) != Some("Success") {
            return Err(format!("{}: {}", parts.status, String::from_utf8_lossy(&body)).into());
        }
        let timing = parts.headers.get("server-timing").and_then(|value| value.to_str().ok());
        let timing = timing.ok_or("no server-timing header")?;
        let (total, provider) = (duration(timing, "total")?, duration(timing, "provider")?);
        self.idle().push(connection);
        Ok(Sample { late, wall, server: total.saturating_sub(provider), provider, done })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(&self) -> Result<Connection, Failure> {
        let mut found = self.idle().pop();
        while let Some(mut connection) = found {
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
            found = self.idle().pop();
        }
        let stream = TcpStream::connect(&self.arguments.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn request(&self, number: u64) -> Result<hyper::Request<Full<Bytes>>, Failure> {
        let accounts = json!(self.arguments.accounts);
        let body = format!(
            r#"{{"amount": 10.23, "currency": "EUR", "myRef": "load-{number}", "card":
                {{"cardHolderName": "Ada Lovelace", "cardNumber": "4111111111111111",
                  "expirationMonth": 12, "expirationYear": 2040, "cvv": "123"}},
                "paymentGatewayAccountNames": {accounts}}}"#
        );
        let request = hyper::Request::post("/PaymentGateway/charge")
            .header("host", &self.arguments.authority)
            .header("content-type", "application/json")
            .header("x-api-key", &self.arguments.key);
        Ok(request.body(Full::new(Bytes::from(body)))?)
    }
}

/// `dur` of one entry of a `Server-Timing` header: milliseconds with up to three places.
fn duration(header: &str, name: &str) -> Result<Duration, Failure> {
    let entry = header.split(',').map(str::trim).find_map(|entry| entry.strip_prefix(name));
    let text = entry.and_then(|entry| entry.strip_prefix(";dur=")).ok_or("no duration")?;
    let (millis, micros) = text.split_once('.').unwrap_or((text, "0"));
    let millis = Duration::from_millis(millis.parse()?);
    Ok(millis + Duration::from_micros(format!("{micros:0<3}").parse()?))
}

fn report(arguments: &Arguments, counted: Instant, samples: &[Sample], errors: &[String]) {
    let row = |of: &dyn Fn(&Sample) -> Duration| {
        let mut sorted: Vec<Duration> = samples.iter().map(of).collect();
        sorted.sort_unstable();
        [500, 900, 990, 999, 1000].map(|per_mille| {
            let index = (sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1));
            sorted.get(index).copied().unwrap_or_default()
        })
    };
    let rows = [
        ("wall", row(&|sample| sample.wall)),
        ("added", row(&|sample| sample.wall.saturating_sub(sample.provider))),
        ("server", row(&|sample| sample.server)),
        ("provider", row(&|sample| sample.provider)),
        ("late", row(&|sample| sample.late)),
    ];
    let last = samples.iter().map(|sample| sample.done).max();
    let took = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(counted));
    let per_second = samples.len() as u128 * 1_000_000 / took.as_micros().max(1);
    if arguments.json {
        let mut shown = json!({
            "rate": arguments.rate, "seconds": arguments.seconds, "payments": samples.len(),
            "payments_per_second": per_second, "errors": errors.len(), "first_error": errors.first(),
        });
        for (name, values) in rows {
            let names = ["p50_us", "p90_us", "p99_us", "p999_us", "max_us"];
            let values = names.into_iter().zip(values.map(|value| json!(value.as_micros())));
            let values: serde_json::Map<_, _> =
                values.map(|(name, value)| (name.to_owned(), value)).collect();
            if let Some(members) = shown.as_object_mut() {
                members.insert(name.to_owned(), values.into());
            }
        }
        println!("{shown}");
        return;
    }
    println!(
        "{} payments at {} per second asked, {per_second} per second done, {} errors",
        samples.len(),
        arguments.rate,
        errors.len()
    );
    if let Some(error) = errors.first() {
        println!("the first error: {error}");
    }
    println!("{:10}{:>10}{:>10}{:>10}{:>10}{:>10}", "ms", "p50", "p90", "p99", "p99.9", "max");
    for (name, values) in rows {
        let cells = values.map(|value| {
            let micros = value.as_micros();
            format!("{:>10}", format!("{}.{:03}", micros / 1000, micros % 1000))
        });
        println!("{name:10}{}", cells.concat());
    }
}
