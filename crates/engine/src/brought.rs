//! What a request brings along instead of naming what is stored: credentials of its own.
//!
//! They are checked as those of accounts are, sealed before the payment's first plan is durable, and deleted
//! when no call of the payment is open any more. Equal credentials have equal ids, so that connections, limits
//! and breakers are shared. Left out: the life of a payment's credentials, which its tasks see to.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use baton_flow::{Candidate, Payment};
use baton_types::{AccountId, PaymentId, Secret, Timestamp};
use baton_vault::SealedKind;

use crate::accounts::{Secrets, sealed_form};
use crate::candidate::candidate;
use crate::engine::{Caller, Engine, Purchase};
use crate::error::EngineError;
use crate::inner::Inner;
use crate::manage::{AccountFault, sort};

/// What stands where an account's name would.
const LABEL: &str = "(inline)";

/// What came with a request.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    /// Credentials that are used before any account that is named.
    pub inline: Option<Inline>,
    /// Names of client certificates, in the order of the accounts: what came with the request first.
    pub certificates: Vec<Option<String>>,
}

/// Credentials that come with a request, not checked yet.
#[derive(Debug)]
pub struct InlineAccount {
    /// The connector's gateway name.
    pub gateway: String,
    /// Credentials, by the names that the manifest declares.
    pub credentials: Vec<(String, Secret)>,
}

/// Credentials that came with a request and fit their gateway: see [`Engine::inline`].
#[derive(Clone)]
pub struct Inline {
    id: AccountId,
    gateway: String,
    pub(crate) secrets: Arc<Secrets>,
}

impl fmt::Debug for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inline").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

/// Why what came with a request does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BroughtFault {
    /// The payment was made with credentials that came with its request; they have to come again.
    CredentialsNeeded,
    /// The payment was made at another gateway.
    OtherGateway,
    /// There is no client certificate of this name that could be used now.
    UnknownCertificate {
        /// The place of the account that should show it.
        index: usize,
    },
    /// A certificate that has ended.
    EndedCertificate {
        /// The place of the account that should show it.
        index: usize,
        /// Its last moment.
        not_after: Timestamp,
    },
    /// The payment was made under another certificate, or under none.
    OtherCertificate,
}

impl fmt::Display for BroughtFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CredentialsNeeded => f.write_str(
                "the transaction was made with credentials that came with its request; send them again",
            ),
            Self::OtherGateway => f.write_str("the transaction was made at another gateway"),
            Self::UnknownCertificate { .. } => {
                f.write_str("there is no client certificate of this name")
            }
            Self::EndedCertificate { not_after, .. } => {
                write!(f, "the client certificate ended at {not_after}")
            }
            Self::OtherCertificate => {
                f.write_str("the transaction was made with another client certificate")
            }
        }
    }
}

impl From<BroughtFault> for EngineError {
    fn from(fault: BroughtFault) -> Self {
        Self::Brought(fault)
    }
}

impl Engine {
    /// Checks credentials that came with a request.
    ///
    /// # Errors
    /// An unknown gateway, or credentials that do not fit it.
    pub fn inline(&self, caller: Caller, given: InlineAccount) -> Result<Inline, AccountFault> {
        let connector = self.connector_named(&given.gateway)?;
        if connector.manifest().mock && !caller.sandbox {
            return Err(AccountFault::MockIsForTests);
        }
        let sorted = sort(connector.manifest(), given.credentials)?;
        // Settings are sealed with the secrets: there is no account that could hold them.
        let mut secrets = Arc::into_inner(sorted.secrets).unwrap_or_default();
        secrets.extend(sorted.settings.into_iter().map(|(k, v)| (k, Secret::new(v))));
        let sealed = sealed_form(&secrets);
        let text = Secret::new(format!("{}\n{}", given.gateway, sealed.expose()));
        let print = self.inner.vault.fingerprint(caller.tenant(), text.expose());
        Ok(Inline { id: id_of(&print), gateway: given.gateway, secrets: Arc::new(secrets) })
    }

    /// The accounts to try: what came with the request, then those that it names.
    pub(crate) async fn candidates(
        &self,
        caller: Caller,
        purchase: &Purchase,
    ) -> Result<Vec<Candidate>, EngineError> {
        let config = &self.inner.config;
        let mut candidates = Vec::with_capacity(purchase.accounts.len().saturating_add(1));
        if let Some(inline) = &purchase.brought.inline {
            let connector = self.inner.accounts.connector(&inline.gateway);
            let manifest = connector.map(|connector| connector.manifest());
            let place = (inline.id, LABEL, inline.gateway.as_str());
            candidates.push(Candidate { inline: true, ..candidate(place, manifest, config) });
        }
        for account in self.named(caller, &purchase.accounts).await? {
            let manifest = account.connector.as_ref().map(|connector| connector.manifest());
            let row = &account.row;
            candidates.push(candidate((row.id, &row.name, &row.gateway), manifest, config));
        }
        if candidates.is_empty() {
            return Err(EngineError::UnknownAccount { index: 0 });
        }
        for (index, certificate) in purchase.brought.certificates.iter().enumerate() {
            if let (Some(name), Some(candidate)) = (certificate, candidates.get_mut(index)) {
                self.certificate_to_show(caller, name, index).await?;
                candidate.certificate = Some(name.clone());
            }
        }
        Ok(candidates)
    }

    pub(crate) async fn certificate_to_show(
        &self,
        caller: Caller,
        name: &str,
        index: usize,
    ) -> Result<(), EngineError> {
        let identity = self.inner.accounts.identity(caller.tenant(), name).await?;
        let not_after = match identity {
            Some(identity) => identity.not_after(),
            // One that has ended can still be told from one that was never there.
            None => match self.certificate(caller, name).await {
                Ok(view) => view.not_after,
                Err(EngineError::NotFound) => {
                    return Err(BroughtFault::UnknownCertificate { index }.into());
                }
                Err(error) => return Err(error),
            },
        };
        if not_after < self.inner.clock.now() {
            return Err(BroughtFault::EndedCertificate { index, not_after }.into());
        }
        Ok(())
    }

    /// What a capture, void or refund is made with. A payment of a stored account keeps using that account's
    /// credentials, and each payment the certificate that it was made with.
    pub(crate) async fn for_change(
        &self,
        payment: &Payment,
        brought: &Brought,
    ) -> Result<Option<Arc<Secrets>>, EngineError> {
        let deciding = payment.deciding_account();
        let candidates = &payment.order.candidates;
        let made_at = candidates.iter().find(|candidate| Some(candidate.account) == deciding);
        let Some(made_at) = made_at.or(candidates.first()) else { return Ok(None) };
        if let Some(Some(name)) = brought.certificates.first() {
            let account = self.inner.accounts.get(payment.merchant, made_at.account).await?;
            let own = account.and_then(|account| account.config.certificate.clone());
            if made_at.certificate.as_ref().or(own.as_ref()) != Some(name) {
                return Err(BroughtFault::OtherCertificate.into());
            }
        }
        Ok(credentials_for_change(candidates, made_at, brought)?)
    }
}

fn credentials_for_change(
    candidates: &[Candidate],
    made_at: &Candidate,
    brought: &Brought,
) -> Result<Option<Arc<Secrets>>, BroughtFault> {
    match &brought.inline {
        // It may have been tried at the gateway, and made at another one.
        Some(inline)
            if !candidates.iter().any(|c| c.gateway == inline.gateway)
                || made_at.inline && made_at.gateway != inline.gateway =>
        {
            Err(BroughtFault::OtherGateway)
        }
        Some(inline) if made_at.inline => Ok(Some(Arc::clone(&inline.secrets))),
        None if made_at.inline => Err(BroughtFault::CredentialsNeeded),
        Some(_) | None => Ok(None),
    }
}

/// The first half of a fingerprint as an id.
fn id_of(fingerprint: &str) -> AccountId {
    let mut bytes = [0_u8; 16];
    for (at, byte) in bytes.iter_mut().enumerate() {
        let from = at.saturating_mul(2);
        let pair = fingerprint.get(from..from.saturating_add(2)).unwrap_or("0");
        *byte = u8::from_str_radix(pair, 16).unwrap_or(0);
    }
    AccountId::from_bytes(bytes)
}

/// Deletes credentials that were put before this time and came with requests whose payments need them no more,
/// or were never made.
///
/// # Errors
/// The vault or the store does not answer.
pub(crate) async fn sweep(inner: &Inner, before: Timestamp) -> Result<(), EngineError> {
    let kind = SealedKind::InlineCredentials;
    let mut seen = HashSet::new();
    for record in inner.vault.list(kind, before, u32::MAX).await? {
        let payment = match PaymentId::parse(&record.id) {
            Ok(id) => inner.load(record.tenant.merchant, id).await?,
            Err(_) => None,
        };
        if payment.is_none_or(|payment| !payment.has_open_calls()) && seen.insert(record.id.clone())
        {
            inner.vault.remove(record.tenant, kind, &record.id).await?;
        }
    }
    Ok(())
}
