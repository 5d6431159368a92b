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
use crate::store::Guard;

/// A script that both databases understand, and what SQLite runs after it.
#[derive(Debug)]
pub(crate) struct Migration {
    version: u32,
    name: &'static str,
    pub(crate) script: &'static str,
    /// For SQLite alone; nothing if empty.
    pub(crate) sqlite: &'static str,
}

/// What a database holds for one store: its migrations, and the table that tells which have run. Two
/// stores may share a database, because their tables have different names.
#[derive(Debug)]
pub(crate) struct Schema {
    migrations: &'static [Migration],
    /// The name of the history's table.
    pub(crate) history: &'static str,
    pub(crate) create_history: &'static str,
    pub(crate) read_history: &'static str,
    /// Takes the parameters of [`Migration::record`].
    pub(crate) record: &'static str,
    /// SQLite: settings of the connection that writes, besides those of every store.
    pub(crate) sqlite_settings: &'static str,
    /// SQLite does not say which foreign key was violated: the guard behind all of this schema's, if they are
    /// guards.
    pub(crate) foreign_keys: Option<Guard>,
}

// A macro, because `concat!` takes literals only.
macro_rules! schema {
    ($history:literal, $migrations:expr, $settings:literal, $foreign_keys:expr) => {
        Schema {
            migrations: $migrations,
            history: $history,
            create_history: concat!(
                "create table if not exists ",
                $history,
                " (version bigint not null constraint ",
                $history,
                "_version primary key, name text not null, checksum text not null, \
                 program text not null)"
            ),
            read_history: concat!("select version, checksum from ", $history, " order by version"),
            record: concat!(
                "insert into ",
                $history,
                " (version, name, checksum, program) values ($1, $2, $3, $4)"
            ),
            sqlite_settings: $settings,
            foreign_keys: $foreign_keys,
        }
    };
}

/// Payments and all that belongs to them.
pub(crate) static PAYMENTS: Schema = schema!("schema_history", &MIGRATIONS, "", None);

/// The vault. What is deleted from it is overwritten, and a row under a key that is gone is refused.
pub(crate) static VAULT: Schema = schema!(
    "vault_schema_history",
    &VAULT_MIGRATIONS,
    "pragma foreign_keys = on; pragma secure_delete = on;",
    Some(Guard::VaultKeyInUse)
);

/// All migrations. Append only: a released script never changes.
static MIGRATIONS: [Migration; 10] = [
    Migration {
        version: 1,
        name: "payments",
        script: include_str!("../migrations/V1__payments.sql"),
        sqlite: "",
    },
    Migration {
        version: 2,
        name: "listing",
        script: include_str!("../migrations/V2__listing.sql"),
        sqlite: "",
    },
    Migration {
        version: 3,
        name: "key_limits",
        script: include_str!("../migrations/V3__key_limits.sql"),
        sqlite: "",
    },
    Migration {
        version: 4,
        name: "audit",
        script: include_str!("../migrations/V4__audit.sql"),
        sqlite: "",
    },
    Migration {
        version: 5,
        name: "documents",
        script: include_str!("../migrations/V5__documents.sql"),
        sqlite: "",
    },
    Migration {
        version: 6,
        name: "guards",
        script: include_str!("../migrations/V6__guards.sql"),
        sqlite: "",
    },
    Migration {
        version: 7,
        name: "fewer_trees",
        script: include_str!("../migrations/V7__fewer_trees.sql"),
        sqlite: include_str!("../migrations/V7__fewer_trees.sqlite.sql"),
    },
    Migration {
        version: 8,
        name: "hooks",
        script: include_str!("../migrations/V8__hooks.sql"),
        sqlite: "",
    },
    Migration {
        version: 9,
        name: "listed",
        script: include_str!("../migrations/V9__listed.sql"),
        sqlite: include_str!("../migrations/V9__listed.sqlite.sql"),
    },
    Migration {
        version: 10,
        name: "one_index",
        script: include_str!("../migrations/V10__one_index.sql"),
        sqlite: "",
    },
];

/// The vault's migrations. Append only, like the others.
static VAULT_MIGRATIONS: [Migration; 1] = [Migration {
    version: 1,
    name: "vault",
    script: include_str!("../migrations/vault/V1__vault.sql"),
    sqlite: "",
}];

impl Migration {
    /// The parameters of [`Schema::record`].
    pub(crate) fn record(&self) -> [Value; 4] {
        let program = env!("CARGO_PKG_VERSION");
        [self.version.into(), self.name.into(), self.checksum().into(), program.into()]
    }

    fn checksum(&self) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.script.as_bytes());
        context.update(self.sqlite.as_bytes());
        context.finish().as_ref().iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _always_ok = write!(text, "{byte:02x}");
            text
        })
    }
}

impl Schema {
    /// The version that this program needs.
    pub(crate) fn latest(&self) -> u32 {
        self.migrations.last().map_or(0, |migration| migration.version)
    }

    /// The migrations that have not run yet, given the version and checksum of those that have.
    ///
    /// # Errors
    /// `OpenError::Newer`, or `OpenError::Changed` if a script is not the one that ran.
    pub(crate) fn pending(
        &self,
        history: &[(i64, String)],
    ) -> Result<&'static [Migration], OpenError> {
        let newest = history.last().map_or(0, |(version, _)| *version);
        if newest > i64::from(self.latest()) {
            return Err(OpenError::Newer { found: newest, known: self.latest() });
        }
        for ((version, checksum), migration) in history.iter().zip(self.migrations) {
            if *version != i64::from(migration.version) || *checksum != migration.checksum() {
                return Err(OpenError::Changed { version: migration.version });
            }
        }
        Ok(self.migrations.get(history.len()..).unwrap_or_default())
    }

    /// Checks that nothing is pending.
    ///
    /// # Errors
    /// As [`Schema::pending`], and `OpenError::Outdated`.
    pub(crate) fn check(&self, history: &[(i64, String)]) -> Result<(), OpenError> {
        let pending = self.pending(history)?;
        if pending.is_empty() {
            return Ok(());
        }
        let found = history.last().map_or(0, |(version, _)| *version);
        Err(OpenError::Outdated { found, needed: self.latest() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_compared_with_what_the_program_knows() {
        for schema in [&PAYMENTS, &VAULT] {
            let ran = schema.migrations.iter().map(|m| (i64::from(m.version), m.checksum()));
            let ran: Vec<_> = ran.collect();
            assert!(schema.check(&ran).is_ok());
            assert!(schema.pending(&ran).unwrap().is_empty());

            assert_eq!(schema.pending(&[]).unwrap().len(), schema.migrations.len());
            let needed = schema.latest();
            assert_eq!(schema.check(&[]), Err(OpenError::Outdated { found: 0, needed }));

            let mut newer = ran.clone();
            newer.push((99, String::new()));
            assert_eq!(schema.check(&newer), Err(OpenError::Newer { found: 99, known: needed }));

            let changed = [(1, "another script".to_owned())];
            assert_eq!(schema.check(&changed), Err(OpenError::Changed { version: 1 }));
            assert_eq!(schema.pending(&changed).unwrap_err(), OpenError::Changed { version: 1 });
        }
    }

    #[test]
    fn versions_count_up_by_one() {
        for schema in [&PAYMENTS, &VAULT] {
            let versions: Vec<_> = schema.migrations.iter().map(|m| m.version).collect();
            assert_eq!(versions, (1..=schema.latest()).collect::<Vec<_>>());
        }
    }
}
