//! PaymentIntents: create, update, confirm, capture, cancel, retrieve, list.

use serde_json::{Map, Value, json};

use super::expand::Expand;
use super::{PayWith, Request, error_about, missing, refused, unexpected_state, validation, view};
use crate::clock::Id;
use crate::codes::DeclineCode;
use crate::core::{Ask, Books, NewPayment, Payment, Refusal, Settings, Status, Verdict, network};
use crate::dialect::fields::Invalid;
use crate::dialect::{Dialect, Urls, traits_of_existing};
use crate::exchange::Job;
use crate::http::Reply;
use crate::script::{Action, OperationKind, Traits};

/// Parameters that only matter when a payment is attempted.
#[derive(Clone, Debug)]
struct Confirmation {
    /// A required challenge is a decline: nobody is there to pass it.
    no_challenge: bool,
    /// It is the merchant who asks.
    off_session: bool,
    /// Whether the card may be asked again without its payer, where the request says so.
    reusable: Option<bool>,
    /// The network's id of the payment in which the payer has agreed elsewhere.
    network: Option<String>,
}

const MIT_EXEMPTION: &str = "payment_method_options.card.mit_exemption.network_transaction_id";

const CONFIRM: &[&str] = &[
    "capture_method",
    "client_secret",
    "error_on_requires_action",
    "mandate",
    "mandate_data",
    "off_session",
    "payment_method",
    "payment_method_data",
    "payment_method_options",
    "payment_method_types",
    "radar_options",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "shipping",
    "use_stripe_sdk",
];
const UPDATE: &[&str] = &[
    "amount",
    "application_fee_amount",
    "capture_method",
    "currency",
    "customer",
    "description",
    "metadata",
    "payment_method",
    "payment_method_data",
    "payment_method_options",
    "payment_method_types",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
];
const CREATE_ONLY: &[&str] =
    &["automatic_payment_methods", "confirm", "confirmation_method", "on_behalf_of"];
const CAPTURE: &[&str] = &[
    "amount_to_capture",
    "application_fee_amount",
    "metadata",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
];

impl Request<'_> {
    pub(super) fn intent_create(self) -> Result<Job, Reply> {
        self.only(&[CREATE_ONLY, UPDATE, CONFIRM].concat())?;
        let new = self.new_intent().map_err(validation)?;
        let pay_with = self.pay_with()?;
        let confirm = self.fields.flag("confirm").map_err(validation)?.unwrap_or(false);
        let confirmation = self.confirmation().map_err(validation)?;
        let expand = Expand::of(&self);
        if confirm && pay_with.is_none() {
            let invalid = Invalid { field: "payment_method", message: "is required" };
            return Err(validation(invalid));
        }
        let attempt = if new.sale { OperationKind::Sale } else { OperationKind::Authorize };
        let traits = Traits {
            account: self.account.name.clone(),
            operation: if confirm { attempt } else { OperationKind::Create },
            card: pay_with.as_ref().and_then(PayWith::card).cloned(),
            amount: Some(new.amount),
            reference: Some(new.reference.clone()),
        };
        let urls = self.urls();
        self.job(
            traits,
            Box::new(move |books, action| {
                let id = match books.create(new) {
                    Ok(id) => id,
                    Err(refusal) => return refused(refusal),
                };
                attach(books, id, pay_with);
                books.announce_created(id);
                if confirm {
                    return attempted(books, id, confirmation, action, (&urls, expand));
                }
                shown(books, id, &urls)
            }),
        )
    }

    fn new_intent(&self) -> Result<NewPayment, Invalid> {
        let fields = self.fields;
        let metadata = fields.map("metadata")?;
        let reference = metadata.get("reference").and_then(Value::as_str).unwrap_or("").to_owned();
        Ok(NewPayment {
            dialect: Dialect::Stripe,
            reference,
            key: self.key.as_ref().map(|key| key.key.clone()),
            amount: fields.need_amount("amount")?,
            currency: fields.need_currency("currency")?,
            sale: self.is_sale()?.unwrap_or(true),
            metadata,
            settings: Settings {
                return_url: fields.text("return_url", 2_000)?.map(str::to_owned),
                description: fields.text("description", 1_000)?.map(str::to_owned),
                ..Settings::default()
            },
        })
    }

    /// Whether money is captured with the approval; `None` if the request does not say.
    fn is_sale(&self) -> Result<Option<bool>, Invalid> {
        match self.fields.text("capture_method", 40)? {
            None => Ok(None),
            Some("automatic" | "automatic_async") => Ok(Some(true)),
            Some("manual") => Ok(Some(false)),
            Some(_) => Err(Invalid { field: "capture_method", message: "is not one of Stripe's" }),
        }
    }

    fn confirmation(&self) -> Result<Confirmation, Invalid> {
        // off_session may also be one_off or recurring, which mean the same here.
        let off_session =
            self.fields.get("off_session").is_some_and(|value| value.as_str() != Some("false"));
        let no_action = self.fields.flag("error_on_requires_action")?.unwrap_or(false);
        let network = self.fields.text(MIT_EXEMPTION, 64)?.map(str::to_owned);
        let usage = self.fields.text("setup_future_usage", 20)?;
        let reusable = usage.map(|usage| usage == "off_session");
        let no_challenge = off_session || no_action;
        Ok(Confirmation { no_challenge, off_session, reusable, network })
    }

    pub(super) fn intent_update(self, id: &str) -> Result<Job, Reply> {
        self.only(UPDATE)?;
        let id = self.intent_id(id)?;
        let pay_with = self.pay_with()?;
        let read = || {
            let sale = self.is_sale()?;
            let currency = self.fields.get("currency");
            let currency = currency.map(|_| self.fields.need_currency("currency")).transpose()?;
            let description = self.fields.text("description", 1_000)?.map(str::to_owned);
            let metadata = self.fields.map("metadata")?;
            Ok((self.fields.amount("amount")?, currency, sale, description, metadata))
        };
        let (amount, currency, sale, description, metadata) = read().map_err(validation)?;
        let changes_terms =
            amount.is_some() || currency.is_some() || sale.is_some() || pay_with.is_some();
        let kind = OperationKind::Create;
        let traits = traits_of_existing(self.account, kind, Some(id), amount, None);
        let urls = self.urls();
        self.job(
            traits,
            Box::new(move |books, _| {
                let Some(payment) = books.payment(id).cloned() else {
                    return refused(Refusal::NotFound);
                };
                if changes_terms && !is_open(&payment) {
                    return unexpected_state(&payment, &urls, "update");
                }
                let changed = books.update(id, |payment| {
                    payment.amount = amount.unwrap_or(payment.amount);
                    payment.sale = sale.unwrap_or(payment.sale);
                    if let Some(currency) = currency {
                        payment.currency = currency;
                    }
                    if description.is_some() {
                        payment.settings.description = description;
                    }
                    merge(&mut payment.metadata, metadata);
                });
                if let Err(refusal) = changed {
                    return refused(refusal);
                }
                attach(books, id, pay_with);
                shown(books, id, &urls)
            }),
        )
    }

    pub(super) fn intent_confirm(self, id: &str) -> Result<Job, Reply> {
        self.only(CONFIRM)?;
        let id = self.intent_id(id)?;
        let given = self.pay_with()?;
        let confirmation = self.confirmation().map_err(validation)?;
        let expand = Expand::of(&self);
        let return_url =
            self.fields.text("return_url", 2_000).map_err(validation)?.map(str::to_owned);
        let sale = self.is_sale().map_err(validation)?;
        let (will_sell, stored) = {
            let books = self.account.books();
            let payment = books.payment(id);
            let token = payment.and_then(|payment| payment.settings.token);
            let card = token.and_then(|token| books.token(token)).map(|token| token.card.clone());
            (sale.or(payment.map(|payment| payment.sale)).unwrap_or(true), card)
        };
        let kind = if will_sell { OperationKind::Sale } else { OperationKind::Authorize };
        let mut traits = traits_of_existing(self.account, kind, Some(id), None, None);
        traits.card = match &given {
            Some(given) => given.card().cloned(),
            None => stored,
        };
        let urls = self.urls();
        self.job(
            traits,
            Box::new(move |books, action| {
                let Some(payment) = books.payment(id).cloned() else {
                    return refused(Refusal::NotFound);
                };
                let settings = &payment.settings;
                let has_method = given.is_some()
                    || (payment.status == Status::Created
                        && (settings.token.is_some() || settings.elsewhere.is_some()));
                if !is_open(&payment) || !has_method {
                    return unexpected_state(&payment, &urls, "confirm");
                }
                let _ = books.update(id, |payment| {
                    payment.sale = sale.unwrap_or(payment.sale);
                    if return_url.is_some() {
                        payment.settings.return_url = return_url;
                    }
                });
                attach(books, id, given);
                attempted(books, id, confirmation, action, (&urls, expand))
            }),
        )
    }

    pub(super) fn intent_capture(self, id: &str) -> Result<Job, Reply> {
        self.only(CAPTURE)?;
        let id = self.intent_id(id)?;
        let amount = self.fields.amount("amount_to_capture").map_err(validation)?;
        let metadata = self.fields.map("metadata").map_err(validation)?;
        let kind = OperationKind::Capture;
        let traits = traits_of_existing(self.account, kind, Some(id), amount, None);
        let urls = self.urls();
        self.job(
            traits,
            Box::new(move |books, action| {
                let Some(payment) = books.payment(id).cloned() else {
                    return refused(Refusal::NotFound);
                };
                if let Some(decline) = action.decline() {
                    return scripted_failure(decline);
                }
                let _ = books.update(id, |payment| merge(&mut payment.metadata, metadata));
                // Stripe captures once: what is left is released.
                match books.capture(id, Ask { amount, ..Ask::default() }, true) {
                    Ok((payment, _)) => Reply::json(200, &view::intent(&payment, &urls)),
                    Err(Refusal::ExceedsCapturable) => error_about(
                        400,
                        "amount_too_large",
                        "The amount to capture is greater than the capturable amount.",
                        Some("amount_to_capture"),
                    ),
                    Err(_) => unexpected_state(&payment, &urls, "capture"),
                }
            }),
        )
    }

    /// Holds a new total; where the issuer says no, nothing is changed.
    pub(super) fn intent_increment(self, id: &str) -> Result<Job, Reply> {
        self.only(&["amount", "description", "metadata", "statement_descriptor"])?;
        let id = self.intent_id(id)?;
        let amount = Some(self.fields.need_amount("amount").map_err(validation)?);
        let metadata = self.fields.map("metadata").map_err(validation)?;
        let kind = OperationKind::Increment;
        let traits = traits_of_existing(self.account, kind, Some(id), amount, None);
        let urls = self.urls();
        self.job(
            traits,
            Box::new(move |books, action| {
                let Some(payment) = books.payment(id).cloned() else {
                    return refused(Refusal::NotFound);
                };
                if let Some(decline) = action.decline() {
                    return scripted_failure(decline);
                }
                match books.increment(id, Ask { amount, ..Ask::default() }) {
                    Ok(_) => {
                        let _ = books.update(id, |payment| merge(&mut payment.metadata, metadata));
                        shown(books, id, &urls)
                    }
                    Err(_) => unexpected_state(&payment, &urls, "increment"),
                }
            }),
        )
    }

    pub(super) fn intent_cancel(self, id: &str) -> Result<Job, Reply> {
        self.only(&["cancellation_reason"])?;
        let id = self.intent_id(id)?;
        let reason = self.fields.text("cancellation_reason", 40).map_err(validation)?;
        let known = ["abandoned", "duplicate", "fraudulent", "requested_by_customer"];
        if reason.is_some_and(|reason| !known.contains(&reason)) {
            let message = "is not one of Stripe's";
            return Err(validation(Invalid { field: "cancellation_reason", message }));
        }
        let reason = reason.map(str::to_owned);
        let traits = traits_of_existing(self.account, OperationKind::Void, Some(id), None, None);
        let urls = self.urls();
        self.job(
            traits,
            Box::new(move |books, action| {
                let Some(payment) = books.payment(id).cloned() else {
                    return refused(Refusal::NotFound);
                };
                if let Some(decline) = action.decline() {
                    return scripted_failure(decline);
                }
                // The core could reverse a sale; Stripe cannot.
                if payment.status == Status::Captured || payment.voided {
                    return unexpected_state(&payment, &urls, "cancel");
                }
                let _ = books.update(id, |payment| payment.settings.cancellation_reason = reason);
                match books.void(id, Ask::default()) {
                    Ok((payment, _)) => Reply::json(200, &view::intent(&payment, &urls)),
                    Err(_) => unexpected_state(&payment, &urls, "cancel"),
                }
            }),
        )
    }

    pub(super) fn intent(self, id: &str) -> Result<Job, Reply> {
        self.only(&["client_secret"])?;
        let id = self.intent_id(id)?;
        let expand = Expand::of(&self);
        let urls = self.urls();
        self.look_up(Some(id), move |books| {
            let Some(payment) = books.payment(id) else { return refused(Refusal::NotFound) };
            let mut intent = view::intent(payment, &urls);
            expand.apply(payment, &mut intent);
            Reply::json(200, &intent)
        })
    }

    pub(super) fn intent_list(self) -> Result<Job, Reply> {
        self.only(&["created", "customer", "limit", "starting_after"])?;
        let window = self.window()?;
        let after = match self.fields.text("starting_after", 64).map_err(validation)? {
            Some(id) => Some(self.intent_id(id)?),
            None => None,
        };
        let traits = traits_of_existing(self.account, OperationKind::Lookup, None, None, None);
        let urls = self.urls();
        self.job(
            traits,
            Box::new(move |books, _| {
                let end = after.and_then(|id| books.place(id));
                let older = books.payments().get(..end.unwrap_or(books.payments().len()));
                let found = older.unwrap_or(&[]).iter().rev();
                let mut found = found
                    .filter(|payment| !payment.settings.verification)
                    .take_while(|payment| window.from <= view::seconds(payment.created_ms))
                    .filter(|payment| view::seconds(payment.created_ms) <= window.to);
                let data: Vec<_> =
                    found.by_ref().take(window.limit).map(|p| view::intent(p, &urls)).collect();
                let has_more = found.next().is_some();
                Reply::json(200, &view::list("/v1/payment_intents", data, has_more))
            }),
        )
    }

    /// An intent that exists: a missing one is not found before anything else is looked at.
    fn intent_id(&self, text: &str) -> Result<Id, Reply> {
        let id = Id::parse_prefixed("pi_", text);
        let books = self.account.books();
        let is_one = |id: &Id| books.payment(*id).is_some_and(|made| !made.settings.verification);
        let found = id.filter(is_one);
        found.ok_or_else(|| missing("payment_intent", text, "id"))
    }
}

/// Whether an attempt may (again) be made.
fn is_open(payment: &Payment) -> bool {
    matches!(payment.status, Status::Created | Status::Declined) && !payment.voided
}

fn attach(books: &mut Books, id: Id, pay_with: Option<PayWith>) {
    let Some(pay_with) = pay_with else { return };
    let elsewhere =
        if let PayWith::Elsewhere(name) = &pay_with { Some(name.clone()) } else { None };
    let token = pay_with.into_token(books).map(|token| token.id);
    let _ = books.update(id, |payment| {
        (payment.settings.token, payment.settings.elsewhere) = (token, elsewhere);
    });
}

fn attempted(
    books: &mut Books,
    id: Id,
    confirmation: Confirmation,
    action: &Action,
    (urls, expand): (&Urls, Expand),
) -> Reply {
    let settings = books.payment(id).map(|payment| payment.settings.clone()).unwrap_or_default();
    let token = settings.token.and_then(|token| books.token(token));
    let card = token.map(|token| token.card.clone());
    if card.is_none() && settings.elsewhere.is_none() {
        return refused(Refusal::NotConfirmable);
    }
    if let Some(reusable) = confirmation.reusable {
        let _ = books.update(id, |payment| payment.settings.reusable = reusable);
    }
    let scripted = action.verdict.as_ref();
    // A bank or a lender always has a page of its own.
    let page = Verdict::Challenge { abandoned: false, gives_up_ms: None };
    let scripted = match &card {
        None => scripted.unwrap_or(&page),
        Some(card) => {
            let known = || confirmation.network.as_ref().is_some_and(|id| network::knows(id, card));
            let agreed = confirmation.off_session && (known() || books.has_agreed(card));
            let scripted = scripted.unwrap_or(&Verdict::Approve);
            let asks = matches!(scripted, Verdict::Challenge { .. });
            if asks && agreed { &Verdict::Approve } else { scripted }
        }
    };
    let required = DeclineCode::find("authentication_required").map(Verdict::Decline);
    let verdict = match (scripted, &required) {
        (Verdict::Challenge { .. }, Some(required)) if confirmation.no_challenge => required,
        (scripted, _) => scripted,
    };
    match books.authorize(id, card, verdict) {
        Ok(payment) if payment.status == Status::Declined => {
            Reply::json(402, &view::declined(&payment, urls))
        }
        Ok(payment) => {
            let mut intent = view::intent(&payment, urls);
            expand.apply(&payment, &mut intent);
            Reply::json(200, &intent)
        }
        Err(refusal) => refused(refusal),
    }
}

fn shown(books: &Books, id: Id, urls: &Urls) -> Reply {
    books.payment(id).map_or_else(
        || refused(Refusal::NotFound),
        |payment| Reply::json(200, &view::intent(payment, urls)),
    )
}

/// A rule that makes a capture or a cancel fail: nothing is changed.
fn scripted_failure(decline: DeclineCode) -> Reply {
    Reply::json(402, &json!({ "error": super::setups::failure(decline) }))
}

/// Stripe's rule for metadata: given names are set, an empty value removes the name.
fn merge(metadata: &mut Map<String, Value>, given: Map<String, Value>) {
    for (name, value) in given {
        match value.as_str() {
            Some("") => drop(metadata.remove(&name)),
            Some(_) | None => drop(metadata.insert(name, value)),
        }
    }
}
