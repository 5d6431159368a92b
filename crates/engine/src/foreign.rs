//! References of payments that were made at a provider without us.
//!
//! Where nothing is known under a reference and the account that is named allows it, its provider is asked, and
//! what it tells becomes a payment of ours in one commit: concluded from the start, so nothing is sent, looked up
//! or timed for it. From then on it is found like any other. Guarantees: one payment here for one there, whoever
//! asks at the same time and on whatever node, because its id follows from what it is; what the provider does not
//! clearly tell is not stored; a payment that carries a reference of ours is that one, and is never taken over
//! beside it. Left out: what is done at the provider later.

use std::sync::Arc;

use aws_lc_rs::digest;
use baton_connect::Retrieved;
use baton_flow::{CallId, Candidate, Payment};
use baton_store::{CommitError, ReferenceKind};
use baton_types::{Foreign, PaymentId};
use tokio::time::Instant;

use crate::accounts::Account;
use crate::candidate::candidate;
use crate::commit::{self, Change};
use crate::engine::{Caller, Engine, Target};
use crate::error::EngineError;
use crate::find::may_see;
use crate::new_id;

impl Engine {
    /// The payment that a reference means, taken over from its provider if it is not known and may be.
    pub(crate) async fn find_or_import(
        &self,
        caller: Caller,
        target: &Target,
    ) -> Result<(Payment, CallId), EngineError> {
        match self.find(caller, target).await {
            Err(EngineError::NotFound) => self.import(caller, target).await,
            found => found,
        }
    }

    async fn import(
        &self,
        caller: Caller,
        target: &Target,
    ) -> Result<(Payment, CallId), EngineError> {
        let (Some(name), Some(reference)) = (&target.account, target.reference.as_deref()) else {
            return Err(EngineError::NotFound);
        };
        let named = self.named(caller, std::slice::from_ref(name)).await?;
        let account = named.into_iter().next().ok_or(EngineError::NotFound)?;
        // An id of ours means nothing to a provider.
        if !account.config.foreign_references || PaymentId::parse(reference).is_ok() {
            return Err(EngineError::NotFound);
        }
        // Known by now: another request was first; or several payments have it, and none is to be added.
        let (store, at) = (&self.inner.store, Some(account.row.id));
        let kind = ReferenceKind::Provider;
        if !store.find_reference(caller.merchant, kind, at, reference).await?.is_empty() {
            return self.find(caller, target).await;
        }
        let (account, candidate) = self.at(caller, account, target).await?;
        match self.retrieve(&account, reference).await {
            Retrieved::Found { payment, reference: ours } => {
                if let Some(ours) = ours
                    && let Some(known) = self.ours(caller, &account, &ours).await?
                {
                    return known;
                }
                let payment = self.take_over(caller, &account, candidate, &payment).await?;
                Ok((payment, CallId::Attempt(1)))
            }
            Retrieved::NotFound => Err(EngineError::NotFound),
            Retrieved::Unclear => Err(EngineError::NoAnswer),
        }
    }

    /// The account with the certificate that the request wants shown, and the payment's only candidate.
    async fn at(
        &self,
        caller: Caller,
        account: Arc<Account>,
        target: &Target,
    ) -> Result<(Arc<Account>, Candidate), EngineError> {
        let (row, manifest) = (&account.row, account.connector.as_ref().map(|c| c.manifest()));
        let place = (row.id, row.name.as_str(), row.gateway.as_str());
        let mut made_at = candidate(place, manifest, &self.inner.config);
        let Some(Some(name)) = target.brought.certificates.first() else {
            return Ok((account, made_at));
        };
        self.certificate_to_show(caller, name, 0).await?;
        made_at.certificate = Some(name.clone());
        let identity = self.inner.accounts.identity(caller.tenant(), name).await?;
        // Rather not called than called without it.
        let identity = identity.ok_or(EngineError::NoAnswer)?;
        Ok((Arc::new(account.showing(identity)), made_at))
    }

    async fn retrieve(&self, account: &Account, reference: &str) -> Retrieved {
        let Some(connector) = account.connector.as_ref() else { return Retrieved::NotFound };
        if connector.manifest().retrieve.is_none() {
            return Retrieved::NotFound;
        }
        let Some(call) = connector.retrieve(reference, &account.cx) else {
            return Retrieved::NotFound;
        };
        let started = Instant::now();
        let retrieved = match crate::calls::ask(account, &call, self.inner.wire.as_ref()).await {
            Some(reply) => connector.read_retrieved(reference, &account.cx, &reply),
            None => Retrieved::Unclear,
        };
        let (retrieved, shown) = match retrieved {
            // An answer about something else is none.
            Retrieved::Found { payment, .. } if payment.reference != reference => {
                (Retrieved::Unclear, "unclear")
            }
            found @ Retrieved::Found { .. } => (found, "found"),
            Retrieved::NotFound => (Retrieved::NotFound, "not_found"),
            Retrieved::Unclear => (Retrieved::Unclear, "unclear"),
        };
        let gateway = &account.row.gateway;
        self.inner.metrics.provider_call(gateway, "retrieve", shown, started.elapsed());
        tracing::info!(account = %account.row.name, %gateway, shown, "asked for a foreign payment");
        retrieved
    }

    /// The payment of ours whose attempt has this reference, if there is one; not found if the caller may not see
    /// it at this account.
    async fn ours(
        &self,
        caller: Caller,
        account: &Account,
        reference: &str,
    ) -> Result<Option<Result<(Payment, CallId), EngineError>>, EngineError> {
        let (store, kind) = (&self.inner.store, ReferenceKind::Attempt);
        // It may have been made at another account of the same provider.
        let rows = store.find_reference(caller.merchant, kind, None, reference).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let call = row.call.parse().map_err(|_| EngineError::Internal)?;
        let payment = self.inner.load(caller.merchant, row.payment).await?;
        let payment = payment.filter(|payment| may_see(caller, payment, Some(account.row.id)));
        Ok(Some(payment.map(|payment| (payment, call)).ok_or(EngineError::NotFound)))
    }

    async fn take_over(
        &self,
        caller: Caller,
        account: &Account,
        candidate: Candidate,
        foreign: &Foreign,
    ) -> Result<Payment, EngineError> {
        let inner = &self.inner;
        let id = id_of(caller, account, &foreign.reference)?;
        let facts = inner.facts(false);
        let who = (id, caller.merchant);
        let step = baton_flow::import(who, candidate, caller.sandbox, foreign, &facts);
        let step = step.map_err(|fault| {
            tracing::warn!(account = %account.row.name, %fault, "a foreign payment is not taken over");
            EngineError::NoAnswer
        })?;
        let mut payment = step.next;
        payment.version = 1;
        let owner = inner.owner();
        let change = Change {
            payment: &payment,
            id: new_id(inner.clock.as_ref()),
            events: &step.events,
            timers: &step.timers,
            publish: inner.config.publish_events,
            owner: &owner,
            follow: inner.follow(),
        };
        let build = || change.write_set();
        match commit::commit(inner.store.as_ref(), &payment, change.id, build).await {
            Ok(()) => {
                tracing::info!(payment = %id, account = %account.row.name, "a foreign payment is taken over");
                Ok(payment)
            }
            // Another request was first; and it may have got further meanwhile.
            Err(CommitError::Conflict(_)) => {
                let first = inner.load(caller.merchant, id).await?.ok_or(EngineError::Internal)?;
                let same = first.order.imported && may_see(caller, &first, Some(account.row.id));
                if same { Ok(first) } else { Err(EngineError::NotFound) }
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The id that a payment of this provider has here, whenever and however often it is taken over: a hash of whose
/// it is, where it is and what it is called there. Two accounts at one place would be the same there too, so the
/// account is no part of it.
fn id_of(caller: Caller, account: &Account, reference: &str) -> Result<PaymentId, EngineError> {
    let place = account.target.as_ref().map(|target| target.base_url.to_string());
    let mut text = digest::Context::new(&digest::SHA256);
    text.update(caller.merchant.as_bytes());
    text.update(&[u8::from(caller.sandbox)]);
    for part in [account.row.gateway.as_str(), &place.unwrap_or_default(), reference] {
        text.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        text.update(part.as_bytes());
    }
    let hash = text.finish();
    let bits = hash.as_ref().first_chunk::<10>().ok_or(EngineError::Internal)?;
    // No time: two that import it at different moments have to agree.
    Ok(PaymentId::from_parts(0, *bits))
}
