//! A browser's part in a payment.

use crate::fault::Fault;
use crate::intent::Seen;
use crate::service::{Merchant, Payments, allow};
use crate::status::Flow;

impl Payments {
    /// The intent that a browser with this secret is about to pay.
    ///
    /// # Errors
    /// `NotFound`, `ClientSecret`, `Expired`, `WrongStatus`.
    pub async fn session(
        &self,
        merchant: &Merchant,
        id: &str,
        secret: &str,
    ) -> Result<Seen, Fault> {
        let seen = self.see(merchant, id).await?;
        self.check_client(&seen.intent.body, Some(secret))?;
        allow(&seen, Flow::SessionToken)?;
        Ok(seen)
    }
}
