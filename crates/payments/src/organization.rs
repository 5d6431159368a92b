//! Organisations: what merchant accounts belong to. They belong to nobody themselves.

use baton_engine::audit::{Action, Actor, Entry};
use baton_store::WriteSet;
use baton_types::MerchantId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::account::MerchantAccount;
use crate::document::{Document, Stored};
use crate::fault::Fault;
use crate::service::Payments;

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// `org_…`, or what an account was made with.
    pub id: String,
    /// What it is called.
    pub name: Option<String>,
    /// Fields that are kept to be shown again, by the contract's names.
    pub details: Map<String, Value>,
}

impl Document for Organization {
    const KIND: &'static str = "organization";

    fn id(&self) -> &str {
        &self.id
    }
}

/// Whose documents organisations are: no merchant's.
fn nobody() -> MerchantId {
    MerchantId::from_bytes([0; 16])
}

impl Payments {
    /// Makes an organisation.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn create_organization(
        &self,
        actor: Actor,
        name: String,
        details: Map<String, Value>,
    ) -> Result<Stored<Organization>, Fault> {
        let made = Organization { id: self.new_name("org_"), name: Some(name), details };
        let made = Stored::new(nobody(), made, self.now());
        self.put_organization(actor, made, "created").await
    }

    /// An organisation that a merchant account is made in: made with it, if it is new.
    pub(crate) async fn ensure_organization(&self, actor: Actor, id: &str) -> Result<(), Fault> {
        if self.load::<Organization>(nobody(), id).await?.is_some() {
            return Ok(());
        }
        let made = Organization { id: id.to_owned(), name: None, details: Map::new() };
        let made = Stored::new(nobody(), made, self.now());
        match self.put_organization(actor, made, "created").await {
            // Another account was made in it at the same time.
            Ok(_) | Err(Fault::Busy) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// An organisation by its id.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn organization(&self, id: &str) -> Result<Stored<Organization>, Fault> {
        let found = self.load::<Organization>(nobody(), id).await?;
        found.ok_or(Fault::NotFound("organization"))
    }

    /// Changes an organisation: what is absent stays.
    ///
    /// # Errors
    /// `NotFound`, or `Busy`.
    pub async fn update_organization(
        &self,
        actor: Actor,
        id: &str,
        name: Option<String>,
        details: Map<String, Value>,
    ) -> Result<Stored<Organization>, Fault> {
        let mut next = self.organization(id).await?.next(self.now());
        next.body.name = name.or(next.body.name);
        next.body.details.extend(details);
        self.put_organization(actor, next, "changed").await
    }

    async fn put_organization(
        &self,
        actor: Actor,
        organization: Stored<Organization>,
        what: &str,
    ) -> Result<Stored<Organization>, Fault> {
        let entry = Entry {
            merchant: None,
            actor,
            action: Action::SettingsChanged,
            subject: organization.body.id.clone(),
            detail: json!({ "organization": what }),
            request_id: None,
        };
        let set = WriteSet::from(vec![organization.write()]);
        self.engine().audit().commit_with(entry, set).await?;
        Ok(organization)
    }

    /// The merchant accounts of an organisation, without those that were removed.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn accounts_of(
        &self,
        organization: &str,
    ) -> Result<Vec<Stored<MerchantAccount>>, Fault> {
        let mut accounts = Vec::new();
        // Merchants are few, and this is for the operator.
        for merchant in self.engine().store().merchants().await? {
            let found = self.load::<MerchantAccount>(merchant.id, &merchant.name).await?;
            let is_in = |account: &Stored<MerchantAccount>| {
                account.removed_at.is_none() && account.body.organization == organization
            };
            accounts.extend(found.filter(is_in));
        }
        Ok(accounts)
    }
}
