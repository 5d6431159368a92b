//! The truth about the books, for tests: every payment, and whether anybody was charged twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::error;
use crate::clock::rfc3339;
use crate::core::{Payment, Status};
use crate::http::{Call, Reply};
use crate::provider::{Account, Provider};

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;

#[derive(Debug, Serialize)]
struct Row {
    id: String,
    account: String,
    reference: String,
    idempotency_key: Option<String>,
    status: Status,
    currency: String,
    amount: i64,
    authorized: i64,
    captured: i64,
    refunded: i64,
    voided: bool,
    times_executed: u32,
    metadata: serde_json::Map<String, Value>,
    created: String,
}

#[derive(Debug, Serialize)]
struct PageView {
    data: Vec<Row>,
    next_cursor: Option<String>,
}

/// Accounts by name, payments newest first. A cursor is `{account}:{place}`.
pub(super) fn page(provider: &Provider, call: &Call) -> Result<Reply, Reply> {
    let limit = match call.query("limit").map(str::parse::<usize>) {
        None => PAGE,
        Some(Ok(limit)) if (1..=LARGEST_PAGE).contains(&limit) => limit,
        Some(_) => return Err(error(400, "limit must be 1 to 1000")),
    };
    let cursor = match call.query("cursor") {
        None => None,
        Some(cursor) => {
            let parsed = cursor
                .rsplit_once(':')
                .and_then(|(account, place)| Some((account, place.parse::<usize>().ok()?)));
            Some(parsed.ok_or_else(|| error(400, "cursor is not one of ours"))?)
        }
    };
    let mut view = PageView { data: Vec::new(), next_cursor: None };
    for account in selected(provider, call) {
        if cursor.is_some_and(|(from, _)| account.name.as_str() < from) {
            continue;
        }
        let before = cursor.filter(|(from, _)| *from == account.name).map(|(_, place)| place);
        let books = account.books();
        let page = books.page(before, limit - view.data.len());
        let row = |payment: &Arc<Payment>| row(&account, payment, books.times_executed(payment));
        view.data.extend(page.payments.iter().map(row));
        if let Some(place) = page.next {
            view.next_cursor = Some(format!("{}:{place}", account.name));
            break;
        }
    }
    Ok(Reply::json(200, &view))
}

fn row(account: &Account, payment: &Payment, times_executed: u32) -> Row {
    Row {
        id: payment.dialect.payment_id(payment.id),
        account: account.name.clone(),
        reference: payment.reference.clone(),
        idempotency_key: payment.key.clone(),
        status: payment.status,
        currency: payment.currency.clone(),
        amount: payment.amount,
        authorized: payment.authorized,
        captured: payment.captured,
        refunded: payment.refunded,
        voided: payment.voided,
        times_executed,
        metadata: payment.metadata.clone(),
        created: rfc3339(payment.created_ms),
    }
}

/// The accounts that the request is about: one, or all.
fn selected(provider: &Provider, call: &Call) -> Vec<Arc<Account>> {
    match call.query("account") {
        Some(name) => provider.known_account(name).into_iter().collect(),
        None => provider.accounts(),
    }
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    payments: usize,
    /// By status; `voided` payments are counted there only.
    by_status: BTreeMap<&'static str, usize>,
    /// Sums per currency, in minor units.
    captured: BTreeMap<String, i64>,
    refunded: BTreeMap<String, i64>,
    /// What open authorisations hold.
    held: BTreeMap<String, i64>,
    /// References (per account) with more than one payment that keeps captured money.
    double_charged_references: usize,
    /// Values of `metadata.payment` (over all selected accounts) with more than one payment that keeps
    /// captured money.
    captured_more_than_once: usize,
    /// The same, counting payments that keep captured money or still hold some.
    live_more_than_once: usize,
}

pub(super) async fn summary(provider: &Provider, call: &Call) -> Reply {
    let books: Vec<Vec<Arc<Payment>>> = selected(provider, call)
        .iter()
        .map(|account| account.books().payments().to_vec())
        .collect();
    // Millions of payments take a while: not on a thread that serves connections.
    match tokio::task::spawn_blocking(move || sum_up(&books)).await {
        Ok(summary) => Reply::json(200, &summary),
        Err(_) => error(500, "the summary failed"),
    }
}

fn sum_up(books: &[Vec<Arc<Payment>>]) -> Summary {
    let mut summary = Summary::default();
    let mut by_payment: HashMap<&str, (usize, usize)> = HashMap::new();
    for account in books {
        let mut charged: HashMap<&str, usize> = HashMap::new();
        for payment in account {
            count(&mut summary, payment);
            let keeps = usize::from(payment.refundable() > 0);
            if !payment.reference.is_empty() {
                *charged.entry(&payment.reference).or_default() += keeps;
            }
            if let Some(Value::String(id)) = payment.metadata.get("payment") {
                let (captured, live) = by_payment.entry(id).or_default();
                *captured += keeps;
                *live += usize::from(payment.is_live());
            }
        }
        summary.double_charged_references += charged.values().filter(|count| **count > 1).count();
    }
    for (captured, live) in by_payment.values() {
        summary.captured_more_than_once += usize::from(*captured > 1);
        summary.live_more_than_once += usize::from(*live > 1);
    }
    summary
}

fn count(summary: &mut Summary, payment: &Payment) {
    summary.payments += 1;
    let status = match payment.status {
        _ if payment.voided => "voided",
        Status::Created => "created",
        Status::Pending => "pending",
        Status::ActionRequired => "action_required",
        Status::Authorized => "authorized",
        Status::Captured => "captured",
        Status::Declined => "declined",
    };
    *summary.by_status.entry(status).or_default() += 1;
    let sums = [
        (&mut summary.captured, payment.captured),
        (&mut summary.refunded, payment.refunded),
        (&mut summary.held, payment.capturable()),
    ];
    for (sum, amount) in sums.into_iter().filter(|(_, amount)| *amount > 0) {
        match sum.get_mut(&payment.currency) {
            Some(sum) => *sum += amount,
            None => drop(sum.insert(payment.currency.clone(), amount)),
        }
    }
}
