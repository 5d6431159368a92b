//! What a merchant keeps with an intent for itself, changed also after it was paid.

use serde_json::{Map, Value};

use crate::fault::Fault;
use crate::intent::Seen;
use crate::service::{Merchant, Payments, allow};
use crate::status::Flow;

impl Payments {
    /// Adds to an intent's metadata, member by member; a member that is there already is replaced.
    ///
    /// # Errors
    /// `NotFound`, `WrongStatus`, `Busy`.
    pub async fn update_metadata(
        &self,
        merchant: &Merchant,
        id: &str,
        details: Map<String, Value>,
    ) -> Result<Seen, Fault> {
        let seen = self.see(merchant, id).await?;
        allow(&seen, Flow::UpdateMetadata)?;
        let mut intent = seen.intent.next(self.now());
        for (name, value) in details {
            let kept = intent.body.details.entry(name).or_insert(Value::Null);
            match (kept, value) {
                (Value::Object(kept), Value::Object(value)) => kept.extend(value),
                (kept, value) => *kept = value,
            }
        }
        self.commit(vec![intent.write()]).await?;
        Ok(Seen { intent, payment: seen.payment, retry: seen.retry })
    }
}
