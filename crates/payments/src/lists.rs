//! Lists of a merchant's intents.

use baton_store::DocumentQuery;

use crate::document::{Document, page};
use crate::fault::Fault;
use crate::intent::{Intent, Seen};
use crate::service::{Merchant, Payments};

impl Payments {
    /// A page of intents, newest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list(
        &self,
        merchant: &Merchant,
        mut query: DocumentQuery,
    ) -> Result<Vec<Seen>, Fault> {
        query.merchant = merchant.caller.merchant;
        query.kind = Intent::KIND.to_owned();
        let mut seen = Vec::new();
        for intent in page::<Intent>(self.engine().store().as_ref(), &query).await? {
            seen.push(self.seen(merchant, intent).await?);
        }
        Ok(seen)
    }
}
