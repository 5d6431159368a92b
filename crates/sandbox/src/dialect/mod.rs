//! The three languages in which the sandbox speaks of the same books.
//!
//! A dialect reads a request into a [`Job`] and words the answer. It is synchronous and touches the books
//! only in the job's commit (and to peek at what rules may match on).

pub(crate) mod adyen;
pub(crate) mod fields;
pub(crate) mod own;
pub(crate) mod stripe;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Id;
use crate::exchange::Job;
use crate::http::{Call, Reply};
use crate::provider::Account;
use crate::script::{OperationKind, Traits};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dialect {
    Own,
    Stripe,
    Adyen,
}

impl Dialect {
    /// Understands a request, or answers it without attempting anything.
    pub(crate) fn read(
        self,
        account: &Arc<Account>,
        call: &Call,
        rest: &[&str],
    ) -> Result<Job, Reply> {
        match self {
            Dialect::Own => own::read(account, call, rest),
            Dialect::Stripe => stripe::read(account, call, rest),
            Dialect::Adyen => adyen::read(account, call, rest),
        }
    }

    pub(crate) fn error(self, status: u16, code: &str, message: &str) -> Reply {
        match self {
            Dialect::Own => own::error(status, code, message),
            Dialect::Stripe => stripe::error(status, code, message),
            Dialect::Adyen => adyen::error(status, code, message),
        }
    }

    /// A payment's id as its dialect shows it.
    pub(crate) fn payment_id(self, id: Id) -> String {
        match self {
            Dialect::Own => format!("sp_{id}"),
            Dialect::Stripe => format!("pi_{id}"),
            Dialect::Adyen => id.to_string(),
        }
    }

    /// A scripted failure of the provider's own machinery.
    pub(crate) fn fault(self, status: u16, retry_after_s: Option<u32>) -> Reply {
        let (code, message) = match status {
            429 => ("rate_limited", "Too many requests."),
            _ => ("internal_error", "Something went wrong on our side."),
        };
        let reply = self.error(status, code, message);
        match retry_after_s {
            Some(seconds) => reply.with("retry-after", &seconds.to_string()),
            None => reply,
        }
    }

    /// Whether a failure is what the provider stores under the idempotency key. Stripe stores the answer
    /// of every request that began to execute, "including 500 errors"; others give the key back or keep
    /// the true answer.
    pub(crate) fn stores_fault(self, status: u16) -> bool {
        self == Dialect::Stripe && status == 500
    }

    pub(crate) fn replayed(self, reply: Reply, key: &str) -> Reply {
        match self {
            Dialect::Own | Dialect::Stripe => reply.with("idempotent-replayed", "true"),
            Dialect::Adyen => reply.with("idempotency-key", key),
        }
    }

    pub(crate) fn key_in_progress(self, key: &str) -> Reply {
        match self {
            Dialect::Own => own::key_in_progress(),
            Dialect::Stripe => stripe::key_in_progress(),
            Dialect::Adyen => adyen::key_in_progress(key),
        }
    }

    pub(crate) fn key_mismatch(self, key: &str) -> Reply {
        match self {
            Dialect::Own => own::key_mismatch(),
            Dialect::Stripe => stripe::key_mismatch(key),
            Dialect::Adyen => adyen::key_mismatch(key),
        }
    }
}

/// What links to pages of the sandbox are made of.
#[derive(Clone, Debug)]
pub(crate) struct Urls {
    pub(crate) base: String,
    pub(crate) account: String,
}

impl Urls {
    /// Where the shopper is sent for a challenge.
    pub(crate) fn challenge(&self, payment: Id) -> String {
        format!("{}/challenge/{}/{payment}", self.base, self.account)
    }
}

/// What rules see of a request about an existing payment: its card always; its amount and reference
/// where the request has none of its own.
pub(crate) fn traits_of_existing(
    account: &Account,
    operation: OperationKind,
    id: Option<Id>,
    amount: Option<i64>,
    reference: Option<String>,
) -> Traits {
    let payment = id.and_then(|id| account.books().find(id).cloned());
    let payment = payment.as_deref();
    let reference = reference.filter(|reference| !reference.is_empty());
    Traits {
        account: account.name.clone(),
        operation,
        card: payment
            .and_then(|payment| payment.attempt())
            .and_then(|attempt| attempt.card.clone()),
        amount: amount.or(payment.map(|payment| payment.amount)),
        reference: reference.or_else(|| payment.map(|payment| payment.reference.clone())),
    }
}
