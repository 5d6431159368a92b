//! SetupIntents: create, confirm, cancel, retrieve, list. In the books one is an authorization of nothing.

use serde_json::{Value, json};

use super::{
    PayWith, Request, declines, error, missing, no_such_method, refused, validation, view,
};
use crate::clock::Id;
use crate::codes::DeclineCode;
use crate::core::{Ask, Books, EventKind, NewPayment, Payment, Refusal, Settings, Status, Verdict};
use crate::dialect::fields::Invalid;
use crate::dialect::{Dialect, Urls, traits_of_existing};
use crate::exchange::Job;
use crate::http::Reply;
use crate::script::{Action, OperationKind, Traits};

const CREATE: &[&str] = &[
    "automatic_payment_methods",
    "customer",
    "description",
    "mandate_data",
    "metadata",
    "payment_method_options",
    "payment_method_types",
    "usage",
];
const CONFIRM: &[&str] =
    &["client_secret", "mandate_data", "payment_method", "payment_method_options", "return_url"];

impl Request<'_> {
    pub(super) fn setup_create(self) -> Result<Job, Reply> {
        self.only(CREATE)?;
        let new = self.new_setup().map_err(validation)?;
        let traits = Traits {
            account: self.account.name.clone(),
            operation: OperationKind::Create,
            card: None,
            amount: Some(0),
            reference: Some(new.reference.clone()),
        };
        let urls = self.urls();
        self.job(
            traits,
            Box::new(move |books, _| match books.create(new) {
                Ok(id) => shown(books, id, &urls),
                Err(refusal) => refused(refusal),
            }),
        )
    }

    fn new_setup(&self) -> Result<NewPayment, Invalid> {
        let fields = self.fields;
        let metadata = fields.map("metadata")?;
        let reference = metadata.get("reference").and_then(Value::as_str).unwrap_or("").to_owned();
        let reusable = match fields.text("usage", 20)? {
            None | Some("off_session") => true,
            Some("on_session") => false,
            Some(_) => return Err(Invalid { field: "usage", message: "is not one of Stripe's" }),
        };
        Ok(NewPayment {
            dialect: Dialect::Stripe,
            reference,
            key: self.key.as_ref().map(|key| key.key.clone()),
            amount: 0,
            // It has none, and the books want one.
            currency: "XXX".to_owned(),
            sale: false,
            metadata,
            settings: Settings {
                description: fields.text("description", 1_000)?.map(str::to_owned),
                verification: true,
                reusable,
                ..Settings::default()
            },
        })
    }

    pub(super) fn setup_confirm(self, id: &str) -> Result<Job, Reply> {
        self.only(CONFIRM)?;
        let id = self.setup_id(id)?;
        let needed = Invalid { field: "payment_method", message: "is required" };
        let given = self.pay_with()?.ok_or_else(|| validation(needed))?;
        let return_url =
            self.fields.text("return_url", 2_000).map_err(validation)?.map(str::to_owned);
        let kind = OperationKind::Authorize;
        let mut traits = traits_of_existing(self.account, kind, Some(id), None, None);
        traits.card = given.card().cloned();
        if traits.card.is_none() {
            return Err(no_such_method("payment_method_data[type]"));
        }
        let urls = self.urls();
        self.job(
            traits,
            Box::new(move |books, action| confirmed(books, id, given, return_url, action, &urls)),
        )
    }

    pub(super) fn setup_cancel(self, id: &str) -> Result<Job, Reply> {
        self.only(&["cancellation_reason"])?;
        let id = self.setup_id(id)?;
        let traits = traits_of_existing(self.account, OperationKind::Void, Some(id), None, None);
        let urls = self.urls();
        self.job(
            traits,
            Box::new(move |books, _| {
                let Some(payment) = books.payment(id).cloned() else {
                    return refused(Refusal::NotFound);
                };
                let over = payment.voided || payment.is_approved();
                match books.void(id, Ask::default()) {
                    Ok(_) if !over => shown(books, id, &urls),
                    Ok(_) | Err(_) => unexpected_state(&payment, &urls, "cancel"),
                }
            }),
        )
    }

    pub(super) fn setup(self, id: &str) -> Result<Job, Reply> {
        self.only(&["client_secret"])?;
        let id = self.setup_id(id)?;
        let urls = self.urls();
        self.look_up(Some(id), move |books| shown(books, id, &urls))
    }

    pub(super) fn setup_list(self) -> Result<Job, Reply> {
        self.only(&["created", "limit", "starting_after"])?;
        let window = self.window()?;
        let after = match self.fields.text("starting_after", 64).map_err(validation)? {
            Some(id) => Some(self.setup_id(id)?),
            None => None,
        };
        let urls = self.urls();
        self.look_up(None, move |books| {
            let end = after.and_then(|id| books.place(id)).unwrap_or(books.payments().len());
            let older = books.payments().get(..end).unwrap_or(&[]).iter().rev();
            let mut found = older
                .filter(|payment| payment.settings.verification)
                .take_while(|payment| window.from <= view::seconds(payment.created_ms))
                .filter(|payment| view::seconds(payment.created_ms) <= window.to);
            let data: Vec<_> = found.by_ref().take(window.limit).map(|p| setup(p, &urls)).collect();
            let has_more = found.next().is_some();
            Reply::json(200, &view::list("/v1/setup_intents", data, has_more))
        })
    }

    fn setup_id(&self, text: &str) -> Result<Id, Reply> {
        let books = self.account.books();
        let is_one = |id: &Id| books.payment(*id).is_some_and(|made| made.settings.verification);
        let id = Id::parse_prefixed("seti_", text).filter(is_one);
        id.ok_or_else(|| missing("setupintent", text, "id"))
    }
}

fn confirmed(
    books: &mut Books,
    id: Id,
    given: PayWith,
    return_url: Option<String>,
    action: &Action,
    urls: &Urls,
) -> Reply {
    let Some(payment) = books.payment(id).cloned() else { return refused(Refusal::NotFound) };
    if payment.voided || !matches!(payment.status, Status::Created | Status::Declined) {
        return unexpected_state(&payment, urls, "confirm");
    }
    let card = given.card().cloned();
    let token = given.into_token(books).map(|token| token.id);
    let _ = books.update(id, |payment| {
        payment.settings.token = token;
        if return_url.is_some() {
            payment.settings.return_url = return_url;
        }
    });
    let verdict = action.verdict.as_ref().unwrap_or(&Verdict::Approve);
    match books.authorize(id, card, verdict) {
        Ok(payment) if payment.status == Status::Declined => {
            let decline = payment.attempt().and_then(|attempt| attempt.decline);
            let mut error = decline.map_or(Value::Null, failure);
            if let Some(error) = error.as_object_mut() {
                error.insert("setup_intent".to_owned(), setup(&payment, urls));
            }
            Reply::json(402, &json!({ "error": error }))
        }
        Ok(payment) => Reply::json(200, &setup(&payment, urls)),
        Err(refusal) => refused(refusal),
    }
}

/// The error that a decline is, without what it is about.
pub(super) fn failure(decline: DeclineCode) -> Value {
    let (code, decline_code) = declines::codes(decline);
    let mut error = json!({"type": "card_error", "code": code, "message": decline.row().message});
    if let (Some(error), Some(decline_code)) = (error.as_object_mut(), decline_code) {
        error.insert("decline_code".to_owned(), decline_code.into());
    }
    error
}

fn unexpected_state(payment: &Payment, urls: &Urls, what: &str) -> Reply {
    let message = format!(
        "You cannot {what} this SetupIntent because it has a status of {}.",
        status(payment)
    );
    let mut reply = json!({"error": {
        "type": "invalid_request_error",
        "code": "setup_intent_unexpected_state",
        "message": message,
    }});
    if let Some(error) = reply.get_mut("error").and_then(Value::as_object_mut) {
        error.insert("setup_intent".to_owned(), setup(payment, urls));
    }
    Reply::json(400, &reply)
}

fn status(payment: &Payment) -> &'static str {
    match view::status(payment) {
        "requires_capture" => "succeeded",
        status => status,
    }
}

fn shown(books: &Books, id: Id, urls: &Urls) -> Reply {
    books.payment(id).map_or_else(
        || error(404, "resource_missing", "No such setup intent."),
        |payment| Reply::json(200, &setup(payment, urls)),
    )
}

/// What Stripe would announce of one.
pub(super) fn told(kind: EventKind, payment: &Payment, urls: &Urls) -> Vec<(&'static str, Value)> {
    let name = match (kind, payment.status) {
        (EventKind::Created, _) => "setup_intent.created",
        (EventKind::Attempted | EventKind::Concluded, status) => match status {
            Status::Captured | Status::Authorized => "setup_intent.succeeded",
            Status::Declined => "setup_intent.setup_failed",
            Status::ActionRequired => "setup_intent.requires_action",
            Status::Pending | Status::Created => return Vec::new(),
        },
        (EventKind::Void, _) if payment.voided => "setup_intent.canceled",
        (
            EventKind::Void
            | EventKind::Capture
            | EventKind::Refund
            | EventKind::Increment
            | EventKind::DisputeOpened
            | EventKind::DisputeMoved
            | EventKind::CancelFailed,
            _,
        ) => return Vec::new(),
    };
    vec![(name, setup(payment, urls))]
}

fn setup(payment: &Payment, urls: &Urls) -> Value {
    let id = payment.id;
    let declined = payment.attempt().filter(|_| payment.status == Status::Declined);
    let open = payment.status == Status::ActionRequired && !payment.voided;
    json!({
        "id": format!("seti_{id}"),
        "object": "setup_intent",
        "application": null,
        "cancellation_reason": null,
        "client_secret": format!("seti_{id}_secret_{id}"),
        "created": view::seconds(payment.created_ms),
        "customer": null,
        "description": payment.settings.description,
        "flow_directions": null,
        "last_setup_error": declined.and_then(|attempt| attempt.decline).map(failure),
        "latest_attempt": payment.attempt().map(|attempt| format!("setatt_{}", attempt.id)),
        "livemode": false,
        "mandate": null,
        "metadata": payment.metadata,
        "next_action": open.then(|| view::next_action(payment, urls)),
        "on_behalf_of": null,
        "payment_method": payment.settings.token.filter(|_| declined.is_none()).map(view::method_id),
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "single_use_mandate": null,
        "status": status(payment),
        "usage": if payment.settings.reusable { "off_session" } else { "on_session" },
    })
}
