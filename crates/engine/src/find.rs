//! Which accounts and which payment a request means, and whether its caller may know of them.

use std::sync::Arc;

use baton_flow::{CallId, Payment};
use baton_store::{ReferenceKind, ReferenceRow};
use baton_types::{AccountId, PaymentId};

use crate::accounts::Account;
use crate::engine::{Caller, Engine, Target};
use crate::error::EngineError;

impl Engine {
    /// The accounts of these names, in order.
    pub(crate) async fn named(
        &self,
        caller: Caller,
        names: &[String],
    ) -> Result<Vec<Arc<Account>>, EngineError> {
        let known = self.inner.accounts.of(caller.merchant).await?;
        let mut found = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let account = known
                .iter()
                .find(|account| account.row.name == *name && account.row.removed_at.is_none())
                .ok_or(EngineError::UnknownAccount { index })?;
            if account.row.test != caller.sandbox {
                return Err(EngineError::WrongMode { index, test: account.row.test });
            }
            found.push(Arc::clone(account));
        }
        Ok(found)
    }

    /// The payment that a reference means, and the call that carries it.
    pub(crate) async fn find(
        &self,
        caller: Caller,
        target: &Target,
    ) -> Result<(Payment, CallId), EngineError> {
        let account = match &target.account {
            Some(name) => {
                let named = self.named(caller, std::slice::from_ref(name)).await?;
                named.first().map(|account| account.row.id)
            }
            None => None,
        };
        for (id, call) in self.referred(caller, target, account).await? {
            if let Some(payment) = self.inner.load(caller.merchant, id).await?
                && may_see(caller, &payment, account)
            {
                return Ok((payment, call));
            }
        }
        Err(EngineError::NotFound)
    }

    /// What a reference may mean, newest first.
    async fn referred(
        &self,
        caller: Caller,
        target: &Target,
        account: Option<AccountId>,
    ) -> Result<Vec<(PaymentId, CallId)>, EngineError> {
        let store = &self.inner.store;
        let rows = match (&target.reference, &target.merchant_ref) {
            (Some(reference), _) => {
                if let Ok(id) = PaymentId::parse(reference) {
                    return Ok(vec![(id, CallId::Attempt(1))]);
                }
                let kind = ReferenceKind::Provider;
                store.find_reference(caller.merchant, kind, account, reference).await?
            }
            (None, Some(reference)) => {
                let kind = ReferenceKind::Merchant;
                store.find_reference(caller.merchant, kind, None, reference).await?
            }
            (None, None) => return Err(EngineError::NotFound),
        };
        // Two providers may use the same id; which payment is meant, the account has to say.
        let differ = |pair: &[ReferenceRow]| matches!(pair, [a, b] if a.payment != b.payment);
        if target.reference.is_some() && rows.windows(2).any(differ) {
            return Ok(Vec::new());
        }
        let read = |row: &ReferenceRow| Some((row.payment, row.call.parse().ok()?));
        rows.iter().map(read).collect::<Option<_>>().ok_or(EngineError::Internal)
    }
}

/// A key of one mode knows nothing of the other mode's payments, and a payment is found only at an account
/// that was to try it, if one is named.
pub(crate) fn may_see(caller: Caller, payment: &Payment, account: Option<AccountId>) -> bool {
    let candidates = &payment.order.candidates;
    payment.order.test == caller.sandbox
        && account.is_none_or(|account| candidates.iter().any(|c| c.account == account))
}
