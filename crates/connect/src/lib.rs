//! What a connector is.
//!
//! A connector translates: an [`Operation`] into an [`HttpCall`], an [`HttpReply`] into an
//! [`Outcome`](baton_types::outcome::Outcome). It is pure. It sees no socket, no clock, no database, no
//! payment's state and no secret: where a card number, a CVV or a credential belongs, its call has a
//! [`Hole`], which is filled at the socket by whoever holds the secret.
//!
//! What a provider can do stands in its [`Manifest`], each capability with its citation. What a manifest
//! does not claim is never called.

mod call;
pub mod card_vault;
pub mod cases;
pub mod claims;
mod connector;
mod dispute;
mod json;
mod manifest;
mod operation;
mod redirect;
mod webhook;

pub use call::{Body, Fill, FillError, Filled, Hole, HttpCall, HttpReply, Method, Part};
pub use connector::{
    Balance, Call, Connector, CredentialsCheck, Cx, Decoded, EncodeError, Looked, Question,
    Retrieved, identifier, message, network_id,
};
pub use dispute::{
    DisputeAction, DisputeAnswer, DisputeCall, DisputeEvent, DisputeFacts, DisputeStage,
    DisputeStatus, Evidence, EvidenceField,
};
pub use json::Json;
pub use manifest::{
    CancelClaim, Claim, CredentialField, DeclineTable, Idempotency, LookUpClaim, Manifest,
    ManifestError, RedirectClaim, WebhookClaim,
};
pub use operation::{
    CardFacts, Challenge, Feature, LookUp, MerchantInitiated, Operation, OperationKind, Parent,
    Payer, Purchase, Returned, Source, Subject, ThreeDs, TokenScheme, Usage,
};
pub use redirect::{Contact, Redirect, RedirectMethod};
pub use webhook::{
    EventSubject, Freshness, Incoming, KeyForm, Signature, Signed, Told, Verifier, WebhookError,
    WebhookEvent, bytes_of_base64, bytes_of_hex,
};
