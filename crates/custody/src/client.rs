//! The side that asks: a [`VaultService`] over the wire.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use baton_connect::{Body, Fill, Hole, HttpCall, HttpReply, Json, Method};
use baton_types::{AccountId, Secret, Timestamp};
use baton_vault::{
    NodeFingerprints, Revealed, SealedKind, SealedRef, Tenant, Token, VaultError, VaultService,
};
use baton_wire::{
    BaseUrl, CertificateDer, ClientIdentity, Exchange, Policy, Target, Wire, WireConfig,
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};
use zeroize::Zeroize as _;

use crate::form::{
    Count, Existed, FingerprintKey, Places, Problem, RevealedForm, TokenForm, Value,
};

/// How long a question may wait for its first byte.
const SEND_WITHIN: Duration = Duration::from_secs(3);

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the key of fingerprints is asked for again.
const FRESH: Duration = Duration::from_secs(20);

/// The most questions at once.
const AT_ONCE: usize = 1_024;

/// What a node needs to reach the vault.
#[derive(Clone, Debug)]
pub struct ClientFiles {
    /// Where it is: `https://…`; `http://` only in development.
    pub url: String,
    /// The node's certificate and its key, in PEM form.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The authority of the vault's own certificate, in PEM form. Nobody else is believed.
    pub authority: Option<PathBuf>,
    /// Whether plain HTTP is allowed.
    pub plain: bool,
}

/// Why there is no way to the vault. No message holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientError {
    text: String,
    may_pass: bool,
}

impl ClientError {
    /// Whether it may be otherwise in a moment: the vault was not there.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.may_pass
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ClientError {}

/// A vault that is elsewhere.
pub struct RemoteVault {
    wire: Wire,
    target: Target,
    fingerprints: RwLock<(u32, NodeFingerprints)>,
}

impl RemoteVault {
    /// Reads the files, and asks the vault for the node's key of fingerprints.
    ///
    /// # Errors
    /// A file cannot be used, or the vault does not answer.
    pub async fn connect(files: &ClientFiles) -> Result<Arc<Self>, ClientError> {
        let wrong = |text: String| ClientError { text, may_pass: false };
        let policy = if files.plain { Policy::PlainHttpAllowed } else { Policy::HttpsOnly };
        let base_url = BaseUrl::parse(&files.url, policy)
            .map_err(|error| wrong(format!("the vault's URL: {error}")))?;
        let text = |path: &PathBuf| {
            std::fs::read_to_string(path)
                .map_err(|error| wrong(format!("{}: {error}", path.display())))
        };
        let identity = match &files.identity {
            None => None,
            Some((chain, key)) => {
                let key = Secret::new(text(key)?);
                let made = ClientIdentity::from_pem("vault", &text(chain)?, &key);
                let named = |error| wrong(format!("{}: {error}", chain.display()));
                Some(Arc::new(made.map_err(named)?))
            }
        };
        let roots = match &files.authority {
            None => Vec::new(),
            Some(path) => roots(&text(path)?)
                .map_err(|error| wrong(format!("{}: {error}", path.display())))?,
        };
        let config = WireConfig {
            answer_timeout: PATIENCE,
            max_in_flight: AT_ONCE,
            max_idle_per_origin: 256,
            http2: false,
            public_roots: roots.is_empty(),
            extra_roots: roots,
            ..WireConfig::default()
        };
        let wire = Wire::new(config).map_err(|error| wrong(error.to_string()))?;
        let account = AccountId::from_bytes([0; 16]);
        let target = Target { account, base_url, breaker: false, identity };
        let first = NodeFingerprints::from_hex("").1;
        let this = Self { wire, target, fingerprints: RwLock::new((0, first)) };
        let not_there = |error: VaultError| {
            let text = error.to_string();
            // A refused certificate stays refused.
            ClientError { may_pass: !text.contains("tls_failed"), text }
        };
        this.refresh().await.map_err(not_there)?;
        Ok(Arc::new(this))
    }

    /// Asks for the key of fingerprints again, from time to time, for as long as anybody holds the vault.
    pub async fn keep_fresh(self: Arc<Self>) {
        let weak = Arc::downgrade(&self);
        drop(self);
        loop {
            tokio::time::sleep(FRESH).await;
            let Some(this) = weak.upgrade() else { return };
            if let Err(error) = this.refresh().await {
                tracing::warn!(%error, "the vault's key of fingerprints cannot be asked for");
            }
        }
    }

    async fn refresh(&self) -> Result<(), VaultError> {
        let call = HttpCall::new(Method::Get, "/v1/fingerprint-key");
        let reply = self.send(&call, &Secrets(&[])).await?;
        let FingerprintKey { version, key } = self.read(reply)?.ok_or_else(unreadable)?;
        let (good, made) = NodeFingerprints::from_hex(key.expose());
        if !good {
            return Err(unreadable());
        }
        let mut kept = self.fingerprints.write().unwrap_or_else(PoisonError::into_inner);
        if kept.0 != version {
            *kept = (version, made);
        }
        Ok(())
    }

    /// Sends a question once.
    async fn send(&self, call: &HttpCall, secrets: &Secrets<'_>) -> Result<HttpReply, VaultError> {
        let unavailable =
            |why: &str| VaultError::Unavailable(format!("the vault's service: {why}"));
        let filled = call.fill(secrets).map_err(|_| unavailable("a question cannot be written"))?;
        let exchange = self.wire.exchange(&self.target, filled, Instant::now() + SEND_WITHIN);
        let report = timeout(PATIENCE + SEND_WITHIN, Box::pin(exchange)).await;
        match report.map_err(|_| unavailable("no answer in time"))?.exchange {
            Exchange::Reply(reply) => Ok(reply),
            Exchange::NotSent(why) => Err(unavailable(why.as_str())),
            Exchange::Lost(why) => Err(unavailable(why.as_str())),
        }
    }

    /// What an answer says; none where there is no such record.
    fn read<T: DeserializeOwned>(&self, mut reply: HttpReply) -> Result<Option<T>, VaultError> {
        let read = match reply.status {
            200 => serde_json::from_slice(&reply.body).map(Some).map_err(|_| unreadable()),
            204 => serde_json::from_str("null").map(Some).map_err(|_| unreadable()),
            status => match (status, serde_json::from_slice::<Problem>(&reply.body)) {
                (404, Ok(said)) if said.error.code == "not_found" => Ok(None),
                (500, Ok(said)) if said.error.code == "damaged" => {
                    Err(VaultError::Damaged("the vault's service says so; see its log".to_owned()))
                }
                _ => {
                    let why = format!("the vault's service answered {status}");
                    Err(VaultError::Unavailable(why))
                }
            },
        };
        reply.body.zeroize();
        read
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &'static str,
        body: Json,
        secrets: &[(&str, &str)],
    ) -> Result<Option<T>, VaultError> {
        let call = HttpCall::new(Method::Post, path).body(Body::json(&body));
        let reply = self.send(&call, &Secrets(secrets)).await?;
        self.read(reply)
    }
}

fn unreadable() -> VaultError {
    VaultError::Unavailable("the vault's service gave an answer that cannot be read".to_owned())
}

/// The certificates of a PEM text.
fn roots(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = baton_wire::certificates_of(pem).map_err(|error| error.to_string())?;
    if found.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(found) }
}

struct Secrets<'a>(&'a [(&'a str, &'a str)]);

impl Fill for Secrets<'_> {
    fn secret(&self, hole: &Hole) -> Option<&str> {
        match hole {
            Hole::Credential(wanted) => {
                self.0.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value)
            }
            Hole::CardNumber | Hole::Cvv | Hole::AuthenticationValue => None,
        }
    }
}

fn hole(name: &str) -> Json {
    Json::Hole(Hole::Credential(name.to_owned()))
}

fn whose(tenant: Tenant) -> Json {
    Json::obj([
        ("merchant", tenant.merchant.to_string().into()),
        ("sandbox", tenant.sandbox.into()),
    ])
}

fn named(tenant: Tenant, kind: SealedKind, id: &str) -> Json {
    Json::obj([("whose", whose(tenant)), ("kind", kind.as_str().into()), ("id", id.into())])
}

fn of_token(tenant: Tenant) -> Json {
    Json::obj([("whose", whose(tenant)), ("token", hole("token"))])
}

fn payload(tenant: Tenant) -> Json {
    Json::obj([("whose", whose(tenant)), ("payload", hole("payload"))])
}

#[async_trait]
impl VaultService for RemoteVault {
    async fn tokenize(
        &self,
        tenant: Tenant,
        text: &Secret,
        _now: Timestamp,
    ) -> Result<Token, VaultError> {
        let secrets = [("payload", text.expose())];
        let made: TokenForm =
            self.ask("/v1/tokens", payload(tenant), &secrets).await?.ok_or_else(unreadable)?;
        let text = made.token.ok_or_else(unreadable)?;
        Ok(Token { text, created_at: made.created_at, kind: made.kind.into() })
    }

    async fn reveal(
        &self,
        tenant: Tenant,
        token: &str,
        _now: Timestamp,
    ) -> Result<Option<Revealed>, VaultError> {
        let found: Option<RevealedForm> =
            self.ask("/v1/tokens/reveal", of_token(tenant), &[("token", token)]).await?;
        Ok(found.map(|found| Revealed {
            payload: found.payload,
            created_at: found.created_at,
            kind: found.kind.into(),
        }))
    }

    async fn meta(
        &self,
        tenant: Tenant,
        token: &str,
        _now: Timestamp,
    ) -> Result<Option<Token>, VaultError> {
        let found: Option<TokenForm> =
            self.ask("/v1/tokens/look", of_token(tenant), &[("token", token)]).await?;
        Ok(found.map(|found| Token {
            text: token.to_owned(),
            created_at: found.created_at,
            kind: found.kind.into(),
        }))
    }

    async fn delete(&self, tenant: Tenant, token: &str) -> Result<bool, VaultError> {
        let said: Option<Existed> =
            self.ask("/v1/tokens/delete", of_token(tenant), &[("token", token)]).await?;
        Ok(said.ok_or_else(unreadable)?.existed)
    }

    async fn put_until(
        &self,
        tenant: Tenant,
        kind: SealedKind,
        id: &str,
        value: &Secret,
        _now: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Result<(), VaultError> {
        let until = expires_at.map_or(Json::Null, |at| Json::from(at.millis()));
        let body = Json::obj([
            ("whose", whose(tenant)),
            ("kind", kind.as_str().into()),
            ("id", id.into()),
            ("value", hole("value")),
            ("expires_at", until),
        ]);
        let done: Option<()> =
            self.ask("/v1/secrets/put", body, &[("value", value.expose())]).await?;
        done.ok_or_else(unreadable)
    }

    async fn get(
        &self,
        tenant: Tenant,
        kind: SealedKind,
        id: &str,
    ) -> Result<Option<Secret>, VaultError> {
        let found: Option<Value> =
            self.ask("/v1/secrets/get", named(tenant, kind, id), &[]).await?;
        Ok(found.map(|found| found.value))
    }

    async fn remove(&self, tenant: Tenant, kind: SealedKind, id: &str) -> Result<bool, VaultError> {
        let said: Option<Existed> =
            self.ask("/v1/secrets/remove", named(tenant, kind, id), &[]).await?;
        Ok(said.ok_or_else(unreadable)?.existed)
    }

    async fn list(
        &self,
        kind: SealedKind,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<SealedRef>, VaultError> {
        let body = Json::obj([
            ("kind", kind.as_str().into()),
            ("before", before.millis().into()),
            ("limit", i64::from(limit).into()),
        ]);
        let found: Option<Places> = self.ask("/v1/secrets/list", body, &[]).await?;
        let place = |place: crate::form::Place| SealedRef {
            tenant: Tenant { merchant: place.merchant, sandbox: place.sandbox },
            id: place.id,
            created_at: place.created_at,
        };
        Ok(found.ok_or_else(unreadable)?.secrets.into_iter().map(place).collect())
    }

    fn fingerprint(&self, tenant: Tenant, value: &str) -> String {
        let kept = self.fingerprints.read().unwrap_or_else(PoisonError::into_inner);
        kept.1.of(tenant, value)
    }

    async fn copies(&self, tenant: Tenant, text: &Secret) -> Result<u64, VaultError> {
        let secrets = [("payload", text.expose())];
        let said: Option<Count> = self.ask("/v1/tokens/copies", payload(tenant), &secrets).await?;
        Ok(said.ok_or_else(unreadable)?.count)
    }

    /// The vault sweeps itself.
    async fn sweep(&self, _now: Timestamp, _limit: u32) -> Result<u64, VaultError> {
        Ok(0)
    }

    async fn ping(&self) -> Result<(), VaultError> {
        let call = HttpCall::new(Method::Get, "/health/ready");
        let reply = self.send(&call, &Secrets(&[])).await?;
        let said: Option<serde_json::Value> = self.read(reply)?;
        said.map(|_| ()).ok_or_else(unreadable)
    }
}
