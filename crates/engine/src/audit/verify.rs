//! Whether the chain is what was once written: reads it whole and says where it breaks first.
//!
//! Guarantees: any entry that was changed, removed, put in or moved after the fact is found, as long as an
//! entry that was written before and stands outside of the table (a noted [`Head`]) is part of the chain.
//! Without such a head, what cannot be found is a chain that ends early, and one that was written anew from
//! some place to its end. What is absent: whether what an entry says was true when it was written.

use std::fmt;

use baton_store::{AuditQuery, AuditRow, Store, StoreError};

use super::chain::{self, Head};

/// How many entries are read at once.
const PAGE: u32 = 1000;
/// Up to which number a moved entry's old place is looked for: a second's work.
const PLACES: u64 = 1_000_000;

/// A chain that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intact {
    /// How many entries were read.
    pub entries: u64,
    /// The last one; none if there is no entry.
    pub head: Option<Head>,
}

/// Where a chain breaks first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// There is no entry of this number, and there are later ones.
    Missing {
        /// The first number that is missing.
        seq: u64,
    },
    /// The entry's content is not the one that its hash was made of.
    Changed {
        /// The entry.
        seq: u64,
    },
    /// The entry is another one, which belongs to another place.
    Moved {
        /// Where it stands.
        seq: u64,
        /// Where it was written.
        from: u64,
    },
    /// The entry does not follow the one before it, which is no longer the one that it followed.
    Replaced {
        /// The entry before: it was written anew, with a hash of its own.
        seq: u64,
    },
    /// The entry after this number was not written by this program.
    Unreadable {
        /// The last number that could be read.
        after: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The chain ends before the head that was noted.
    CutOff {
        /// The last number that is there; 0 if there is none.
        end: u64,
        /// The number that was noted.
        noted: u64,
    },
    /// The entry has another hash than was noted: the chain was written anew from there or from before.
    OtherThanNoted {
        /// The entry.
        seq: u64,
    },
}

impl Broken {
    /// What kind of break it is: a word for scripts.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Changed { .. } => "changed",
            Self::Moved { .. } => "reordered",
            Self::Replaced { .. } => "replaced",
            Self::Unreadable { .. } => "unreadable",
            Self::CutOff { .. } => "cut_off",
            Self::OtherThanNoted { .. } => "other_than_noted",
        }
    }

    /// The number of the entry that is meant; of one that cannot be read, the number before.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        match self {
            Self::Missing { seq }
            | Self::Changed { seq }
            | Self::Moved { seq, .. }
            | Self::Replaced { seq }
            | Self::Unreadable { after: seq, .. }
            | Self::CutOff { end: seq, .. }
            | Self::OtherThanNoted { seq } => *seq,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { seq } => write!(f, "entry {seq} is missing"),
            Self::Changed { seq } => {
                write!(f, "entry {seq} was changed: its hash is not that of its content")
            }
            Self::Moved { seq, from } => {
                write!(f, "the entries are reordered: entry {from} stands in the place of {seq}")
            }
            Self::Replaced { seq } => {
                write!(f, "entry {seq} was changed: the next one follows another entry")
            }
            Self::Unreadable { after, why } => {
                write!(f, "the entry after {after} was changed: it cannot be read ({why})")
            }
            Self::CutOff { end, noted } => {
                write!(
                    f,
                    "entries are missing: the log ends with {end}, and entry {noted} was noted"
                )
            }
            Self::OtherThanNoted { seq } => write!(
                f,
                "entry {seq} is not the one that was noted: the log was written anew from there or \
                 from before"
            ),
        }
    }
}

/// Why there is no verdict that the chain holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// It does not.
    Broken(Broken),
    /// The store does not answer.
    Store(StoreError),
}

impl From<Broken> for VerifyError {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// Reads the chain from its start, or from the entry of number `from` on; the heads that were `noted` must
/// be part of it. Calls `progress` with the last number that was read.
///
/// # Errors
/// The first thing that is wrong, or the store does not answer.
pub async fn verify(
    store: &dyn Store,
    from: Option<u64>,
    noted: &[Head],
    mut progress: impl FnMut(u64),
) -> Result<Intact, VerifyError> {
    // What was before a later start is taken as it stands.
    let start = match from.and_then(|from| from.checked_sub(1)).filter(|before| *before > 0) {
        None => None,
        Some(before) => {
            let row =
                chain::entry(store, before).await.map_err(|error| unreadable(error, before))?;
            Some(Head::of(&row.ok_or(Broken::Missing { seq: before })?))
        }
    };
    let mut walk = Walk { last: start.clone(), entries: 0, noted };
    let mut query =
        AuditQuery { beyond: start.map(|head| head.seq), limit: PAGE, ..AuditQuery::default() };
    loop {
        let rows = page(store, &query, &mut walk).await?;
        for row in &rows {
            walk.step(row, store).await?;
        }
        let Some(last) = rows.last() else { break };
        progress(last.seq);
        query.beyond = Some(last.seq);
    }
    if let Some(noted) = noted.iter().find(|noted| walk.end() < noted.seq) {
        return Err(Broken::CutOff { end: walk.end(), noted: noted.seq }.into());
    }
    Ok(Intact { entries: walk.entries, head: walk.last })
}

fn unreadable(error: StoreError, after: u64) -> VerifyError {
    match error {
        StoreError::Corrupt(why) => Broken::Unreadable { after, why }.into(),
        error @ StoreError::Unavailable(_) => VerifyError::Store(error),
    }
}

/// The next entries. If one of them cannot be read, those before it are walked one by one, so that what is
/// reported is what breaks first.
async fn page(
    store: &dyn Store,
    query: &AuditQuery,
    walk: &mut Walk<'_>,
) -> Result<Vec<AuditRow>, VerifyError> {
    let why = match store.audit(query).await {
        Ok(rows) => return Ok(rows),
        Err(StoreError::Corrupt(why)) => why,
        Err(error @ StoreError::Unavailable(_)) => return Err(VerifyError::Store(error)),
    };
    let mut one = AuditQuery { limit: 1, ..query.clone() };
    for _ in 0..query.limit {
        let rows = store.audit(&one).await.map_err(|error| unreadable(error, walk.end()))?;
        let Some(row) = rows.first() else { break };
        walk.step(row, store).await?;
        one.beyond = Some(row.seq);
    }
    Err(Broken::Unreadable { after: walk.end(), why }.into())
}

struct Walk<'a> {
    last: Option<Head>,
    entries: u64,
    noted: &'a [Head],
}

impl Walk<'_> {
    fn end(&self) -> u64 {
        self.last.as_ref().map_or(0, |head| head.seq)
    }

    async fn step(&mut self, row: &AuditRow, store: &dyn Store) -> Result<(), VerifyError> {
        let seq = self.end().saturating_add(1);
        if row.seq > seq {
            return Err(Broken::Missing { seq }.into());
        }
        if row.seq < seq || chain::hash(row) != row.hash {
            let end = chain::head(store).await.map_err(|error| unreadable(error, row.seq))?;
            let end = end.map_or(0, |head| head.seq).min(PLACES);
            return Err(match old_place(row, end) {
                Some(from) => Broken::Moved { seq: row.seq, from }.into(),
                None => Broken::Changed { seq: row.seq }.into(),
            });
        }
        if row.prev.as_ref() != self.last.as_ref().map(|head| &head.hash) {
            return Err(Broken::Replaced { seq: self.end() }.into());
        }
        if self.noted.iter().any(|noted| noted.seq == row.seq && noted.hash != row.hash) {
            return Err(Broken::OtherThanNoted { seq: row.seq }.into());
        }
        self.last = Some(Head::of(row));
        self.entries = self.entries.saturating_add(1);
        Ok(())
    }
}

/// The number with which the entry's hash would be right.
fn old_place(row: &AuditRow, end: u64) -> Option<u64> {
    let mut row = row.clone();
    (1..=end).find(|place| {
        row.seq = *place;
        chain::hash(&row) == row.hash
    })
}
