//! What the simulated card network knows of cards that merchants keep.
//!
//! An approved payment has an id of the network's. A merchant who brings it later, at whichever provider, shows that
//! the payer has agreed: a card that asks for a challenge is approved then, and declined without. The id tells by
//! itself which card it is of, so that providers need nothing in common. Leaves out: whether the payer has agreed to
//! this merchant, and how long that holds.

use aws_lc_rs::digest;

use super::card::Card;
use super::payment::{Attempt, Verdict};
use crate::codes::DeclineCode;

/// Who asks for a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The payer, who is there.
    Payer,
    /// The payer, who has passed a challenge elsewhere.
    Authenticated,
    /// The merchant, by what the payer has agreed to, if that is known.
    Merchant {
        /// Whether it is.
        agreed: bool,
    },
}

impl Asker {
    /// How the issuer answers whoever asks, given what the card's script says.
    pub(crate) fn verdict(self, scripted: &Verdict) -> Verdict {
        match (scripted, self) {
            (Verdict::Challenge { .. }, Self::Authenticated | Self::Merchant { agreed: true }) => {
                Verdict::Approve
            }
            (Verdict::Challenge { .. }, Self::Merchant { agreed: false }) => {
                let required = DeclineCode::find("authentication_required");
                required.map_or_else(|| scripted.clone(), Verdict::Decline)
            }
            (_, _) => scripted.clone(),
        }
    }
}

const PREFIX: &str = "NT";
const NUMBER: usize = 8;

/// The network's id of an approved attempt by card: 16 letters and digits.
pub(crate) fn transaction_id(attempt: &Attempt) -> Option<String> {
    let number = attempt.id.as_str().get(NUMBER..).unwrap_or_default();
    Some(format!("{PREFIX}{number}{}", check(number, attempt.card.as_ref()?)))
}

/// Whether this is the network's id of a payment with this card.
pub(crate) fn knows(id: &str, card: &Card) -> bool {
    let parts = id.strip_prefix(PREFIX).and_then(|rest| rest.split_at_checked(NUMBER));
    parts.is_some_and(|(number, tail)| tail == check(number, card))
}

fn check(number: &str, card: &Card) -> String {
    let text = format!("{number}:{}:{}", card.first6, card.last4);
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().take(3).map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Id;

    fn attempt(number: &str) -> Attempt {
        Attempt {
            id: Id::parse("0123456789ABCDEF").unwrap(),
            at_ms: 0,
            card: Some(Card::parse(number, 12, 2040, None).unwrap()),
            decline: None,
            settles_ms: None,
            settles_with: None,
            answered: false,
            abandoned: false,
        }
    }

    #[test]
    fn an_id_is_of_one_card() {
        let one = attempt("4000000000003220");
        let id = transaction_id(&one).unwrap();
        let card = one.card.unwrap();
        assert_eq!(id.len(), 16);
        assert!(knows(&id, &card));
        assert!(!knows(&id, &attempt("4111111111111111").card.unwrap()));
        for wrong in ["", "NT", "NT89ABCDEF", "é123456789ABCDEF", "NT89ABCDEG000000"] {
            assert!(!knows(wrong, &card), "{wrong}");
        }
    }

    #[test]
    fn only_a_challenge_depends_on_who_asks() {
        let challenge = Verdict::Challenge { abandoned: false, gives_up_ms: None };
        let declined = |code| Verdict::Decline(DeclineCode::find(code).unwrap());
        let (agreed, not) = (Asker::Merchant { agreed: true }, Asker::Merchant { agreed: false });
        let rows = [
            (Asker::Payer, challenge.clone(), challenge.clone()),
            (Asker::Authenticated, challenge.clone(), Verdict::Approve),
            (agreed, challenge.clone(), Verdict::Approve),
            (not, challenge, declined("authentication_required")),
            (not, Verdict::Approve, Verdict::Approve),
            (agreed, declined("stolen_card"), declined("stolen_card")),
        ];
        for (asker, scripted, want) in rows {
            assert_eq!(asker.verdict(&scripted), want, "{asker:?} {scripted:?}");
        }
    }
}
