//! What can be asked of intents: make, change, confirm, look. What follows a payment is in `after`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use baton_connect::card_vault::CardVault;
use baton_connect::{Challenge, Manifest, Payer};
use baton_engine::{Brought, Caller, Engine, EngineError, Target, new_id};
use baton_flow::{CallId, Payment};
use baton_store::{CommitError, Write, WriteSet};
use baton_types::{Cvv, EventId, MerchantId, Timestamp};
use baton_vault::SealedKind;

use serde_json::json;

use crate::authenticated::{Authenticated, none_without_confirmation};
use crate::back;
use crate::bins::BinTable;
use crate::document::{Document, Stored, load};
use crate::expiry::{PAYER_MS, end_of, session_of};
use crate::fault::Fault;
use crate::follow::{follow, of_intent};
use crate::hooks::Hooks;
use crate::intent::{
    Authentication, CaptureMethod, CardInput, CardKept, Intent, IntentChange, Method, NewIntent,
    Seen,
};
use crate::keeper::CardVaults;
use crate::key::{self, Key, Keys};
use crate::method::NewMandate;
use crate::profile::ProfileId;
use crate::purchase::{With, asked, paid_with, purchase, show_card};
use crate::recurring::place_of_token;
use crate::settings::{KnownSettings, Settings};
use crate::status::{Flow, IntentStatus};
use crate::unconfirmed::WaitingCvvs;

/// A merchant who asks, by one of its keys.
#[derive(Clone, Copy, Debug)]
pub struct Merchant {
    /// The merchant, its mode and its key.
    pub caller: Caller,
    /// The profile that the request acts in: then nothing of another is there.
    pub profile: Option<ProfileId>,
}

/// The Payments API's service. A clone is the same service.
#[derive(Clone)]
pub struct Payments {
    engine: Engine,
    sandbox: bool,
    /// Where payers reach this server, without a slash at the end.
    pub(crate) public_url: Option<String>,
    bins: Arc<BinTable>,
    /// CVCs of intents that are not confirmed yet: in this process only, never stored.
    pub(crate) waiting_cvvs: Arc<Mutex<WaitingCvvs>>,
    /// The vaults elsewhere that this build knows.
    pub(crate) card_vaults: Arc<CardVaults>,
    pub(crate) hooks: Arc<Hooks>,
    /// How long a payer has for a challenge, in milliseconds.
    pub(crate) payer_ms: i64,
    pub(crate) known_settings: Arc<KnownSettings>,
}

impl Payments {
    /// The service on an engine. In sandbox mode every key that it makes is for test accounts.
    #[must_use]
    pub fn new(engine: Engine, sandbox: bool) -> Self {
        let (bins, waiting_cvvs) = (Arc::default(), Arc::default());
        let (card_vaults, hooks, known_settings) = (Arc::default(), Arc::default(), Arc::default());
        engine.follow_by(follow);
        Self {
            engine,
            sandbox,
            public_url: None,
            bins,
            waiting_cvvs,
            card_vaults,
            hooks,
            known_settings,
            payer_ms: PAYER_MS,
        }
    }

    /// The same, with vaults elsewhere that merchants may have their cards in; by name: where test accounts of one
    /// are, with `{account}` for the connector's id. From now on it does the engine's chores.
    #[must_use]
    pub fn with_vaults(
        self,
        vaults: Vec<Arc<dyn CardVault>>,
        test_urls: HashMap<String, String>,
    ) -> Self {
        let this = Self { card_vaults: Arc::new(CardVaults::new(vaults, test_urls)), ..self };
        this.engine.do_chores_by(Arc::new(this.clone()));
        this
    }

    /// The same, for a server that payers reach at this URL: they come back to it from a challenge.
    #[must_use]
    pub fn reached_at(self, public_url: Option<&str>) -> Self {
        let public_url = public_url.map(|url| url.trim_end_matches('/').to_owned());
        Self { public_url, ..self }
    }

    /// The same, with another table of what is known of cards by their first digits.
    #[must_use]
    pub fn knowing(self, bins: BinTable) -> Self {
        Self { bins: Arc::new(bins), ..self }
    }

    /// What is known of cards by their first digits.
    #[must_use]
    pub fn bins(&self) -> &BinTable {
        &self.bins
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether keys are for test accounts.
    #[must_use]
    pub fn is_sandbox(&self) -> bool {
        self.sandbox
    }

    /// A merchant as this service acts for it by itself.
    #[must_use]
    pub fn merchant_of(&self, merchant: MerchantId) -> Merchant {
        Merchant { caller: Caller { merchant, sandbox: self.sandbox, key: None }, profile: None }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.engine.clock().now()
    }

    /// A new id with this prefix, which sorts by time.
    pub(crate) fn new_name(&self, prefix: &str) -> String {
        let id: EventId = new_id(self.engine.clock());
        let text = id.to_string();
        let bare = text.split_once('_').map_or(text.as_str(), |(_, bare)| bare);
        format!("{prefix}{bare}")
    }

    /// Unpredictable letters and digits.
    pub(crate) fn new_secret(&self, prefix: &str, length: usize) -> String {
        let mut text = prefix.to_owned();
        let end = prefix.len().saturating_add(length);
        while text.len() < end {
            text.push_str(baton_engine::keys::generate(self.engine.clock(), "").expose());
        }
        text.truncate(end);
        text
    }

    pub(crate) async fn load<T: Document>(
        &self,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<Stored<T>>, Fault> {
        Ok(load(self.engine.store().as_ref(), merchant, id).await?)
    }

    /// Commits documents. A lost acknowledgement is settled by reading the first of them back: one commit
    /// writes all or none.
    pub(crate) async fn commit(&self, writes: Vec<Write>) -> Result<(), Fault> {
        let store = self.engine.store();
        let document = |write: &Write| {
            if let Write::Document(row) = write { Some(row.clone()) } else { None }
        };
        let first = writes.iter().find_map(document);
        match (store.commit(WriteSet::from(writes)).await, first) {
            (Err(CommitError::InDoubt), Some(row)) => {
                let found = store.document(row.merchant, &row.kind, &row.id).await?;
                match found {
                    Some(found) if found.version == row.version && found.body == row.body => Ok(()),
                    Some(found) if found.version >= row.version => Err(Fault::Busy),
                    Some(_) | None => Err(EngineError::Unavailable.into()),
                }
            }
            (done, _) => Ok(done?),
        }
    }

    /// The manifest of a connector by the contract's name for it, which is in small letters.
    pub(crate) fn gateway(&self, name: &str) -> Result<Arc<Manifest>, Fault> {
        let known = self.engine.connectors();
        let named = known.iter().find(|c| c.manifest().gateway_name.eq_ignore_ascii_case(name));
        let found = named.map(|connector| Arc::new(connector.manifest().clone()));
        found.ok_or_else(|| Fault::Connector(format!("there is no connector {name}")))
    }

    /// Makes an intent, and confirms it at once if asked to: then both are one commit. A repeat under the same
    /// id gives what is there, if it is the same.
    ///
    /// # Errors
    /// `Duplicate`, or what is wrong with a field.
    pub async fn create(
        &self,
        merchant: &Merchant,
        new: NewIntent,
        confirm: bool,
        key: Option<&str>,
    ) -> Result<Seen, Fault> {
        let now = self.now();
        let made = |key| key::id_of("pay_", key);
        let named = new.id.or(key.map(made));
        let is_new = named.is_none();
        let id = named.unwrap_or_else(|| self.new_name("pay_"));
        let duplicate = || key.map_or(Fault::Duplicate("payment"), |_| Fault::KeyReused);
        let asked = json!([new.profile, new.amount, new.currency, confirm, asked(&new.change)]);
        let fingerprint = key::hash(&[&asked.to_string()]);
        if !is_new && let Some(known) = self.load::<Intent>(merchant.caller.merchant, &id).await? {
            let same = known.body.fingerprint == fingerprint && merchant.sees(&known.body.profile);
            return if same { self.seen(merchant, known).await } else { Err(duplicate()) };
        }
        if !confirm {
            none_without_confirmation(&new.change)?;
        }
        let profile = self.profile_for(merchant, new.profile.as_deref()).await?;
        let intent = Intent {
            client_secret: self.new_secret(&format!("{id}_secret_"), 20),
            id: id.clone(),
            fingerprint: fingerprint.clone(),
            expires_at: end_of(now, session_of(&profile.body)),
            return_url: profile.body.text("return_url"),
            profile: profile.body.id,
            amount: new.amount,
            currency: new.currency,
            capture: CaptureMethod::default(),
            authentication: Authentication::default(),
            outcome_mode: None,
            customer: None,
            method: None,
            redirect: None,
            setup_future_usage: None,
            description: None,
            details: serde_json::Map::new(),
            tries: Vec::new(),
            disputes: Vec::new(),
            saved_method: None,
            mandate: None,
            recurring: None,
            cancelled: None,
            expired_at: None,
            cancellation_reason: None,
            return_token: None,
            keys: Keys::default(),
        };
        let owner = merchant.caller.merchant;
        let mut intent = Stored::new(owner, intent, now);
        let given = self.apply(merchant, &mut intent, new.change).await?;
        let done = if confirm {
            self.charge(merchant, intent, given).await
        } else {
            if let Some(card) = given.card {
                self.keep_card(merchant, &mut intent, card).await?;
            }
            let made = self.commit(self.waiting(&intent)).await;
            made.map(|()| Seen { intent, payment: None, retry: false })
        };
        match done {
            // Another request has made it first, unless it was the mandate that somebody else has used.
            Err(Fault::Busy) => match self.load::<Intent>(owner, &id).await? {
                Some(known)
                    if known.body.fingerprint == fingerprint
                        && merchant.sees(&known.body.profile) =>
                {
                    self.seen(merchant, known).await
                }
                Some(_) => Err(duplicate()),
                None => Err(Fault::Busy),
            },
            done => done,
        }
    }

    /// Changes an intent that nobody has confirmed yet.
    ///
    /// # Errors
    /// `NotFound`, `WrongStatus`, `Busy`, or what is wrong with a field.
    pub async fn update(
        &self,
        merchant: &Merchant,
        id: &str,
        change: IntentChange,
    ) -> Result<Seen, Fault> {
        let seen = self.see(merchant, id).await?;
        allow(&seen, Flow::Update)?;
        none_without_confirmation(&change)?;
        let mut intent = seen.intent.next(self.now());
        if let Some(card) = self.apply(merchant, &mut intent, change).await?.card {
            self.keep_card(merchant, &mut intent, card).await?;
        }
        self.commit(self.waiting(&intent)).await?;
        Ok(Seen { intent, payment: None, retry: false })
    }

    /// Charges, or holds, at the first of the profile's connectors that takes it. One that has failed is tried again where
    /// its profile allows that.
    ///
    /// # Errors
    /// `NotFound`, `WrongStatus`, `Busy`, `NoConnector`, or what is missing.
    pub async fn confirm(
        &self,
        merchant: &Merchant,
        id: &str,
        change: IntentChange,
        key: Option<&str>,
    ) -> Result<Seen, Fault> {
        let key = key.map(|key| Key::new(Flow::Confirm.as_str(), key, &asked(&change)));
        self.once(merchant, id, key.as_ref(), async |seen| {
            if !seen.retry {
                allow(&seen, Flow::Confirm)?;
            }
            if seen.intent.body.is_overdue(self.now()) {
                return Err(Fault::Busy);
            }
            let mut intent = seen.intent.next(self.now());
            intent.body.keys.remember(key.as_ref());
            if seen.retry {
                self.forget_unsaved(merchant, &mut intent.body).await?;
            }
            let given = self.apply(merchant, &mut intent, change).await?;
            Box::pin(self.charge(merchant, intent, given)).await
        })
        .await
    }

    /// Makes the payment of an intent: the intent's next version and the payment's first plan are one commit.
    async fn charge(
        &self,
        merchant: &Merchant,
        mut intent: Stored<Intent>,
        given: Given,
    ) -> Result<Seen, Fault> {
        let id = intent.body.id.clone();
        let means = self.means(merchant, &mut intent, given.card, given.cvv).await?;
        let Means { card, asks, paid_by, kept, mut writes } = means;
        let mut saves = None;
        let accounts = self.route(merchant, &intent.body).await?;
        let payment = self.engine.new_payment_id();
        intent.body.tries.push(payment);
        let is_new = intent.body.saved_method.is_none() && intent.body.mandate.is_none();
        if let Some(card) = card.as_ref().filter(|_| is_new && !asks) {
            let body = &mut intent.body;
            let mandate = given.new_mandate;
            writes.extend(self.plan_saving(merchant, body, card, mandate, payment).await?);
            saves.clone_from(&intent.body.saved_method);
        }
        let stored = match &saves {
            Some(method) => Some(intent.body.keeps(method)),
            None => {
                let paid_by = paid_by.as_deref();
                let agreed = self.agreed(merchant, &intent.body, asks, paid_by, payment);
                let (stored, noted) = agreed.await?;
                writes.extend(noted);
                stored
            }
        };
        let elsewhere = writes.iter().any(|write| matches!(write, Write::SetTimer(_)));
        let challenge = match asks {
            true => None,
            false => self.way_back(merchant.caller.merchant, &mut intent.body),
        };
        writes.extend(self.confirmed(&intent, challenge.is_some()));
        let card = card.map(|card| paid_with(card, given.three_ds)).transpose()?;
        let with = With { card, accounts, payer: given.payer, challenge, stored };
        let purchase = purchase(&intent.body, with);
        let written = intent.clone();
        let alongside = Box::new(move |payment: &Payment, _: CallId| {
            let mut writes = writes.clone();
            writes.extend([written.write(), of_intent(&written, Some(payment))]);
            writes
        });
        let bought =
            self.engine.purchase_alongside(merchant.caller, payment, purchase, alongside).await;
        let seen = match bought {
            Ok(answered) if answered.duplicate => Err(Fault::Precondition(format!(
                "another payment of the same card, amount and currency is in doubt ({}); nothing was sent",
                answered.payment.id
            ))),
            Ok(answered) => Ok(Seen { intent, payment: Some(answered.payment), retry: false }),
            // Planned, or perhaps so: nobody may take this for an error that can be tried again.
            Err(EngineError::StillRunning) => {
                let running = Fault::Engine(EngineError::StillRunning);
                return self.see(merchant, &id).await.map_err(|_| running);
            }
            Err(error) => Err(error.into()),
        };
        let seen = match seen {
            Ok(seen) => seen,
            Err(fault) => {
                // Nothing was made of this intent, which can be confirmed again; nor is its card kept.
                if let Some(record) = saves {
                    self.drop_card(merchant, SealedKind::SavedCard, &record).await;
                }
                return Err(fault);
            }
        };
        if let Some(record) = kept {
            self.drop_card(merchant, SealedKind::IntentCard, &record).await;
        }
        if let Some(method) = saves.as_ref().filter(|_| elsewhere) {
            self.hurry(merchant.caller.merchant, method);
        }
        // What a payment was to save and did not take is not there: neither is the card.
        if seen.status() == IntentStatus::Failed
            && let (Some(record), Some(id)) = (&seen.intent.body.saved_method, saves)
            && *record == id
        {
            self.drop_card(merchant, SealedKind::SavedCard, record).await;
        }
        Ok(self.judged(merchant, seen).await)
    }

    /// What an intent is paid with: what came with the request, or what is kept of it or for it.
    async fn means(
        &self,
        merchant: &Merchant,
        intent: &mut Stored<Intent>,
        card: Option<CardInput>,
        cvv: Option<Cvv>,
    ) -> Result<Means, Fault> {
        let asks = intent.body.merchant_asks(card.is_some());
        intent.body.check_setup_is_whole(asks)?;
        let kept = intent.body.method.as_mut().and_then(|method| method.card.record.take());
        let (mut writes, mut paid_by) = (Vec::new(), None);
        let card = match (card, intent.body.mandate.clone(), intent.body.saved_method.clone()) {
            (Some(card), ..) => Some(card),
            (None, Some(mandate), _) => {
                let (method, used) = self.use_mandate(merchant, &intent.body, &mandate).await?;
                writes.extend(used);
                Some(self.saved_card(merchant, paid_by.insert(method), None).await?)
            }
            (None, None, Some(method)) => {
                Some(self.saved_card(merchant, paid_by.insert(method), cvv).await?)
            }
            (None, None, None) if intent.body.is_without_card() => None,
            (None, None, None) => Some(self.kept_card(merchant, intent, kept.as_deref()).await?),
        };
        if let Some(card) = &card {
            show_card(&mut intent.body, card);
        }
        Ok(Means { card, asks, paid_by, kept, writes })
    }

    /// How an intent stands. With `sync`, what is in doubt is looked up first.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn retrieve(&self, merchant: &Merchant, id: &str, sync: bool) -> Result<Seen, Fault> {
        let seen = self.see(merchant, id).await?;
        let Some(payment) = seen.payment.as_ref().filter(|payment| payment.has_open_calls()) else {
            return Ok(seen);
        };
        if !sync {
            return Ok(seen);
        }
        let target = Target {
            account: None,
            reference: Some(payment.id.to_string()),
            merchant_ref: None,
            card: None,
            brought: Brought::default(),
        };
        let answered = self.engine.status(merchant.caller, &target).await?;
        Ok(self.judged(merchant, Seen { payment: Some(answered.payment), ..seen }).await)
    }

    /// Whether a browser with this secret may see and confirm the intent.
    ///
    /// # Errors
    /// `ClientSecret`, or `Expired`.
    pub fn check_client(&self, intent: &Intent, secret: Option<&str>) -> Result<(), Fault> {
        if secret != Some(intent.client_secret.as_str()) {
            return Err(Fault::ClientSecret);
        }
        if self.now() >= intent.expires_at { Err(Fault::Expired) } else { Ok(()) }
    }

    /// An intent as it is stored, with its last payment.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn see(&self, merchant: &Merchant, id: &str) -> Result<Seen, Fault> {
        let intent = self.load::<Intent>(merchant.caller.merchant, id).await?;
        let intent = intent.filter(|intent| merchant.sees(&intent.body.profile));
        let intent = self.up_to_date(intent.ok_or(Fault::NotFound("payment"))?).await?;
        self.seen(merchant, intent).await
    }

    pub(crate) async fn seen(
        &self,
        merchant: &Merchant,
        intent: Stored<Intent>,
    ) -> Result<Seen, Fault> {
        let payment = match intent.body.tries.last() {
            Some(id) => Some(self.engine.payment(merchant.caller, *id).await?),
            None => None,
        };
        Ok(self.judged(merchant, Seen { intent, payment, retry: false }).await)
    }

    async fn apply(
        &self,
        merchant: &Merchant,
        intent: &mut Stored<Intent>,
        change: IntentChange,
    ) -> Result<Given, Fault> {
        let mut person = serde_json::Map::new();
        for name in ["name", "email", "phone", "phone_country_code"] {
            if let Some(value) = change.details.get(name) {
                person.insert(name.to_owned(), value.clone());
            }
        }
        if let Some(seconds) = change.session_expiry_s {
            intent.body.expires_at = end_of(intent.created_at, seconds);
        }
        let body = &mut intent.body;
        body.amount = change.amount.unwrap_or(body.amount);
        body.currency = change.currency.unwrap_or(body.currency);
        body.capture = change.capture.unwrap_or(body.capture);
        body.authentication = change.authentication.unwrap_or(body.authentication);
        body.outcome_mode = change.outcome_mode.or(body.outcome_mode);
        body.setup_future_usage = change.setup_future_usage.or(body.setup_future_usage);
        body.return_url = change.return_url.or(body.return_url.take());
        body.description = change.description.or(body.description.take());
        body.details.extend(change.details);
        if let Some(customer) = change.customer {
            self.ensure_customer(merchant, &customer, person).await?;
            intent.body.customer = Some(customer);
        }
        let body = &mut intent.body;
        let is_saved = change.saved_method.is_some() || change.mandate.is_some();
        body.choose_redirect(change.redirect, change.card.is_some() || is_saved);
        if change.card.is_some() || is_saved || body.redirect.is_some() {
            body.recurring = None;
        }
        body.recurring = change.recurring.or(body.recurring.take());
        if body.token().is_some() {
            (body.method, body.saved_method, body.mandate) = (None, None, None);
        }
        if let Some(card) = &change.card {
            show_card(body, card);
            (body.saved_method, body.mandate) = (None, None);
        }
        if let Some(method) = change.saved_method {
            let saved = self.method(merchant, &method).await?.body;
            if body.customer.as_ref() != Some(&saved.customer) {
                return Err(Fault::NotFound("payment method"));
            }
            let (masked, holder, kind) = (saved.card, saved.holder, saved.kind);
            let card = CardKept { masked, holder, record: None, has_cvv: false };
            body.method = Some(Method { kind, card });
            body.saved_method = Some(method);
        }
        body.mandate = change.mandate.or(body.mandate.take());
        if let (Some(method), Some(kind)) = (&mut body.method, change.method_kind) {
            method.kind = Some(kind);
        }
        intent.body.check_setup()?;
        Ok(Given {
            card: change.card,
            cvv: change.cvv,
            payer: change.payer,
            new_mandate: change.new_mandate,
            three_ds: change.three_ds,
        })
    }

    /// The names of the engine's accounts to try, in order.
    async fn route(&self, merchant: &Merchant, intent: &Intent) -> Result<Vec<String>, Fault> {
        intent.check_redirect()?;
        let token = intent.token();
        let named = token.and_then(|(_, named)| named);
        let eligible = |settings: &Settings| {
            // The oldest first: what was set up first is the primary one.
            let all = settings.connectors_of(&intent.profile).rev();
            let takes = all.filter(|account| self.takes(account, intent));
            let names: Vec<String> = takes.map(|account| account.id.clone()).collect();
            let is_there = named.is_none_or(|named| names.iter().any(|name| name == named));
            (!names.is_empty() && is_there).then_some(names)
        };
        let names = self.chosen(merchant, eligible).await?.unwrap_or_default();
        match token {
            Some(_) => Ok(vec![place_of_token(&names, named)?]),
            None if names.is_empty() => Err(Fault::NoConnector),
            None => Ok(names),
        }
    }

    /// Where a payer comes back to after a challenge, if one may be asked for.
    fn way_back(&self, merchant: MerchantId, intent: &mut Intent) -> Option<Challenge> {
        let is_asked = intent.authentication == Authentication::ThreeDs;
        let shop = intent.return_url.clone().filter(|_| is_asked || intent.redirect.is_some())?;
        let return_url = match &self.public_url {
            None => shop,
            Some(public) => {
                let token = self.new_secret("", 32);
                let url = back::url(public, merchant, &intent.id, &token);
                intent.return_token = Some(token);
                url
            }
        };
        Some(Challenge { return_url })
    }
}

/// What an intent is paid with.
struct Means {
    /// None where it is a provider's token, or a method that is completed elsewhere.
    card: Option<CardInput>,
    /// Whether it is the merchant who asks.
    asks: bool,
    /// The saved method.
    paid_by: Option<String>,
    /// The record of a card that was kept for this intent only.
    kept: Option<String>,
    /// What is written alongside the plan.
    writes: Vec<Write>,
}

/// What only the request has of an intent that it changes or confirms.
struct Given {
    card: Option<CardInput>,
    cvv: Option<Cvv>,
    payer: Option<Payer>,
    new_mandate: Option<NewMandate>,
    three_ds: Option<Authenticated>,
}

pub(crate) fn allow(seen: &Seen, flow: Flow) -> Result<(), Fault> {
    let (status, capture) = (seen.status(), seen.intent.body.capture);
    if flow.is_allowed(status, capture) {
        return Ok(());
    }
    Err(Fault::WrongStatus { flow: flow.as_str(), status, expected: flow.expected(capture) })
}
