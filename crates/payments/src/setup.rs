//! Payments of nothing: a card is verified at its provider and saved, and no money moves.
//!
//! To the engine one is an authorization of zero, so that a challenge in it, a lost answer and a crash are what they are
//! for every hold. Left out: set-ups of methods that are no cards.

use serde_json::Value;

use crate::fault::Fault;
use crate::intent::{FutureUsage, Intent};

impl Intent {
    /// Whether it moves no money.
    #[must_use]
    pub fn is_setup(&self) -> bool {
        self.amount == 0
    }

    /// Checks that what is to be saved for nothing is said to be saved, and reads what says so: `setup_future_usage`,
    /// `mandate_data`, or `payment_type: setup_mandate`.
    pub(crate) fn check_setup(&mut self) -> Result<(), Fault> {
        if !self.is_setup() || self.setup_future_usage.is_some() {
            return Ok(());
        }
        let kind = self.details.get("payment_type").and_then(Value::as_str);
        let mandate = self.details.get("mandate_data").is_some_and(|data| !data.is_null());
        if !mandate && kind != Some("setup_mandate") {
            return Err(Fault::Invalid {
                field: "amount",
                message: "must be greater than zero, unless the payment only saves its card: \
                          setup_future_usage, mandate_data or payment_type setup_mandate say so"
                    .to_owned(),
            });
        }
        self.setup_future_usage = Some(FutureUsage::OffSession);
        Ok(())
    }

    /// Checks that a set-up can be carried out: somebody is there whose card it is.
    pub(crate) fn check_setup_is_whole(&self, merchant_asks: bool) -> Result<(), Fault> {
        if !self.is_setup() {
            return Ok(());
        }
        if merchant_asks {
            return Err(Fault::Invalid {
                field: "amount",
                message: "must be greater than zero where the payer is not there".to_owned(),
            });
        }
        self.customer.as_ref().map(|_| ()).ok_or(Fault::Missing("customer_id"))
    }
}
