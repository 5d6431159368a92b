//! Saving a card at a vault elsewhere, as a durable step.
//!
//! A card that is to be saved is sealed in our own vault for a while, and a chore is written in the commit that makes
//! the method: that of the payment's plan. The chore waits until the payment was approved, stores the card at the
//! vault, notes the vault's token, and erases our copy; it is done again until that is so, or until the time is over.
//! Guarantees: a payment never fails because of its card's vault; a crash at any point loses neither payment nor card;
//! no card is kept here longer than [`KEPT_MS`]; a token that nobody names is deleted where it is, by the same chore; a
//! token that several methods share is deleted with the last of them. Left out: what a vault has stored under an
//! answer that was lost, where it neither knows keys nor gives equal cards one token: nobody can name that record.

use aws_lc_rs::digest;
use baton_connect::card_vault::{CardToKeep, KeptCard};
use baton_engine::Chore;
use baton_flow::Verdict;
use baton_store::{DocumentQuery, Write};
use baton_types::{MerchantId, PaymentId, Secret, Timestamp};
use baton_vault::SealedKind;
use serde::{Deserialize, Serialize};

use crate::chores::Step;
use crate::connector::ConnectorAccount;
use crate::customer::Customer;
use crate::document::{Document, Stored, page};
use crate::fault::Fault;
use crate::intent::CardInput;
use crate::keeper::{Elsewhere, KeepFault, Keeper, Own};
use crate::method::{SavedMethod, was_taken};
use crate::service::{Merchant, Payments};

/// How long a card that waits for its vault is kept here at most, in milliseconds: three days.
pub const KEPT_MS: i64 = 72 * 3_600_000;

/// The chore of a method's card.
const CARD: &str = "card";

/// The chore of a customer who was deleted, before the customer's id.
pub(crate) const CUSTOMER: &str = "customer:";

/// When a payment is looked at again that has not ended, in milliseconds: soon while a payer may be at it.
pub(crate) const WAIT_MS: i64 = 60_000;

/// How often a write is tried again because another writer was first.
const TRIES: usize = 5;

/// How a saved card stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MethodStatus {
    /// It is being stored.
    Processing,
    /// It can be paid with.
    Active,
    /// It cannot be paid with, and will not.
    Inactive,
}

impl MethodStatus {
    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Active => "active",
            Self::Inactive => "inactive",
        }
    }
}

/// What is known of a card that a vault elsewhere keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtVault {
    /// The connector that leads there.
    pub connector: String,
    /// The contract's `connector_name`.
    pub vault: String,
    /// How it stands.
    pub status: MethodStatus,
    /// What the vault calls it, once it is there.
    pub token: Option<String>,
    /// What equal cards have in common.
    pub fingerprint: Option<String>,
    /// What is to be deleted there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leftover: Vec<String>,
    /// How many cards have been kept under this method: part of the key under which one is stored.
    #[serde(default)]
    pub round: u32,
    /// Until when the card is kept here and storing it is tried.
    pub until: Timestamp,
    /// Why the last try came to nothing.
    pub trouble: Option<String>,
}

impl AtVault {
    fn new(connector: &ConnectorAccount, now: Timestamp) -> Self {
        Self {
            connector: connector.id.clone(),
            vault: connector.connector.clone(),
            status: MethodStatus::Processing,
            token: None,
            fingerprint: None,
            leftover: Vec::new(),
            round: 0,
            until: now.plus_millis(KEPT_MS),
            trouble: None,
        }
    }

    /// What waits, for the operator's list: nothing, most of the time.
    pub(crate) fn waiting(&self) -> &'static str {
        match (self.status, self.leftover.is_empty()) {
            (MethodStatus::Processing, _) => STORING,
            (MethodStatus::Active | MethodStatus::Inactive, false) => DELETING,
            (MethodStatus::Active | MethodStatus::Inactive, true) => "",
        }
    }
}

const STORING: &str = "storing";
const DELETING: &str = "deleting";

/// Which methods have a token of a vault. Equal cards may have one token: then it stays until the last of them goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct TokenUse {
    id: String,
    methods: Vec<String>,
    /// It is being deleted, or is: whoever was given it meanwhile has to store the card again.
    going: bool,
}

impl Document for TokenUse {
    const KIND: &'static str = "vault_token";

    fn id(&self) -> &str {
        &self.id
    }
}

impl TokenUse {
    fn id_of(connector: &str, token: &str) -> String {
        let hash = digest::digest(&digest::SHA256, format!("{connector}\n{token}").as_bytes());
        hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A step that has not been done yet, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingCard {
    /// Whose.
    pub merchant: MerchantId,
    /// The method.
    pub method: String,
    /// `storing` or `deleting`.
    pub step: &'static str,
    /// The vault's connector.
    pub connector: String,
    /// The contract's name of the vault.
    pub vault: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when storing is tried.
    pub until: Timestamp,
    /// Why the last try came to nothing.
    pub trouble: Option<String>,
}

impl Payments {
    /// Keeps a card for a method that is being made: in our own vault for good, or until its vault has it. What has to
    /// be written with the method is the second part.
    pub(crate) async fn keep(
        &self,
        merchant: &Merchant,
        profile: &str,
        id: &str,
        card: &CardInput,
    ) -> Result<(Option<AtVault>, Vec<Write>), Fault> {
        let Some(connector) = self.vault_of(merchant, profile).await? else {
            let to_keep = to_keep(card);
            self.own(merchant).store(&to_keep, &card.number, id).await.map_err(own_fault)?;
            return Ok((None, Vec::new()));
        };
        let now = self.now();
        let at = AtVault::new(&connector, now);
        self.seal_for_a_while(merchant, id, &card.number, at.until).await?;
        let chore = self.chore(merchant.caller.merchant, id);
        let due = now.plus_millis(WAIT_MS);
        let writes = chore.iter().map(|chore| self.engine().chore_at(chore, due)).collect();
        Ok((Some(at), writes))
    }

    async fn seal_for_a_while(
        &self,
        merchant: &Merchant,
        id: &str,
        number: &Secret,
        until: Timestamp,
    ) -> Result<(), Fault> {
        let (vault, tenant, now) = (self.engine().vault(), merchant.caller.tenant(), self.now());
        let kind = SealedKind::SavedCard;
        Ok(vault.put_until(tenant, kind, id, number, now, Some(until)).await?)
    }

    /// Another card for a method that a vault elsewhere keeps: stored in its turn, and the one before deleted.
    pub(crate) async fn keep_another(
        &self,
        merchant: &Merchant,
        method: &mut Stored<SavedMethod>,
        number: &Secret,
    ) -> Result<Vec<Write>, Fault> {
        let (id, now) = (method.body.id.clone(), self.now());
        let Some(at) = &mut method.body.vault else { return Ok(Vec::new()) };
        at.leftover.extend(at.token.take());
        at.status = MethodStatus::Processing;
        at.round = at.round.saturating_add(1);
        at.until = now.plus_millis(KEPT_MS);
        (at.fingerprint, at.trouble) = (None, None);
        let until = at.until;
        self.seal_for_a_while(merchant, &id, number, until).await?;
        let chore = self.chore(merchant.caller.merchant, &id);
        Ok(chore.iter().map(|chore| self.engine().chore_at(chore, now)).collect())
    }

    /// What is written when a method is removed whose card is elsewhere: the card is deleted there in its turn.
    pub(crate) fn let_go(&self, method: &mut Stored<SavedMethod>) -> Vec<Write> {
        let (merchant, now) = (method.merchant, self.now());
        let Some(at) = &mut method.body.vault else { return Vec::new() };
        at.leftover.extend(at.token.take());
        at.status = MethodStatus::Inactive;
        let chore = self.chore(merchant, &method.body.id);
        chore.iter().map(|chore| self.engine().chore_at(chore, now)).collect()
    }

    /// Does a method's step at once instead of at its time, without waiting for it.
    pub(crate) fn hurry(&self, merchant: MerchantId, method: &str) {
        if let Some(chore) = self.chore(merchant, method) {
            self.engine().do_chore_now(chore);
        }
    }

    /// The step of deleting what a deleted customer has saved: durable with the customer's own deletion.
    pub(crate) fn customer_chore(&self, merchant: MerchantId, customer: &str) -> Chore {
        let about = PaymentId::from_bytes(*merchant.as_bytes());
        Chore { merchant, about, name: format!("{CUSTOMER}{customer}"), attempt: 0 }
    }

    fn chore(&self, merchant: MerchantId, method: &str) -> Option<Chore> {
        let bare = method.strip_prefix("pm_")?;
        let about = PaymentId::parse(&format!("pay_{bare}")).ok()?;
        Some(Chore { merchant, about, name: CARD.to_owned(), attempt: 0 })
    }

    pub(crate) fn own(&self, merchant: &Merchant) -> Own<'_> {
        let (vault, tenant) = (self.engine().vault(), merchant.caller.tenant());
        Own { vault, tenant, now: self.now() }
    }

    /// The number of a saved card, wherever it is kept.
    pub(crate) async fn number_of(
        &self,
        merchant: &Merchant,
        method: &SavedMethod,
    ) -> Result<Secret, Fault> {
        let missing = || Fault::NotFound("payment method");
        let Some(at) = &method.vault else {
            return match self.own(merchant).retrieve(&method.id).await {
                Err(KeepFault::Absent) => Err(missing()),
                Err(fault) => Err(own_fault(fault)),
                Ok(number) => Ok(number),
            };
        };
        let token = match (at.status, &at.token) {
            (MethodStatus::Active, Some(token)) => token,
            (MethodStatus::Processing, _) => {
                let why = "the card is still being stored at its vault; try again in a moment";
                return Err(Fault::Precondition(why.to_owned()));
            }
            (MethodStatus::Inactive | MethodStatus::Active, _) => {
                let why = "the payment method is inactive: its vault does not have the card";
                return Err(Fault::Precondition(why.to_owned()));
            }
        };
        let opened = self.elsewhere(merchant, &at.connector).await?;
        let number = match opened {
            Ok(vault) => vault.retrieve(token).await,
            Err(fault) => Err(fault),
        };
        let number = number.map_err(|fault| match fault {
            KeepFault::Absent => Fault::VaultCardGone { vault: at.vault.clone() },
            KeepFault::Denied(_) | KeepFault::Refused(_) => {
                Fault::VaultDenied { vault: at.vault.clone(), why: fault.text() }
            }
            KeepFault::Unclear(_) => {
                Fault::VaultUnavailable { vault: at.vault.clone(), why: fault.text() }
            }
        })?;
        // Rather nobody is charged than somebody else.
        if number.expose().ends_with(&method.card.last4) {
            Ok(number)
        } else {
            let why = "it gave another card than the one that was stored".to_owned();
            Err(Fault::VaultDenied { vault: at.vault.clone(), why })
        }
    }

    async fn elsewhere(
        &self,
        merchant: &Merchant,
        connector: &str,
    ) -> Result<Result<Elsewhere<'_>, KeepFault>, Fault> {
        let found = self.load::<ConnectorAccount>(merchant.caller.merchant, connector).await?;
        let found = found.filter(|found| found.removed_at.is_none() && !found.body.disabled);
        let Some(found) = found else {
            let why = "the vault's connector was removed or disabled";
            return Ok(Err(KeepFault::Denied(why.to_owned())));
        };
        let tenant = merchant.caller.tenant();
        Ok(Elsewhere::open(self.engine(), &self.card_vaults, tenant, &found.body).await)
    }

    /// Does what there is to do about a method's card.
    pub(crate) async fn card_step(&self, merchant: &Merchant, id: &str) -> Result<Step, Fault> {
        let found = self.load::<SavedMethod>(merchant.caller.merchant, id).await?;
        let Some(mut method) = found else { return Ok(Step::Nothing) };
        let Some(at) = method.body.vault.clone() else { return Ok(Step::Nothing) };
        if at.status == MethodStatus::Processing && method.removed_at.is_none() {
            method = match self.store_step(merchant, method, &at).await? {
                Ok(stored) => stored,
                Err(step) => return Ok(step),
            };
        }
        if let Some(token) = method.body.vault.as_ref().and_then(|at| at.leftover.first().cloned())
        {
            match self.release(merchant, id, &at.connector, &token).await? {
                Ok(()) => {
                    let mut next = method.next(self.now());
                    if let Some(at) = &mut next.body.vault {
                        at.leftover.retain(|left| *left != token);
                        at.trouble = None;
                    }
                    self.commit(vec![next.write()]).await?;
                    // One at a time: the next run takes the next one.
                    return Ok(Step::Later(0));
                }
                Err(fault) => {
                    self.note(method, &fault.text()).await?;
                    return Ok(Step::Again);
                }
            }
        }
        self.own(merchant).delete(id).await.map_err(own_fault)?;
        Ok(Step::Done(Box::new(method)))
    }

    /// Stores the card if it is time, and says how the method stands then; or why it is left as it is.
    async fn store_step(
        &self,
        merchant: &Merchant,
        method: Stored<SavedMethod>,
        at: &AtVault,
    ) -> Result<Result<Stored<SavedMethod>, Step>, Fault> {
        let now = self.now();
        let over = now >= at.until;
        match self.verdict_of(merchant, &method.body).await? {
            Some(true) => {}
            None if !over => return Ok(Err(Step::Later(WAIT_MS))),
            Some(false) | None => return self.give_up(method, None).await.map(Ok),
        }
        if over {
            let why = at.trouble.clone().unwrap_or_else(|| "the time is over".to_owned());
            return self.give_up(method, Some(format!("given up: {why}"))).await.map(Ok);
        }
        let owner = &method.body.customer;
        let customer = self.load::<Customer>(merchant.caller.merchant, owner).await?;
        if customer.is_some_and(|customer| customer.removed_at.is_some()) {
            return self.give_up(method, Some("the customer was deleted".to_owned())).await.map(Ok);
        }
        let (vault, tenant) = (self.engine().vault(), merchant.caller.tenant());
        let Some(number) = vault.get(tenant, SealedKind::SavedCard, &method.body.id).await? else {
            return self
                .give_up(method, Some("the card is not here any more".to_owned()))
                .await
                .map(Ok);
        };
        let card =
            CardToKeep { expiry: method.body.card.expiry, holder: method.body.holder.clone() };
        let key = format!("{}-{}", method.body.id, at.round);
        let stored = match self.elsewhere(merchant, &at.connector).await? {
            Ok(keeper) => keeper.store(&card, &number, &key).await.map(|kept| {
                let fingerprint = kept.fingerprint.clone().or_else(|| keeper.fingerprint(&number));
                KeptCard { fingerprint, ..kept }
            }),
            Err(fault) => Err(fault),
        };
        match stored {
            Ok(kept) => self.take_up(merchant, method, kept, now).await,
            Err(KeepFault::Refused(why)) => {
                self.give_up(method, Some(KeepFault::Refused(why).text())).await.map(Ok)
            }
            Err(fault) => {
                self.note(method, &fault.text()).await?;
                Ok(Err(Step::Again))
            }
        }
    }

    /// Whether the payment that saves a method was approved; none while that is open.
    async fn verdict_of(
        &self,
        merchant: &Merchant,
        method: &SavedMethod,
    ) -> Result<Option<bool>, Fault> {
        let Some(payment) = method.saved_by else { return Ok(Some(true)) };
        let payment = self.engine().payment(merchant.caller, payment).await?;
        Ok(match payment.verdict() {
            _ if was_taken(&payment) => Some(true),
            Verdict::Running | Verdict::InDoubt(_) => None,
            Verdict::Approved(_) | Verdict::Failed(_) => Some(false),
        })
    }

    /// Notes the vault's token. Where somebody else was faster, what was stored is left over.
    async fn take_up(
        &self,
        merchant: &Merchant,
        method: Stored<SavedMethod>,
        kept: KeptCard,
        began: Timestamp,
    ) -> Result<Result<Stored<SavedMethod>, Step>, Fault> {
        let (id, round) = (method.body.id.clone(), method.body.vault.as_ref().map(|at| at.round));
        let mut method = method;
        for _ in 0..TRIES {
            let Some(at) = &method.body.vault else { return Ok(Err(Step::Nothing)) };
            let still = at.status == MethodStatus::Processing
                && method.removed_at.is_none()
                && Some(at.round) == round;
            if at.token.as_ref() == Some(&kept.token) || at.leftover.contains(&kept.token) {
                return Ok(Ok(method));
            }
            let connector = at.connector.clone();
            let named = self.name_token(merchant, &connector, &kept.token, &id, began).await?;
            let Some(named) = named else { return Ok(Err(Step::Again)) };
            let mut next = method.next(self.now());
            if let Some(at) = &mut next.body.vault {
                if still {
                    at.status = MethodStatus::Active;
                    at.token = Some(kept.token.clone());
                    at.fingerprint.clone_from(&kept.fingerprint);
                    at.trouble = None;
                } else {
                    at.leftover.push(kept.token.clone());
                }
            }
            let mut writes = vec![next.write()];
            writes.extend(named);
            match self.commit(writes).await {
                Ok(()) => return Ok(Ok(next)),
                Err(Fault::Busy) => {}
                Err(fault) => return Err(fault),
            }
            let found = self.load::<SavedMethod>(merchant.caller.merchant, &id).await?;
            let Some(found) = found else { return Ok(Err(Step::Nothing)) };
            method = found;
        }
        Ok(Err(Step::Again))
    }

    /// What notes that a method has a token; none where the token was being deleted since `began`, so that the vault
    /// may have given us one that is gone.
    async fn name_token(
        &self,
        merchant: &Merchant,
        connector: &str,
        token: &str,
        method: &str,
        began: Timestamp,
    ) -> Result<Option<Vec<Write>>, Fault> {
        let id = TokenUse::id_of(connector, token);
        let owner = merchant.caller.merchant;
        let written = match self.load::<TokenUse>(owner, &id).await? {
            None => {
                let methods = vec![method.to_owned()];
                Stored::new(owner, TokenUse { id, methods, going: false }, self.now())
            }
            Some(known) if known.body.going && known.removed_at.is_none_or(|at| at >= began) => {
                return Ok(None);
            }
            Some(known) if known.body.methods.iter().any(|named| named == method) => {
                return Ok(Some(Vec::new()));
            }
            Some(known) => {
                let mut next = known.next(self.now());
                (next.removed_at, next.body.going) = (None, false);
                next.body.methods.push(method.to_owned());
                next
            }
        };
        Ok(Some(vec![written.write()]))
    }

    /// Deletes a token at its vault, unless another method has it too.
    async fn release(
        &self,
        merchant: &Merchant,
        method: &str,
        connector: &str,
        token: &str,
    ) -> Result<Result<(), KeepFault>, Fault> {
        let id = TokenUse::id_of(connector, token);
        let known = self.load::<TokenUse>(merchant.caller.merchant, &id).await?;
        let going = match known {
            Some(known) if known.removed_at.is_some() => return Ok(Ok(())),
            Some(known) => {
                let mut next = known.next(self.now());
                next.body.methods.retain(|named| named != method);
                next.body.going = next.body.methods.is_empty();
                self.commit(vec![next.write()]).await?;
                if !next.body.going {
                    return Ok(Ok(()));
                }
                Some(next)
            }
            None => None,
        };
        let deleted = match self.elsewhere(merchant, connector).await? {
            Ok(keeper) => keeper.delete(token).await,
            Err(fault) => Err(fault),
        };
        if deleted.is_ok()
            && let Some(going) = going
        {
            let now = self.now();
            let mut gone = going.next(now);
            gone.removed_at = Some(now);
            self.commit(vec![gone.write()]).await?;
        }
        Ok(deleted)
    }

    async fn give_up(
        &self,
        method: Stored<SavedMethod>,
        why: Option<String>,
    ) -> Result<Stored<SavedMethod>, Fault> {
        let mut next = method.next(self.now());
        if let Some(at) = &mut next.body.vault {
            if let Some(why) = &why {
                tracing::warn!(
                    method = %next.body.id, vault = %at.vault, why, "a card is not stored at its vault"
                );
                self.engine().metrics().vault_given_up(&at.vault);
            }
            at.status = MethodStatus::Inactive;
            at.trouble = why;
        }
        self.commit(vec![next.write()]).await?;
        Ok(next)
    }

    /// Keeps why a step came to nothing, where that is news.
    async fn note(&self, method: Stored<SavedMethod>, why: &str) -> Result<(), Fault> {
        let mut next = method.next(self.now());
        let Some(at) = &mut next.body.vault else { return Ok(()) };
        if at.trouble.as_deref() == Some(why) {
            return Ok(());
        }
        tracing::warn!(
            method = %next.body.id, vault = %at.vault, why, "a vault has not done its part; it is asked again"
        );
        at.trouble = Some(why.to_owned());
        match self.commit(vec![next.write()]).await {
            Err(Fault::Busy) => Ok(()),
            done => done,
        }
    }

    /// What waits for a vault, of all merchants, the oldest of each first: at most `limit` of a merchant.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn waiting_cards(&self, limit: u32) -> Result<Vec<WaitingCard>, Fault> {
        waiting_cards(self.engine().store().as_ref(), limit).await
    }
}

/// What waits for a vault, of all merchants.
///
/// # Errors
/// The store does not answer.
pub async fn waiting_cards(
    store: &dyn baton_store::Store,
    limit: u32,
) -> Result<Vec<WaitingCard>, Fault> {
    let mut waiting = Vec::new();
    for merchant in store.merchants().await? {
        let query = DocumentQuery {
            merchant: merchant.id,
            kind: SavedMethod::KIND.to_owned(),
            owner: None,
            from: Timestamp::from_millis(0),
            to: Timestamp::from_millis(i64::MAX),
            after: None,
            statuses: vec![STORING.to_owned(), DELETING.to_owned()],
            removed: true,
            limit,
        };
        for method in page::<SavedMethod>(store, &query).await? {
            let Some(at) = method.body.vault else { continue };
            waiting.push(WaitingCard {
                merchant: merchant.id,
                step: at.waiting(),
                method: method.body.id,
                connector: at.connector,
                vault: at.vault,
                since: method.removed_at.unwrap_or(method.created_at),
                until: at.until,
                trouble: at.trouble,
            });
        }
    }
    waiting.sort_by_key(|card| card.since);
    Ok(waiting)
}

impl Payments {
    /// Removes everything that a deleted customer has saved.
    pub(crate) async fn forget_methods(
        &self,
        merchant: &Merchant,
        customer: &str,
    ) -> Result<(), Fault> {
        while self.delete_methods(merchant, customer).await? > 0 {}
        Ok(())
    }
}

fn to_keep(card: &CardInput) -> CardToKeep {
    CardToKeep { expiry: card.masked.expiry, holder: card.holder.clone() }
}

/// Our own vault does not answer.
fn own_fault(fault: KeepFault) -> Fault {
    tracing::warn!(why = %fault.text(), "the vault does not answer");
    Fault::Engine(baton_engine::EngineError::Unavailable)
}
