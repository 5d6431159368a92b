//! What the clients were told against the provider's books.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde_json::Value;

use super::load::{self, Answer, Order, Request, What};
use crate::support::Client;

/// What a run was like.
#[derive(Debug, Default)]
pub(super) struct Told {
    orders: usize,
    pub(super) lost: u32,
    pub(super) success: usize,
    pub(super) in_doubt: usize,
    pub(super) failed_over: usize,
    kept: i64,
}

impl Told {
    pub(super) fn of(orders: &[Order]) -> Told {
        let mut told = Told { orders: orders.len(), ..Told::default() };
        for request in orders.iter().flat_map(|order| &order.requests) {
            told.lost += request.lost;
            told.success += usize::from(request.last().is_some_and(Answer::is_success));
            told.in_doubt += usize::from(request.answers.iter().any(|a| a.code == "Accepted"));
            told.failed_over += usize::from(request.answers.iter().any(|a| a.attempts > 1));
        }
        told.kept = orders.iter().map(|order| Ours::of(order).kept()).sum();
        told
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { orders, lost, success, in_doubt, failed_over, kept } = self;
        write!(
            f,
            "{orders} orders, {success} requests approved, {lost} cut off, {in_doubt} told \"in \
             doubt\", {failed_over} failed over, {kept} minor units kept"
        )
    }
}

/// An order by the answers that its client has.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ours {
    approved: bool,
    voided: bool,
    captured: i64,
    refunded: i64,
}

impl Ours {
    fn of(order: &Order) -> Ours {
        let mut ours = Ours::default();
        let approved = |request: &&Request| request.last().is_some_and(Answer::is_success);
        for request in order.requests.iter().filter(approved) {
            match request.what {
                What::Charge => (ours.approved, ours.captured) = (true, order.amount),
                What::Authorize => ours.approved = true,
                What::Capture(amount) => ours.captured += amount,
                What::Void => ours.voided = true,
                What::Refund(amount) => ours.refunded += amount,
            }
        }
        ours
    }

    fn kept(&self) -> i64 {
        self.captured - self.refunded
    }
}

/// Whether a payment in the books holds or has taken money.
fn is_live(row: &Value) -> bool {
    let answered = matches!(row["status"].as_str(), Some("authorized" | "captured"));
    answered && row["voided"] == false
}

fn number(row: &Value, name: &str) -> i64 {
    row[name].as_i64().unwrap()
}

fn by_amount(rows: &[Value]) -> HashMap<i64, Vec<&Value>> {
    let mut found: HashMap<i64, Vec<&Value>> = HashMap::new();
    for row in rows {
        found.entry(number(row, "amount")).or_default().push(row);
    }
    found
}

/// Orders that the provider has money of and that we do not know, before anybody asks again.
pub(super) async fn lost(client: &Client, orders: &[Order], rows: &[Value]) -> Vec<String> {
    let rows = by_amount(rows);
    let mut complaints = Vec::new();
    for order in orders {
        let reference = order.reference();
        let status = load::status(client, order).await;
        let of_order = rows.get(&order.amount).map_or(&[][..], Vec::as_slice);
        let live = of_order.iter().filter(|row| is_live(row)).count();
        // A void changes the status of the hold, not whether it was approved.
        if live > 0 && !status.is_success() {
            complaints.push(format!("{reference}: the provider has it, we say {status:?}"));
        }
        let voided = of_order.iter().any(|row| row["voided"] == true);
        if status.is_success() && live == 0 && !voided {
            complaints.push(format!("{reference}: approved, but not in the books"));
        }
    }
    complaints
}

/// Everything that does not agree.
pub(super) fn compare(orders: &[Order], rows: &[Value]) -> Vec<String> {
    let in_books = by_amount(rows);
    let known: HashSet<i64> = orders.iter().map(|order| order.amount).collect();
    let mut complaints: Vec<String> = in_books
        .keys()
        .filter(|amount| !known.contains(amount))
        .map(|amount| format!("the books have a payment of {amount} that nobody ordered"))
        .collect();
    for order in orders {
        let of_order = in_books.get(&order.amount).map_or(&[][..], Vec::as_slice);
        let found = compare_answers(order).into_iter().chain(compare_books(order, of_order));
        complaints.extend(found.map(|what| format!("{}: {what}\n  {order:?}", order.reference())));
    }
    let ours: i64 = orders.iter().map(|order| Ours::of(order).kept()).sum();
    let theirs: i64 =
        rows.iter().map(|row| number(row, "captured") - number(row, "refunded")).sum();
    if ours != theirs {
        complaints.push(format!("we say that {ours} was kept, the books say {theirs}"));
    }
    complaints
}

/// No request is without a last word, and no last word was taken back.
fn compare_answers(order: &Order) -> Vec<String> {
    let mut complaints = Vec::new();
    for request in &order.requests {
        if !request.last().is_some_and(Answer::is_final) {
            complaints.push(format!("{:?} has no final answer", request.what));
        }
        let mut last_word: HashMap<&str, bool> = HashMap::new();
        for answer in request.answers.iter().filter(|answer| answer.is_final()) {
            let before = last_word.insert(&answer.payment, answer.is_success());
            if before.is_some_and(|before| before != answer.is_success()) {
                complaints.push(format!("{:?} was told otherwise before", request.what));
            }
        }
        let approved = request.answers.iter().filter(|answer| answer.is_success());
        let ids: HashSet<_> = approved.map(|a| (&a.payment, &a.provider_id)).collect();
        if ids.len() > 1 {
            complaints.push(format!("{:?} was approved as {ids:?}", request.what));
        }
        let told = request.answers.iter().any(Answer::is_success);
        if told && !request.last().is_some_and(Answer::is_success) {
            complaints.push(format!("{:?} was told approved, and is not", request.what));
        }
    }
    complaints
}

fn compare_books(order: &Order, rows: &[&Value]) -> Vec<String> {
    let ours = Ours::of(order);
    let live: Vec<&&Value> = rows.iter().filter(|row| is_live(row)).collect();
    let mut complaints = Vec::new();
    if rows.iter().any(|row| row["status"] == "pending" && row["voided"] == false) {
        complaints.push("still pending at the provider".to_owned());
    }
    match (ours.approved && !ours.voided, live.as_slice()) {
        (_, [_, _, ..]) => complaints.push(format!("charged {} times", live.len())),
        (true, []) => complaints.push("approved, and not in the books".to_owned()),
        (false, [row]) => complaints.push(format!("not approved, but in the books: {row}")),
        (false, []) => {}
        (true, [row]) => {
            let theirs = (number(row, "captured"), number(row, "refunded"));
            if theirs != (ours.captured, ours.refunded) {
                complaints.push(format!("we say {ours:?}, the books {theirs:?}"));
            }
            let told = order.requests[0].last().unwrap();
            if row["id"] != told.provider_id.as_str()
                || row["metadata"]["payment"] != told.payment.as_str()
            {
                complaints.push(format!("the books call it otherwise: {row}"));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SUCCESS: &str = "Success";

    fn answer(code: &str) -> Answer {
        Answer {
            code: code.to_owned(),
            payment: "pay_1".to_owned(),
            provider_id: "sp_1".to_owned(),
            attempts: 1,
        }
    }

    fn request(what: What, codes: &[&str]) -> Request {
        Request::with(what, codes.iter().map(|code| answer(code)).collect())
    }

    fn order(requests: Vec<Request>) -> Vec<Order> {
        vec![Order { amount: 100, requests }]
    }

    fn row(captured: i64, refunded: i64, voided: bool) -> Value {
        let status = if captured > 0 { "captured" } else { "authorized" };
        json!({"id": "sp_1", "amount": 100, "status": status, "captured": captured,
               "refunded": refunded, "voided": voided, "metadata": {"payment": "pay_1"}})
    }

    #[test]
    fn agreement_is_not_complained_about() {
        let charge = request(What::Charge, &["Accepted", SUCCESS, SUCCESS]);
        let refund = request(What::Refund(30), &[SUCCESS]);
        assert_eq!(compare(&order(vec![charge, refund]), &[row(100, 30, false)]), [""; 0]);
        let held = vec![request(What::Authorize, &[SUCCESS]), request(What::Void, &[SUCCESS])];
        assert_eq!(compare(&order(held), &[row(0, 0, true)]), [""; 0]);
        let declined = request(What::Charge, &["TemporaryFailure"]);
        assert_eq!(compare(&order(vec![declined]), &[]), [""; 0]);
    }

    #[test]
    fn every_disagreement_is_found() {
        let charge = |codes: &[&str]| order(vec![request(What::Charge, codes)]);
        let refunded = |codes: &[&str]| {
            let charge = request(What::Charge, &[SUCCESS]);
            order(vec![charge, request(What::Refund(30), codes)])
        };
        let other = |name: &str| {
            let mut other = row(100, 0, false);
            other[name] = json!("another");
            other
        };
        let taken = row(100, 0, false);
        let mut again = charge(&["TemporaryFailure"]);
        again[0].requests[0].open = true;
        let table = [
            ("asked again, without an answer", again, vec![taken.clone()]),
            ("charged twice", charge(&[SUCCESS]), vec![taken.clone(), taken.clone()]),
            ("lost at the provider", charge(&[SUCCESS]), vec![]),
            ("taken and told declined", charge(&["Rejected"]), vec![taken.clone()]),
            ("taken and told try again", charge(&["TemporaryFailure"]), vec![taken.clone()]),
            ("never answered for good", charge(&["Accepted"]), vec![taken.clone()]),
            ("never answered at all", charge(&[]), vec![]),
            ("success taken back", charge(&[SUCCESS, "Rejected"]), vec![]),
            ("failure taken back", charge(&["Rejected", SUCCESS]), vec![taken.clone()]),
            ("voided behind our back", charge(&[SUCCESS]), vec![row(100, 0, true)]),
            ("another sum", charge(&[SUCCESS]), vec![row(99, 0, false)]),
            ("another payment", charge(&[SUCCESS]), vec![other("id")]),
            ("a refund of ours alone", refunded(&[SUCCESS]), vec![taken.clone()]),
            ("a refund of theirs alone", refunded(&["Rejected"]), vec![row(100, 30, false)]),
            ("a refund that happened twice", refunded(&[SUCCESS]), vec![row(100, 60, false)]),
            ("an order that nobody made", vec![], vec![taken]),
        ];
        for (name, orders, rows) in table {
            assert!(!compare(&orders, &rows).is_empty(), "{name}");
        }
    }
}
