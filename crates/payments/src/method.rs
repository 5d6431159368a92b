//! Saved payment methods and mandates.
//!
//! A card is sealed in the vault before the payment that saves it is planned, and the method's document is
//! written alongside that plan: a crash loses neither. Whether a method that a payment has saved may be used
//! follows from that payment; nothing has to be changed when it succeeds. A single-use mandate is used up in the
//! commit of the payment that uses it, so that of two payments at once one is refused.

use baton_flow::{Payment, Verdict};
use baton_store::Write;
use baton_types::{MaskedCard, PaymentId, Secret};
use baton_vault::SealedKind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::customer::Customer;
use crate::document::{Document, Stored, list};
use crate::fault::Fault;
use crate::intent::{CardInput, Intent};
use crate::service::{Merchant, Payments};
use crate::vaulting::{AtVault, MethodStatus};

/// Most methods of a customer that are shown.
const SHOWN_MAX: u32 = 100;

/// A card that a customer has saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedMethod {
    /// `pm_…`; also the card's record in the vault.
    pub id: String,
    /// Whose.
    pub customer: String,
    /// The contract's `payment_method_type`.
    pub kind: Option<String>,
    /// What may be shown of the card.
    pub card: MaskedCard,
    /// The name on the card.
    pub holder: Option<String>,
    /// The payment that saved it: unless it was approved, the method is not there.
    pub saved_by: Option<PaymentId>,
    /// The payment in which its holder has agreed to be asked again, where that is not the one that saved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed_in: Option<PaymentId>,
    /// Another card has been put in the place of the one that was saved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaced: bool,
    /// The vault elsewhere that keeps the card; none where our own does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<AtVault>,
    /// Fields that are kept to be shown again.
    pub details: Map<String, Value>,
}

impl Document for SavedMethod {
    const KIND: &'static str = "payment_method";

    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> &str {
        &self.customer
    }

    fn status(&self) -> &str {
        self.vault.as_ref().map_or("", AtVault::waiting)
    }
}

impl SavedMethod {
    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> MethodStatus {
        self.vault.as_ref().map_or(MethodStatus::Active, |at| at.status)
    }
}

/// A customer's consent to be charged later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mandate {
    /// `man_…`.
    pub id: String,
    /// Whose.
    pub customer: String,
    /// The method that it allows to charge.
    pub method: String,
    /// For one payment only.
    pub single_use: bool,
    /// At most this for one payment, in minor units of `currency`.
    pub amount: Option<i64>,
    /// The currency of `amount`.
    pub currency: Option<String>,
    /// Whether it is used up or revoked.
    pub state: MandateState,
    /// What the customer agreed to, as it came.
    pub data: Value,
}

/// How a mandate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MandateState {
    /// May be used.
    Active,
    /// Was for one payment, which was made.
    Inactive,
    /// Taken back.
    Revoked,
}

impl Document for Mandate {
    const KIND: &'static str = "mandate";

    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> &str {
        &self.customer
    }
}

/// What a mandate is to allow, as a payment asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMandate {
    /// For one payment only.
    pub single_use: bool,
    /// At most this for one payment.
    pub amount: Option<i64>,
    /// The currency of `amount`.
    pub currency: Option<String>,
    /// What the customer agreed to, as it came.
    pub data: Value,
}

/// A method to be saved without a payment.
pub struct NewMethod {
    /// Whose.
    pub customer: String,
    /// The contract's `payment_method_type`.
    pub kind: Option<String>,
    /// The card.
    pub card: CardInput,
    /// Fields that are kept to be shown again.
    pub details: Map<String, Value>,
}

impl Payments {
    /// Saves a customer's card.
    ///
    /// # Errors
    /// The vault or the store does not answer.
    pub async fn save_method(
        &self,
        merchant: &Merchant,
        new: NewMethod,
    ) -> Result<Stored<SavedMethod>, Fault> {
        let id = self.new_name("pm_");
        let profile = self.profile(merchant, None).await?.body.id;
        let (vault, mut writes) = self.keep(merchant, &profile, &id, &new.card).await?;
        let method = SavedMethod {
            vault,
            id,
            customer: new.customer,
            kind: new.kind,
            card: new.card.masked,
            holder: new.card.holder,
            saved_by: None,
            agreed_in: None,
            replaced: false,
            details: new.details,
        };
        let method = Stored::new(merchant.caller.merchant, method, self.now());
        writes.insert(0, method.write());
        self.commit(writes).await?;
        self.hurry_if_elsewhere(&method);
        Ok(method)
    }

    fn hurry_if_elsewhere(&self, method: &Stored<SavedMethod>) {
        if method.body.vault.is_some() {
            self.hurry(method.merchant, &method.body.id);
        }
    }

    async fn seal(&self, merchant: &Merchant, id: &str, number: &Secret) -> Result<(), Fault> {
        let (vault, tenant) = (self.engine().vault(), merchant.caller.tenant());
        Ok(vault.put(tenant, SealedKind::SavedCard, id, number, self.now()).await?)
    }

    /// A saved method by its id. One whose payment was not approved is not there.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn method(
        &self,
        merchant: &Merchant,
        id: &str,
    ) -> Result<Stored<SavedMethod>, Fault> {
        let missing = Fault::NotFound("payment method");
        let found = self.load::<SavedMethod>(merchant.caller.merchant, id).await?;
        let found = found.filter(|found| found.removed_at.is_none()).ok_or(missing.clone())?;
        if self.is_usable(merchant, &found.body).await? { Ok(found) } else { Err(missing) }
    }

    async fn is_usable(&self, merchant: &Merchant, method: &SavedMethod) -> Result<bool, Fault> {
        let Some(payment) = method.saved_by else { return Ok(true) };
        let payment = self.engine().payment(merchant.caller, payment).await?;
        Ok(was_taken(&payment))
    }

    /// A customer's methods, newest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn methods(
        &self,
        merchant: &Merchant,
        customer: &str,
    ) -> Result<Vec<Stored<SavedMethod>>, Fault> {
        let store = self.engine().store().as_ref();
        let owner = Some(customer);
        let mut usable = Vec::new();
        for method in list::<SavedMethod>(store, merchant.caller.merchant, owner, SHOWN_MAX).await?
        {
            if self.is_usable(merchant, &method.body).await? {
                usable.push(method);
            }
        }
        Ok(usable)
    }

    /// Changes what is kept of a method: another card, or fields.
    ///
    /// # Errors
    /// `NotFound`; `Busy`.
    pub async fn update_method(
        &self,
        merchant: &Merchant,
        id: &str,
        card: Option<CardInput>,
        details: Map<String, Value>,
    ) -> Result<Stored<SavedMethod>, Fault> {
        let mut method = self.method(merchant, id).await?.next(self.now());
        let mut writes = Vec::new();
        if let Some(card) = card {
            if method.body.vault.is_some() {
                writes = self.keep_another(merchant, &mut method, &card.number).await?;
            } else {
                self.seal(merchant, id, &card.number).await?;
            }
            method.body.card = card.masked;
            (method.body.agreed_in, method.body.replaced) = (None, true);
            method.body.holder = card.holder;
        }
        method.body.details.extend(details);
        writes.insert(0, method.write());
        self.commit(writes).await?;
        self.hurry_if_elsewhere(&method);
        Ok(method)
    }

    /// Removes a method and the card behind it.
    ///
    /// # Errors
    /// `NotFound`; `Busy`.
    pub async fn delete_method(&self, merchant: &Merchant, id: &str) -> Result<(), Fault> {
        let now = self.now();
        let mut method = self.method(merchant, id).await?.next(now);
        method.removed_at = Some(now);
        let mut writes = self.let_go(&mut method);
        writes.insert(0, method.write());
        // Its customer is offered it no more, from the same commit on.
        let (owner, customer) = (merchant.caller.merchant, &method.body.customer);
        let customer = self.load::<Customer>(owner, customer).await?;
        if let Some(customer) = customer.filter(|c| c.body.default_method.as_deref() == Some(id)) {
            let mut customer = customer.next(now);
            customer.body.default_method = None;
            writes.push(customer.write());
        }
        self.commit(writes).await?;
        let (vault, tenant) = (self.engine().vault(), merchant.caller.tenant());
        vault.remove(tenant, SealedKind::SavedCard, id).await?;
        self.hurry_if_elsewhere(&method);
        Ok(())
    }

    /// Removes every method of a customer; how many there were.
    ///
    /// # Errors
    /// The vault or the store does not answer.
    pub async fn delete_methods(
        &self,
        merchant: &Merchant,
        customer: &str,
    ) -> Result<usize, Fault> {
        let known = self.methods(merchant, customer).await?;
        for method in &known {
            self.delete_method(merchant, &method.body.id).await?;
        }
        Ok(known.len())
    }

    /// The card of a saved method, with a CVC that came for this payment.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) async fn saved_card(
        &self,
        merchant: &Merchant,
        id: &str,
        cvv: Option<baton_types::Cvv>,
    ) -> Result<CardInput, Fault> {
        let method = self.method(merchant, id).await?.body;
        let number = self.number_of(merchant, &method).await?;
        Ok(CardInput { number, masked: method.card, cvv, holder: method.holder })
    }

    /// Seals the card that a payment is to save, and says what is to be written alongside its plan: the method,
    /// and the mandate if one was asked for.
    pub(crate) async fn plan_saving(
        &self,
        merchant: &Merchant,
        intent: &mut Intent,
        card: &CardInput,
        mandate: Option<NewMandate>,
        payment: PaymentId,
    ) -> Result<Vec<Write>, Fault> {
        let Some(customer) = intent.customer.clone() else { return Ok(Vec::new()) };
        if intent.setup_future_usage.is_none() && mandate.is_none() {
            return Ok(Vec::new());
        }
        let id = self.new_name("pm_");
        let (vault, mut writes) = self.keep(merchant, &intent.profile, &id, card).await?;
        let method = SavedMethod {
            vault,
            id: id.clone(),
            customer: customer.clone(),
            kind: intent.method.as_ref().and_then(|method| method.kind.clone()),
            card: card.masked.clone(),
            holder: card.holder.clone(),
            saved_by: Some(payment),
            agreed_in: None,
            replaced: false,
            details: Map::new(),
        };
        let (owner, now) = (merchant.caller.merchant, self.now());
        writes.insert(0, Stored::new(owner, method, now).write());
        intent.saved_method = Some(id.clone());
        if let Some(NewMandate { single_use, amount, currency, data }) = mandate {
            let state = MandateState::Active;
            let name = self.new_name("man_");
            intent.mandate = Some(name.clone());
            let mandate = Mandate {
                id: name,
                customer,
                method: id,
                single_use,
                amount,
                currency,
                state,
                data,
            };
            writes.push(Stored::new(owner, mandate, now).write());
        }
        Ok(writes)
    }

    /// A mandate by its id. One whose method's payment was not approved is not there.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn mandate(&self, merchant: &Merchant, id: &str) -> Result<Stored<Mandate>, Fault> {
        let missing = Fault::NotFound("mandate");
        let found = self.load::<Mandate>(merchant.caller.merchant, id).await?;
        let found = found.ok_or(missing.clone())?;
        match self.method(merchant, &found.body.method).await {
            Ok(_) => Ok(found),
            Err(Fault::NotFound(_)) => Err(missing),
            Err(fault) => Err(fault),
        }
    }

    /// Takes a mandate back: it allows nothing any more.
    ///
    /// # Errors
    /// `NotFound`; `Busy`.
    pub async fn revoke_mandate(
        &self,
        merchant: &Merchant,
        id: &str,
    ) -> Result<Stored<Mandate>, Fault> {
        let mut mandate = self.mandate(merchant, id).await?.next(self.now());
        mandate.body.state = MandateState::Revoked;
        let mut writes = vec![mandate.write()];
        writes.extend(self.tell(&mandate, "revoked"));
        self.commit(writes).await?;
        Ok(mandate)
    }

    /// What a payment under a mandate writes alongside its plan, and the method that it charges.
    ///
    /// # Errors
    /// `NotFound`, or `Precondition` where the mandate does not allow it.
    pub(crate) async fn use_mandate(
        &self,
        merchant: &Merchant,
        intent: &Intent,
        id: &str,
    ) -> Result<(String, Option<Write>), Fault> {
        let refused =
            |why: &str| Err(Fault::Precondition(format!("Mandate Validation Failed: {why}")));
        let mandate = self.mandate(merchant, id).await?;
        if mandate.body.state != MandateState::Active {
            return refused("the mandate is not active");
        }
        if intent.customer.as_ref().is_some_and(|customer| *customer != mandate.body.customer) {
            return refused("customer_id must match mandate customer_id");
        }
        if mandate.body.amount.is_some_and(|amount| intent.amount > amount) {
            return refused("request amount is greater than mandate amount");
        }
        if mandate.body.currency.as_ref().is_some_and(|code| code != intent.currency.code()) {
            return refused("cross currency mandates not supported");
        }
        let method = mandate.body.method.clone();
        if !mandate.body.single_use {
            return Ok((method, None));
        }
        let mut used = mandate.next(self.now());
        used.body.state = MandateState::Inactive;
        Ok((method, Some(used.write())))
    }
}

/// Whether a payment holds or has taken money: then what it saved is there.
pub(crate) fn was_taken(payment: &Payment) -> bool {
    matches!(payment.verdict(), Verdict::Approved(_))
}
