//! The tour's HTTP client: the same sockets that the server uses for providers.

use std::collections::HashMap;
use std::time::Duration;

use baton_connect::{Fill, Hole, HttpCall, Method};
use baton_engine::{SystemClock, new_id};
use baton_types::Secret;
use baton_wire::{BaseUrl, Exchange, Policy, Target, Wire, WireConfig};
use serde_json::Value;

pub(super) struct Client {
    wire: Wire,
    target: Target,
    secrets: HashMap<String, Secret>,
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) text: String,
    pub(super) body: Value,
}

impl Client {
    pub(super) fn new(url: &str, api_key: Option<&str>) -> Result<Self, String> {
        let base_url = BaseUrl::parse(url, Policy::PlainHttpAllowed);
        let base_url = base_url.map_err(|error| format!("{url}: {error}"))?;
        let wire = Wire::new(WireConfig::default()).map_err(|error| error.to_string())?;
        let secret = |key: &str| ("key".to_owned(), Secret::new(key.to_owned()));
        Ok(Self {
            wire,
            target: Target {
                account: new_id(&SystemClock),
                base_url,
                breaker: false,
                identity: None,
            },
            secrets: api_key.map(secret).into_iter().collect(),
        })
    }

    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<String>,
    ) -> Result<Reply, String> {
        let method = match method {
            "GET" => Method::Get,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            _ => Method::Post,
        };
        let mut call = HttpCall::new(method, path);
        if let Some(body) = body {
            call.body = baton_connect::Body::Json(vec![body.into()]);
        }
        let key = Hole::Credential("key".to_owned());
        if self.secrets.secret(&key).is_some() {
            call = call.header("x-api-key", vec![key.into()]);
        }
        let filled = call.fill(&self.secrets).map_err(|error| error.to_string())?;
        let now = tokio::time::Instant::now();
        let send_by = now.checked_add(Duration::from_secs(5)).unwrap_or(now);
        match self.wire.exchange(&self.target, filled, send_by).await.exchange {
            Exchange::Reply(reply) => {
                let text = String::from_utf8_lossy(&reply.body).into_owned();
                let body = serde_json::from_str(&text).unwrap_or_default();
                Ok(Reply { status: reply.status, text, body })
            }
            Exchange::NotSent(why) => Err(format!("{path} cannot be reached: {}", why.as_str())),
            Exchange::Lost(why) => Err(format!("{path} gave no answer: {}", why.as_str())),
        }
    }
}
