//! The documented tables: decline codes, test cards and scripted amounts.
//!
//! One source for the server, its tests and `docs/sandbox.md` (a test compares the page with these
//! tables). A decline code's name is the normalised one; each dialect translates it in its own folder.

use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::core::payment::UNAUTHENTICATED;
use crate::core::{DisputeStage as Stage, NewDispute, Verdict};
use crate::script::{Action, Answer, CommitWhen, Fault};

/// Who refused a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclinedBy {
    /// The cardholder's bank.
    Issuer,
    /// The provider's risk engine; the issuer was not asked.
    ProviderRisk,
    /// The provider itself, for another reason; the issuer was not asked.
    Provider,
}

/// One row of the decline table.
#[derive(Debug)]
pub struct Decline {
    /// The normalised code, snake_case.
    pub code: &'static str,
    /// Who refuses.
    pub by: DeclinedBy,
    /// One line for people.
    pub message: &'static str,
}

/// A reference to a row of the decline table; written as its code.
#[derive(Clone, Copy, Debug)]
pub struct DeclineCode(&'static Decline);

impl DeclineCode {
    /// The row with this code.
    #[must_use]
    pub fn find(code: &str) -> Option<DeclineCode> {
        DECLINES.iter().find(|row| row.code == code).map(DeclineCode)
    }

    /// The row itself.
    #[must_use]
    pub fn row(self) -> &'static Decline {
        self.0
    }
}

impl PartialEq for DeclineCode {
    fn eq(&self, other: &DeclineCode) -> bool {
        self.0.code == other.0.code
    }
}

impl Serialize for DeclineCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.code)
    }
}

impl<'de> Deserialize<'de> for DeclineCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DeclineCode, D::Error> {
        let code = String::deserialize(deserializer)?;
        DeclineCode::find(&code)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown decline code {code}")))
    }
}

/// A test card with a scripted behaviour.
#[derive(Debug)]
pub struct TestCard {
    /// The full number; valid by the Luhn check.
    pub number: &'static str,
    /// What happens, for people.
    pub description: String,
    pub(crate) verdict: Verdict,
}

/// A test card that is approved, and disputed once it has paid.
#[derive(Debug)]
pub struct DisputeCard {
    /// The full number; valid by the Luhn check.
    pub number: &'static str,
    /// What happens, for people.
    pub description: &'static str,
    pub(crate) dispute: NewDispute,
}

/// An amount with a scripted behaviour.
#[derive(Debug)]
pub struct TestAmount {
    /// In minor units of any currency.
    pub amount: i64,
    /// What happens, for people.
    pub description: String,
    pub(crate) action: Action,
}

/// Everything that a request can trigger by its data alone.
#[derive(Debug)]
pub struct Codes {
    /// Decline codes with their amounts: the n-th row, from 0, is triggered by `900_001 + n`.
    pub declines: Vec<(i64, &'static Decline)>,
    /// Test cards. Any other number that passes the Luhn check is approved.
    pub cards: Vec<TestCard>,
    /// Test cards that are disputed.
    pub disputes: Vec<DisputeCard>,
    /// Amounts that trigger faults and special outcomes.
    pub amounts: Vec<TestAmount>,
}

/// The documented tables.
#[must_use]
pub fn codes() -> &'static Codes {
    static CODES: LazyLock<Codes> = LazyLock::new(|| Codes {
        declines: (FIRST_DECLINE_AMOUNT..).zip(DECLINES).collect(),
        cards: cards(),
        disputes: disputes(),
        amounts: (FIRST_FAULT_AMOUNT..)
            .zip(faults())
            .map(|(amount, (description, action))| TestAmount {
                amount,
                description: description.to_owned(),
                action,
            })
            .collect(),
    });
    &CODES
}

const FIRST_DECLINE_AMOUNT: i64 = 900_001;
const FIRST_FAULT_AMOUNT: i64 = 910_001;

/// What an amount asks for, if it is one of the scripted ones.
pub(crate) fn action_of_amount(amount: i64) -> Option<Action> {
    let place = |first: i64| usize::try_from(amount.checked_sub(first)?).ok();
    if let Some(decline) = place(FIRST_DECLINE_AMOUNT).and_then(|at| DECLINES.get(at)) {
        return Some(Action::verdict(Verdict::Decline(DeclineCode(decline))));
    }
    let row = place(FIRST_FAULT_AMOUNT).and_then(|at| codes().amounts.get(at))?;
    Some(row.action.clone())
}

/// What a card number asks for.
pub(crate) fn verdict_of_card(number: &str) -> Verdict {
    let card = codes().cards.iter().find(|card| card.number == number);
    card.map_or(Verdict::Approve, |card| card.verdict.clone())
}

/// What a card number is disputed for.
pub(crate) fn dispute_of_card(number: &str) -> Option<NewDispute> {
    let card = codes().disputes.iter().find(|card| card.number == number)?;
    Some(card.dispute.clone())
}

fn disputes() -> Vec<DisputeCard> {
    let rows = [
        (
            "4000000000000259",
            "approved, then disputed as fraudulent",
            NewDispute::of("fraudulent", Stage::Dispute),
        ),
        (
            "4000000000002685",
            "approved, then disputed: product_not_received",
            NewDispute::of("product_not_received", Stage::Dispute),
        ),
        (
            "4000000000001976",
            "approved, then an inquiry: no money is withdrawn",
            NewDispute::of("fraudulent", Stage::PreDispute),
        ),
    ];
    let card = |(number, description, dispute)| DisputeCard { number, description, dispute };
    rows.into_iter().map(card).collect()
}

const fn row(code: &'static str, by: DeclinedBy, message: &'static str) -> Decline {
    Decline { code, by, message }
}

const fn by_issuer(code: &'static str, message: &'static str) -> Decline {
    row(code, DeclinedBy::Issuer, message)
}

/// Every decline code. Rows are only ever added at the end of their group's amounts, never moved: the
/// amounts are documented.
const DECLINES: &[Decline] = &[
    by_issuer("do_not_honor", "The issuer declined without a reason."),
    by_issuer("generic_decline", "The card was declined."),
    by_issuer("insufficient_funds", "The account lacks the funds."),
    by_issuer("lost_card", "The card was reported lost."),
    by_issuer("stolen_card", "The card was reported stolen."),
    by_issuer("pickup_card", "The issuer wants the card retained."),
    by_issuer("restricted_card", "The card is restricted."),
    by_issuer("expired_card", "The card has expired."),
    by_issuer("invalid_card_number", "The issuer does not know this card number."),
    by_issuer("invalid_expiry", "The expiry date is wrong."),
    by_issuer("incorrect_cvv", "The card verification code is wrong."),
    by_issuer("incorrect_pin", "The PIN is wrong."),
    by_issuer("pin_tries_exceeded", "Too many wrong PINs."),
    by_issuer("card_not_active", "The card has not been activated."),
    by_issuer("closed_account", "The account is closed."),
    by_issuer("no_such_account", "The account does not exist."),
    by_issuer("no_such_issuer", "No issuer for this card number."),
    by_issuer("issuer_unavailable", "The issuer cannot be reached."),
    by_issuer("issuer_timeout_declined", "The issuer did not answer in time."),
    by_issuer("transaction_not_permitted_cardholder", "Not permitted to this cardholder."),
    by_issuer("transaction_not_permitted_terminal", "Not permitted to this merchant."),
    by_issuer("amount_limit_exceeded", "Above the card's amount limit."),
    by_issuer("count_limit_exceeded", "Above the card's limit of uses."),
    by_issuer("currency_not_supported", "The card does not support this currency."),
    by_issuer("invalid_amount", "The issuer refuses the amount."),
    by_issuer("invalid_transaction", "The issuer refuses this kind of transaction."),
    by_issuer("invalid_merchant", "The issuer does not accept this merchant."),
    by_issuer("authentication_required", "The issuer requires authentication."),
    by_issuer("authentication_failed", "The cardholder failed authentication."),
    by_issuer("suspected_fraud", "The issuer suspects fraud."),
    by_issuer("security_violation", "The issuer reports a security violation."),
    by_issuer("law_violation", "The issuer may not complete it by law."),
    by_issuer("call_issuer", "The issuer wants a telephone call."),
    by_issuer("stop_payment", "The cardholder stopped this payment."),
    by_issuer("revocation_of_authorization", "The cardholder revoked this authorisation."),
    by_issuer("revocation_of_all_authorizations", "The cardholder revoked all authorisations."),
    by_issuer("card_lifecycle_update", "The card was replaced; newer details exist."),
    by_issuer("policy_decline", "The issuer's policy forbids it."),
    by_issuer("duplicate_transaction", "The issuer saw the same transaction before."),
    by_issuer("address_verification_failed", "The billing address does not match."),
    by_issuer(
        "partial_approval_unsupported",
        "Only part could be approved, which was not allowed.",
    ),
    by_issuer("system_malfunction", "The issuer's system failed."),
    by_issuer("format_error", "The issuer could not read the message."),
    by_issuer("reenter_transaction", "The issuer asks to send it again."),
    by_issuer("prepaid_not_supported", "Prepaid cards are not accepted."),
    by_issuer("card_brand_not_supported", "This card brand is not accepted."),
    row("risk_blocked", DeclinedBy::ProviderRisk, "Blocked by the provider's risk rules."),
    row("velocity_exceeded", DeclinedBy::ProviderRisk, "Too many payments in a short time."),
    row("blocklisted", DeclinedBy::ProviderRisk, "The card or shopper is on a block list."),
    row("merchant_account_disabled", DeclinedBy::Provider, "The merchant account is disabled."),
    row("provider_declined", DeclinedBy::Provider, "The provider refused."),
    row("installments_not_supported", DeclinedBy::Provider, "Instalments are not available."),
];

fn cards() -> Vec<TestCard> {
    let approved = [
        ("4111111111111111", "Visa"),
        ("4242424242424242", "Visa"),
        ("5555555555554444", "Mastercard"),
        ("5105105105105100", "Mastercard"),
        ("2223003122003222", "Mastercard, 2-series"),
        ("378282246310005", "American Express"),
        ("6011111111111117", "Discover"),
        ("3056930009020004", "Diners Club"),
        ("3566002020360505", "JCB"),
        ("6200000000000005", "UnionPay"),
    ];
    let declined = [
        ("4000000000000002", "generic_decline"),
        ("4000000000000036", "do_not_honor"),
        ("4000000000009995", "insufficient_funds"),
        ("4000000000009987", "lost_card"),
        ("4000000000009979", "stolen_card"),
        ("4000000000000069", "expired_card"),
        ("4000000000000127", "incorrect_cvv"),
        ("4000000000000119", "system_malfunction"),
        ("4000000000006975", "count_limit_exceeded"),
        ("4100000000000019", "risk_blocked"),
    ];
    let challenge = Verdict::Challenge { abandoned: false, gives_up_ms: None };
    let abandoned = Verdict::Challenge { abandoned: true, gives_up_ms: None };
    let timeout = Verdict::Challenge { abandoned: false, gives_up_ms: Some(PENDING_MS) };
    let pending = |then| Verdict::Pending { after_ms: PENDING_MS, then };
    let refused = DeclineCode::find("generic_decline");
    let special = [
        ("4000002500003155", "3-D Secure challenge required", challenge.clone()),
        ("4000002760003184", "3-D Secure challenge required", challenge.clone()),
        ("4000000000003063", "3-D Secure challenge required", challenge.clone()),
        ("4000000000003220", "3-D Secure challenge required", challenge),
        (
            "4000000000003055",
            "3-D Secure without a challenge (frictionless), approved",
            Verdict::Approve,
        ),
        (
            "4000000000003105",
            "declined: authentication_failed",
            DeclineCode::find(UNAUTHENTICATED).map_or(Verdict::Approve, Verdict::Decline),
        ),
        (
            "4000000000003113",
            "3-D Secure challenge required, declined with authentication_failed after 2 s if nobody answers",
            timeout,
        ),
        (
            "4000000000003121",
            "3-D Secure challenge required, which the shopper has abandoned: never completed",
            abandoned,
        ),
        ("4000000000009110", "pending, approved after 2 s", pending(None)),
        ("4000000000009128", "pending, declined after 2 s", pending(refused)),
    ];
    let card = |number, description: String, verdict| TestCard { number, description, verdict };
    let approved = approved
        .into_iter()
        .map(|(number, brand)| card(number, format!("{brand}, approved"), Verdict::Approve));
    let declined = declined.into_iter().filter_map(|(number, code)| {
        let decline = Verdict::Decline(DeclineCode::find(code)?);
        Some(card(number, format!("declined: {code}"), decline))
    });
    let special =
        special.into_iter().map(|(number, text, verdict)| card(number, text.to_owned(), verdict));
    approved.chain(declined).chain(special).collect()
}

const PENDING_MS: u64 = 2_000;
const LATE_MS: u64 = 3_000;

fn faults() -> Vec<(&'static str, Action)> {
    use Answer::{Close, Garbage, Hang, Status, Truncated};
    use CommitWhen::{First, Late, Never};
    let fault = |commit, answer| Action::fault(Fault { commit, answer });
    let status = |status| Status { status, retry_after_s: None };
    let pending = |then| Action::verdict(Verdict::Pending { after_ms: PENDING_MS, then });
    vec![
        ("answers after 100 ms", Action::latency(100)),
        ("answers after 1 s", Action::latency(1_000)),
        ("answers after 5 s", Action::latency(5_000)),
        ("500, nothing committed", fault(Never, status(500))),
        ("500 after the commit", fault(First, status(500))),
        ("503, nothing committed", fault(Never, status(503))),
        ("503 after the commit", fault(First, status(503))),
        ("closes the connection, nothing committed", fault(Never, Close)),
        ("commits, then closes the connection without an answer", fault(First, Close)),
        ("closes the connection, commits 3 s later", fault(Late { after_ms: LATE_MS }, Close)),
        (
            "429 with Retry-After: 1, nothing committed",
            fault(Never, Status { status: 429, retry_after_s: Some(1) }),
        ),
        ("commits, then answers 200 with a body that is no JSON", fault(First, Garbage)),
        ("commits, then sends half of the answer and closes", fault(First, Truncated)),
        ("commits, then never answers", fault(First, Hang)),
        ("pending, approved after 2 s", pending(None)),
        ("pending, declined after 2 s", pending(DeclineCode::find("generic_decline"))),
        (
            "challenge that the shopper has abandoned: never completed",
            Action::verdict(Verdict::Challenge { abandoned: true, gives_up_ms: None }),
        ),
        ("approved for half of the amount", Action::verdict(Verdict::Partial { authorized: None })),
        ("never answers, nothing committed", fault(Never, Hang)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_card_and_amount_is_listed_once_and_found_again() {
        let codes = codes();
        let names: HashSet<_> = DECLINES.iter().map(|row| row.code).collect();
        assert_eq!((names.len(), DECLINES.len()), (52, 52));
        assert_eq!(codes.cards.len(), 30, "a card whose decline code is misspelt would be missing");
        assert_eq!(codes.amounts.len(), 19);
        let numbers: HashSet<_> = codes.cards.iter().map(|card| card.number).collect();
        assert_eq!(numbers.len(), codes.cards.len());
        for card in &codes.cards {
            assert!(crate::core::card::passes_luhn(card.number), "{}", card.number);
            assert_eq!(verdict_of_card(card.number), card.verdict);
        }
        for card in &codes.disputes {
            assert!(crate::core::card::passes_luhn(card.number), "{}", card.number);
            assert_eq!(dispute_of_card(card.number).as_ref(), Some(&card.dispute));
            assert!(!numbers.contains(card.number), "{}", card.number);
        }
        for (amount, decline) in &codes.declines {
            let action = action_of_amount(*amount).unwrap();
            assert_eq!(action.verdict, Some(Verdict::Decline(DeclineCode(decline))));
        }
        for row in &codes.amounts {
            assert_eq!(action_of_amount(row.amount).as_ref(), Some(&row.action));
        }
        let past_the_tables = [900_000, 900_053, 910_000, 910_020, 0, -5, i64::MIN];
        assert!(past_the_tables.iter().all(|amount| action_of_amount(*amount).is_none()));
    }
}
