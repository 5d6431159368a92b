//! The result of a 3-D Secure authentication that was made elsewhere, as it comes with a confirmation.
//!
//! It goes to every provider that is asked, so that a payer who has authenticated once is not asked again when the first
//! provider fails; one whose manifest does not claim to take such results is passed over. Its value is a secret of the
//! request: it is in the memory of the request's own task and is stored nowhere.

use baton_connect::ThreeDs;
use baton_types::Secret;

use crate::fault::Fault;
use crate::intent::IntentChange;

/// A result with its value (CAVV, AAV).
pub struct Authenticated {
    /// What may be kept of it.
    pub result: ThreeDs,
    /// The value.
    pub value: Secret,
}

/// That a change which confirms nothing brings no result: nobody would keep it until the confirmation.
pub(crate) fn none_without_confirmation(change: &IntentChange) -> Result<(), Fault> {
    match change.three_ds {
        None => Ok(()),
        Some(_) => Err(Fault::Invalid {
            field: "three_ds_data",
            message: "comes with the confirmation: it is not kept".to_owned(),
        }),
    }
}
