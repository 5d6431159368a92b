//! Webhooks: what happened in an account is told to its endpoint, signed, in the endpoint's dialect.
//!
//! One connection per account, events in the order in which they happened, each only after its change is
//! durable. An event that is not accepted (2xx) is tried again after 1, 5 and 25 seconds. The delivery
//! settings make it worse on purpose: late, twice, out of order, never. Leaves out: https, and delivery
//! across a restart (what was not delivered by then is not delivered).

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::clock::now_ms;
use crate::core::{Change, Event};
use crate::dialect::fields::hex;
use crate::dialect::{Dialect, adyen, own, stripe};
use crate::journal::Seq;
use crate::provider::{Account, Provider};

/// Events waiting per account; more are dropped with a warning.
const QUEUE: usize = 100_000;
const RETRY_AFTER_MS: [u64; 3] = [1_000, 5_000, 25_000];
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How much later every other event is sent when disorder is asked for.
const DISORDER_MS: u64 = 300;

/// Where and how an account's events are told.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) secret: String,
    pub(crate) dialect: Dialect,
    #[serde(default)]
    pub(crate) delivery: Delivery,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Delivery {
    delay_ms: u64,
    /// Further copies of each event.
    duplicate: u8,
    disorder: bool,
    drop: bool,
}

impl Endpoint {
    /// Only what can be delivered: `http://host[:port][/path]`, and a hexadecimal key for Adyen's form.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        target(&self.url).ok_or("url must be http://host[:port]/path")?;
        match self.dialect {
            Dialect::Adyen if adyen::hmac_key(&self.secret).is_none() => {
                Err("secret must be hexadecimal in this dialect")
            }
            Dialect::Own | Dialect::Stripe | Dialect::Adyen => Ok(()),
        }
    }
}

#[derive(Debug)]
struct Item {
    endpoint: Arc<Endpoint>,
    event: Event,
    seq: Seq,
    tries: usize,
}

/// The queues, one per account, made on first use.
#[derive(Debug, Default)]
pub(crate) struct Webhooks {
    queues: Mutex<HashMap<String, mpsc::Sender<Item>>>,
    /// Counts the events that disorder was asked for: every other one is held back.
    sent: AtomicU64,
}

impl Webhooks {
    /// Queues what a change has to tell.
    pub(crate) fn send(
        &self,
        provider: &Arc<Provider>,
        account: &Arc<Account>,
        endpoint: Endpoint,
        change: &Change,
        seq: Seq,
    ) {
        if endpoint.delivery.drop {
            return;
        }
        let endpoint = Arc::new(endpoint);
        for event in &change.events {
            for _ in 0..=endpoint.delivery.duplicate {
                let held_back = endpoint.delivery.disorder
                    && self.sent.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
                let delay_ms = endpoint.delivery.delay_ms + if held_back { DISORDER_MS } else { 0 };
                let item = Item { endpoint: endpoint.clone(), event: event.clone(), seq, tries: 0 };
                self.queue_after(provider, &account.name, delay_ms, item);
            }
        }
    }

    fn queue_after(&self, provider: &Arc<Provider>, account: &str, delay_ms: u64, item: Item) {
        let queue = self.queue(provider, account);
        let push = move || {
            if queue.try_send(item).is_err() {
                tracing::warn!("the webhook queue is full or closed; an event is dropped");
            }
        };
        match delay_ms {
            0 => push(),
            _ => provider.spawn_after(delay_ms, async move { push() }),
        }
    }

    fn queue(&self, provider: &Arc<Provider>, account: &str) -> mpsc::Sender<Item> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(account) {
            return queue.clone();
        }
        let (queue, items) = mpsc::channel(QUEUE);
        queues.insert(account.to_owned(), queue.clone());
        provider.spawn(deliver(provider.clone(), account.to_owned(), items));
        queue
    }
}

async fn deliver(provider: Arc<Provider>, account: String, mut items: mpsc::Receiver<Item>) {
    let mut line = Line::default();
    loop {
        let item = tokio::select! {
            () = provider.stopping.cancelled() => return,
            item = items.recv() => item,
        };
        let Some(item) = item else { return };
        if provider.journal.durable(item.seq).await.is_err() {
            return;
        }
        let mut accepted = true;
        for message in messages(&provider, &account, &item) {
            accepted &= tokio::select! {
                () = provider.stopping.cancelled() => return,
                accepted = line.post(&item.endpoint.url, message) => accepted,
            };
        }
        let Some(delay_ms) = RETRY_AFTER_MS.get(item.tries).filter(|_| !accepted) else {
            continue;
        };
        let item = Item { tries: item.tries + 1, ..item };
        provider.webhooks.queue_after(&provider, &account, *delay_ms, item);
    }
}

/// A body with the header that signs it, if the dialect signs in a header.
#[derive(Debug)]
struct Message {
    body: Vec<u8>,
    signature: Option<(&'static str, String)>,
}

fn messages(provider: &Provider, account: &str, item: &Item) -> Vec<Message> {
    let secret = &item.endpoint.secret;
    let signed = |header: &'static str, body: Value| {
        let body = body.to_string().into_bytes();
        let signature = sign(secret, now_ms() / 1_000, &body);
        Message { body, signature: Some((header, signature)) }
    };
    match item.endpoint.dialect {
        Dialect::Own => {
            let body = own::event_body(&item.event, &provider.urls(account));
            body.map(|body| signed("sandbox-signature", body)).into_iter().collect()
        }
        Dialect::Stripe => stripe::events_of(&item.event, &provider.urls(account))
            .into_iter()
            .map(|body| signed("stripe-signature", body))
            .collect(),
        Dialect::Adyen => adyen::notification(&item.event, secret)
            .map(|body| Message { body: body.to_string().into_bytes(), signature: None })
            .into_iter()
            .collect(),
    }
}

/// `t=<seconds>,v1=<hex>` with HMAC-SHA256 over `<seconds>.<body>`: Stripe's scheme, also used by the
/// own dialect.
pub(crate) fn sign(secret: &str, at_s: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{at_s}.").as_bytes());
    context.update(body);
    format!("t={at_s},v1={}", hex(context.sign().as_ref()))
}

/// Host with port, and path with query.
fn target(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"))?;
    let host = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Some((host, path.to_owned()))
}

/// A connection that is kept as long as it works.
#[derive(Debug, Default)]
struct Line {
    open: Option<(String, SendRequest<Full<Bytes>>)>,
}

impl Line {
    async fn post(&mut self, url: &str, message: Message) -> bool {
        let result = tokio::time::timeout(ANSWER_TIMEOUT, self.try_post(url, message)).await;
        let accepted = result.unwrap_or(None).unwrap_or(false);
        if !accepted {
            self.open = None;
        }
        accepted
    }

    async fn try_post(&mut self, url: &str, message: Message) -> Option<bool> {
        let (host, path) = target(url)?;
        let kept = self.open.take().filter(|(to, line)| *to == host && !line.is_closed());
        let mut line = match kept {
            Some((_, line)) => line,
            None => connect(&host).await?,
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, &host)
            .header(CONTENT_TYPE, "application/json");
        if let Some((name, value)) = message.signature {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(message.body))).ok()?;
        line.ready().await.ok()?;
        let response = line.send_request(request).await.ok()?;
        let accepted = response.status().is_success();
        response.into_body().collect().await.ok()?;
        self.open = Some((host, line));
        Some(accepted)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "hyper's half of a connection; it ends with its owner"
)]
async fn connect(host: &str) -> Option<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(host).await.ok()?;
    let _ = stream.set_nodelay(true);
    let (line, connection) = handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_covers_the_time_and_the_body() {
        // Computed with openssl: printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac whsec_test
        let expected =
            "t=1700000000,v1=38877139021993b830af32feea6e18a8da83eb2f6e49ee50bd9e4cf4ca4d3789";
        assert_eq!(sign("whsec_test", 1_700_000_000, br#"{"a":1}"#), expected);
    }

    #[test]
    fn only_plain_http_urls_are_taken() {
        assert_eq!(
            target("http://127.0.0.1:80/a?b=c"),
            Some(("127.0.0.1:80".into(), "/a?b=c".into()))
        );
        assert_eq!(target("http://localhost"), Some(("localhost:80".into(), "/".into())));
        for wrong in ["https://127.0.0.1/", "127.0.0.1", "/a", "", "ftp://x/"] {
            assert_eq!(target(wrong), None, "{wrong}");
        }
    }
}
