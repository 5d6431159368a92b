//! One connection to the file: its settings, and statements with their parameters rewritten for SQLite.

use std::collections::HashMap;
use std::path::Path;
use std::process;
use std::time::Duration;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{OpenFlags, TransactionBehavior, params_from_iter};

use crate::compile::{Statement, Value};
use crate::migrations::Schema;
use crate::open::OpenError;
use crate::relational::Row;
use crate::sql::Query;
use crate::store::Guard;

/// How long a writer waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// More statements than there are.
const STATEMENTS: usize = 64;

/// What an operator sees.
pub(super) static SETTINGS: [Query; 4] = [
    Query { text: "pragma journal_mode", key: 0, guard: false },
    Query { text: "pragma synchronous", key: 0, guard: false },
    Query { text: "pragma page_size", key: 0, guard: false },
    Query { text: "pragma page_count", key: 0, guard: false },
];

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    /// Copies the write-ahead log; syncs like the writer.
    Copier,
    Reader,
}

impl Role {
    /// Negative cache sizes are in KiB. Checkpoints are our own business: those that SQLite runs by itself hide
    /// their errors, and commits wait for them.
    const fn settings(self) -> &'static str {
        match self {
            Self::Writer => {
                "pragma journal_mode = wal; pragma synchronous = full; pragma temp_store = memory; \
                 pragma wal_autocheckpoint = 0; pragma journal_size_limit = 67108864; \
                 pragma cache_size = -16384;"
            }
            Self::Copier => {
                "pragma synchronous = full; pragma wal_autocheckpoint = 0; pragma cache_size = -256;"
            }
            Self::Reader => {
                "pragma query_only = on; pragma temp_store = memory; pragma cache_size = -4096;"
            }
        }
    }
}

/// A connection.
pub(super) struct Connection {
    pub(super) raw: rusqlite::Connection,
    /// Statements as SQLite reads them, by their text for both databases.
    texts: HashMap<&'static str, String>,
    /// The guard behind the schema's foreign keys; see [`Schema`].
    pub(super) foreign_keys: Option<Guard>,
}

impl Connection {
    pub(super) fn open(path: &Path, role: Role) -> Result<Self, OpenError> {
        let open = || {
            // Each connection stays on its thread, so SQLite needs no lock around it.
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let raw = rusqlite::Connection::open_with_flags(path, flags)?;
            raw.busy_timeout(BUSY_TIMEOUT)?;
            raw.execute_batch(role.settings())?;
            raw.set_prepared_statement_cache_capacity(STATEMENTS);
            Ok(Self { raw, texts: HashMap::new(), foreign_keys: None })
        };
        open().map_err(unavailable)
    }

    /// Versions and checksums of the migrations that have run.
    pub(super) fn history(&self, schema: &Schema) -> Result<Vec<(i64, String)>, OpenError> {
        history(&self.raw, schema).map_err(unavailable)
    }

    /// Runs the pending migrations; another process that does the same waits.
    pub(super) fn migrate(&mut self, schema: &Schema) -> Result<(), OpenError> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.raw.transaction_with_behavior(behavior).map_err(unavailable)?;
        let pending = schema.pending(&history(&transaction, schema).map_err(unavailable)?)?;
        let run = || {
            transaction.execute_batch(schema.create_history)?;
            for migration in pending {
                transaction.execute_batch(migration.script)?;
                transaction.execute_batch(migration.sqlite)?;
                let params = migration.record();
                transaction.execute(&rewrite(schema.record), params_from_iter(&params))?;
            }
            transaction.commit()
        };
        run().map_err(|error| OpenError::Migration(describe(&error)))
    }

    /// Runs a statement without parameters and rows.
    pub(super) fn execute(&self, text: &str) -> rusqlite::Result<()> {
        self.raw.prepare_cached(text)?.execute([]).map(drop)
    }

    /// Runs statements; returns the rows of all.
    pub(super) fn run(&mut self, statements: &[Statement]) -> rusqlite::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for Statement { query, params, .. } in statements {
            let text = self.texts.entry(query.text).or_insert_with(|| rewrite(query.text));
            let mut prepared = self.raw.prepare_cached(text)?;
            let columns = prepared.column_count();
            if columns == 0 {
                prepared.execute(params_from_iter(params))?;
                continue;
            }
            let mut found = prepared.query(params_from_iter(params))?;
            while let Some(row) = found.next()? {
                rows.push((0..columns).map(|i| value(row.get_ref(i)?)).collect::<Result<_, _>>()?);
            }
        }
        Ok(rows)
    }
}

fn history(raw: &rusqlite::Connection, schema: &Schema) -> rusqlite::Result<Vec<(i64, String)>> {
    // A query, because `table_exists` trusts the schema as it was when the connection last looked.
    let exists = "select count(*) from sqlite_master where type = 'table' and name = ?1";
    if raw.query_row(exists, [schema.history], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(Vec::new());
    }
    let mut query = raw.prepare(schema.read_history)?;
    query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Copies the log into the database as far as nobody reads what would be replaced; whether that went well.
pub(super) fn checkpoint(connection: &Connection) -> bool {
    let result = connection.raw.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()));
    if let Err(error) = &result {
        stop_on_io_error(error, "checkpoint");
        tracing::warn!(%error, "the write-ahead log was not copied into the database");
    }
    result.is_ok()
}

/// Stops the process without ceremony if what is on disk is no longer known: only a restart, which reads
/// the log again, finds out.
pub(super) fn stop_on_io_error(error: &rusqlite::Error, action: &str) {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure) {
        tracing::error!(%error, action, "the disk failed; stopping");
        process::abort();
    }
}

/// An error's text, without the statement that it may carry along.
pub(super) fn describe(error: &rusqlite::Error) -> String {
    if let rusqlite::Error::SqlInputError { msg, .. } = error {
        msg.clone()
    } else {
        error.to_string()
    }
}

#[allow(clippy::needless_pass_by_value, reason = "given to map_err")]
fn unavailable(error: rusqlite::Error) -> OpenError {
    OpenError::Unavailable(describe(&error))
}

/// `$1` is a *name* in SQLite, numbered by where it first appears; `?1` is a number.
fn rewrite(text: &str) -> String {
    text.replace('$', "?")
}

/// The name of the constraint behind an error. Of a unique one SQLite tells the columns, `table.a, table.b`,
/// and the migrations name each after them; of a check it tells the name.
pub(super) fn constraint(error: &rusqlite::Error) -> Option<String> {
    let rusqlite::Error::SqliteFailure(code, Some(message)) = error else { return None };
    if code.code != rusqlite::ErrorCode::ConstraintViolation {
        return None;
    }
    if let Some(name) = message.strip_prefix("CHECK constraint failed: ") {
        return Some(name.to_owned());
    }
    let columns = message.strip_prefix("UNIQUE constraint failed: ")?;
    let (table, _) = columns.split_once('.')?;
    let names = columns.split(", ").filter_map(|column| column.split_once('.'));
    Some(names.fold(table.to_owned(), |name, (_, column)| name + "_" + column))
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

fn value(column: ValueRef<'_>) -> rusqlite::Result<Value> {
    Ok(match column {
        ValueRef::Null | ValueRef::Real(_) => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Text(_) => Value::Text(column.as_str()?.to_owned()),
        ValueRef::Blob(value) => Value::Bytes(value.to_vec()),
    })
}

/// A setting's value as text.
pub(super) fn show(value: Value) -> String {
    match value {
        Value::Int(value) => value.to_string(),
        Value::Text(value) => value,
        Value::Null | Value::Bytes(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_as_written_not_as_met() {
        let raw = rusqlite::Connection::open_in_memory().unwrap();
        let mut connection = Connection { raw, texts: HashMap::new(), foreign_keys: None };
        static SWAPPED: Query =
            Query { text: "select cast($2 as text), cast($1 as text), $2", key: 0, guard: false };
        let statement = Statement::new(&SWAPPED, vec!["one".into(), "two".into()]);
        let rows = connection.run(&[statement]).unwrap();
        assert_eq!(rows, [[Value::from("two"), "one".into(), "two".into()]]);
    }

    #[test]
    fn a_violated_constraint_is_named_after_its_columns() {
        let raw = rusqlite::Connection::open_in_memory().unwrap();
        raw.execute_batch(
            "create table t (a text, b text, c text constraint t_short check (length(c) < 9), \
             primary key (a, b)); \
             create unique index t_c on t (c) where b is not null; \
             insert into t values ('1', '2', '3');",
        )
        .unwrap();
        let run = |text: &str| raw.execute(text, []).unwrap_err();
        assert_eq!(constraint(&run("insert into t values ('1', '2', '')")).unwrap(), "t_a_b");
        assert_eq!(constraint(&run("insert into t values ('1', '3', '3')")).unwrap(), "t_c");
        let long = "insert into t values ('1', '4', '123456789')";
        assert_eq!(constraint(&run(long)).unwrap(), "t_short");
        assert_eq!(constraint(&run("insert into nowhere values (1)")), None);
    }
}
