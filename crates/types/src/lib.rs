//! The vocabulary of payments: money, ids, card numbers, time, declines, outcomes. Pure.
//!
//! Every type here is parsed once, at the edge, and cannot be wrong afterwards: fields are private
//! and the only way in is a parser. What must not be shown (card numbers, CVVs, credentials) has no
//! `Debug`, `Clone` or `Serialize`, so a leak does not compile.
//!
//! Left out on purpose: clocks, randomness, files, sockets, async. Time and random bits are
//! arguments.

mod brand;
pub mod card;
mod currency;
pub mod decline;
mod foreign;
pub mod id;
mod iso4217;
pub mod money;
pub mod outcome;
pub mod secret;
mod text;
pub mod time;

pub use card::{Brand, Card, CardError, CardNumber, Cvv, Expiry, MaskedCard};
pub use decline::{DeclineCode, DeclineInfo, DeclinedBy, Retry, WhoCanAct};
pub use foreign::{Foreign, ForeignPart};
pub use id::{
    AccountId, ApiKeyId, BootId, EventId, Id, IdError, Kind, MerchantId, PaymentId, RequestId, kind,
};
pub use money::{Currency, Money, MoneyError};
pub use secret::Secret;
pub use time::{TimeError, Timestamp};
