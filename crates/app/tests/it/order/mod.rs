//! The write comes first: a trace of system calls shows the write-ahead log synced before the first byte
//! of each request to a provider, and before the answer to the client.

mod trace;

use std::process::Stdio;

use serde_json::json;

use crate::support::{
    CARD_NUMBER, Client, PATIENCE, Place, Process, binary, books, purchase, rule, signal,
};
use trace::{Call, Trace};

const CHARGES: i64 = 20;

#[tokio::test]
async fn the_log_is_synced_before_the_first_provider_byte_and_before_the_answer() {
    let place = Place::new();
    if !can_trace(&place) {
        eprintln!("SKIPPED 1: system calls cannot be traced here (strace, or the right to ptrace)");
        return;
    }
    let sandbox = place.sandbox(&[]);
    rule(
        &sandbox.url,
        json!({"match": {"account": "sandbox-b"},
               "action": {"refuse": {"status": 429, "code": "rate_limited"}}}),
    )
    .await;
    let key = place.key();
    let mut server = traced(&place, &sandbox);
    let client = Client::new(&server.process, &key);
    let mut told = Vec::new();
    for no in 0..=CHARGES {
        let failover = ["sandbox-b", "sandbox-a"];
        let accounts: &[&str] = if no == CHARGES { &failover } else { &["sandbox"] };
        let body = purchase(1000 + no, &format!("order-{no}"), CARD_NUMBER, accounts);
        let reply = client.charge(&body).await;
        assert_eq!(reply.code(), "Success", "{}", reply.text);
        told.push((reply.text_of("transactionId"), reply.text_of("gatewayReference")));
    }
    server.stop();

    let text = String::from_utf8(std::fs::read(place.path("trace")).unwrap()).unwrap();
    let provider = sandbox.url.trim_start_matches("http://").to_owned();
    let requests = references(&place, &sandbox, &told).await;
    assert_eq!(requests.len(), told.len() + 1, "every attempt, also the one that was refused");
    let complaints = |text: &str| complaints(text, &provider, &requests, &told);
    assert_eq!(complaints(&text), [""; 0]);

    // The same trace, broken: the check must see it.
    let without_syncs: Vec<&str> = text.lines().filter(|line| !line.contains("sync(")).collect();
    assert_eq!(complaints(&without_syncs.join("\n")).len(), requests.len() + told.len());
    let sent_early = sent_before_the_plan(&text, &provider, &requests[7]);
    let found = complaints(&sent_early);
    assert!(found.len() == 1 && found[0].contains(&requests[7]), "{found:?}");
}

/// Our references of all calls to the provider: those in its books, and the refused one, which is in
/// none.
async fn references(place: &Place, sandbox: &Process, told: &[(String, String)]) -> Vec<String> {
    let rows = books(&sandbox.url).await;
    let in_books = rows.iter().map(|row| row["reference"].as_str().unwrap().to_owned());
    let mut all: Vec<String> = in_books.collect();
    let (last, _) = told.last().unwrap();
    let refused = format!("{}-a1", last.trim_start_matches("pay_"));
    assert!(!all.contains(&refused), "{}: {all:?}", place.data().display());
    all.push(refused);
    all
}

fn complaints(
    text: &str,
    provider: &str,
    requests: &[String],
    told: &[(String, String)],
) -> Vec<String> {
    let trace = Trace::read(text);
    let to_provider = |call: &Call| call.target.ends_with(&format!("->{provider}]"));
    let mut complaints = Vec::new();
    for reference in requests {
        let sent = |call: &Call| to_provider(call) && call.holds(reference);
        complaints.extend(trace.not_synced_before(reference, sent));
    }
    for (payment, provider_id) in told {
        let answer = format!("\"transactionId\":\"{payment}\"");
        let answered = |call: &Call| {
            call.target.starts_with("TCP:") && !to_provider(call) && call.holds(&answer)
        };
        complaints.extend(trace.not_synced_before(provider_id, answered));
    }
    complaints
}

/// The trace as it would be if this request had left before its plan was written.
fn sent_before_the_plan(text: &str, provider: &str, reference: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let is_request = |line: &&str| line.contains(provider) && line.contains(reference);
    let sent = lines.iter().position(is_request).unwrap();
    let request = lines.remove(sent);
    let planned = lines.iter().position(|line| line.contains(reference)).unwrap();
    lines.insert(planned, request);
    lines.join("\n")
}

fn can_trace(place: &Place) -> bool {
    let mut command = place.run_through("strace", &["-f", "-yy", "-o", "/dev/null", "true"]);
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// strace, and the server under it: to end the tracer would only let the server go.
struct Traced {
    process: Process,
    server: u32,
}

fn traced(place: &Place, sandbox: &Process) -> Traced {
    let binary = binary();
    let arguments = [
        "-f",
        "-yy",
        "-s",
        "65536",
        "-o",
        "trace",
        "-e",
        "trace=fsync,fdatasync,write,writev,pwrite64,sendto,sendmsg",
        &binary,
        "serve",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--dev",
        "--sandbox-url",
        &sandbox.url,
    ];
    let process = place.start("serve", place.run_through("strace", &arguments));
    let tracer = process.id();
    let children = format!("/proc/{tracer}/task/{tracer}/children");
    let children = std::fs::read_to_string(children).unwrap();
    Traced { process, server: children.trim().parse().unwrap() }
}

impl Traced {
    fn stop(&mut self) {
        signal(self.server, "TERM");
        assert!(self.process.wait().success(), "within {PATIENCE:?}");
        self.server = 0;
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if self.server != 0 {
            signal(self.server, "KILL");
        }
    }
}
