//! Lists of payments and refunds, with filters, pages and true totals.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use baton_connect::RedirectMethod;
use baton_payments::status::IntentStatus;
use baton_payments::{Fault, Merchant, Payments, RefundStatus, Seen, VAULT_PROCESSOR};
use baton_store::{ListOrder, ListQuery};
use baton_types::card::Brand;
use baton_types::{Currency, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Asker, Who};
use super::body::{MaybeBody, Params};
use super::dispute::with_disputes;
use super::error::Refusal;
use super::intent::Frame;
use super::shape::currency;
use super::{PaymentsRoute, view};
use crate::App;
use crate::openapi::types::Time;

/// Objects on a page, unless the request says it, and at most.
const PAGE: u32 = 10;
const PAGE_MAX: u32 = 100;

/// Most words in one filter.
const WORDS_MAX: usize = 100;

/// Whether the payer may be challenged.
const AUTHENTICATIONS: [&str; 2] = ["three_ds", "no_three_ds"];

pub(crate) fn routes() -> Vec<PaymentsRoute> {
    let who = Who::Merchant;
    vec![
        PaymentsRoute::new("GET", "/payments/list", who, by_cursor),
        PaymentsRoute::new("POST", "/payments/list", who, payments),
        PaymentsRoute::new("POST", "/refunds/list", who, refunds),
        PaymentsRoute::new("GET", "/payments/filter", who, words_of_filters),
    ]
}

type Answer = Result<Json<Value>, Refusal>;

/// A time in the contract's form, which may leave the zone out.
pub(super) fn time(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let zoned = format!("{text}Z");
    let parsed = Timestamp::parse_rfc3339(text).or_else(|_| Timestamp::parse_rfc3339(&zoned));
    parsed.map(Some).map_err(|_| Refusal::value(field, "must be a time like 2027-01-31T00:00:00Z"))
}

pub(super) fn page_size(limit: Option<i64>) -> Result<u32, Refusal> {
    let limit = limit.unwrap_or(i64::from(PAGE));
    let fits = u32::try_from(limit).ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
    fits.ok_or_else(|| Refusal::value("limit", format!("must be 1 to {PAGE_MAX}")))
}

fn skipped(offset: Option<i64>) -> Result<u32, Refusal> {
    let offset = u32::try_from(offset.unwrap_or(0));
    offset.map_err(|_| Refusal::value("offset", "must be a number of 32 bits, and not negative"))
}

/// Words as they come into a query: none that could be read as two.
pub(super) fn words(field: &str, list: Option<Vec<String>>) -> Result<Vec<String>, Refusal> {
    let list = list.unwrap_or_default();
    let is_word = |word: &String| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        !word.is_empty() && word.len() <= 64 && word.bytes().all(fits)
    };
    if list.len() > WORDS_MAX || !list.iter().all(is_word) {
        return Err(Refusal::value(field, "must be a list of words"));
    }
    Ok(list)
}

/// The same, where the contract knows all words.
pub(super) fn known(
    field: &str,
    list: Option<Vec<String>>,
    all: &[&str],
) -> Result<Vec<String>, Refusal> {
    let list = list.unwrap_or_default();
    match list.iter().find(|word| !all.contains(&word.as_str())) {
        None => Ok(list),
        Some(_) => {
            Err(Refusal::value(field, format!("holds a word that is none of {}", all.join(", "))))
        }
    }
}

pub(super) fn currencies(list: Option<Vec<String>>) -> Result<Vec<String>, Refusal> {
    let codes = list.unwrap_or_default().into_iter();
    codes.map(|code| currency(&code).map(|known| known.code().to_owned())).collect()
}

pub(super) fn lower(list: Vec<String>) -> Vec<String> {
    list.into_iter().map(|word| word.to_ascii_lowercase()).collect()
}

/// Networks by the contract's names as they are stored. One that no card here has finds nothing.
fn networks(list: Option<Vec<String>>) -> Result<Vec<String>, Refusal> {
    let named = |name: &String| {
        let brand = Brand::ALL.into_iter().find(|brand| view::network(*brand) == Some(name));
        brand.map_or_else(|| format!("-{name}"), |brand| brand.as_str().to_owned())
    };
    Ok(words("card_network", list)?.iter().map(named).collect())
}

/// A range of amounts, in minor units.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AmountFilter {
    start_amount: Option<i64>,
    end_amount: Option<i64>,
}

impl AmountFilter {
    fn check(self) -> Result<Self, Refusal> {
        match (self.start_amount, self.end_amount) {
            (Some(start), Some(end)) if start > end => {
                Err(Refusal::value("amount_filter", "start_amount is greater than end_amount"))
            }
            _ => Ok(self),
        }
    }
}

/// The profile that is asked for: where the request acts in one, there is no other.
pub(super) fn profile(all: &ListQuery, asked: Option<String>) -> Result<Option<String>, Refusal> {
    match (&all.profile, asked) {
        (Some(own), Some(asked)) if *own != asked => {
            Err(Fault::NotFound("business profile").into())
        }
        (own, asked) => Ok(asked.or_else(|| own.clone())),
    }
}

fn in_time(query: &mut ListQuery, start: Option<&str>, end: Option<&str>) -> Result<(), Refusal> {
    query.from = time("start_time", start)?.unwrap_or(query.from);
    query.to = time("end_time", end)?.unwrap_or(query.to);
    if query.from > query.to {
        return Err(Refusal::value("start_time", "is later than end_time"));
    }
    Ok(())
}

/// Which payments are asked for, a page from a cursor.
#[derive(Deserialize)]
struct Page {
    customer_id: Option<String>,
    starting_after: Option<String>,
    ending_before: Option<String>,
    limit: Option<i64>,
    created: Option<String>,
    #[serde(rename = "created.gte")]
    gte: Option<String>,
    #[serde(rename = "created.lte")]
    lte: Option<String>,
    #[serde(rename = "created.gt")]
    gt: Option<String>,
    #[serde(rename = "created.lt")]
    lt: Option<String>,
}

impl Page {
    fn times(&self, query: &mut ListQuery) -> Result<(), Refusal> {
        let between = Between {
            name: "created",
            at: self.created.as_deref(),
            gte: self.gte.as_deref(),
            gt: self.gt.as_deref(),
            lte: self.lte.as_deref(),
            lt: self.lt.as_deref(),
        };
        between.narrow(query)
    }
}

/// Times between which objects were made, in the contract's form: a name, and bounds behind a dot.
pub(super) struct Between<'a> {
    pub(super) name: &'a str,
    pub(super) at: Option<&'a str>,
    pub(super) gte: Option<&'a str>,
    pub(super) gt: Option<&'a str>,
    pub(super) lte: Option<&'a str>,
    pub(super) lt: Option<&'a str>,
}

impl Between<'_> {
    pub(super) fn narrow(&self, query: &mut ListQuery) -> Result<(), Refusal> {
        let Self { name, at, gte, gt, lte, lt } = *self;
        let bound = |which: &str, text| time(&format!("{name}.{which}"), text);
        let later = |at: Timestamp| at.plus_millis(1);
        let earlier = |at: Timestamp| at.plus_millis(-1);
        let bounds = [time(name, at)?, bound("gte", gte)?, bound("gt", gt)?.map(later)];
        query.from = bounds.into_iter().flatten().max().unwrap_or(query.from);
        let bounds = [time(name, at)?, bound("lte", lte)?, bound("lt", lt)?.map(earlier)];
        query.to = bounds.into_iter().flatten().min().unwrap_or(query.to);
        Ok(())
    }
}

async fn by_cursor(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Params(page): Params<Page>,
) -> Answer {
    let merchant = asker.merchant()?;
    let mut query = Payments::intents_of(&merchant);
    query.limit = page_size(page.limit)?;
    query.owner.clone_from(&page.customer_id);
    page.times(&mut query)?;
    if let Some(id) = &page.starting_after {
        let last = app.payments.see(&merchant, id).await?.intent;
        if last.created_at <= query.to {
            (query.to, query.to_id) = (last.created_at, Some(id.clone()));
        }
    }
    if let Some(id) = &page.ending_before {
        let first = app.payments.see(&merchant, id).await?.intent;
        if first.created_at >= query.from {
            (query.from, query.from_id) = (first.created_at, Some(id.clone()));
        }
        // Those next to it, and then in the list's own order.
        query.order = ListOrder::Oldest;
    }
    let frame = Frame::of(&app, &asker)?;
    let mut seen = app.payments.list(&merchant, &query).await?;
    if query.order == ListOrder::Oldest {
        seen.reverse();
    }
    let data = with_all(&app, &merchant, &frame, &seen).await?;
    Ok(Json(json!({ "size": data.len(), "data": data })))
}

/// A page of payments with their disputes: only of those that have some anything is read.
async fn with_all(
    app: &App,
    merchant: &Merchant,
    frame: &Frame,
    page: &[Seen],
) -> Result<Vec<Value>, Refusal> {
    let mut data = Vec::with_capacity(page.len());
    for seen in page {
        data.push(with_disputes(app, merchant, seen, frame.payment(seen)).await?);
    }
    Ok(data)
}

/// By what a list is ordered.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SortOn {
    /// When they were made.
    #[default]
    Created,
    /// What they are about.
    Amount,
}

/// In which direction.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SortBy {
    /// The least first.
    Asc,
    /// The greatest first.
    #[default]
    Desc,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Order {
    on: SortOn,
    by: SortBy,
}

impl From<Order> for ListOrder {
    fn from(order: Order) -> Self {
        match (order.on, order.by) {
            (SortOn::Created, SortBy::Desc) => Self::Newest,
            (SortOn::Created, SortBy::Asc) => Self::Oldest,
            (SortOn::Amount, SortBy::Desc) => Self::Highest,
            (SortOn::Amount, SortBy::Asc) => Self::Lowest,
        }
    }
}

/// Which payments are asked for. What is absent, and an empty list, does not restrict.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PaymentFilter {
    payment_id: Option<String>,
    profile_id: Option<String>,
    customer_id: Option<String>,
    limit: Option<i64>,
    offset: Option<i64>,
    amount_filter: Option<AmountFilter>,
    #[schemars(with = "Option<Time>")]
    start_time: Option<String>,
    #[schemars(with = "Option<Time>")]
    end_time: Option<String>,
    connector: Option<Vec<String>>,
    merchant_connector_id: Option<Vec<String>>,
    currency: Option<Vec<String>>,
    status: Option<Vec<String>>,
    payment_method: Option<Vec<String>>,
    payment_method_type: Option<Vec<String>>,
    authentication_type: Option<Vec<String>>,
    card_network: Option<Vec<String>>,
    merchant_order_reference_id: Option<String>,
    order: Option<Order>,
}

impl PaymentFilter {
    fn into_query(self, all: ListQuery) -> Result<ListQuery, Refusal> {
        let statuses: Vec<&str> = IntentStatus::ALL.iter().map(|status| status.as_str()).collect();
        let amounts = self.amount_filter.unwrap_or_default().check()?;
        let mut query = ListQuery {
            id: self.payment_id,
            owner: self.customer_id,
            profile: profile(&all, self.profile_id)?,
            reference: self.merchant_order_reference_id,
            least: amounts.start_amount,
            most: amounts.end_amount,
            statuses: known("status", self.status, &statuses)?,
            currencies: currencies(self.currency)?,
            accounts: words("merchant_connector_id", self.merchant_connector_id)?,
            connectors: lower(words("connector", self.connector)?),
            methods: words("payment_method", self.payment_method)?,
            method_types: words("payment_method_type", self.payment_method_type)?,
            authentications: known(
                "authentication_type",
                self.authentication_type,
                &AUTHENTICATIONS,
            )?,
            networks: networks(self.card_network)?,
            order: self.order.unwrap_or_default().into(),
            limit: page_size(self.limit)?,
            offset: skipped(self.offset)?,
            ..all
        };
        in_time(&mut query, self.start_time.as_deref(), self.end_time.as_deref())?;
        Ok(query)
    }
}

async fn payments(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    MaybeBody(filter): MaybeBody<PaymentFilter>,
) -> Answer {
    let merchant = asker.merchant()?;
    let query = filter.into_query(Payments::intents_of(&merchant))?;
    let frame = Frame::of(&app, &asker)?;
    let seen = app.payments.list(&merchant, &query).await?;
    let total = app.payments.count(&query).await?;
    let data = with_all(&app, &merchant, &frame, &seen).await?;
    Ok(Json(json!({ "count": data.len(), "total_count": total, "data": data })))
}

/// What the filters of payments can be given: what the merchant's connectors are called, and all words that are known.
/// Nothing of its payments is read for it.
async fn words_of_filters(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
) -> Answer {
    let merchant = asker.merchant()?;
    let mut connectors: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for stored in app.payments.connectors(&merchant, None).await? {
        let connector = stored.body;
        if connector.kind == VAULT_PROCESSOR {
            continue;
        }
        connectors.entry(connector.connector).or_default().push(json!({
            "connector_label": connector.label,
            "merchant_connector_id": connector.id,
        }));
    }
    let mut methods = BTreeMap::from([("card", vec!["credit", "debit"])]);
    for method in RedirectMethod::ALL {
        methods.entry(method.family()).or_default().push(method.as_str());
    }
    let currencies: Vec<&str> = Currency::all().map(Currency::code).collect();
    let statuses: Vec<&str> = IntentStatus::ALL.iter().map(|status| status.as_str()).collect();
    let networks: Vec<&str> = Brand::ALL.into_iter().filter_map(view::network).collect();
    Ok(Json(json!({
        "connector": connectors,
        "currency": currencies,
        "status": statuses,
        "payment_method": methods,
        "authentication_type": AUTHENTICATIONS,
        "card_network": networks,
    })))
}

/// Which refunds are asked for. What is absent, and an empty list, does not restrict.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RefundFilter {
    payment_id: Option<String>,
    refund_id: Option<String>,
    profile_id: Option<String>,
    limit: Option<i64>,
    offset: Option<i64>,
    #[schemars(with = "Option<Time>")]
    start_time: Option<String>,
    #[schemars(with = "Option<Time>")]
    end_time: Option<String>,
    amount_filter: Option<AmountFilter>,
    connector: Option<Vec<String>>,
    merchant_connector_id: Option<Vec<String>>,
    currency: Option<Vec<String>>,
    refund_status: Option<Vec<String>>,
}

impl RefundFilter {
    fn into_query(self, all: ListQuery) -> Result<ListQuery, Refusal> {
        let statuses = RefundStatus::ALL.map(RefundStatus::as_str);
        let amounts = self.amount_filter.unwrap_or_default().check()?;
        let mut query = ListQuery {
            id: self.refund_id,
            owner: self.payment_id,
            profile: profile(&all, self.profile_id)?,
            least: amounts.start_amount,
            most: amounts.end_amount,
            // The contract knows a fourth status, in which no refund is here.
            statuses: known(
                "refund_status",
                self.refund_status,
                &[&statuses[..], &["review"]].concat(),
            )?,
            currencies: currencies(self.currency)?,
            accounts: words("merchant_connector_id", self.merchant_connector_id)?,
            connectors: lower(words("connector", self.connector)?),
            limit: page_size(self.limit)?,
            offset: skipped(self.offset)?,
            ..all
        };
        in_time(&mut query, self.start_time.as_deref(), self.end_time.as_deref())?;
        Ok(query)
    }
}

async fn refunds(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    MaybeBody(filter): MaybeBody<RefundFilter>,
) -> Answer {
    let merchant = asker.merchant()?;
    let query = filter.into_query(Payments::refunds_of(&merchant))?;
    let seen = app.payments.list_refunds(&merchant, &query).await?;
    let total = app.payments.count(&query).await?;
    let data: Vec<Value> = seen.iter().map(view::refund).collect();
    Ok(Json(json!({ "count": data.len(), "total_count": total, "data": data })))
}
