//! The guard against duplicates: while a payment can still take money and nobody knows whether it has,
//! another one for the same thing reaches no provider.
//!
//! A client that gives up on an answer and charges again, at another provider perhaps, would be a double
//! charge that no failover rule can see. So a purchase has one key for its card, amount and currency, and one for
//! the merchant's reference. They are taken in the commit that plans its first attempt, where the store lets one
//! payment have them, whichever node asks; and given back in the commit after which nothing of it is
//! on its way or in doubt. A crash in between leaves them taken, as it leaves the doubt.
//!
//! Whoever finds a key taken waits as long as the other is merely running, and is told of the other once it is
//! in doubt. The card stands in a key as the vault's keyed fingerprint, never as a plain hash.
//!
//! Left out: a purchase that says `allowDuplicate` takes no key from anybody. It keeps one that is free at its
//! first commit or at a later one, so that it is guarded itself as soon as the other is settled.

use baton_flow::{OrderKind, Payment};
use baton_store::{GuardRow, Write};
use baton_types::{MerchantId, PaymentId};
use baton_vault::{Tenant, VaultAccess};

use crate::engine::Purchase;
use crate::error::EngineError;
use crate::inner::Inner;

/// What a request's task guards its payment with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guards {
    keys: Vec<String>,
    /// Whether the client has said that it may be the second of its kind.
    allow_duplicate: bool,
}

impl Guards {
    /// The keys of a purchase. Keeping a card moves no money and has none.
    pub(crate) fn of(purchase: &Purchase, tenant: Tenant, vault: &VaultAccess) -> Self {
        let allow_duplicate = purchase.allow_duplicate;
        let (OrderKind::Charge(amount) | OrderKind::Authorize(amount)) = purchase.kind else {
            return Self { keys: Vec::new(), allow_duplicate };
        };
        let mode = if tenant.sandbox { "test" } else { "live" };
        let (minor, currency) = (amount.minor(), amount.currency());
        let number = purchase.card.as_ref().map(|paid| paid.card.number.expose());
        let paid = number.or(purchase.provider_token.as_deref());
        let paid = paid.map(|value| vault.fingerprint(tenant, value));
        let card = paid.map(|print| format!("{mode}:card:{print}:{minor}:{currency}"));
        let named = purchase.merchant_ref.as_ref().map(|name| format!("{mode}:ref:{name}"));
        Self { keys: card.into_iter().chain(named).collect(), allow_duplicate }
    }
}

/// Takes, keeps or gives back the keys, as the payment's next state wants it, and notes in it which it has.
pub(crate) fn change(before: &Payment, next: &mut Payment, own: &Guards) -> Vec<Write> {
    let (merchant, payment, created_at) = (next.merchant, next.id, next.updated_at);
    let row = |key: &String| GuardRow { merchant, key: key.clone(), payment, created_at };
    if !next.is_unsettled() {
        let release = |key: String| Write::ReleaseGuard { merchant, key, payment };
        return std::mem::take(&mut next.guards).into_iter().map(release).collect();
    }
    if before.guards.is_empty() {
        next.guards.clone_from(&own.keys);
        let take = |row| {
            if own.allow_duplicate { Write::KeepGuard(row) } else { Write::TakeGuard(row) }
        };
        return own.keys.iter().map(|key| take(row(key))).collect();
    }
    next.guards.iter().map(|key| Write::KeepGuard(row(key))).collect()
}

/// Who stands in a purchase's way.
pub(crate) enum Other {
    /// Nobody any more.
    None,
    /// A payment that is under way and not in doubt: it will be known in a moment.
    Running(PaymentId),
    /// A payment in doubt.
    InDoubt(PaymentId),
}

/// Looks for the payment that has one of the keys.
pub(crate) async fn holder(
    engine: &Inner,
    merchant: MerchantId,
    own: &Guards,
) -> Result<Other, EngineError> {
    for key in &own.keys {
        let Some(row) = engine.store.guard(merchant, key).await? else { continue };
        let Some(other) = engine.load(merchant, row.payment).await? else { continue };
        match other.verdict() {
            baton_flow::Verdict::Running => return Ok(Other::Running(other.id)),
            baton_flow::Verdict::InDoubt(_) => return Ok(Other::InDoubt(other.id)),
            // It gives the key back in the very commit that settled it.
            baton_flow::Verdict::Approved(_) | baton_flow::Verdict::Failed(_) => {}
        }
    }
    Ok(Other::None)
}
