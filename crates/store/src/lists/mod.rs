//! What payments and refunds are listed by: a narrow row beside each object's document.
//!
//! Guarantees, on all backends alike: a row changes in the commit of what it tells about, so that a list and its count
//! never lag; a page comes in the list's order, and with its documents and payments in one answer. Left out: what the
//! words mean.

mod memory;
mod records;
pub(crate) mod sql;

use async_trait::async_trait;
use baton_types::{MerchantId, PaymentId, Timestamp};

pub(crate) use self::records::{listed, relisted};
use crate::rows::{DocumentRow, PaymentRow};
use crate::store::StoreError;

/// What an object is listed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRow {
    /// Whose.
    pub merchant: MerchantId,
    /// The kind of its document.
    pub kind: String,
    /// The document's id.
    pub id: String,
    /// The payment that decides how it stands.
    pub payment: Option<PaymentId>,
    /// The call of that payment which it is, if it is one.
    pub call: Option<String>,
    /// The id of what it belongs to; empty for the merchant's own.
    pub owner: String,
    /// The profile.
    pub profile: String,
    /// Whether `status_of_several` counts in a [`Relisted`].
    pub several: bool,
    /// How it stands; no comma, like every other word here.
    pub status: String,
    /// ISO 4217 code.
    pub currency: String,
    /// In minor units.
    pub amount: i64,
    /// The account that decided, by its name.
    pub account: Option<String>,
    /// The connector of that account.
    pub connector: Option<String>,
    /// How it is paid.
    pub method: Option<String>,
    /// The same, closer.
    pub method_type: Option<String>,
    /// Whether the payer may be challenged.
    pub authentication: Option<String>,
    /// The card's network.
    pub network: Option<String>,
    /// The merchant's own reference.
    pub reference: Option<String>,
    /// When it was made; stays as first written.
    pub created_at: Timestamp,
}

/// Which object a change is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relist {
    /// The one of this id.
    Object(String),
    /// The one that is this call of its payment, by its owner.
    Call {
        /// What it belongs to.
        owner: String,
        /// The call.
        call: String,
    },
}

/// How a listed object stands from now on, as long as this payment decides. Nothing for one that is not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relisted {
    /// Whose.
    pub merchant: MerchantId,
    /// The kind of its document.
    pub kind: String,
    /// Which.
    pub which: Relist,
    /// The payment.
    pub payment: PaymentId,
    /// How it stands.
    pub status: String,
    /// How it stands where the row has `several`.
    pub status_of_several: String,
    /// Its amount from now on, in minor units; none leaves it.
    pub amount: Option<i64>,
    /// The account that decided, by its name.
    pub account: Option<String>,
    /// The connector of that account.
    pub connector: Option<String>,
}

/// In which order a list comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListOrder {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
    /// The highest amount first, then the newest.
    Highest,
    /// The lowest amount first, then the newest.
    Lowest,
}

/// Which objects to list. What is absent, and an empty list of words, does not restrict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Whose.
    pub merchant: MerchantId,
    /// The kind of their documents.
    pub kind: String,
    /// Not made before this time.
    pub from: Timestamp,
    /// Not made after this time.
    pub to: Timestamp,
    /// At `from` itself only those with a greater id.
    pub from_id: Option<String>,
    /// At `to` itself only those with a smaller id.
    pub to_id: Option<String>,
    /// The object itself.
    pub id: Option<String>,
    /// What they belong to.
    pub owner: Option<String>,
    /// The profile.
    pub profile: Option<String>,
    /// The merchant's own reference.
    pub reference: Option<String>,
    /// The least amount, in minor units.
    pub least: Option<i64>,
    /// The greatest amount, in minor units.
    pub most: Option<i64>,
    /// How they stand.
    pub statuses: Vec<String>,
    /// ISO 4217 codes.
    pub currencies: Vec<String>,
    /// Names of accounts.
    pub accounts: Vec<String>,
    /// Connectors.
    pub connectors: Vec<String>,
    /// How they are paid.
    pub methods: Vec<String>,
    /// The same, closer.
    pub method_types: Vec<String>,
    /// Whether the payer may be challenged.
    pub authentications: Vec<String>,
    /// Networks.
    pub networks: Vec<String>,
    /// In which order.
    pub order: ListOrder,
    /// So many at most.
    pub limit: u32,
    /// After so many.
    pub offset: u32,
}

impl ListQuery {
    /// All of a merchant's objects of a kind.
    #[must_use]
    pub fn of(merchant: MerchantId, kind: &str) -> Self {
        Self {
            merchant,
            kind: kind.to_owned(),
            from: Timestamp::from_millis(0),
            to: Timestamp::from_millis(i64::MAX),
            from_id: None,
            to_id: None,
            id: None,
            owner: None,
            profile: None,
            reference: None,
            least: None,
            most: None,
            statuses: Vec::new(),
            currencies: Vec::new(),
            accounts: Vec::new(),
            connectors: Vec::new(),
            methods: Vec::new(),
            method_types: Vec::new(),
            authentications: Vec::new(),
            networks: Vec::new(),
            order: ListOrder::Newest,
            limit: 10,
            offset: 0,
        }
    }

    /// Whether an object belongs to the list; the page aside.
    pub(crate) fn takes(&self, row: &ListedRow) -> bool {
        fn is(wanted: Option<&String>, value: &str) -> bool {
            wanted.is_none_or(|wanted| wanted == value)
        }
        fn one_of(list: &[String], word: Option<&String>) -> bool {
            list.is_empty() || word.is_some_and(|word| list.contains(word))
        }
        let at = row.created_at;
        let starts = at > self.from
            || at == self.from && self.from_id.as_ref().is_none_or(|id| row.id > *id);
        let ends =
            at < self.to || at == self.to && self.to_id.as_ref().is_none_or(|id| row.id < *id);
        let reference = row.reference.as_deref();
        (row.merchant, row.kind.as_str()) == (self.merchant, self.kind.as_str())
            && starts
            && ends
            && is(self.id.as_ref(), &row.id)
            && is(self.owner.as_ref(), &row.owner)
            && is(self.profile.as_ref(), &row.profile)
            && self.reference.as_deref().is_none_or(|wanted| reference == Some(wanted))
            && self.least.is_none_or(|least| row.amount >= least)
            && self.most.is_none_or(|most| row.amount <= most)
            && one_of(&self.statuses, Some(&row.status))
            && one_of(&self.currencies, Some(&row.currency))
            && one_of(&self.accounts, row.account.as_ref())
            && one_of(&self.connectors, row.connector.as_ref())
            && one_of(&self.methods, row.method.as_ref())
            && one_of(&self.method_types, row.method_type.as_ref())
            && one_of(&self.authentications, row.authentication.as_ref())
            && one_of(&self.networks, row.network.as_ref())
    }
}

/// An object of a list: its document, and the payment that decides how it stands.
pub type Listing = (DocumentRow, Option<PaymentRow>);

/// Lists of payments and refunds.
#[async_trait]
pub trait ListStore: Send + Sync {
    /// A page of a list, in its order.
    async fn listed(&self, query: &ListQuery) -> Result<Vec<Listing>, StoreError>;

    /// How many objects a list has, the page aside.
    async fn count_listed(&self, query: &ListQuery) -> Result<u64, StoreError>;
}
