//! Lists of a merchant's intents and refunds: pages with their objects, and how many there are.

use std::collections::HashMap;
use std::sync::Arc;

use baton_engine::EngineError;
use baton_flow::{Payment, snapshot};
use baton_store::{ListQuery, PaymentRow};

use crate::document::{Document, Stored};
use crate::fault::Fault;
use crate::intent::{Intent, Seen};
use crate::refund::{Refund, RefundSeen};
use crate::service::{Merchant, Payments};

impl Payments {
    /// All of a merchant's intents, to be restricted.
    #[must_use]
    pub fn intents_of(merchant: &Merchant) -> ListQuery {
        Self::all_of(merchant, Intent::KIND)
    }

    /// All of a merchant's refunds, to be restricted. What they belong to is their intent.
    #[must_use]
    pub fn refunds_of(merchant: &Merchant) -> ListQuery {
        Self::all_of(merchant, Refund::KIND)
    }

    pub(crate) fn all_of(merchant: &Merchant, kind: &str) -> ListQuery {
        let profile = merchant.profile.map(|own| own.to_string());
        ListQuery { profile, ..ListQuery::of(merchant.caller.merchant, kind) }
    }

    /// A page of intents.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list(&self, merchant: &Merchant, query: &ListQuery) -> Result<Vec<Seen>, Fault> {
        let mut retries = HashMap::new();
        let mut page = Vec::new();
        for (document, payment) in self.engine().store().lists().listed(query).await? {
            let intent = Stored::<Intent>::read(&document)?;
            let payment = payment.map(|row| self.payment_of(merchant, &row)).transpose()?;
            if payment.is_none() && !intent.body.tries.is_empty() {
                return Err(EngineError::NotFound.into());
            }
            let seen = Seen { intent, payment, retry: false };
            page.push(self.judged_among(merchant, seen, &mut retries).await);
        }
        Ok(page)
    }

    /// A page of refunds.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_refunds(
        &self,
        merchant: &Merchant,
        query: &ListQuery,
    ) -> Result<Vec<RefundSeen>, Fault> {
        let page = self.engine().store().lists().listed(query).await?;
        page.iter()
            .map(|(document, payment)| {
                let payment = payment.as_ref().ok_or(EngineError::NotFound)?;
                let payment = self.payment_of(merchant, payment)?;
                Ok(RefundSeen { refund: Stored::read(document)?, payment })
            })
            .collect()
    }

    /// How many objects a list has, the page aside.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn count(&self, query: &ListQuery) -> Result<u64, Fault> {
        Ok(self.engine().store().lists().count_listed(query).await?)
    }

    /// The payments that an intent's confirmations have made, in order.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn tries(
        &self,
        merchant: &Merchant,
        seen: &Seen,
    ) -> Result<Vec<Arc<Payment>>, Fault> {
        let mut tries = Vec::new();
        let last = seen.payment.as_ref();
        for id in &seen.intent.body.tries {
            tries.push(match last.filter(|last| last.id == *id) {
                Some(last) => Arc::clone(last),
                None => self.engine().payment(merchant.caller, *id).await?,
            });
        }
        Ok(tries)
    }

    pub(crate) fn payment_of(
        &self,
        merchant: &Merchant,
        row: &PaymentRow,
    ) -> Result<Arc<Payment>, Fault> {
        let payment = snapshot::decode(row.schema, &row.snapshot).map_err(|error| {
            tracing::error!(payment = %row.id, %error, "a stored payment cannot be read");
            EngineError::Internal
        })?;
        let is_of_mode = payment.order.test == merchant.caller.sandbox;
        if is_of_mode { Ok(Arc::new(payment)) } else { Err(EngineError::NotFound.into()) }
    }
}
