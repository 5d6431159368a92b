//! Merchants and the accounts that they have from the start. What is made or changed here is audited.

use baton_store::{AccountRow, CommitError, Guard, MerchantRow, Write, WriteSet};
use baton_types::{AccountId, MerchantId};
use serde_json::json;

use crate::accounts::AccountConfig;
use crate::audit::{Action, Actor, Audit, Entry};
use crate::error::EngineError;
use crate::{Clock, new_id};

/// The merchant that commands mean when none is named.
pub const DEFAULT: &str = "default";

/// An account to have, whatever was there before under its name.
#[derive(Clone, Debug)]
pub struct AccountSpec {
    /// Its name, unique per merchant: `[A-Za-z0-9_-]{3,64}`.
    pub name: String,
    /// The connector's gateway name.
    pub gateway: String,
    /// Instead of the provider's own URL.
    pub base_url: Option<String>,
    /// Moves no real money.
    pub test: bool,
    /// Whether payments that were made without us are taken over when they are named.
    pub foreign_references: bool,
}

/// The accounts that every merchant has: mock gateways, for sandbox keys only.
#[must_use]
pub fn mock_accounts() -> Vec<AccountSpec> {
    [("test-success", "NULLSuccess"), ("test-failure", "NULLFailure")]
        .into_iter()
        .map(|(name, gateway)| AccountSpec {
            name: name.to_owned(),
            gateway: gateway.to_owned(),
            base_url: None,
            test: true,
            foreign_references: false,
        })
        .collect()
}

/// The merchant of this name, made with its mock accounts if there is none.
///
/// # Errors
/// The store does not answer.
pub async fn ensure(audit: &Audit, actor: Actor, name: &str) -> Result<MerchantId, EngineError> {
    let clock = audit.clock();
    loop {
        if let Some(row) = audit.store().merchant_by_name(name).await? {
            return Ok(row.id);
        }
        let (id, created_at) = (new_id(clock), clock.now());
        let mut set = WriteSet::new();
        set.push(Write::Merchant(MerchantRow { id, name: name.to_owned(), created_at }));
        for (number, spec) in (1_i64..).zip(mock_accounts()) {
            set.push(Write::Account(row(clock, id, new_id(clock), number, &spec)));
        }
        let entry = Entry {
            merchant: Some(id),
            actor: actor.clone(),
            action: Action::MerchantCreated,
            subject: id.to_string(),
            detail: json!({ "name": name }),
            request_id: None,
        };
        match audit.commit_with(entry, set).await {
            Ok(()) => return Ok(id),
            // Another node was first, or our own commit stands after all: read it.
            Err(CommitError::Conflict(Guard::Merchant) | CommitError::InDoubt) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes or changes a merchant's account of this name.
///
/// # Errors
/// The store does not answer.
pub async fn put_account(
    audit: &Audit,
    actor: Actor,
    merchant: MerchantId,
    spec: &AccountSpec,
) -> Result<AccountId, EngineError> {
    let clock = audit.clock();
    loop {
        let known = audit.store().accounts(merchant).await?;
        let existing = known.iter().find(|row| row.name == spec.name && row.removed_at.is_none());
        let next = known.iter().map(|row| row.number).max().unwrap_or(0).saturating_add(1);
        let (id, number) = existing.map_or((new_id(clock), next), |row| (row.id, row.number));
        let wanted = row(clock, merchant, id, number, spec);
        if existing.is_some_and(|row| same(row, &wanted)) {
            return Ok(id);
        }
        let entry = Entry {
            merchant: Some(merchant),
            actor: actor.clone(),
            action: Action::AccountPut,
            subject: id.to_string(),
            detail: json!({
                "name": spec.name,
                "gateway": spec.gateway,
                "base_url": spec.base_url,
                "test": spec.test,
                "foreign_references": spec.foreign_references,
                "new": existing.is_none(),
            }),
            request_id: None,
        };
        match audit.commit_with(entry, WriteSet::from(vec![Write::Account(wanted)])).await {
            Ok(()) => return Ok(id),
            Err(
                CommitError::Conflict(Guard::AccountName | Guard::AccountNumber)
                | CommitError::InDoubt,
            ) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn same(have: &AccountRow, want: &AccountRow) -> bool {
    have.gateway == want.gateway
        && have.base_url == want.base_url
        && have.test == want.test
        && have.config == want.config
}

fn row(
    clock: &dyn Clock,
    merchant: MerchantId,
    id: AccountId,
    number: i64,
    spec: &AccountSpec,
) -> AccountRow {
    AccountRow {
        merchant,
        id,
        number,
        name: spec.name.clone(),
        gateway: spec.gateway.clone(),
        base_url: spec.base_url.clone(),
        test: spec.test,
        created_at: clock.now(),
        updated_at: clock.now(),
        removed_at: None,
        config: AccountConfig {
            foreign_references: spec.foreign_references,
            ..AccountConfig::default()
        }
        .to_text(),
    }
}
