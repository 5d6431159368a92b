//! What a merchant can ask without a payment: its payments page by page, and what a provider holds for it.

use baton_connect::Balance;
use baton_flow::{Payment, snapshot};
use baton_store::PaymentQuery;
use baton_types::{PaymentId, Timestamp};

use crate::engine::{Caller, Engine};
use crate::error::EngineError;

/// Which payments to list. Absent filters take everything.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Not made before this time.
    pub from: Option<Timestamp>,
    /// Not made after this time.
    pub to: Option<Timestamp>,
    /// Only with this account as the one that decided.
    pub account: Option<String>,
    /// Only of these kinds, as [`baton_flow::OrderKind::as_str`] has them.
    pub kinds: Vec<String>,
    /// Only in one of these states, as [`Payment::status`] has them.
    pub statuses: Vec<String>,
    /// Only with this reference of the merchant's.
    pub merchant_ref: Option<String>,
    /// Only the one with this reference of the provider's, or this id of ours.
    pub reference: Option<String>,
    /// Only behind this payment: the last of an earlier page.
    pub after: Option<(Timestamp, PaymentId)>,
}

/// Why a provider's own figures are not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuestionError {
    /// The gateway has no such question.
    NotSupported,
    /// The provider could not be asked, or its answer cannot be read.
    NoAnswer,
    /// It was not asked.
    Engine(EngineError),
}

impl From<EngineError> for QuestionError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl Engine {
    /// A page of the caller's payments, newest first, and whether there are more.
    ///
    /// # Errors
    /// An unknown account, or the store does not answer.
    pub async fn list(
        &self,
        caller: Caller,
        filter: ListFilter,
        limit: u32,
    ) -> Result<(Vec<Payment>, bool), EngineError> {
        if let Some(reference) = &filter.reference {
            return self.list_one(caller, reference, &filter).await;
        }
        let account = match &filter.account {
            Some(name) => {
                let known = self.inner.accounts.of(caller.merchant).await?;
                let named = known.iter().rev().find(|account| account.row.name == *name);
                Some(named.ok_or(EngineError::UnknownAccount { index: 0 })?.row.id)
            }
            None => None,
        };
        let query = PaymentQuery {
            merchant: caller.merchant,
            test: caller.sandbox,
            from: filter.from.unwrap_or(Timestamp::from_millis(0)),
            to: filter.to.unwrap_or(Timestamp::from_millis(i64::MAX)),
            after: filter.after,
            account,
            kinds: filter.kinds,
            statuses: filter.statuses,
            merchant_ref: filter.merchant_ref,
            limit: limit.saturating_add(1),
        };
        let rows = self.inner.store.payments(&query).await?;
        let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        let page = rows.iter().take(usize::try_from(limit).unwrap_or(usize::MAX));
        let read = page.map(|row| {
            snapshot::decode(row.schema, &row.snapshot).map_err(|error| {
                tracing::error!(payment = %row.id, %error, "a stored payment cannot be read");
                EngineError::Internal
            })
        });
        Ok((read.collect::<Result<_, _>>()?, more))
    }

    /// A reference names one payment; the other filters have to agree with it.
    async fn list_one(
        &self,
        caller: Caller,
        reference: &str,
        filter: &ListFilter,
    ) -> Result<(Vec<Payment>, bool), EngineError> {
        let target = crate::Target {
            account: None,
            reference: Some(reference.to_owned()),
            merchant_ref: None,
            card: None,
            brought: crate::Brought::default(),
        };
        let payment = match self.find(caller, &target).await {
            Ok((payment, _)) => payment,
            Err(EngineError::NotFound) => return Ok((Vec::new(), false)),
            Err(error) => return Err(error),
        };
        let one_of = |list: &[String], word: &str| {
            list.is_empty() || list.iter().any(|listed| listed == word)
        };
        let deciding = payment.deciding_account();
        let by_account = filter.account.as_ref().is_none_or(|name| {
            let of = payment.order.candidates.iter();
            of.filter(|candidate| Some(candidate.account) == deciding)
                .any(|candidate| candidate.label == *name)
        });
        let fits = by_account
            && filter.from.is_none_or(|from| payment.created_at >= from)
            && filter.to.is_none_or(|to| payment.created_at <= to)
            && one_of(&filter.kinds, payment.order.kind.as_str())
            && one_of(&filter.statuses, payment.status())
            && (filter.merchant_ref.is_none() || filter.merchant_ref == payment.order.merchant_ref);
        Ok((if fits { vec![payment] } else { Vec::new() }, false))
    }

    /// What the provider of an account holds for it, per currency.
    ///
    /// # Errors
    /// An unknown account, a provider without such a question, or no usable answer.
    pub async fn balance(&self, caller: Caller, name: &str) -> Result<Vec<Balance>, QuestionError> {
        let named = self.named(caller, &[name.to_owned()]).await?;
        let account = named.first().ok_or(EngineError::UnknownAccount { index: 0 })?;
        let connector = account.connector.as_ref().ok_or(QuestionError::NotSupported)?;
        let call = connector.balance(&account.cx).ok_or(QuestionError::NotSupported)?;
        let reply = crate::calls::ask(account, &call, self.inner.wire.as_ref()).await;
        let reply = reply.ok_or(QuestionError::NoAnswer)?;
        connector.read_balance(&account.cx, &reply).ok_or(QuestionError::NoAnswer)
    }
}
