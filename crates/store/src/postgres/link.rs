//! One connection to the server: how it is made, what is demanded of the server, and what its errors mean.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, Error, NoTls};

use super::many;
use crate::compile::{Statement, Value};
use crate::migrations::Schema;
use crate::open::{OpenError, OpenOptions};
use crate::relational::Row;
use crate::sql::{self, Query};
use crate::store::CommitError;

/// The first server that our SQL and our promises are tested on.
const MIN_VERSION: u32 = 150_000;
/// Any number, as long as every version of this program uses the same.
const MIGRATION_LOCK: i64 = 0x6261_746f_6e21;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// When the kernel gives up on a server that no longer acknowledges what it is sent.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);

/// The isolation and the time-outs are our own, whatever the role's defaults are. A session that is left in
/// a transaction, say by a node that was suspended, must not hold its locks.
const SESSION: &str = "set statement_timeout = '10s'; \
     set idle_in_transaction_session_timeout = '10s'; \
     set default_transaction_isolation = 'read committed'; \
     set client_min_messages = warning";

/// What is demanded of the server, and what an operator sees.
pub(super) static SETTINGS: Query = Query {
    text: "select name, setting from pg_settings where name in ('fsync', 'full_page_writes', \
           'max_connections', 'server_encoding', 'server_version', 'server_version_num', \
           'synchronous_commit') order by name",
    key: 0,
    guard: false,
};

/// Where to connect, and what to accept there.
pub(super) struct Target {
    config: Config,
    allow_unsafe_durability: bool,
}

impl Target {
    pub(super) fn new(url: &str, options: &OpenOptions) -> Result<Self, OpenError> {
        // The parser's own message could repeat a part of the URL.
        let unusable = |_: Error| OpenError::Url("it cannot be parsed".into());
        let mut config: Config = url.parse().map_err(unusable)?;
        if config.get_ssl_mode() == SslMode::Require {
            return Err(OpenError::Url("sslmode=require, but TLS is not supported".into()));
        }
        config
            .application_name(&options.application_name)
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(TCP_TIMEOUT)
            .keepalives_idle(TCP_TIMEOUT);
        Ok(Self { config, allow_unsafe_durability: options.allow_unsafe_durability })
    }
}

/// A connection, and the statements that have been prepared on it.
pub(super) struct Link {
    pub(super) client: Client,
    prepared: Mutex<HashMap<&'static str, tokio_postgres::Statement>>,
}

impl Link {
    /// Connects to a server that keeps its promises.
    pub(super) async fn connect(target: &Target) -> Result<Self, OpenError> {
        let (client, connection) = target.config.connect(NoTls).await.map_err(unavailable)?;
        spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(error = describe(&error), "a connection to PostgreSQL was lost");
            }
        });
        client.batch_execute(SESSION).await.map_err(unavailable)?;
        let link = Self { client, prepared: Mutex::default() };
        let rows = link.query(&Statement::new(&SETTINGS, vec![])).await.map_err(unavailable)?;
        demand(&pairs(rows), target.allow_unsafe_durability)?;
        Ok(link)
    }

    /// Connects to write batches; see [`many`].
    pub(super) async fn to_write(target: &Target) -> Result<Self, OpenError> {
        let link = Self::connect(target).await?;
        link.client.batch_execute(many::SESSION).await.map_err(unavailable)?;
        Ok(link)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Prepares a statement, once per connection.
    pub(super) async fn prepare(
        &self,
        text: &'static str,
    ) -> Result<tokio_postgres::Statement, Error> {
        let known = || self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(statement) = known().get(text) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(text).await?;
        known().insert(text, statement.clone());
        Ok(statement)
    }

    /// Runs one statement by itself.
    pub(super) async fn query(&self, statement: &Statement) -> Result<Vec<Row>, Error> {
        let prepared = self.prepare(statement.query.text).await?;
        let rows = self.client.query(&prepared, &params(&statement.params)).await?;
        rows.iter().map(|row| (0..row.len()).map(|i| column(row, i)).collect()).collect()
    }

    /// See [`super::syncs`]. The statistic moved in PostgreSQL 18.
    pub(super) async fn syncs(&self) -> Result<Option<u64>, OpenError> {
        let version = "select current_setting('server_version_num')::bigint >= 180000";
        let late = self.client.query_one(version, &[]).await.map_err(unavailable)?;
        let text = if late.try_get::<_, bool>(0).map_err(unavailable)? {
            "select sum(fsyncs)::bigint from pg_stat_io where object = 'wal'"
        } else {
            "select wal_sync from pg_stat_wal"
        };
        let row = self.client.query_one(text, &[]).await.map_err(unavailable)?;
        let syncs: Option<i64> = row.try_get(0).map_err(unavailable)?;
        Ok(syncs.and_then(|syncs| u64::try_from(syncs).ok()))
    }

    /// Versions and checksums of the migrations that have run.
    pub(super) async fn history(&self, schema: &Schema) -> Result<Vec<(i64, String)>, OpenError> {
        let exists = "select to_regclass($1) is not null";
        let exists = self.client.query_one(exists, &[&schema.history]).await;
        let exists = exists.map_err(unavailable)?;
        if !exists.try_get::<_, bool>(0).map_err(unavailable)? {
            return Ok(Vec::new());
        }
        let rows = self.client.query(schema.read_history, &[]).await.map_err(unavailable)?;
        let pairs = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        pairs.collect::<Result<_, Error>>().map_err(unavailable)
    }

    /// Runs the pending migrations; another node that does the same waits.
    pub(super) async fn migrate(&mut self, schema: &Schema) -> Result<(), OpenError> {
        let failed = |error: Error| OpenError::Migration(describe(&error));
        let lock = format!(
            "begin; set local statement_timeout = 0; select pg_advisory_xact_lock({MIGRATION_LOCK})"
        );
        self.client.batch_execute(&lock).await.map_err(failed)?;
        let history = self.history(schema).await?;
        let run = async {
            for migration in schema.pending(&history)? {
                self.client.batch_execute(migration.script).await.map_err(failed)?;
                let record = migration.record();
                self.client.execute(schema.record, &params(&record)).await.map_err(failed)?;
            }
            self.client.batch_execute("commit").await.map_err(failed)
        };
        self.client.batch_execute(schema.create_history).await.map_err(failed)?;
        let result = run.await;
        if result.is_err() {
            // The lock goes with the transaction.
            self.client.batch_execute("rollback").await.map_err(failed)?;
        }
        result
    }
}

/// Refuses a server that breaks a promise of ours.
fn demand(settings: &[(String, String)], allow_unsafe: bool) -> Result<(), OpenError> {
    let get = |name: &str| settings.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str());
    if get("server_version_num").parse::<u32>().is_ok_and(|version| version < MIN_VERSION) {
        let version = get("server_version");
        return Err(OpenError::Unavailable(format!("PostgreSQL {version} is older than 15")));
    }
    if get("server_encoding") != "UTF8" {
        return Err(OpenError::Unsafe("the database's encoding is not UTF8".into()));
    }
    if allow_unsafe {
        return Ok(());
    }
    // `local` and `remote_write` lose acknowledged commits when a standby takes over.
    if !["on", "remote_apply"].contains(&get("synchronous_commit")) {
        return Err(OpenError::Unsafe("synchronous_commit is not on".into()));
    }
    for name in ["fsync", "full_page_writes"] {
        if get(name) != "on" {
            return Err(OpenError::Unsafe(format!("{name} is not on")));
        }
    }
    Ok(())
}

/// What an error means for a statement that had not been committed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The statement itself: a guard, or a bug.
    Refused(CommitError),
    /// It lost against a concurrent transaction; again, it may win.
    Again,
    /// The server.
    Unavailable,
    /// No answer from the server.
    Lost,
}

impl Failure {
    pub(super) fn of(error: &Error) -> Self {
        let Some(answer) = error.as_db_error() else { return Self::Lost };
        let guard = answer.constraint().and_then(sql::guard_of);
        let guarding = [
            SqlState::UNIQUE_VIOLATION,
            SqlState::FOREIGN_KEY_VIOLATION,
            SqlState::CHECK_VIOLATION,
        ];
        if let Some(guard) = guard.filter(|_| guarding.contains(answer.code())) {
            return Self::Refused(CommitError::Conflict(guard));
        }
        // The class: PostgreSQL's documentation, appendix A.
        match answer.code().code().get(..2) {
            Some("40") => Self::Again,
            Some("22" | "23" | "42" | "54") => {
                let what = answer.constraint().unwrap_or_else(|| answer.message());
                Self::Refused(CommitError::Invalid(what.to_owned()))
            }
            _ => Self::Unavailable,
        }
    }

    pub(super) fn again(&self) -> bool {
        *self == Self::Again
    }
}

/// An error's text, without the details that would show a row's values.
pub(super) fn describe(error: &Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return format!("{} ({})", answer.message(), answer.code().code());
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

pub(super) fn unavailable(error: Error) -> OpenError {
    OpenError::Unavailable(describe(&error))
}

/// Work that ends by itself, when the store is dropped or its connection is closed.
#[allow(clippy::disallowed_methods, reason = "the one place where this crate starts tasks")]
pub(super) fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

/// Rows of two texts.
pub(super) fn pairs(rows: Vec<Row>) -> Vec<(String, String)> {
    let pair = |row: Row| match <[Value; 2]>::try_from(row) {
        Ok([Value::Text(name), Value::Text(value)]) => Some((name, value)),
        Ok(_) | Err(_) => None,
    };
    rows.into_iter().filter_map(pair).collect()
}

pub(super) fn params(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as _).collect()
}

fn column(row: &tokio_postgres::Row, index: usize) -> Result<Value, Error> {
    let kind = row.columns().get(index).map(tokio_postgres::Column::type_);
    Ok(match kind {
        Some(&Type::INT8) => row.try_get::<_, Option<i64>>(index)?.into(),
        Some(&Type::BYTEA) => row.try_get::<_, Option<_>>(index)?.map_or(Value::Null, Value::Bytes),
        _ => row.try_get::<_, Option<String>>(index)?.into(),
    })
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) => value.to_sql_checked(kind, out),
            Self::Text(value) => value.to_sql_checked(kind, out),
            Self::Bytes(value) => value.to_sql_checked(kind, out),
        }
    }

    // The value's own type is checked once it is known.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_may_lose_commits_is_refused() {
        let good = [
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("server_encoding", "UTF8"),
            ("server_version_num", "150018"),
            ("synchronous_commit", "on"),
        ];
        let with = |name: &str, value: &str| -> Vec<(String, String)> {
            let change = |(n, v): (&str, &str)| {
                (n.to_owned(), if n == name { value.to_owned() } else { v.to_owned() })
            };
            good.map(change).to_vec()
        };
        assert_eq!(demand(&with("", ""), false), Ok(()));
        assert_eq!(demand(&with("synchronous_commit", "remote_apply"), false), Ok(()));
        let refused = [
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("synchronous_commit", "off"),
            ("synchronous_commit", "local"),
            ("synchronous_commit", "remote_write"),
        ];
        for (name, value) in refused {
            let error = demand(&with(name, value), false).unwrap_err();
            assert_eq!(error, OpenError::Unsafe(format!("{name} is not on")));
            assert_eq!(demand(&with(name, value), true), Ok(()));
        }
        for allow_unsafe in [false, true] {
            let old = demand(&with("server_version_num", "140012"), allow_unsafe);
            assert!(matches!(old, Err(OpenError::Unavailable(_))));
            let latin = demand(&with("server_encoding", "LATIN1"), allow_unsafe);
            assert!(matches!(latin, Err(OpenError::Unsafe(_))));
        }
    }

    #[test]
    fn a_url_that_is_refused_is_not_repeated() {
        let urls = [
            "postgres://me:secret@localhost:port/db",
            "postgres://me:secret@localhost/db?sslmode=require",
            "postgres://me:secret@localhost/db?secret=secret",
        ];
        for url in urls {
            let error = Target::new(url, &OpenOptions::default()).err().unwrap();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
