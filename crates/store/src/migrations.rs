//! The schema's versions: which have run, which are missing, which must not be touched.
//!
//! Guarantees: migrations run in one transaction, together with their record, under a lock that a second
//! node waits for (`begin immediate`, an advisory lock); one that has run and whose text has changed since
//! is refused, and so is a database that knows a later version than this program. Left out: going back.
//!
//! Our own instead of refinery, which takes no lock, reads its history outside of the transaction that
//! changes it (two processes that start at once run a migration twice), and panics on a history that it
//! cannot parse. The lock alone would have been as long as this.

use std::fmt::Write as _;

use aws_lc_rs::digest;

use crate::compile::Value;
use crate::open::OpenError;

/// A script that both databases understand.
#[derive(Debug)]
pub(crate) struct Migration {
    version: u32,
    name: &'static str,
    pub(crate) script: &'static str,
}

/// All migrations. Append only: a released script never changes.
static MIGRATIONS: [Migration; 4] = [
    Migration {
        version: 1,
        name: "payments",
        script: include_str!("../migrations/V1__payments.sql"),
    },
    Migration {
        version: 2,
        name: "listing",
        script: include_str!("../migrations/V2__listing.sql"),
    },
    Migration {
        version: 3,
        name: "key_limits",
        script: include_str!("../migrations/V3__key_limits.sql"),
    },
    Migration { version: 4, name: "audit", script: include_str!("../migrations/V4__audit.sql") },
];

pub(crate) const CREATE_HISTORY: &str = "create table if not exists schema_history (\
     version bigint not null constraint schema_history_version primary key, \
     name text not null, checksum text not null, program text not null)";

pub(crate) const READ_HISTORY: &str =
    "select version, checksum from schema_history order by version";

pub(crate) const RECORD: &str =
    "insert into schema_history (version, name, checksum, program) values ($1, $2, $3, $4)";

impl Migration {
    /// The parameters of [`RECORD`].
    pub(crate) fn record(&self) -> [Value; 4] {
        let program = env!("CARGO_PKG_VERSION");
        [self.version.into(), self.name.into(), self.checksum().into(), program.into()]
    }

    fn checksum(&self) -> String {
        let hash = digest::digest(&digest::SHA256, self.script.as_bytes());
        hash.as_ref().iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _always_ok = write!(text, "{byte:02x}");
            text
        })
    }
}

/// The version that this program needs.
pub(crate) fn latest() -> u32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// The migrations that have not run yet, given the version and checksum of those that have.
///
/// # Errors
/// `OpenError::Newer`, or `OpenError::Changed` if a script is not the one that ran.
pub(crate) fn pending(history: &[(i64, String)]) -> Result<&'static [Migration], OpenError> {
    let newest = history.last().map_or(0, |(version, _)| *version);
    if newest > i64::from(latest()) {
        return Err(OpenError::Newer { found: newest, known: latest() });
    }
    for ((version, checksum), migration) in history.iter().zip(&MIGRATIONS) {
        if *version != i64::from(migration.version) || *checksum != migration.checksum() {
            return Err(OpenError::Changed { version: migration.version });
        }
    }
    Ok(MIGRATIONS.get(history.len()..).unwrap_or_default())
}

/// Checks that nothing is pending.
///
/// # Errors
/// As [`pending`], and `OpenError::Outdated`.
pub(crate) fn check(history: &[(i64, String)]) -> Result<(), OpenError> {
    let pending = pending(history)?;
    if pending.is_empty() {
        return Ok(());
    }
    let found = history.last().map_or(0, |(version, _)| *version);
    Err(OpenError::Outdated { found, needed: latest() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_compared_with_what_the_program_knows() {
        let ran: Vec<_> = MIGRATIONS.iter().map(|m| (i64::from(m.version), m.checksum())).collect();
        assert!(check(&ran).is_ok());
        assert!(pending(&ran).unwrap().is_empty());

        assert_eq!(pending(&[]).unwrap().len(), MIGRATIONS.len());
        let needed = latest();
        assert_eq!(check(&[]), Err(OpenError::Outdated { found: 0, needed }));

        let mut newer = ran.clone();
        newer.push((99, String::new()));
        assert_eq!(check(&newer), Err(OpenError::Newer { found: 99, known: needed }));

        let changed = [(1, "another script".to_owned())];
        assert_eq!(check(&changed), Err(OpenError::Changed { version: 1 }));
        assert_eq!(pending(&changed).unwrap_err(), OpenError::Changed { version: 1 });
    }

    #[test]
    fn versions_count_up_by_one() {
        let versions: Vec<_> = MIGRATIONS.iter().map(|m| m.version).collect();
        assert_eq!(versions, (1..=latest()).collect::<Vec<_>>());
    }
}
