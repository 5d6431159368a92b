//! Gateway accounts as they are managed: put, show, verify, remove.
//!
//! Secrets go into the vault first, under a new record; then the account that names the record and its audit
//! entry are one commit. Guarantees: whatever fails, the account is as it was or as it was to be; a secret is
//! shown by its last characters at most. A crash in between leaves a record that no account names, which is
//! swept. Left out: who may do it, and the form of names (`baton-api`).

use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use baton_connect::{Connector, CredentialsCheck, Manifest};
use baton_store::{AccountRow, CommitError, Guard, StoreError, Write, WriteSet};
use baton_types::{MerchantId, Secret, Timestamp};
use baton_vault::{SealedKind, Tenant, VaultError};
use baton_wire::{BaseUrl, Policy};
use serde_json::json;

use crate::accounts::{Account, AccountConfig, Secrets, sealed_form};
use crate::audit::{Action, Entry};
use crate::engine::{Caller, Engine};
use crate::error::EngineError;
use crate::inner::Inner;
use crate::new_id;

/// Secrets shorter than this show nothing of themselves: four characters would be too much of them.
const HINTED_FROM: usize = 12;

/// How long credentials are kept that no account uses any more: what is in doubt at their provider is settled
/// by then.
const KEPT_MS: i64 = 24 * 3_600_000;

/// An account to have under a name.
#[derive(Debug)]
pub struct AccountInput {
    /// `[A-Za-z0-9_-]{3,64}`; the API checks it.
    pub name: String,
    /// The connector's gateway name.
    pub gateway: String,
    /// Credentials and settings, by the names that the manifest declares.
    pub credentials: Vec<(String, Secret)>,
    /// Where the provider is.
    pub place: Place,
    /// The client certificate that is shown to the provider.
    pub certificate: Option<String>,
    /// Whether payments that were made without us at its provider are taken over when they are named.
    pub foreign_references: bool,
}

/// Where an account's provider is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where it was; for a new account, where the gateway is.
    AsBefore,
    /// Where the gateway is.
    Gateway,
    /// At this URL: of a test account, or by https of a live one whose gateway has no address of its own.
    Url(String),
}

/// Why an account was not put, verified or removed. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountFault {
    /// No connector of this build has the gateway's name.
    UnknownGateway {
        /// The names that there are.
        known: Vec<String>,
    },
    /// The gateway has no credential of this name.
    UnknownCredential {
        /// Its place in the list, counted from 0.
        index: usize,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A credential is there twice.
    RepeatedCredential {
        /// The second one's place in the list.
        index: usize,
    },
    /// A credential that the gateway needs is missing or empty.
    MissingCredential {
        /// Its name.
        name: String,
    },
    /// There is no client certificate of this name that could be used now.
    UnknownCertificate,
    /// The base URL cannot be used: why.
    BaseUrl(String),
    /// A mock gateway, and a live account.
    MockIsForTests,
    /// The name belongs to an account of the other mode.
    OtherMode,
    /// The node's configuration declares the account.
    Declared,
    /// The gateway cannot be asked for a payment by its own id, so nothing foreign can be taken over.
    NotRetrievable,
    /// The gateway has no harmless call to verify with.
    NotVerifiable,
    /// The provider refused the credentials.
    CredentialsRefused,
    /// The provider could not be asked, or gave no clear answer.
    NoAnswer,
    /// Something that is not about the account.
    Engine(EngineError),
}

impl From<EngineError> for AccountFault {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<StoreError> for AccountFault {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<VaultError> for AccountFault {
    fn from(error: VaultError) -> Self {
        Self::Engine(error.into())
    }
}

/// What may be shown of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// Its stored row.
    pub row: AccountRow,
    /// Credentials in the manifest's order: settings in clear, of secrets the last characters.
    pub credentials: Vec<(String, String)>,
    /// Whether the node's configuration declares it.
    pub declared: bool,
    /// The client certificate that is shown to the provider.
    pub certificate: Option<String>,
    /// Whether payments that were made without us at its provider are taken over when they are named.
    pub foreign_references: bool,
}

impl Engine {
    /// The caller's accounts of its key's mode, by number.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn account_views(&self, caller: Caller) -> Result<Vec<AccountView>, EngineError> {
        let known = self.inner.accounts.of(caller.merchant).await?;
        let mine = known.iter().filter(|account| is_visible(account, caller));
        Ok(mine.map(|account| self.view(account)).collect())
    }

    /// One of the caller's accounts; `NotFound` for one of the other mode too.
    ///
    /// # Errors
    /// Unknown, or the store does not answer.
    pub async fn account_view(
        &self,
        caller: Caller,
        name: &str,
    ) -> Result<AccountView, EngineError> {
        Ok(self.view(self.account_named(caller, name).await?.as_ref()))
    }

    /// Makes an account or replaces the one of this name. An account that goes to another gateway is a new one:
    /// payments of the old keep theirs. With `verify`, the provider is asked first whether it takes the
    /// credentials.
    ///
    /// # Errors
    /// See [`AccountFault`]; nothing was changed.
    pub async fn put_account(
        &self,
        caller: Caller,
        input: AccountInput,
        verify: bool,
    ) -> Result<AccountView, AccountFault> {
        let connector = self.connector_named(&input.gateway)?;
        if connector.manifest().mock && !caller.sandbox {
            return Err(AccountFault::MockIsForTests);
        }
        if input.foreign_references && connector.manifest().retrieve.is_none() {
            return Err(AccountFault::NotRetrievable);
        }
        let given = sort(connector.manifest(), input.credentials)?;
        let config = AccountConfig {
            credentials: None,
            hints: given.hints,
            settings: given.settings,
            certificate: input.certificate,
            foreign_references: input.foreign_references,
        };
        let now = self.inner.clock.now();
        let mut row = AccountRow {
            merchant: caller.merchant,
            id: new_id(self.inner.clock.as_ref()),
            number: 0,
            name: input.name,
            gateway: input.gateway,
            base_url: None,
            test: caller.sandbox,
            created_at: now,
            updated_at: now,
            removed_at: None,
            config: String::new(),
        };
        let known = self.inner.store.accounts(caller.merchant).await?;
        let before = self.replaceable(&known, &row)?;
        let has_address = connector.manifest().base_url.is_some();
        row.base_url = base_url(&input.place, &row, before, has_address)?;
        let identity = match &config.certificate {
            Some(name) => self.inner.accounts.identity(caller.tenant(), name).await?,
            None => None,
        };
        if config.certificate.is_some() && identity.is_none() {
            return Err(AccountFault::UnknownCertificate);
        }
        let mut account = self.inner.accounts.assemble(row, config, given.secrets);
        if let Some(identity) = identity {
            account = account.showing(identity);
        }
        if verify {
            self.verify(&account).await?;
        }
        self.store_account(caller, account, &input.place).await
    }

    /// Asks the provider of a stored account whether it takes the account's credentials.
    ///
    /// # Errors
    /// See [`AccountFault`].
    pub async fn verify_account(&self, caller: Caller, name: &str) -> Result<(), AccountFault> {
        self.verify(self.account_named(caller, name).await?.as_ref()).await
    }

    /// Removes an account for good; `NotFound` if there is none. Its credentials stay until what is in doubt at
    /// its provider has been settled, at most a day.
    ///
    /// # Errors
    /// Declared by the configuration, or the store does not answer.
    pub async fn remove_account(&self, caller: Caller, name: &str) -> Result<(), AccountFault> {
        let known = self.inner.store.accounts(caller.merchant).await?;
        let mine = |row: &&AccountRow| {
            row.name == name && row.removed_at.is_none() && row.test == caller.sandbox
        };
        let row = known.iter().find(mine).ok_or(EngineError::NotFound)?;
        if self.inner.accounts.is_declared(row.id) {
            return Err(AccountFault::Declared);
        }
        let set = WriteSet::from(vec![Write::RemoveAccount {
            merchant: row.merchant,
            id: row.id,
            at: self.inner.clock.now(),
        }]);
        let entry = entry(caller, Action::AccountRemoved, row);
        self.inner.audit.commit_with(entry, set).await.map_err(not_stored)?;
        self.inner.accounts.forget(caller.merchant);
        Ok(())
    }

    /// Deletes credentials that no account has used for a day: of removed accounts, and of those that were
    /// never stored. It is also done by itself, every hour.
    ///
    /// # Errors
    /// The vault or the store does not answer.
    pub async fn sweep_credentials(&self) -> Result<(), EngineError> {
        sweep(&self.inner).await
    }

    async fn account_named(&self, caller: Caller, name: &str) -> Result<Arc<Account>, EngineError> {
        let known = self.inner.accounts.of(caller.merchant).await?;
        let found = known.iter().find(|a| is_visible(a, caller) && a.row.name == name);
        found.cloned().ok_or(EngineError::NotFound)
    }

    pub(crate) fn connector_named(
        &self,
        gateway: &str,
    ) -> Result<Arc<dyn Connector>, AccountFault> {
        self.inner.accounts.connector(gateway).cloned().ok_or_else(|| {
            let names = self.inner.accounts.connectors();
            let mut known: Vec<_> = names.map(|c| c.manifest().gateway_name.clone()).collect();
            known.sort();
            AccountFault::UnknownGateway { known }
        })
    }

    /// The account whose place the row is to take, if there is one.
    fn replaceable<'a>(
        &self,
        known: &'a [AccountRow],
        row: &AccountRow,
    ) -> Result<Option<&'a AccountRow>, AccountFault> {
        let before = known.iter().find(|r| r.name == row.name && r.removed_at.is_none());
        match before {
            Some(before) if before.test != row.test => Err(AccountFault::OtherMode),
            Some(before) if self.inner.accounts.is_declared(before.id) => {
                Err(AccountFault::Declared)
            }
            before => Ok(before),
        }
    }

    /// A mock gateway has nobody who could refuse.
    async fn verify(&self, account: &Account) -> Result<(), AccountFault> {
        if account.is_mock() {
            return Ok(());
        }
        let connector = account.connector.as_ref().ok_or(AccountFault::NotVerifiable)?;
        if account.target.is_none() {
            return Err(AccountFault::NotVerifiable);
        }
        let call = connector.check_credentials(&account.cx).ok_or(AccountFault::NotVerifiable)?;
        let reply = crate::calls::ask(account, &call, self.inner.wire.as_ref()).await;
        let reply = reply.ok_or(AccountFault::NoAnswer)?;
        match connector.read_credentials_check(&account.cx, &reply) {
            CredentialsCheck::Accepted => Ok(()),
            CredentialsCheck::Refused => Err(AccountFault::CredentialsRefused),
            CredentialsCheck::Unclear => Err(AccountFault::NoAnswer),
        }
    }

    async fn store_account(
        &self,
        caller: Caller,
        account: Account,
        place: &Place,
    ) -> Result<AccountView, AccountFault> {
        let inner = &self.inner;
        let Account { mut row, mut config, secrets, connector, .. } = account;
        let has_address = connector.is_some_and(|c| c.manifest().base_url.is_some());
        if !secrets.is_empty() {
            // One record per version: what a node remembers of a record is never out of date.
            let record = row.id.to_string();
            let kind = SealedKind::AccountCredentials;
            let text = sealed_form(&secrets);
            inner.vault.put(caller.tenant(), kind, &record, &text, row.created_at).await?;
            config.credentials = Some(record);
        }
        row.config = config.to_text();
        loop {
            let known = inner.store.accounts(row.merchant).await?;
            let before = self.replaceable(&known, &row)?;
            let next = known.iter().map(|row| row.number).max().unwrap_or(0).saturating_add(1);
            let base_url = base_url(place, &row, before, has_address)?;
            let mut put = AccountRow { number: next, base_url, ..row.clone() };
            let (mut set, mut replaced) = (WriteSet::new(), None);
            match before {
                Some(before) if before.gateway == put.gateway => {
                    put.id = before.id;
                    put.number = before.number;
                    put.created_at = before.created_at;
                    replaced = AccountConfig::of(before).credentials;
                }
                Some(&AccountRow { merchant, id, .. }) => {
                    set.push(Write::RemoveAccount { merchant, id, at: row.created_at });
                }
                None => {}
            }
            set.push(Write::Account(put.clone()));
            match inner.audit.commit_with(entry(caller, Action::AccountPut, &put), set).await {
                Ok(()) => {
                    inner.accounts.forget(caller.merchant);
                    if let Some(record) = replaced {
                        forget_record(inner, caller.tenant(), &record).await;
                    }
                    return Ok(self.view(&inner.accounts.assemble(put, config, secrets)));
                }
                // Another request was first.
                Err(CommitError::Conflict(Guard::AccountName | Guard::AccountNumber)) => {}
                Err(error) => return Err(not_stored(error)),
            }
        }
    }

    fn view(&self, account: &Account) -> AccountView {
        let fields = account.connector.iter().flat_map(|c| &c.manifest().credentials);
        let shown = fields.filter_map(|field| {
            let (settings, hints) = (&account.config.settings, &account.config.hints);
            let value = settings.get(&field.name).or_else(|| hints.get(&field.name)).cloned();
            let value = match value {
                Some(value) => value,
                None => hint(account.secrets.get(&field.name)?.expose()),
            };
            Some((field.name.clone(), value))
        });
        AccountView {
            credentials: shown.collect(),
            declared: self.inner.accounts.is_declared(account.row.id),
            certificate: account.config.certificate.clone(),
            foreign_references: account.config.foreign_references,
            row: account.row.clone(),
        }
    }
}

/// Whether it was stored may be open; whoever asks again finds out.
fn not_stored(error: CommitError) -> AccountFault {
    AccountFault::Engine(match error {
        CommitError::InDoubt => EngineError::Unavailable,
        error @ (CommitError::Conflict(_)
        | CommitError::Unavailable(_)
        | CommitError::Invalid(_)) => error.into(),
    })
}

/// The URL of the account to come, or why there can be none.
fn base_url(
    place: &Place,
    row: &AccountRow,
    before: Option<&AccountRow>,
    has_address: bool,
) -> Result<Option<String>, AccountFault> {
    let url = match place {
        Place::Gateway => return Ok(None),
        Place::AsBefore => {
            let same = before.filter(|before| before.gateway == row.gateway);
            return Ok(same.and_then(|before| before.base_url.clone()));
        }
        Place::Url(url) => url,
    };
    if !row.test && has_address {
        let why = "a live account uses the gateway's own address";
        return Err(AccountFault::BaseUrl(why.to_owned()));
    }
    let policy = if row.test { Policy::PlainHttpAllowed } else { Policy::HttpsOnly };
    let parsed = BaseUrl::parse(url, policy);
    parsed.map_err(|error| AccountFault::BaseUrl(error.to_string()))?;
    Ok(Some(url.clone()))
}

fn entry(caller: Caller, action: Action, row: &AccountRow) -> Entry {
    Entry {
        merchant: Some(row.merchant),
        actor: caller.actor(),
        action,
        subject: row.id.to_string(),
        detail: json!({
            "name": row.name,
            "gateway": row.gateway,
            "base_url": row.base_url,
            "test": row.test,
            "hints": AccountConfig::of(row).hints,
            "certificate": AccountConfig::of(row).certificate,
            "foreign_references": AccountConfig::of(row).foreign_references,
        }),
        request_id: None,
    }
}

/// Whether a caller may know of an account.
fn is_visible(account: &Account, caller: Caller) -> bool {
    account.row.removed_at.is_none() && account.row.test == caller.sandbox
}

/// The last four characters of a secret behind stars; of a short one nothing.
fn hint(secret: &str) -> String {
    let length = secret.chars().count();
    let skip = if length < HINTED_FROM { length } else { length.saturating_sub(4) };
    format!("****{}", secret.chars().skip(skip).collect::<String>())
}

/// Credentials sorted by what may be seen of them.
pub(crate) struct Given {
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) settings: BTreeMap<String, String>,
    hints: BTreeMap<String, String>,
}

/// Sorts what was given by the manifest's declarations, or says what does not fit.
pub(crate) fn sort(
    manifest: &Manifest,
    given: Vec<(String, Secret)>,
) -> Result<Given, AccountFault> {
    let known = || manifest.credentials.iter().map(|field| field.name.clone()).collect();
    let (mut secrets, mut settings, mut hints) = (Secrets::new(), BTreeMap::new(), BTreeMap::new());
    let mut seen = HashSet::new();
    for (index, (name, value)) in given.into_iter().enumerate() {
        let field = manifest.credentials.iter().find(|field| field.name == name);
        let field =
            field.ok_or_else(|| AccountFault::UnknownCredential { index, known: known() })?;
        if !seen.insert(name.clone()) {
            return Err(AccountFault::RepeatedCredential { index });
        }
        if value.expose().trim().is_empty() {
            continue;
        }
        if field.secret {
            hints.insert(name.clone(), hint(value.expose()));
            secrets.insert(name, value);
        } else {
            settings.insert(name, value.expose().to_owned());
        }
    }
    let missing = manifest.credentials.iter().find(|field| {
        !field.optional && !secrets.contains_key(&field.name) && !settings.contains_key(&field.name)
    });
    match missing {
        Some(field) => Err(AccountFault::MissingCredential { name: field.name.clone() }),
        None => Ok(Given { secrets: Arc::new(secrets), settings, hints }),
    }
}

/// Deletes what nothing names any more. What is left behind is swept.
async fn forget_record(inner: &Inner, tenant: Tenant, record: &str) {
    let kind = SealedKind::AccountCredentials;
    if let Err(error) = inner.vault.remove(tenant, kind, record).await {
        tracing::warn!(record, %error, "a record is swept later");
    }
}

/// See [`Engine::sweep_credentials`].
pub(crate) async fn sweep(inner: &Inner) -> Result<(), EngineError> {
    let before = inner.clock.now().plus_millis(-KEPT_MS);
    let records = inner.vault.list(SealedKind::AccountCredentials, before, u32::MAX).await?;
    crate::brought::sweep(inner, before).await?;
    crate::certificates::sweep(inner, before).await?;
    let mut used: HashMap<MerchantId, HashSet<String>> = HashMap::new();
    for record in records {
        let merchant = record.tenant.merchant;
        let of_merchant = match used.entry(merchant) {
            Occupied(known) => known.into_mut(),
            Vacant(unknown) => unknown.insert(in_use(inner, merchant, before).await?),
        };
        if !of_merchant.contains(&record.id) {
            tracing::info!(record = %record.id, "credentials that no account uses are deleted");
            forget_record(inner, record.tenant, &record.id).await;
        }
    }
    Ok(())
}

/// The records of a merchant's accounts, apart from those removed before this time.
async fn in_use(
    inner: &Inner,
    merchant: MerchantId,
    before: Timestamp,
) -> Result<HashSet<String>, StoreError> {
    let rows = inner.store.accounts(merchant).await?;
    let kept = rows.iter().filter(|row| row.removed_at.is_none_or(|at| at > before));
    Ok(kept.filter_map(|row| AccountConfig::of(row).credentials).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        id = "x"
        gateway_name = "X"
        display_name = "X"
        description = "A provider."
        url = "https://example.com"
        reference_max_length = 64
        [[credentials]]
        name = "Key"
        description = "A key."
        [[credentials]]
        name = "Shop"
        description = "A shop."
        secret = false
        optional = true
    "#;

    fn sorted(given: &[(&str, &str)]) -> Result<Given, AccountFault> {
        let given = given.iter().map(|(k, v)| ((*k).to_owned(), Secret::new((*v).to_owned())));
        sort(&Manifest::parse(MANIFEST).unwrap(), given.collect())
    }

    #[test]
    fn credentials_are_checked_and_sorted_by_what_may_be_seen() {
        let good = sorted(&[("Shop", "s1"), ("Key", "sk_test_1234567890")]).ok().unwrap();
        assert_eq!(good.hints.get("Key").unwrap(), "****7890");
        assert_eq!(good.settings.get("Shop").unwrap(), "s1");
        assert_eq!(good.secrets.get("Key").unwrap().expose(), "sk_test_1234567890");
        let fault = |given: &[(&str, &str)]| sorted(given).err().unwrap();
        let missing = || AccountFault::MissingCredential { name: "Key".to_owned() };
        let repeated = AccountFault::RepeatedCredential { index: 1 };
        assert_eq!(fault(&[("Shop", "s1")]), missing());
        assert_eq!(fault(&[("Key", " ")]), missing());
        assert_eq!(fault(&[("Key", "k"), ("Key", "k")]), repeated);
        assert_eq!(fault(&[("Shop", ""), ("Shop", "s1")]), repeated);
        let known = vec!["Key".to_owned(), "Shop".to_owned()];
        let unknown = AccountFault::UnknownCredential { index: 1, known };
        assert_eq!(fault(&[("Key", "k"), ("key", "k")]), unknown);
    }

    #[test]
    fn a_short_secret_shows_nothing_of_itself() {
        let rows =
            [("", "****"), ("abc", "****"), ("12345678901", "****"), ("123456789012", "****9012")];
        for (secret, shown) in rows {
            assert_eq!(hint(secret), shown);
        }
    }
}
