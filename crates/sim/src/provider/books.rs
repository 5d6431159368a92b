//! One provider's books, in no dialect: what was asked, what it did, and what it remembers.
//!
//! Simpler than any provider and more forgiving than most: it lets itself be refunded more than it captured,
//! so that only our own checks stand in the way. Times are true time, in milliseconds.

use std::collections::{HashMap, HashSet};

use baton_connect::HttpReply;

/// What a provider makes of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Approve,
    /// For this much.
    Partial(i64),
    Decline(Decline),
    /// It will say later.
    Pending {
        then: Option<Decline>,
    },
    /// The payer has to act.
    Challenge,
}

/// A refusal to pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decline {
    Issuer,
    Risk,
    Provider,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Made, and not confirmed: nothing has happened yet.
    Unconfirmed,
    Pending,
    Challenge,
    Declined(Decline),
    Authorized,
    Captured,
}

/// A payment at the provider.
#[derive(Clone, Debug)]
pub(crate) struct Paid {
    pub(crate) id: String,
    pub(crate) order: u64,
    pub(crate) reference: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) sale: bool,
    pub(crate) verdict: Verdict,
    pub(crate) state: State,
    pub(crate) authorized: i64,
    /// The reference of the raise that it holds its amount by.
    pub(crate) raised_by: Option<String>,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    pub(crate) voided: bool,
    pub(crate) made_ms: i64,
    /// From when on a look-up by reference shows it.
    pub(crate) shown_ms: i64,
    /// When it began to hold money, and when it ceased to.
    pub(crate) held_ms: Option<i64>,
    pub(crate) freed_ms: Option<i64>,
}

impl Paid {
    /// Whether it holds money or has taken it.
    pub(crate) fn is_live(&self) -> bool {
        !self.voided && matches!(self.state, State::Authorized | State::Captured)
    }

    /// What it has taken and not given back by a void.
    pub(crate) fn taken(&self) -> i64 {
        if self.voided { 0 } else { self.captured }
    }

    /// Whether money can still move without a new request of ours.
    pub(crate) fn is_open(&self) -> bool {
        !self.voided && matches!(self.state, State::Pending | State::Challenge)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Capture,
    Void,
    Refund,
    /// The amount is what is held from then on.
    Raise,
}

/// A capture, void, refund or raise that was made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) payment: usize,
    pub(crate) reference: String,
    pub(crate) amount: i64,
    pub(crate) shown_ms: i64,
    /// A void that named the payment by our reference only.
    pub(crate) by_reference: bool,
}

/// Why a change is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotCapturable,
    TooMuch,
    NotVoidable,
    NotRefundable,
    NotRaisable,
}

/// What happened in the books, for whoever is told.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Payment(usize),
    Change(usize),
    /// A change that was asked for and not made.
    Refused {
        kind: Kind,
        payment: usize,
        reference: String,
        id: String,
        amount: i64,
    },
    /// A cancel by reference that found nothing.
    NothingToCancel {
        reference: String,
        id: String,
    },
}

/// A request to make a payment.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) reference: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) sale: bool,
}

/// An answer that is kept under an idempotency key.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) request: Vec<u8>,
    pub(crate) reply: HttpReply,
    pub(crate) until_ms: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) payments: Vec<Paid>,
    pub(crate) changes: Vec<Made>,
    pub(crate) keys: HashMap<String, Kept>,
    pub(crate) fenced: HashSet<String>,
    /// What happened since somebody looked.
    pub(crate) events: Vec<Event>,
    by_id: HashMap<String, usize>,
    by_reference: HashMap<String, Vec<usize>>,
    changes_by_reference: HashMap<String, Vec<usize>>,
    ids: u64,
}

/// Which order an amount belongs to: see [`amount_of`].
pub(crate) fn order_of(amount: i64) -> u64 {
    u64::try_from(amount.div_euclid(1_000)).unwrap_or(0).saturating_sub(1)
}

/// An amount that tells its order, so that a provider's fate can be looked up by that.
pub(crate) fn amount_of(order: u64, cents: u64) -> i64 {
    let thousands = order.saturating_add(1).saturating_mul(1_000);
    i64::try_from(thousands.saturating_add(cents % 1_000)).unwrap_or(i64::MAX)
}

impl Books {
    pub(crate) fn next_id(&mut self, prefix: &str) -> String {
        self.ids = self.ids.saturating_add(1);
        format!("{prefix}{:012}", self.ids)
    }

    pub(crate) fn payment(&self, place: usize) -> Option<&Paid> {
        self.payments.get(place)
    }

    pub(crate) fn place(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// Payments with this reference that a look-up shows, newest first.
    pub(crate) fn shown(&self, reference: &str, now_ms: i64) -> Vec<&Paid> {
        let places = self.by_reference.get(reference).map_or(&[][..], Vec::as_slice);
        let paid = places.iter().rev().filter_map(|place| self.payments.get(*place));
        paid.filter(|paid| paid.shown_ms <= now_ms).collect()
    }

    /// Every payment with this reference.
    pub(crate) fn with_reference(&self, reference: &str) -> impl Iterator<Item = &Paid> {
        let places = self.by_reference.get(reference).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|place| self.payments.get(*place))
    }

    /// Changes with this reference that a look-up shows, newest first.
    pub(crate) fn changes_shown(&self, reference: &str, now_ms: i64) -> Vec<&Made> {
        let places = self.changes_by_reference.get(reference).map_or(&[][..], Vec::as_slice);
        let made = places.iter().rev().filter_map(|place| self.changes.get(*place));
        made.filter(|made| made.shown_ms <= now_ms).collect()
    }

    /// Makes a payment that is not confirmed.
    pub(crate) fn make(
        &mut self,
        prefix: &str,
        new: New,
        verdict: Verdict,
        now_ms: i64,
        lag_ms: i64,
    ) -> usize {
        let place = self.payments.len();
        let id = self.next_id(prefix);
        self.by_id.insert(id.clone(), place);
        self.by_reference.entry(new.reference.clone()).or_default().push(place);
        self.payments.push(Paid {
            id,
            order: order_of(new.amount),
            reference: new.reference,
            amount: new.amount,
            currency: new.currency,
            sale: new.sale,
            verdict,
            state: State::Unconfirmed,
            authorized: 0,
            raised_by: None,
            captured: 0,
            refunded: 0,
            voided: false,
            made_ms: now_ms,
            shown_ms: now_ms.saturating_add(lag_ms),
            held_ms: None,
            freed_ms: None,
        });
        place
    }

    /// Carries a payment out: its verdict takes effect.
    pub(crate) fn confirm(&mut self, place: usize, now_ms: i64) {
        let Some(paid) = self.payments.get_mut(place) else { return };
        match paid.verdict.clone() {
            Verdict::Approve => paid.approve(paid.amount, now_ms),
            Verdict::Partial(amount) => paid.approve(amount, now_ms),
            Verdict::Decline(by) => paid.state = State::Declined(by),
            Verdict::Pending { .. } => paid.state = State::Pending,
            Verdict::Challenge => paid.state = State::Challenge,
        }
        self.events.push(Event::Payment(place));
    }

    /// What was open comes to its end, unless it was voided meanwhile.
    pub(crate) fn settle(&mut self, place: usize, decline: Option<Decline>, now_ms: i64) -> bool {
        let Some(paid) = self.payments.get_mut(place).filter(|paid| paid.is_open()) else {
            return false;
        };
        match decline {
            None => paid.approve(paid.amount, now_ms),
            Some(by) => paid.state = State::Declined(by),
        }
        self.events.push(Event::Payment(place));
        true
    }

    /// What the provider denied takes place after all.
    pub(crate) fn settle_denied(&mut self, place: usize, now_ms: i64) {
        if let Some(paid) = self.payments.get_mut(place)
            && matches!(paid.state, State::Declined(_))
        {
            paid.approve(paid.amount, now_ms);
            self.events.push(Event::Payment(place));
        }
    }

    pub(crate) fn capture(
        &mut self,
        place: usize,
        amount: i64,
        reference: &str,
        now_ms: i64,
    ) -> Result<usize, Refusal> {
        let paid = self.payments.get_mut(place).ok_or(Refusal::NotCapturable)?;
        if paid.sale || !paid.is_live() {
            return Err(Refusal::NotCapturable);
        }
        if amount > paid.authorized.saturating_sub(paid.captured) {
            return Err(Refusal::TooMuch);
        }
        paid.captured = paid.captured.saturating_add(amount);
        paid.state = State::Captured;
        Ok(self.note(Kind::Capture, place, amount, reference, now_ms))
    }

    pub(crate) fn void(
        &mut self,
        place: usize,
        reference: &str,
        now_ms: i64,
    ) -> Result<usize, Refusal> {
        let paid = self.payments.get_mut(place).ok_or(Refusal::NotVoidable)?;
        let declined = matches!(paid.state, State::Declined(_));
        if paid.voided || declined || paid.refunded > 0 || (!paid.sale && paid.captured > 0) {
            return Err(Refusal::NotVoidable);
        }
        paid.voided = true;
        paid.freed_ms = Some(now_ms);
        let amount = paid.authorized;
        Ok(self.note(Kind::Void, place, amount, reference, now_ms))
    }

    pub(crate) fn refund(
        &mut self,
        place: usize,
        amount: i64,
        reference: &str,
        now_ms: i64,
    ) -> Result<usize, Refusal> {
        let paid = self.payments.get_mut(place).ok_or(Refusal::NotRefundable)?;
        if paid.taken() == 0 {
            return Err(Refusal::NotRefundable);
        }
        paid.refunded = paid.refunded.saturating_add(amount);
        Ok(self.note(Kind::Refund, place, amount, reference, now_ms))
    }

    /// Holds this total from now on: asked twice it holds what it holds.
    pub(crate) fn raise(
        &mut self,
        place: usize,
        total: i64,
        reference: &str,
        now_ms: i64,
    ) -> Result<usize, Refusal> {
        let paid = self.payments.get_mut(place).ok_or(Refusal::NotRaisable)?;
        if paid.sale || !paid.is_live() || paid.captured > 0 {
            return Err(Refusal::NotRaisable);
        }
        (paid.amount, paid.authorized) = (total, total);
        paid.raised_by = Some(reference.to_owned());
        Ok(self.note(Kind::Raise, place, total, reference, now_ms))
    }

    /// Notes that a change was asked for and not made, where a webhook tells it.
    pub(crate) fn refuse(
        &mut self,
        what: &str,
        payment: usize,
        reference: &str,
        id: &str,
        amount: i64,
    ) {
        let kind = match what {
            "captures" => Kind::Capture,
            "refunds" => Kind::Refund,
            "amountUpdates" => Kind::Raise,
            _ => Kind::Void,
        };
        let (reference, id) = (reference.to_owned(), id.to_owned());
        self.events.push(Event::Refused { kind, payment, reference, id, amount });
    }

    /// The reference of the capture that a payment had.
    pub(crate) fn captured_by(&self, id: &str) -> Option<&str> {
        let place = self.place(id)?;
        let first =
            self.changes.iter().find(|made| made.payment == place && made.kind == Kind::Capture);
        first.map(|made| made.reference.as_str())
    }

    fn note(
        &mut self,
        kind: Kind,
        payment: usize,
        amount: i64,
        reference: &str,
        now_ms: i64,
    ) -> usize {
        let place = self.changes.len();
        let id = self.next_id("op_");
        self.changes.push(Made {
            id,
            kind,
            payment,
            reference: reference.to_owned(),
            amount,
            shown_ms: now_ms,
            by_reference: false,
        });
        self.changes_by_reference.entry(reference.to_owned()).or_default().push(place);
        self.events.push(Event::Change(place));
        place
    }
}

impl Paid {
    fn approve(&mut self, amount: i64, now_ms: i64) {
        self.authorized = amount;
        self.held_ms = Some(now_ms);
        if self.sale {
            self.captured = amount;
            self.state = State::Captured;
        } else {
            self.state = State::Authorized;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(sale: bool, verdict: Verdict) -> (Books, usize) {
        let mut books = Books::default();
        let new = New {
            reference: "r-a1".into(),
            amount: amount_of(4, 50),
            currency: "EUR".into(),
            sale,
        };
        let place = books.make("sp_", new, verdict, 10, 5);
        books.confirm(place, 10);
        (books, place)
    }

    #[test]
    fn an_amount_tells_its_order() {
        for order in [0, 1, 99_999] {
            assert_eq!(order_of(amount_of(order, 999)), order);
        }
    }

    #[test]
    fn a_hold_is_captured_or_voided_and_shows_late() {
        let (mut books, place) = made(false, Verdict::Approve);
        assert_eq!(books.shown("r-a1", 14).len(), 0);
        assert_eq!(books.shown("r-a1", 15).len(), 1);
        assert_eq!(books.capture(place, 9_000, "c", 20), Err(Refusal::TooMuch));
        assert!(books.capture(place, 5_000, "c", 20).is_ok());
        assert_eq!(books.void(place, "v", 21), Err(Refusal::NotVoidable));
        assert_eq!(books.payments[place].taken(), 5_000);

        let (mut books, place) = made(false, Verdict::Approve);
        assert!(books.raise(place, 9_000, "i", 20).is_ok());
        assert!(books.capture(place, 9_000, "c", 21).is_ok());
        assert_eq!(books.raise(place, 10_000, "i", 22), Err(Refusal::NotRaisable));

        let (mut books, place) = made(false, Verdict::Approve);
        assert!(books.void(place, "v", 20).is_ok());
        assert_eq!(books.raise(place, 9_000, "i", 21), Err(Refusal::NotRaisable));
        assert_eq!(books.capture(place, 1, "c", 21), Err(Refusal::NotCapturable));
        assert!(!books.payments[place].is_live());
    }

    #[test]
    fn a_voided_challenge_is_never_completed() {
        let (mut books, place) = made(true, Verdict::Challenge);
        assert!(books.void(place, "v", 20).is_ok());
        assert!(!books.settle(place, None, 30));
        let (mut books, place) = made(true, Verdict::Pending { then: None });
        assert!(books.settle(place, None, 30));
        assert_eq!(books.payments[place].taken(), books.payments[place].amount);
    }
}
