//! What each party did and knew, in order: kept only while a run is looked at, because it is long.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// One line of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Milliseconds since the world began.
    pub at_ms: i64,
    /// Who: a node, a provider, a client, the world.
    pub who: String,
    /// Which order it is about; none for what concerns all.
    pub order: Option<u64>,
    /// What it did or learnt.
    pub what: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.at_ms.div_euclid(1_000), self.at_ms.rem_euclid(1_000));
        write!(f, "{seconds:>7}.{millis:03} s  {:<12} {}", self.who, self.what)
    }
}

/// Takes lines, or does not.
#[derive(Debug, Default)]
pub(crate) struct Trace(Option<Mutex<Vec<Line>>>);

impl Trace {
    pub(crate) fn new(on: bool) -> Self {
        Self(on.then(Mutex::default))
    }

    pub(crate) fn add(
        &self,
        at_ms: i64,
        who: &str,
        order: Option<u64>,
        what: impl FnOnce() -> String,
    ) {
        if let Some(lines) = &self.0 {
            let line = Line { at_ms, who: who.to_owned(), order, what: what() };
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    pub(crate) fn take(&self) -> Vec<Line> {
        let Some(lines) = &self.0 else { return Vec::new() };
        std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
