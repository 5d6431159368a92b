//! Customers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::document::{Document, Stored, list};
use crate::fault::Fault;
use crate::method::SavedMethod;
use crate::service::{Merchant, Payments};

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The client's id, or one that we made.
    pub id: String,
    /// Fields by the contract's names: `name`, `email`, `phone`, `address`, `metadata`, …
    pub fields: Map<String, Value>,
    /// The saved method that is offered first.
    #[serde(default)]
    pub default_method: Option<String>,
}

/// What was removed with a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The customer's own fields.
    pub customer: bool,
    /// The address.
    pub address: bool,
    /// Saved payment methods.
    pub payment_methods: bool,
}

impl Document for Customer {
    const KIND: &'static str = "customer";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Payments {
    /// Makes a customer.
    ///
    /// # Errors
    /// `Duplicate` if there is one of this id.
    pub async fn create_customer(
        &self,
        merchant: &Merchant,
        id: Option<String>,
        fields: Map<String, Value>,
    ) -> Result<Stored<Customer>, Fault> {
        let id = id.unwrap_or_else(|| self.new_name("cus_"));
        let customer = Customer { id, fields, default_method: None };
        let customer = Stored::new(merchant.caller.merchant, customer, self.now());
        match self.commit(vec![customer.write()]).await {
            Err(Fault::Busy) => Err(Fault::Duplicate("customer")),
            done => done.map(|()| customer),
        }
    }

    /// A customer by its id.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn customer(&self, merchant: &Merchant, id: &str) -> Result<Stored<Customer>, Fault> {
        let found = self.load::<Customer>(merchant.caller.merchant, id).await?;
        found.ok_or(Fault::NotFound("customer"))
    }

    /// Changes a customer: what is absent stays.
    ///
    /// # Errors
    /// `NotFound`, also for one that was deleted; `Busy`.
    pub async fn update_customer(
        &self,
        merchant: &Merchant,
        id: &str,
        fields: Map<String, Value>,
    ) -> Result<Stored<Customer>, Fault> {
        let customer = self.customer(merchant, id).await?;
        if customer.removed_at.is_some() {
            return Err(Fault::NotFound("customer"));
        }
        let mut customer = customer.next(self.now());
        customer.body.fields.extend(fields);
        self.commit(vec![customer.write()]).await?;
        Ok(customer)
    }

    /// Deletes a customer: what is known of the person is replaced, the id stays.
    ///
    /// # Errors
    /// `NotFound`; `Busy`.
    pub async fn delete_customer(&self, merchant: &Merchant, id: &str) -> Result<Deleted, Fault> {
        let now = self.now();
        let mut customer = self.customer(merchant, id).await?.next(now);
        let address = customer.body.fields.contains_key("address");
        for value in customer.body.fields.values_mut().filter(|value| !value.is_null()) {
            *value = Value::String("Redacted".to_owned());
        }
        customer.body.fields.remove("address");
        customer.body.fields.remove("metadata");
        customer.body.default_method = None;
        customer.removed_at = Some(now);
        // What is saved goes too, whatever happens in between.
        let chore = self.customer_chore(customer.merchant, id);
        let due = self.engine().chore_at(&chore, now.plus_millis(5_000));
        self.commit(vec![customer.write(), due]).await?;
        let methods = self.delete_methods(merchant, id).await?;
        Ok(Deleted { customer: true, address, payment_methods: methods > 0 })
    }

    /// Makes one of a customer's saved methods the one that is offered first. The customer's next version is the guard: of
    /// two at once one is told to ask again.
    ///
    /// # Errors
    /// `NotFound` for a customer, or a method of it, that is not there; `Busy`.
    pub async fn set_default_method(
        &self,
        merchant: &Merchant,
        customer: &str,
        method: &str,
    ) -> Result<Stored<SavedMethod>, Fault> {
        let customer = self.customer(merchant, customer).await?;
        if customer.removed_at.is_some() {
            return Err(Fault::NotFound("customer"));
        }
        let method = self.method(merchant, method).await?;
        if method.body.customer != customer.body.id {
            return Err(Fault::NotFound("payment method"));
        }
        if customer.body.default_method.as_ref() == Some(&method.body.id) {
            return Ok(method);
        }
        let mut customer = customer.next(self.now());
        customer.body.default_method = Some(method.body.id.clone());
        self.commit(vec![customer.write()]).await?;
        Ok(method)
    }

    /// The id of the method that a customer is offered first, if it has named one.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn default_method(
        &self,
        merchant: &Merchant,
        customer: &str,
    ) -> Result<Option<String>, Fault> {
        let found = self.load::<Customer>(merchant.caller.merchant, customer).await?;
        Ok(found.and_then(|customer| customer.body.default_method))
    }

    /// A merchant's customers, newest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn customers(
        &self,
        merchant: &Merchant,
        limit: u32,
    ) -> Result<Vec<Stored<Customer>>, Fault> {
        let store = self.engine().store().as_ref();
        Ok(list(store, merchant.caller.merchant, None, limit).await?)
    }

    /// The customer of a request: made if there is none of the id yet, otherwise left as it is.
    pub(crate) async fn ensure_customer(
        &self,
        merchant: &Merchant,
        id: &str,
        fields: Map<String, Value>,
    ) -> Result<(), Fault> {
        if self.load::<Customer>(merchant.caller.merchant, id).await?.is_some() {
            return Ok(());
        }
        match self.create_customer(merchant, Some(id.to_owned()), fields).await {
            Ok(_) | Err(Fault::Duplicate(_)) => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}
