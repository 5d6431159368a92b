//! The audit log: one chain whoever appends, a change and its entry together or not at all, and no
//! tampering that is not found.

mod appending;
mod tampering;

use std::sync::Arc;

use baton_engine::SystemClock;
use baton_engine::audit::{Action, Actor, Audit, Entry, Intact, VerifyError, verify};
use baton_store::{AuditQuery, AuditRow, Store};
use baton_types::MerchantId;
use serde_json::json;

/// An appender as another node or command has it.
fn appender(store: &Arc<dyn Store>) -> Audit {
    Audit::new(Arc::clone(store), Arc::new(SystemClock))
}

fn entry(subject: &str) -> Entry {
    Entry {
        merchant: Some(MerchantId::from_bytes([1; 16])),
        actor: Actor::System,
        action: Action::SettingsChanged,
        subject: subject.to_owned(),
        detail: json!({ "b": 1, "a": [true, null] }),
        request_id: Some("req".to_owned()),
    }
}

async fn all(store: &dyn Store) -> Vec<AuditRow> {
    store.audit(&AuditQuery { limit: u32::MAX, ..AuditQuery::default() }).await.unwrap()
}

async fn whole(store: &dyn Store) -> Result<Intact, VerifyError> {
    verify(store, None, &[], |_| ()).await
}
