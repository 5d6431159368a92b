//! Not there yet: every request is answered 501.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Urls;
use crate::core::Event;
use crate::exchange::Job;
use crate::http::{Call, Reply};
use crate::provider::Account;

pub(crate) fn read(_: &Arc<Account>, _: &Call, _: &[&str]) -> Result<Job, Reply> {
    Err(error(501, "not_implemented", "This dialect is not there yet."))
}

pub(crate) fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"error": {"code": code, "message": message}}))
}

pub(crate) fn key_in_progress(_: &str) -> Reply {
    error(409, "idempotency_in_progress", "")
}

pub(crate) fn key_mismatch(_: &str) -> Reply {
    error(422, "idempotency_mismatch", "")
}

pub(crate) fn events_of(_: &Event, _: &Urls) -> Vec<Value> {
    Vec::new()
}

pub(crate) fn notification(_: &Event, _: &str) -> Option<Value> {
    None
}

pub(crate) fn hmac_key(_: &str) -> Option<Vec<u8>> {
    None
}
