//! What of stored cards goes with a purchase: that one is kept, or that the merchant asks by one that was.
//!
//! Whether the provider that is asked knows of the agreement by itself depends on the account, so it is said per
//! attempt.

use baton_connect::{MerchantInitiated, Usage};
use baton_types::AccountId;

/// What of stored cards goes with a purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Our name of the kept card, the same whenever it is paid with.
    pub name: String,
    /// What is done with it.
    pub how: How,
}

/// Whether a card is being kept, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// The payer is there and lets the merchant keep it.
    Keeps {
        /// Also for payments without the payer.
        without_payer: bool,
    },
    /// The payer is not there: the merchant asks.
    MerchantAsks {
        /// The network's id of the payment in which the payer has agreed, where it is known.
        network_transaction_id: Option<String>,
        /// The account that this payment was made at, if it was one of ours.
        made_at: Option<AccountId>,
    },
}

impl Stored {
    /// What the provider of an account is told of it.
    pub(crate) fn usage(&self, account: Option<AccountId>) -> Usage {
        let name = self.name.clone();
        match &self.how {
            How::Keeps { without_payer } => Usage::Keeps { name, without_payer: *without_payer },
            How::MerchantAsks { network_transaction_id, made_at } => {
                Usage::MerchantInitiated(MerchantInitiated {
                    name,
                    network_transaction_id: network_transaction_id.clone(),
                    made_here: made_at.is_some() && *made_at == account,
                })
            }
        }
    }
}
