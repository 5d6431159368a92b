//! Lists what is there already: intents and refunds that a build without lists has stored.
//!
//! Once per merchant, in the background after a start. Guarantees: what is being changed meanwhile is listed as it stands
//! in the end; a start in between begins anew and does no harm. Done is noted in a document, which new merchants have from
//! the beginning. Left out: what a node of such a build stores after that.

use baton_flow::{Payment, snapshot};
use baton_store::{DocumentQuery, DocumentRow, Write};
use baton_types::{MerchantId, PaymentId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::document::{Document, Stored};
use crate::fault::Fault;
use crate::follow::{of_intent, of_refund};
use crate::intent::Intent;
use crate::refund::Refund;
use crate::service::Payments;

/// Objects that are read at once.
const PAGE: u32 = 200;

/// How often an object is listed anew that changes meanwhile.
const TRIES: usize = 20;

/// That everything of a merchant is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AllListed {
    id: String,
}

impl Document for AllListed {
    const KIND: &'static str = "all_listed";

    fn id(&self) -> &str {
        &self.id
    }
}

impl AllListed {
    const ID: &'static str = "1";

    /// That it is so, from now on.
    pub(crate) fn write(merchant: MerchantId, now: Timestamp) -> Write {
        Stored::new(merchant, Self { id: Self::ID.to_owned() }, now).write()
    }
}

impl Payments {
    /// Begins to list what is there, in the background of the engine.
    pub fn start_lists(&self) {
        let payments = self.clone();
        self.engine().background(async move {
            if let Err(fault) = payments.list_what_is_there().await {
                tracing::warn!(?fault, "what is stored is not all listed; the next start goes on");
            }
        });
    }

    /// Lists what is there, of every merchant of which that was not done. Returns how many objects were listed.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_what_is_there(&self) -> Result<u64, Fault> {
        let mut listed = 0_u64;
        for merchant in self.engine().store().merchants().await? {
            if self.load::<AllListed>(merchant.id, AllListed::ID).await?.is_some() {
                continue;
            }
            for kind in [Intent::KIND, Refund::KIND] {
                listed = listed.saturating_add(self.list_kind(merchant.id, kind).await?);
            }
            match self.commit(vec![AllListed::write(merchant.id, self.now())]).await {
                // Another node has done the same.
                Ok(()) | Err(Fault::Busy) => {}
                Err(fault) => return Err(fault),
            }
        }
        if listed > 0 {
            tracing::info!(listed, "listed payments and refunds that were stored before");
        }
        Ok(listed)
    }

    async fn list_kind(&self, merchant: MerchantId, kind: &str) -> Result<u64, Fault> {
        let mut query = DocumentQuery {
            merchant,
            kind: kind.to_owned(),
            owner: None,
            from: Timestamp::from_millis(0),
            to: Timestamp::from_millis(i64::MAX),
            after: None,
            statuses: Vec::new(),
            removed: true,
            limit: PAGE,
        };
        let mut listed = 0_u64;
        loop {
            let page = self.engine().store().documents(&query).await?;
            let Some(last) = page.last() else { return Ok(listed) };
            query.after = Some((last.created_at, last.id.clone()));
            for row in &page {
                self.list_one(row.clone()).await?;
                listed = listed.saturating_add(1);
            }
            if self.engine().paused(std::time::Duration::ZERO).await {
                return Err(Fault::Busy);
            }
        }
    }

    /// Lists an object as it stands, and once more where it has changed meanwhile: whoever changed it before it was
    /// listed had no row to change.
    async fn list_one(&self, mut row: DocumentRow) -> Result<(), Fault> {
        let store = self.engine().store();
        let mut payment = self.decides(&row).await?;
        for _ in 0..TRIES {
            if let Some(write) = listing(&row, payment.as_ref())? {
                self.commit(vec![write]).await?;
            }
            let Some(now) = store.document(row.merchant, &row.kind, &row.id).await? else {
                return Ok(());
            };
            let decides = self.decides(&now).await?;
            let version = |payment: &Option<Payment>| {
                payment.as_ref().map(|payment| (payment.id, payment.version))
            };
            if now.version == row.version && version(&decides) == version(&payment) {
                return Ok(());
            }
            (row, payment) = (now, decides);
        }
        Err(Fault::Busy)
    }

    /// The payment that decides how an object stands.
    async fn decides(&self, row: &DocumentRow) -> Result<Option<Payment>, Fault> {
        let id: Option<PaymentId> = if row.kind == Intent::KIND {
            Stored::<Intent>::read(row)?.body.tries.last().copied()
        } else {
            Some(Stored::<Refund>::read(row)?.body.payment)
        };
        let Some(id) = id else { return Ok(None) };
        let found = self.engine().store().payment(row.merchant, id).await?;
        let decoded = found.map(|row| snapshot::decode(row.schema, &row.snapshot)).transpose();
        decoded.map_err(|error| {
            tracing::error!(payment = %id, %error, "a stored payment cannot be read");
            Fault::Engine(baton_engine::EngineError::Internal)
        })
    }
}

fn listing(row: &DocumentRow, payment: Option<&Payment>) -> Result<Option<Write>, Fault> {
    if row.kind == Intent::KIND {
        return Ok(Some(of_intent(&Stored::read(row)?, payment)));
    }
    let refund = Stored::<Refund>::read(row)?;
    Ok(payment.map(|payment| of_refund(&refund, payment)))
}
