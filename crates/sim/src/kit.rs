//! What worlds share: the connectors, and a vault. Made once, because both take time.

use std::sync::Arc;

use async_trait::async_trait;
use baton_connect::{
    Balance, Call, Connector, CredentialsCheck, Cx, Decoded, DisputeAnswer, DisputeCall,
    EncodeError, HttpCall, HttpReply, Incoming, LookUp, Looked, Manifest, Operation, Question,
    Retrieved, Returned, Signed, WebhookError,
};
use baton_store::{MemoryVault, OutboxRow};
use baton_types::outcome::Finding;
use baton_types::{EventId, Timestamp};
use baton_vault::{RootError, RootKey, Vault};
use zeroize::Zeroizing;

use crate::published::Published;

/// What every world is built from. A clone is the same kit.
#[derive(Clone)]
pub struct Kit {
    pub(crate) connectors: Vec<Arc<dyn Connector>>,
    pub(crate) vault: Vault,
}

impl Kit {
    /// From the connectors of the build.
    ///
    /// # Errors
    /// The runtime or the vault cannot be started.
    pub fn new(connectors: Vec<Arc<dyn Connector>>) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| format!("a runtime cannot be started: {error}"))?;
        let store = Arc::new(MemoryVault::default());
        let opened = Vault::open(store, Arc::new(Root), Timestamp::from_millis(0));
        let vault = runtime.block_on(opened).map_err(|error| error.to_string())?;
        let sandbox = connectors.iter().find(|c| c.manifest().gateway_name == SANDBOX).cloned();
        let sandbox = sandbox.ok_or("the sandbox's connector is not in this build")?;
        let mut connectors = connectors;
        for variant in VARIANTS {
            connectors.push(Arc::new(Variant::of(Arc::clone(&sandbox), variant)));
        }
        Ok(Self { connectors, vault })
    }

    pub(crate) fn manifest(&self, gateway: &str) -> Option<&Manifest> {
        let manifests = self.connectors.iter().map(|connector| connector.manifest());
        manifests.into_iter().find(|manifest| manifest.gateway_name == gateway)
    }
}

/// The gateway of the sandbox's connector.
const SANDBOX: &str = "Sandbox";

/// The same dialect with fewer promises: without idempotency keys; and with an index that lags, and cancels that
/// keep nothing out.
pub(crate) const WITHOUT_KEYS: &str = "SandboxWithoutKeys";
pub(crate) const LAGGING: &str = "SandboxLagging";

const VARIANTS: [&str; 2] = [WITHOUT_KEYS, LAGGING];

/// How long the lagging variant's index may lag, in milliseconds.
const LAG_MS: u32 = 6_000;

/// A connector that claims less.
struct Variant {
    inner: Arc<dyn Connector>,
    manifest: Manifest,
}

impl Variant {
    fn of(inner: Arc<dyn Connector>, name: &str) -> Self {
        let mut manifest = inner.manifest().clone();
        manifest.gateway_name = name.to_owned();
        if name == WITHOUT_KEYS {
            manifest.idempotency = None;
        } else {
            manifest.look_up.iter_mut().for_each(|claim| claim.index_lag_ms = LAG_MS);
            manifest.cancel_by_reference.iter_mut().for_each(|claim| claim.fences = false);
        }
        Self { inner, manifest }
    }
}

impl Connector for Variant {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn encode(&self, operation: &Operation, cx: &Cx) -> Result<Call, EncodeError> {
        self.inner.encode(operation, cx)
    }

    fn decode(
        &self,
        operation: &Operation,
        cx: &Cx,
        sent: &HttpCall,
        reply: &HttpReply,
    ) -> Decoded {
        self.inner.decode(operation, cx, sent, reply)
    }

    fn look_up(&self, look_up: &LookUp, cx: &Cx) -> Option<Question> {
        self.inner.look_up(look_up, cx)
    }

    fn read_look_up(
        &self,
        look_up: &LookUp,
        cx: &Cx,
        sent: &HttpCall,
        reply: &HttpReply,
    ) -> Looked {
        self.inner.read_look_up(look_up, cx, sent, reply)
    }

    fn webhook(&self, cx: &Cx, message: &Incoming<'_>) -> Result<Vec<Signed>, WebhookError> {
        self.inner.webhook(cx, message)
    }

    fn complete(&self, about: &LookUp, returned: &Returned, cx: &Cx) -> Option<HttpCall> {
        self.inner.complete(about, returned, cx)
    }

    fn read_completion(&self, about: &LookUp, cx: &Cx, reply: &HttpReply) -> Finding {
        self.inner.read_completion(about, cx, reply)
    }

    fn retrieve(&self, id: &str, cx: &Cx) -> Option<HttpCall> {
        self.inner.retrieve(id, cx)
    }

    fn read_retrieved(&self, id: &str, cx: &Cx, reply: &HttpReply) -> Retrieved {
        self.inner.read_retrieved(id, cx, reply)
    }

    fn dispute(&self, call: &DisputeCall, cx: &Cx) -> Option<HttpCall> {
        self.inner.dispute(call, cx)
    }

    fn read_dispute(&self, call: &DisputeCall, cx: &Cx, reply: &HttpReply) -> DisputeAnswer {
        self.inner.read_dispute(call, cx, reply)
    }

    fn check_credentials(&self, cx: &Cx) -> Option<HttpCall> {
        self.inner.check_credentials(cx)
    }

    fn read_credentials_check(&self, cx: &Cx, reply: &HttpReply) -> CredentialsCheck {
        self.inner.read_credentials_check(cx, reply)
    }

    fn balance(&self, cx: &Cx) -> Option<HttpCall> {
        self.inner.balance(cx)
    }

    fn read_balance(&self, cx: &Cx, reply: &HttpReply) -> Option<Vec<Balance>> {
        self.inner.read_balance(cx, reply)
    }
}

/// The root key of a vault that nothing real is ever put into: it wraps nothing.
struct Root;

impl RootKey for Root {
    fn ids(&self) -> Vec<String> {
        vec!["simulated".to_owned()]
    }

    fn wrap(&self, _root: &str, plain: &[u8], _aad: &[u8]) -> Result<Vec<u8>, RootError> {
        Ok(plain.to_vec())
    }

    fn unwrap(
        &self,
        _root: &str,
        wrapped: &[u8],
        _aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, RootError> {
        Ok(Zeroizing::new(wrapped.to_vec()))
    }

    fn reload(&self) -> Result<(), RootError> {
        Ok(())
    }

    fn add(&self) -> Result<(), RootError> {
        Ok(())
    }

    fn forget(&self, _root: &str) -> Result<(), RootError> {
        Ok(())
    }
}

#[async_trait]
impl baton_engine::EventSink for Published {
    async fn publish(&self, batch: &[OutboxRow]) -> Result<Vec<EventId>, String> {
        for row in batch {
            self.take(row.payment, row.version);
        }
        Ok(batch.iter().map(|row| row.id).collect())
    }
}
