//! Stand-ins for card vaults of others, written from their public documentation.
//!
//! They answer as documented, errors included, and can be told to fail: `PUT /vaults/{account}/faults`. What they
//! keep is in memory only, and gone with the process: unlike the rest of the sandbox they have to know card numbers.
//! `GET /vaults/{account}` shows what is kept, by token and last four digits, and how often each operation was asked
//! for. Left out: everything that is neither storing nor retrieving nor deleting a card.

mod basis_theory;
mod vgs;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::Ids;
use crate::http::{Call, Fate, Reply};

/// Every stand-in's shelf, by account.
#[derive(Debug)]
pub(crate) struct Vaults {
    ids: Arc<Ids>,
    shelves: Mutex<HashMap<String, Shelf>>,
}

/// What one account keeps.
#[derive(Debug, Default)]
struct Shelf {
    cards: BTreeMap<String, Kept>,
    /// First answers by idempotency key.
    answers: HashMap<String, Value>,
    faults: Vec<Fault>,
    /// By operation: how often it was asked for.
    asked: BTreeMap<&'static str, u64>,
    /// Each value gets a token of its own, also where there is one already.
    always_new: bool,
}

#[derive(Clone)]
struct Kept {
    number: String,
    data: Value,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[card]")
    }
}

/// What is to go wrong.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    /// `store`, `retrieve` or `delete`; every one if absent.
    #[serde(default)]
    operation: Option<String>,
    /// What happens instead of the answer.
    what: What,
    /// How often; for ever if absent.
    #[serde(default)]
    times: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum What {
    /// It is not done, and answered with 503.
    Unavailable,
    /// It is not done, and answered with 401.
    Deny,
    /// It is not done, and answered with 400.
    Refuse,
    /// It is not done, and answered with 429.
    Limit,
    /// It is done, and the connection is closed without an answer.
    DropAnswer,
    /// It is done, and answered with what is no JSON.
    Garbage,
    /// It is not done, and never answered.
    Hang,
    /// Another card than the one that was stored is given.
    Another,
}

/// The other card.
const ANOTHER: &str = "5555555555554444";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Faults {
    #[serde(default)]
    faults: Vec<Fault>,
    #[serde(default)]
    always_new: Option<bool>,
}

/// An operation that a stand-in has understood.
enum Asked {
    Store { number: String, data: Value, key: Option<String> },
    Retrieve(String),
    Delete(String),
}

impl Asked {
    fn name(&self) -> &'static str {
        match self {
            Self::Store { .. } => "store",
            Self::Retrieve(_) => "retrieve",
            Self::Delete(_) => "delete",
        }
    }
}

/// How a vault words things.
trait Words {
    fn read(call: &Call, rest: &[&str]) -> Result<Asked, Reply>;
    fn token(ids: &Ids) -> String;
    fn stored(token: &str, kept: &Kept) -> Value;
    fn shown(token: &str, kept: &Kept) -> Value;
    fn error(status: u16, title: &str, detail: &str) -> Reply;
    /// Whether equal values have one token.
    const SHARES: bool;
}

impl Vaults {
    pub(crate) fn new(ids: Arc<Ids>) -> Self {
        Self { ids, shelves: Mutex::default() }
    }

    fn shelves(&self) -> MutexGuard<'_, HashMap<String, Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `/vaults/{account}` and `/vaults/{account}/faults`.
    pub(crate) fn admin(&self, call: &Call, rest: &[&str]) -> Reply {
        let (account, faults) = match rest {
            [account] => (*account, false),
            [account, "faults"] => (*account, true),
            _ => return Reply::raw(404, "text/plain", "no such path\n"),
        };
        let mut shelves = self.shelves();
        let shelf = shelves.entry(account.to_owned()).or_default();
        if faults && call.method == Method::PUT {
            match serde_json::from_slice::<Faults>(&call.body) {
                Ok(told) => {
                    shelf.faults = told.faults;
                    shelf.always_new = told.always_new.unwrap_or(shelf.always_new);
                }
                Err(error) => return Reply::raw(400, "text/plain", format!("{error}\n")),
            }
        }
        let cards: BTreeMap<&str, &str> = shelf
            .cards
            .iter()
            .map(|(token, kept)| {
                let from = kept.number.len().saturating_sub(4);
                (token.as_str(), kept.number.get(from..).unwrap_or_default())
            })
            .collect();
        Reply::json(200, &json!({ "cards": cards, "asked": shelf.asked, "faults": shelf.faults }))
    }

    pub(crate) fn vgs(&self, call: &Call, account: &str, rest: &[&str]) -> Fate {
        self.handle::<vgs::Vgs>(call, account, rest)
    }

    pub(crate) fn basis_theory(&self, call: &Call, account: &str, rest: &[&str]) -> Fate {
        self.handle::<basis_theory::BasisTheory>(call, account, rest)
    }

    fn handle<W: Words>(&self, call: &Call, account: &str, rest: &[&str]) -> Fate {
        let asked = match W::read(call, rest) {
            Ok(asked) => asked,
            Err(reply) => return Fate::Answer(reply),
        };
        let mut shelves = self.shelves();
        let shelf = shelves.entry(account.to_owned()).or_default();
        let fault = shelf.ask(asked.name());
        let error = |status, title| Fate::Answer(W::error(status, title, "told to by the test"));
        match fault {
            Some(What::Unavailable) => return error(503, "Service Unavailable"),
            Some(What::Deny) => return error(401, "Unauthorized"),
            Some(What::Refuse) => return error(400, "Bad Request"),
            Some(What::Limit) => return error(429, "Too Many Requests"),
            Some(What::Hang) => return Fate::Hang,
            Some(What::DropAnswer | What::Garbage | What::Another) | None => {}
        }
        let other = fault == Some(What::Another);
        let reply = shelf.carry_out::<W>(asked, &self.ids, other);
        match fault {
            Some(What::DropAnswer) => Fate::Close,
            Some(What::Garbage) => Fate::Answer(Reply::raw(200, "text/html", "<html>")),
            Some(
                What::Unavailable
                | What::Deny
                | What::Refuse
                | What::Limit
                | What::Hang
                | What::Another,
            )
            | None => Fate::Answer(reply),
        }
    }
}

impl Shelf {
    /// Counts an operation, and says what is to go wrong with it.
    fn ask(&mut self, operation: &'static str) -> Option<What> {
        let asked = self.asked.entry(operation).or_default();
        *asked = asked.saturating_add(1);
        let meant = |fault: &&mut Fault| {
            fault.operation.as_deref().is_none_or(|named| named == operation)
                && fault.times != Some(0)
        };
        let fault = self.faults.iter_mut().find(meant)?;
        fault.times = fault.times.map(|left| left.saturating_sub(1));
        Some(fault.what)
    }

    fn carry_out<W: Words>(&mut self, asked: Asked, ids: &Ids, other: bool) -> Reply {
        let missing = || W::error(404, "Not Found", "there is no such token");
        match asked {
            Asked::Store { number, data, key } => {
                if let Some(answer) = key.as_ref().and_then(|key| self.answers.get(key)) {
                    return Reply::json(201, answer);
                }
                let kept = Kept { number, data };
                let shared = W::SHARES && !self.always_new;
                let known = self.cards.iter().find(|(_, card)| card.number == kept.number);
                let token = match known {
                    Some((token, _)) if shared => token.clone(),
                    _ => W::token(ids),
                };
                let answer = W::stored(&token, &kept);
                self.cards.insert(token, kept);
                if let Some(key) = key {
                    self.answers.insert(key, answer.clone());
                }
                Reply::json(201, &answer)
            }
            Asked::Retrieve(token) => match self.cards.get(&token) {
                Some(kept) if other => {
                    let other = Kept { number: ANOTHER.to_owned(), data: kept.data.clone() };
                    Reply::json(200, &W::shown(&token, &other))
                }
                Some(kept) => Reply::json(200, &W::shown(&token, kept)),
                None => missing(),
            },
            Asked::Delete(token) => match self.cards.remove(&token) {
                Some(_) => Reply::raw(204, "application/json", ""),
                None => missing(),
            },
        }
    }
}

/// Whether a text can be a card number: 12 to 19 digits whose check digit is right.
fn is_card_number(text: &str) -> bool {
    let digits: Option<Vec<u32>> = text.chars().map(|letter| letter.to_digit(10)).collect();
    let Some(digits) = digits.filter(|digits| (12..=19).contains(&digits.len())) else {
        return false;
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, digit * 2) {
            (0, _) => *digit,
            (_, twice) if twice > 9 => twice - 9,
            (_, twice) => twice,
        })
        .sum();
    sum.is_multiple_of(10)
}
