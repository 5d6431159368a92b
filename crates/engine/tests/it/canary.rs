//! A card number and a CVV that occur nowhere else are looked for in every byte that is kept or logged.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use baton_engine::{Engine, EventSink};
use baton_flow::OrderKind;
use baton_store::OutboxRow;
use baton_types::EventId;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::world::{Setup, World, by_id, card, key, paid_with, purchase, usd};

/// A Visa number; the first six and last four digits may be kept.
const NUMBER: &str = "4012888888881881";
/// Begins with a zero, so that no count, time or port looks like it.
const CVV: &str = "0917";

/// The text in the forms in which it could be hidden.
fn forms(text: &str) -> Vec<(String, Vec<u8>)> {
    let each = |write: fn(u8) -> String| text.bytes().map(write).collect::<String>();
    let mut forms = vec![
        ("plain".to_owned(), text.to_owned()),
        ("hex".to_owned(), each(|byte| format!("{byte:02x}"))),
        ("percent".to_owned(), each(|byte| format!("%{byte:02X}"))),
    ];
    for before in 0..3 {
        let needles = base64(text, before).into_iter();
        forms.extend(needles.map(|needle| (format!("base64, {before} before"), needle)));
    }
    forms.into_iter().map(|(form, needle)| (form, needle.into_bytes())).collect()
}

/// The text in base64 when so many bytes stand before it: the letters that it decides alone, and every
/// letter that can follow, of which it decides a part. Without that part a CVV's letters occur by chance.
fn base64(text: &str, before: usize) -> Vec<String> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> =
        text.bytes().flat_map(|byte| (0..8).rev().map(move |bit| (byte >> bit) & 1)).collect();
    // A letter has six bits, counted from the beginning of what stands before.
    let skipped = (6 - before * 8 % 6) % 6;
    let value = |bits: &[u8]| bits.iter().fold(0, |value, bit| value * 2 + usize::from(*bit));
    let letters = bits[skipped..].chunks_exact(6);
    let part = letters.remainder();
    let whole: String = letters.map(|six| char::from(LETTERS[value(six)])).collect();
    let open = 6 - part.len();
    let follows = (0..1 << open).map(|low| (value(part) << open) | low);
    match part {
        [] => vec![whole],
        _ => follows.map(|letter| format!("{whole}{}", char::from(LETTERS[letter]))).collect(),
    }
}

/// Where the needle stands; a short one only if it stands alone, as a value does.
fn find(hay: &[u8], needle: &[u8], alone: bool) -> Option<usize> {
    let is_word =
        |at: Option<usize>| at.and_then(|at| hay.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    hay.windows(needle.len()).enumerate().position(|(at, window)| {
        window == needle
            && !(alone && (is_word(at.checked_sub(1)) || is_word(Some(at + needle.len()))))
    })
}

/// What of the card stands in the bytes, with its surroundings.
fn leaks(what: &str, hay: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for (secret, text) in [("number", NUMBER), ("CVV", CVV)] {
        for (form, needle) in forms(text) {
            let alone = text == CVV && form == "plain";
            if let Some(at) = find(hay, &needle, alone) {
                let around = &hay[at.saturating_sub(40)..(at + needle.len() + 20).min(hay.len())];
                let around = String::from_utf8_lossy(around).into_owned();
                found.push(format!("{what}: the {secret} ({form}): {around}"));
            }
        }
    }
    found
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Keeps what is published.
#[async_trait]
impl EventSink for Captured {
    async fn publish(&self, batch: &[OutboxRow]) -> Result<Vec<EventId>, String> {
        let mut kept = self.0.lock().unwrap();
        for row in batch {
            kept.extend_from_slice(row.body.as_bytes());
        }
        Ok(batch.iter().map(|row| row.id).collect())
    }
}

/// Every operation, every kind of failure.
async fn do_everything(world: &World) {
    let rules = [
        json!({"fault": {"commit": "first", "answer": "garbage"}}),
        json!({"fault": {"commit": "never", "answer": "close"}}),
        json!({"fault": {"commit": "first", "answer": "truncated"}}),
        json!({"fault": {"commit": "never", "answer": {"status": {"status": 500}}}}),
        json!({"verdict": {"decline": "incorrect_cvv"}}),
        json!({"verdict": {"decline": "provider_declined"}}),
        json!({"verdict": {"challenge": {"abandoned": false}}}),
        json!({"verdict": {"partial": {"authorized": 5}}}),
        json!({"refuse": {"status": 400, "code": "validation"}}),
    ];
    let lists: [&[&str]; 4] = [
        &["first"],
        &["test-failure", "first", "second"],
        &["closed", "second"],
        &["first", "second"],
    ];
    let mut number = 0;
    for list in lists {
        for rule in std::iter::once(None).chain(rules.iter().map(Some)) {
            if let Some(rule) = rule {
                world.provider.rule(json!({"account": "first"}), rule.clone(), Some(1)).await;
            }
            number += 1;
            let kind = match number % 3 {
                0 => OrderKind::Authorize(usd(1_000)),
                1 => OrderKind::Charge(usd(1_000)),
                _ => OrderKind::Tokenize,
            };
            let mut order = purchase(kind, list);
            order.card = Some(paid_with(card(NUMBER, CVV)));
            order.merchant_ref = Some(format!("order-{number}"));
            order.description = Some("Books".to_owned());
            let key = key(&format!("key-{number}"), b"body");
            let Ok(bought) = world.engine.purchase(world.caller, order, key).await else {
                continue;
            };
            let id = bought.payment.id;
            let mut target = by_id(id);
            target.card = Some(card(NUMBER, CVV).masked());
            let _ = world.engine.capture(world.caller, &target, usd(400), None).await;
            let _ = world.engine.refund(world.caller, &target, usd(100), None).await;
            let _ = world.void(id, 1_000).await;
            let _ = world.status(id).await;
        }
    }
}

fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.display().to_string(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn the_search_finds_what_is_hidden() {
    for hidden in [
        format!(r#"{{"number":"{NUMBER}"}}"#),
        format!("Some(\"{CVV}\")"),
        format!("cvv={CVV}&x"),
        "x34303132383838383838383831383831".to_owned(),
        "%34%30%31%32%38%38%38%38%38%38%38%38%31%38%38%31".to_owned(),
        // The CVV, then the number, after nothing, `x` and `xx`.
        "MDkxNw==".to_owned(),
        "eDA5MTc=".to_owned(),
        "eHgwOTE3".to_owned(),
        "NDAxMjg4ODg4ODg4MTg4MQ==".to_owned(),
        "eDQwMTI4ODg4ODg4ODE4ODE=".to_owned(),
        "eHg0MDEyODg4ODg4ODgxODgx".to_owned(),
    ] {
        assert!(!leaks("here", hidden.as_bytes()).is_empty(), "{hidden}");
    }
    assert!(leaks("here", b"401288 1881 took 917 us at 10917 x0917y 7A5MTJ").is_empty());
}

#[test]
fn neither_number_nor_cvv_is_written_down_anywhere() {
    let (log, published) = (Captured::default(), Captured::default());
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let directory = tempfile::tempdir().unwrap();
    let mut kept = Vec::new();
    // One thread: the subscriber is this thread's own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(async {
            let mut setup = Setup { sink: Arc::new(published.clone()), ..Setup::default() };
            setup.engine.failover_window_ms = 1_000;
            let world = World::on_sqlite(directory.path(), setup).await;
            do_everything(&world).await;
            // Before anything is published, while the outbox is full and the log has not been emptied.
            kept.extend(files(directory.path()));
            let engine: &Engine = &world.engine;
            engine.start();
            world.clock.jump(200_000);
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            engine.shut_down(Duration::from_secs(5)).await;
            kept.extend(files(directory.path()));
        });
    });
    assert!(kept.iter().any(|(name, bytes)| name.ends_with("-wal") && !bytes.is_empty()));
    kept.push(("log".to_owned(), log.0.lock().unwrap().clone()));
    kept.push(("events".to_owned(), published.0.lock().unwrap().clone()));
    let found: Vec<String> = kept.iter().flat_map(|(name, bytes)| leaks(name, bytes)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    // What was searched is what was to be searched.
    let known = [("log", "provider call"), ("events", "concluded"), ("baton.db-wal", "sp_")];
    for (name, expected) in known {
        let (_, bytes) = kept.iter().rfind(|(file, _)| file.ends_with(name)).unwrap();
        assert!(find(bytes, expected.as_bytes(), false).is_some(), "{name}");
    }
}
