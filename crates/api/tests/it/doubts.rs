//! The operator's side of doubts over HTTP: lists, evidence, settling by hand, incidents, and who may see them.

use baton_engine::keys::Scope;
use serde_json::{Value, json};

use crate::charge;
use crate::client::{self, Seen};
use crate::server::{OPERATOR, Server};

const CARD: &str = "4111111111111111";

async fn admin(server: &Server, method: &str, path: &str, body: &str) -> Seen {
    let headers = [("x-api-key", OPERATOR)];
    client::send(server.addr, method, path, &headers, body.as_bytes()).await
}

/// A charge at `acme-b` whose provider has lost its answer and shows nothing when it is asked.
async fn doubt(server: &Server) -> String {
    let blind = json!({"fault": {"commit": "never", "answer": {"status": {"status": 500}}}});
    server.script(json!({"account": "acme-b", "operation": "lookup"}), blind).await;
    let lost = json!({"fault": {"commit": "never", "answer": "close"}});
    server.script(json!({"account": "acme-b", "operation": "sale"}), lost).await;
    let told =
        server.operate("charge", charge("10", "USD", CARD, &["acme-b", "acme-a"])).await.json();
    assert_eq!(told["reason"], "outcome_unknown", "{told}");
    told["transactionId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_doubt_is_listed_shown_and_settled_with_a_reason() {
    let server = Server::impatient(500).await;
    let empty = admin(&server, "GET", "/admin/v1/doubts", "").await.json();
    assert_eq!(empty, json!({"data": [], "next_cursor": null}));
    let id = doubt(&server).await;

    let listed = admin(&server, "GET", "/admin/v1/doubts", "").await.json();
    let row = &listed["data"][0];
    assert_eq!(row["payment"], id.as_str(), "{listed}");
    for (name, value) in [
        ("call", "a1"),
        ("operation", "charge"),
        ("account", "acme-b"),
        ("amount", "10.00"),
        ("currency", "USD"),
        ("outcome", "unknown"),
        ("reason", "connection_lost"),
    ] {
        assert_eq!(row[name], value, "{name}: {row}");
    }
    for (filter, count) in [
        ("?account=acme-b", 1),
        ("?account=acme", 0),
        ("?sandbox=true", 1),
        ("?sandbox=false", 0),
        ("?merchant=default", 1),
        ("?before=2001-01-01T00:00:00Z", 0),
        ("?limit=1", 1),
        (&*format!("?cursor={id}.a1"), 0),
    ] {
        let seen = admin(&server, "GET", &format!("/admin/v1/doubts{filter}"), "").await;
        assert_eq!(seen.json()["data"].as_array().map(Vec::len), Some(count), "{filter}: {seen:?}");
    }
    let metrics = client::send(server.addr, "GET", "/metrics", &[], b"").await.body;
    assert!(metrics.contains("baton_payments_in_doubt 1\n"), "{metrics}");
    assert!(metrics.contains("baton_oldest_doubt_age_seconds "), "{metrics}");
    assert!(metrics.contains("baton_incidents_open 0\n"), "{metrics}");

    let path = format!("/admin/v1/payments/{id}");
    let shown = admin(&server, "GET", &path, "").await.json();
    assert_eq!(shown["status"], "in_doubt");
    assert_eq!(shown["calls"][0]["state"]["outcome"]["class"], "unknown", "{shown}");
    assert_eq!(shown["history"][0]["events"][0]["event"], "opened", "{shown}");

    let settle = format!("{path}/settle");
    let say = |call: &str, how: &str, reason: &str| {
        json!({"call": call, "as": how, "reason": reason}).to_string()
    };
    for (body, status) in [
        (say("a1", "absent", "gone"), 409),
        (say("a1", "maybe", "gone"), 400),
        (say("x1", "voided", "gone"), 400),
        (say("a1", "voided", ""), 400),
        (say("a1", "voided", &"x".repeat(501)), 400),
        (say("a2", "voided", "gone"), 409),
        ("{}".to_owned(), 400),
    ] {
        let seen = admin(&server, "POST", &settle, &body).await;
        assert_eq!(seen.status, status, "{body}: {seen:?}");
    }
    let body = say("a1", "voided", "their support cancelled it, ticket 4711");
    let settled = admin(&server, "POST", &settle, &body).await;
    assert_eq!(settled.status, 200, "{settled:?}");
    assert_eq!(settled.json()["calls"][0]["settled"], "voided");
    let again = admin(&server, "POST", &settle, &body).await;
    assert_eq!(again.fault().1, "The call is concluded.", "{again:?}");

    let audited = admin(&server, "GET", &format!("/admin/v1/audit?subject={id}"), "").await.json();
    assert_eq!(audited["data"][0]["action"], "payment_settled");
    assert_eq!(audited["data"][0]["actor"], "operator");
    assert!(audited["data"][0]["request_id"].is_string());
    let told = server.operate("status", format!(r#"{{"refTransId": "{id}"}}"#)).await.json();
    assert_eq!(
        (&told["operationResultCode"], &told["reason"]),
        (&json!("Rejected"), &json!("voided"))
    );
    assert_eq!(server.at_provider().await, 0, "nobody else was tried");
}

#[tokio::test]
async fn a_filter_that_means_nothing_is_refused() {
    let server = Server::start().await;
    for wrong in [
        "?x=1",
        "?limit=0",
        "?cursor=1",
        "?sandbox=1",
        "?before=now",
        "?merchant=nobody",
        "?account=0.5",
    ] {
        let seen = admin(&server, "GET", &format!("/admin/v1/doubts{wrong}"), "").await;
        assert_eq!(seen.status, 400, "{wrong}: {seen:?}");
    }
}

/// A payment in doubt that no task works on, and that nobody looks up.
pub(crate) async fn stored(server: &Server, reference: &str) -> String {
    use baton_flow::{
        CallId, Candidate, DoubtMode, Facts, Input, Order, OrderKind, Owner, Payment,
        RetryDeclines, snapshot, step,
    };
    use baton_store::{EventRow, PaymentRow, Write, WriteSet};
    use baton_types::outcome::{Doubt, Outcome};
    use baton_types::{Currency, Money};
    let account = server.engine.account(server.merchant, "acme").await.unwrap().unwrap();
    let now = server.engine.clock().now();
    let amount = Money::new(500, Currency::parse("USD").unwrap());
    let order = Order {
        kind: OrderKind::Charge(amount),
        merchant_ref: Some(reference.to_owned()),
        card: None,
        candidates: vec![Candidate {
            account: account.row.id,
            label: "acme".to_owned(),
            gateway: "Sandbox".to_owned(),
            quiet_ms: None,
            replay_ms: None,
            inline: false,
            certificate: None,
            index_lag_ms: 0,
            cancel: None,
            increments: false,
        }],
        doubt: DoubtMode::ResolveFirst,
        retry_declines: RetryDeclines::GATEWAY_LIST,
        failover_until: now,
        test: true,
        payer_present: false,
        imported: false,
    };
    let order = Order { failover_until: now.plus_millis(1), ..order };
    let id = server.engine.new_payment_id();
    let owner = Owner { node: "gone".to_owned(), boot: baton_types::BootId::from_bytes([7; 16]) };
    let facts = Facts { now, owner, send_window_ms: 5_000, live: true, evidence: None };
    let payment = Payment::new(id, server.merchant, order, now);
    let begun = step(&payment, Input::Begin, &facts).unwrap().next;
    let outcome = Outcome::Unknown { why: Doubt::OwnerGone };
    let lost = Input::Outcome { call: CallId::Attempt(1), outcome };
    let mut lost = step(&begun, lost, &facts).unwrap().next;
    lost.version = 1;
    let row = PaymentRow {
        merchant: server.merchant,
        id,
        version: 1,
        status: lost.status().to_owned(),
        kind: "charge".to_owned(),
        amount_minor: Some(500),
        currency: Some("USD".to_owned()),
        merchant_ref: Some(reference.to_owned()),
        test: true,
        account: None,
        created_at: now,
        updated_at: now,
        schema: snapshot::schema_of(&lost),
        snapshot: snapshot::encode(&lost).unwrap(),
    };
    let event = EventRow {
        id: baton_types::EventId::from_bytes([7; 16]),
        merchant: server.merchant,
        payment: id,
        version: 1,
        at: now,
        schema: 1,
        body: "[]".to_owned(),
    };
    let set = WriteSet::from(vec![Write::Payment(row), Write::Event(event)]);
    server.engine.store().commit(set).await.unwrap();
    id.to_string()
}

/// A charge that was declined, and a webhook of the provider's that says otherwise, while nobody can ask it.
pub(crate) async fn incident(server: &Server) -> String {
    use baton_connect::{EventSubject, WebhookEvent};
    use baton_types::outcome::{Answer, Finding, Outcome};
    use baton_types::{Currency, Money, PaymentId};
    let told = server.operate("charge", charge("77", "USD", CARD, &["unreachable"])).await.json();
    let id = PaymentId::parse(told["transactionId"].as_str().unwrap()).unwrap();
    let account = server.engine.account(server.merchant, "unreachable").await.unwrap().unwrap();
    let bare = id.to_string().split_once('_').unwrap().1.to_owned();
    let amount = Some(Money::new(7_700, Currency::parse("USD").unwrap()));
    let event = WebhookEvent {
        name: "payment.captured".to_owned(),
        id: None,
        subject: EventSubject::Purchase,
        reference: Some(format!("{bare}-a1")),
        provider_reference: None,
        payment_reference: None,
        finding: Finding::Found {
            outcome: Outcome::Approved { amount, answer: Answer::default() },
        },
    };
    server.engine.hear(&account, &event, b"{}").await.unwrap();
    let path = format!("/admin/v1/incidents?payment={id}");
    let listed = admin(server, "GET", &path, "").await.json();
    listed["data"][0]["id"].as_str().unwrap_or_else(|| panic!("{listed}")).to_owned()
}

#[tokio::test]
async fn an_incident_is_listed_shown_and_resolved_once() {
    let server = Server::start().await;
    let id = incident(&server).await;
    let path = format!("/admin/v1/incidents/{id}");
    let shown = admin(&server, "GET", &path, "").await.json();
    for (name, value) in [
        ("status", "open"),
        ("what", "taken"),
        ("proposed", "refund"),
        ("amount", "77.00"),
        ("account", "unreachable"),
        ("told_by", "webhook payment.captured"),
    ] {
        assert_eq!(shown[name], value, "{name}: {shown}");
    }
    let metrics = client::send(server.addr, "GET", "/metrics", &[], b"").await.body;
    assert!(metrics.contains("baton_incidents_open 1\n"), "{metrics}");
    let resolve = format!("{path}/resolve");
    for (body, status) in [
        (r#"{}"#, 400),
        (r#"{"reason": "x", "status": "open"}"#, 400),
        (r#"{"reason": "on it", "status": "acknowledged"}"#, 200),
        (r#"{"reason": "refunded 77.00 at the provider"}"#, 200),
        (r#"{"reason": "again"}"#, 409),
    ] {
        let seen = admin(&server, "POST", &resolve, body).await;
        assert_eq!(seen.status, status, "{body}: {seen:?}");
    }
    let listed = |filter: &'static str| {
        let server = &server;
        async move {
            let path = format!("/admin/v1/incidents{filter}");
            let seen = admin(server, "GET", &path, "").await;
            seen.json()["data"].as_array().map(Vec::len)
        }
    };
    assert_eq!(listed("?status=open").await, Some(0));
    assert_eq!(listed("?status=resolved").await, Some(1));
    assert_eq!(listed("?sandbox=false").await, Some(0));
    let audited = admin(&server, "GET", &format!("/admin/v1/audit?subject={id}"), "").await.json();
    assert_eq!(audited["data"].as_array().map(Vec::len), Some(2));
    let long = format!("?cursor=1.{}", "x".repeat(100));
    for wrong in ["?status=done", "?payment=1", "?cursor=x", &long, "?limit=2000", "?y=1"] {
        let seen = admin(&server, "GET", &format!("/admin/v1/incidents{wrong}"), "").await;
        assert_eq!(seen.status, 400, "{wrong}: {seen:?}");
    }
}

#[tokio::test]
async fn a_merchants_key_sees_its_own_and_a_sandbox_key_only_the_sandbox() {
    let server = Server::impatient(500).await;
    let payment = doubt(&server).await;
    let incident = incident(&server).await;
    let own = server.make_key(&[Scope::Admin], true, None).await;
    let live = server.make_key(&[Scope::Admin], false, None).await;
    let ask = async |key: &str, path: &str| {
        let headers = [("x-api-key", key)];
        client::send(server.addr, "GET", path, &headers, b"").await
    };
    let count = |seen: &Seen| seen.json()["data"].as_array().map(Vec::len);
    for list in ["/admin/v1/doubts", "/admin/v1/incidents"] {
        assert_eq!(count(&ask(&own, list).await), Some(1));
        assert_eq!(count(&ask(&live, &format!("{list}?sandbox=false")).await), Some(0));
        let seen = ask(&own, &format!("{list}?sandbox=false")).await;
        assert_eq!(seen.status, 400, "{seen:?}");
        let seen = ask(&own, &format!("{list}?merchant=default")).await;
        assert_eq!(seen.status, 400, "{seen:?}");
    }
    assert_eq!(ask(&own, &format!("/admin/v1/payments/{payment}")).await.status, 200);
    assert_eq!(ask(&own, &format!("/admin/v1/incidents/{incident}")).await.status, 200);
    assert_eq!(ask(&own, "/admin/v1/payments/nonsense").await.status, 404);
    assert_eq!(Value::Null, ask(&own, "/admin/v1/doubts").await.json()["next_cursor"]);
}
