//! The administrator's side: rules, settings, webhook endpoints, and the truth about the books.
//!
//! No authentication: the sandbox is for tests and listens on loopback by default.

mod books;
mod disputes;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::http::{Call, Reply};
use crate::provider::Provider;
use crate::script::NewRule;
use crate::webhooks::Endpoint;

pub(crate) async fn handle(provider: &Arc<Provider>, call: &Call, rest: &[&str]) -> Reply {
    let result = match (&call.method, rest) {
        (&Method::POST, ["rules"]) => rule_create(provider, call),
        (&Method::GET, ["rules"]) => {
            Ok(Reply::json(200, &json!({"data": provider.script.rules()})))
        }
        (&Method::DELETE, ["rules"]) => {
            provider.script.remove(None);
            Ok(no_content())
        }
        (&Method::DELETE, ["rules", id]) => rule_delete(provider, id),
        (&Method::PUT, ["settings"]) => settings_update(provider, call),
        (&Method::GET, ["settings"]) => Ok(settings(provider)),
        (&Method::PUT, ["accounts", account, "webhook"]) => {
            webhook_update(provider, call, account).await
        }
        (&Method::POST, ["accounts", account, "disputes"]) => {
            disputes::open(provider, call, account).await
        }
        (&Method::POST, ["accounts", account, "disputes", id]) => {
            disputes::decide(provider, call, account, id).await
        }
        (&Method::GET, ["books"]) => books::page(provider, call),
        (&Method::GET, ["books", "summary"]) => Ok(books::summary(provider, call).await),
        (&Method::DELETE, ["books"]) => {
            let seq = provider.reset();
            confirm(provider, seq, no_content()).await
        }
        _ => Err(error(404, "no such path or method")),
    };
    result.unwrap_or_else(|reply| reply)
}

fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({"error": {"message": message}}))
}

fn no_content() -> Reply {
    Reply::raw(204, "application/json", "")
}

/// Reads a JSON body; a wrong one is answered with what is wrong.
fn body<T: DeserializeOwned>(call: &Call) -> Result<T, Reply> {
    serde_json::from_slice(&call.body).map_err(|problem| error(400, &problem.to_string()))
}

async fn confirm(
    provider: &Provider,
    seq: crate::journal::Seq,
    reply: Reply,
) -> Result<Reply, Reply> {
    let failed = |_| error(500, "the books cannot be written");
    provider.journal.durable(seq).await.map(|()| reply).map_err(failed)
}

fn rule_create(provider: &Provider, call: &Call) -> Result<Reply, Reply> {
    let rule: NewRule = body(call)?;
    rule.check().map_err(|message| error(400, message))?;
    Ok(Reply::json(201, &json!({"id": provider.script.add(rule)})))
}

fn rule_delete(provider: &Provider, id: &str) -> Result<Reply, Reply> {
    let id = id.parse().map_err(|_| error(404, "no such rule"))?;
    if provider.script.remove(Some(id)) {
        Ok(no_content())
    } else {
        Err(error(404, "no such rule"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsUpdate {
    dedup: Option<bool>,
    seed: Option<u64>,
    latency_ms: Option<u64>,
}

fn settings_update(provider: &Provider, call: &Call) -> Result<Reply, Reply> {
    let update: SettingsUpdate = body(call)?;
    if let Some(dedup) = update.dedup {
        provider.dedup.store(dedup, Ordering::Relaxed);
    }
    if let Some(seed) = update.seed {
        provider.script.set_seed(seed);
    }
    if let Some(latency_ms) = update.latency_ms {
        provider.latency_ms.store(latency_ms, Ordering::Relaxed);
    }
    Ok(settings(provider))
}

fn settings(provider: &Provider) -> Reply {
    let settings = json!({
        "dedup": provider.dedup.load(Ordering::Relaxed),
        "seed": provider.script.seed(),
        "latency_ms": provider.latency_ms.load(Ordering::Relaxed),
    });
    Reply::json(200, &settings)
}

async fn webhook_update(
    provider: &Arc<Provider>,
    call: &Call,
    account: &str,
) -> Result<Reply, Reply> {
    let endpoint: Endpoint = body(call)?;
    endpoint.check().map_err(|message| error(400, message))?;
    let account = provider.account(account);
    let ((), seq) = provider.change(&account, |books| books.set_endpoint(endpoint));
    confirm(provider, seq, no_content()).await
}
