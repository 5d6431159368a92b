//! Payment methods, refunds, charges and events.

use serde_json::Value;

use super::{Request, card_only, error_about, missing, refused, validation, view};
use crate::clock::Id;
use crate::core::{Ask, Books, Kind, Refusal};
use crate::dialect::fields::Invalid;
use crate::dialect::traits_of_existing;
use crate::exchange::Job;
use crate::http::Reply;
use crate::script::{OperationKind, Traits};

/// The part of a list that is asked for; times are seconds, both ends included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) limit: usize,
}

impl Request<'_> {
    pub(super) fn window(&self) -> Result<Window, Reply> {
        let read = || {
            let mut window = Window { from: i64::MIN, to: i64::MAX, limit: 10 };
            if self.fields.get("created").is_some_and(Value::is_object) {
                let fields = self.fields;
                let from = fields.int("created.gte")?;
                let after = fields.int("created.gt")?.map(|at| at.saturating_add(1));
                let to = fields.int("created.lte")?;
                let before = fields.int("created.lt")?.map(|at| at.saturating_sub(1));
                window.from = from.max(after).unwrap_or(i64::MIN);
                window.to = to.into_iter().chain(before).min().unwrap_or(i64::MAX);
            } else if let Some(at) = self.fields.int("created")? {
                (window.from, window.to) = (at, at);
            }
            if let Some(limit) = self.fields.int("limit")? {
                let allowed = usize::try_from(limit).ok().filter(|limit| (1..=100).contains(limit));
                let wrong = Invalid { field: "limit", message: "must be 1 to 100" };
                window.limit = allowed.ok_or(wrong)?;
            }
            Ok(window)
        };
        read().map_err(validation)
    }

    pub(super) fn look_up(
        self,
        id: Option<Id>,
        find: impl FnOnce(&Books) -> Reply + Send + 'static,
    ) -> Result<Job, Reply> {
        let traits = traits_of_existing(self.account, OperationKind::Lookup, id, None, None);
        self.job(traits, Box::new(move |books, _| find(books)))
    }

    pub(super) fn payment_method_create(self) -> Result<Job, Reply> {
        self.only(&["type", "card", "billing_details", "metadata", "customer", "radar_options"])?;
        card_only(self.fields.need_text("type", 40).map_err(validation)?, "type")?;
        let card = self.card("card")?;
        let traits = Traits {
            account: self.account.name.clone(),
            operation: OperationKind::Tokenize,
            card: Some(card.clone()),
            amount: None,
            reference: None,
        };
        let commit =
            move |books: &mut Books, _: &_| Reply::json(200, &view::method(&books.tokenize(card)));
        self.job(traits, Box::new(commit))
    }

    /// A customer owns the payment method that it is made with, and is nothing else: it has that one's id.
    pub(super) fn customer_create(self) -> Result<Job, Reply> {
        self.only(&["description", "email", "metadata", "name", "payment_method", "phone"])?;
        let text = self.fields.need_text("payment_method", 64).map_err(validation)?;
        let metadata = self.fields.map("metadata").map_err(validation)?;
        let not_found = missing("PaymentMethod", text, "payment_method");
        let Some(id) = Id::parse_prefixed("pm_", text) else { return Err(not_found) };
        let traits = traits_of_existing(self.account, OperationKind::Tokenize, None, None, None);
        self.job(
            traits,
            Box::new(move |books, _| {
                books
                    .token(id)
                    .map_or(not_found, |token| Reply::json(200, &view::customer(token, &metadata)))
            }),
        )
    }

    pub(super) fn payment_method(self, text: &str) -> Result<Job, Reply> {
        let not_found = missing("PaymentMethod", text, "id");
        let Some(id) = Id::parse_prefixed("pm_", text) else { return Err(not_found) };
        self.look_up(None, move |books| {
            books.token(id).map_or(not_found, |token| Reply::json(200, &view::method(token)))
        })
    }

    pub(super) fn charge(self, text: &str) -> Result<Job, Reply> {
        let not_found = missing("charge", text, "id");
        let Some(id) = Id::parse_prefixed("ch_", text) else { return Err(not_found) };
        self.look_up(Some(id), move |books| {
            let payment = books.find(id);
            let attempt = payment.and_then(|p| p.attempts.iter().find(|a| a.id == id));
            match (payment, attempt) {
                (Some(payment), Some(attempt)) => Reply::json(200, &view::charge(payment, attempt)),
                _ => not_found,
            }
        })
    }

    /// What the account holds; nothing of it waits.
    pub(super) fn balance(self) -> Result<Job, Reply> {
        self.only(&[])?;
        self.look_up(None, |books| Reply::json(200, &view::balance(&books.balances())))
    }

    pub(super) fn refund_create(self) -> Result<Job, Reply> {
        self.only(&[
            "amount",
            "charge",
            "instructions_email",
            "metadata",
            "payment_intent",
            "reason",
            "refund_application_fee",
            "reverse_transfer",
        ])?;
        let id = self.refunded_payment()?;
        let Some(id) = id else {
            return Err(validation(Invalid { field: "payment_intent", message: "is required" }));
        };
        let read = || {
            let reason = self.fields.text("reason", 40)?;
            let known = ["duplicate", "fraudulent", "requested_by_customer"];
            if reason.is_some_and(|reason| !known.contains(&reason)) {
                return Err(Invalid { field: "reason", message: "is not one of Stripe's" });
            }
            let metadata = self.fields.map("metadata")?;
            let reference = metadata.get("reference").and_then(Value::as_str).unwrap_or("");
            Ok(Ask {
                reference: reference.to_owned(),
                amount: self.fields.amount("amount")?,
                reason: reason.map(str::to_owned),
                metadata,
                ..Ask::default()
            })
        };
        let ask = read().map_err(validation)?;
        let (kind, reference) = (OperationKind::Refund, Some(ask.reference.clone()));
        let traits = traits_of_existing(self.account, kind, Some(id), ask.amount, reference);
        self.job(
            traits,
            Box::new(move |books, action| {
                let ask = Ask { decline: action.decline(), ..ask };
                let gone = books.payment(id).is_some_and(|p| p.refunded > 0 || p.voided);
                match books.refund(id, ask) {
                    Ok((payment, operation)) => {
                        Reply::json(200, &view::refund(&payment, &operation))
                    }
                    Err(Refusal::NotRefundable) if gone => error_about(
                        400,
                        "charge_already_refunded",
                        "The charge has already been refunded.",
                        None,
                    ),
                    Err(Refusal::ExceedsRefundable) => error_about(
                        400,
                        "amount_too_large",
                        "Refund amount is greater than the unrefunded amount on the charge.",
                        Some("amount"),
                    ),
                    Err(refusal) => refused(refusal),
                }
            }),
        )
    }

    /// The payment that `payment_intent` or `charge` names; `None` if neither is given.
    fn refunded_payment(&self) -> Result<Option<Id>, Reply> {
        for (param, prefix) in [("payment_intent", "pi_"), ("charge", "ch_")] {
            let Some(text) = self.fields.text(param, 64).map_err(validation)? else { continue };
            let books = self.account.books();
            let payment = Id::parse_prefixed(prefix, text).and_then(|id| books.find(id));
            let payment = payment.ok_or_else(|| missing(param, text, param))?;
            return Ok(Some(payment.id));
        }
        Ok(None)
    }

    pub(super) fn refund(self, text: &str) -> Result<Job, Reply> {
        let not_found = missing("refund", text, "id");
        let Some(id) = Id::parse_prefixed("re_", text) else { return Err(not_found) };
        self.look_up(Some(id), move |books| {
            let payment = books.find(id);
            let operation = payment.and_then(|payment| payment.operation(id));
            let operation = operation.filter(|operation| operation.kind == Kind::Refund);
            match (payment, operation) {
                (Some(payment), Some(operation)) => {
                    Reply::json(200, &view::refund(payment, operation))
                }
                _ => not_found,
            }
        })
    }

    pub(super) fn refund_list(self) -> Result<Job, Reply> {
        self.only(&["charge", "created", "limit", "payment_intent", "starting_after"])?;
        let window = self.window()?;
        let payment = self.refunded_payment()?;
        let after = self.fields.text("starting_after", 64).map_err(validation)?;
        let after = after.map(str::to_owned);
        self.look_up(payment, move |books| {
            let payments = books.payments().iter();
            let mut found: Vec<_> = payments
                .filter(|p| payment.is_none_or(|id| p.id == id))
                .flat_map(|p| p.operations.iter().map(move |operation| (p, operation)))
                .filter(|(_, operation)| operation.kind == Kind::Refund)
                .filter(|(_, operation)| {
                    (window.from..=window.to).contains(&view::seconds(operation.at_ms))
                })
                .collect();
            found.reverse();
            found.sort_by_key(|(_, operation)| std::cmp::Reverse(operation.at_ms));
            let data = found.iter().map(|(payment, refund)| view::refund(payment, refund));
            Reply::json(200, &page("/v1/refunds", data, after.as_deref(), window.limit))
        })
    }

    pub(super) fn event_list(self) -> Result<Job, Reply> {
        self.only(&["created", "limit", "starting_after", "type", "types"])?;
        let window = self.window()?;
        let after = self.fields.text("starting_after", 64).map_err(validation)?;
        let after = after.map(str::to_owned);
        let one = self.fields.text("type", 80).map_err(validation)?.map(Value::from);
        let many = self.fields.map("types").map_err(validation)?;
        let types: Vec<Value> = many.into_iter().map(|(_, name)| name).chain(one).collect();
        let urls = self.urls();
        self.look_up(None, move |books| {
            let in_window = |at_ms| (window.from..=window.to).contains(&view::seconds(at_ms));
            let events = books.events().filter(|event| in_window(event.at_ms));
            let data = events
                .flat_map(|event| view::events_of(event, &urls).into_iter().rev())
                .filter(|event| {
                    types.is_empty() || event.get("type").is_some_and(|name| types.contains(name))
                });
            Reply::json(200, &page("/v1/events", data, after.as_deref(), window.limit))
        })
    }

    pub(super) fn event(self, text: &str) -> Result<Job, Reply> {
        let not_found = missing("event", text, "id");
        let text = text.to_owned();
        let urls = self.urls();
        self.look_up(None, move |books| {
            let mut events = books.events().flat_map(|event| view::events_of(event, &urls));
            let found = events.find(|event| has_id(event, &text));
            found.map_or(not_found, |event| Reply::json(200, &event))
        })
    }
}

fn has_id(object: &Value, id: &str) -> bool {
    object.get("id").and_then(Value::as_str) == Some(id)
}

/// The part of a list that follows `after`.
fn page(url: &str, data: impl Iterator<Item = Value>, after: Option<&str>, limit: usize) -> Value {
    let mut seen = after.is_none();
    let mut rest = data.filter(|object| {
        let keep = seen;
        seen = seen || after.is_some_and(|after| has_id(object, after));
        keep
    });
    let data: Vec<Value> = rest.by_ref().take(limit).collect();
    let has_more = rest.next().is_some();
    view::list(url, data, has_more)
}
