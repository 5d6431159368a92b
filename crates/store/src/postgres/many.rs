//! Many rows with one statement.
//!
//! PostgreSQL takes about as long for a statement as for the row that it writes. So statements of one batch
//! with the same text become one, which gets a column's values as an array. What two statements of a batch do
//! to one row stays in order: the second waits for a later round.
//!
//! Left out: which row was refused. Whoever has to know runs the statements one by one.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use crate::compile::{Statement, Value};
use crate::lists::sql as lists;
use crate::sql::{self, Query};

/// What a session needs that runs these: plans that do not change with the size of a table. The planner
/// prefers to read a table as a whole while it is small, and keeps to that when it has grown.
pub(super) const SESSION: &str = "set plan_cache_mode = force_generic_plan; set jit = off; \
     set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off";

/// A statement that exists for many rows, and the types of its parameters: a letter each for `text`, `bigint`
/// and `bytea`. The text follows from that of one row, or is given.
type Form = (&'static Query, &'static str, Option<&'static str>);

/// What a payment's steps write. Everything else is rare.
static FORMS: [Form; 14] = [
    (&sql::EVENT_INSERT, "ttitiit", None),
    (&sql::KEY_INSERT, "ttbttii", None),
    (&sql::GUARD_TAKE, "ttti", None),
    (
        &sql::GUARD_RELEASE,
        "ttt",
        Some(
            "delete from guards using unnest($1::text[], $2::text[], $3::text[]) \
             as gone (merchant, key, payment) where guards.merchant = gone.merchant \
             and guards.key = gone.key and guards.payment = gone.payment",
        ),
    ),
    (&sql::PAYMENT_PUT, "ttittittitiiit", None),
    (&sql::TIMER_PUT, "ttttiitt", None),
    (
        &sql::TIMER_DELETE,
        "ttt",
        Some(
            "delete from timers using unnest($1::text[], $2::text[], $3::text[]) \
             as gone (merchant, payment, call) where timers.merchant = gone.merchant \
             and timers.payment = gone.payment and timers.call = gone.call",
        ),
    ),
    (&sql::OUTBOX_INSERT, "tttiiit", None),
    (&sql::REFERENCE_INSERT, "tttttti", None),
    (&sql::OUTBOX_DELETE, "t", Some("delete from outbox where id = any($1::text[])")),
    (&sql::DOCUMENT_INSERT, "tttittiiiit", None),
    (&sql::DOCUMENT_UPDATE, "tttittiiiit", Some(sql::DOCUMENT_UPDATE_MANY)),
    (&lists::LIST, "tttttttittittttttti", None),
    (&lists::RELIST, "tttttttti", Some(lists::RELIST_MANY)),
];

/// The place in [`FORMS`], and the text for many rows, by the text for one.
static TEXTS: LazyLock<HashMap<&'static str, (usize, String)>> = LazyLock::new(|| {
    let forms = FORMS.iter().enumerate();
    forms.map(|(place, form)| (form.0.text, (place, text(form)))).collect()
});

fn text((query, types, given): &Form) -> String {
    if let Some(text) = given {
        return (*text).to_owned();
    }
    let arrays = (1..).zip(types.chars()).map(|(number, letter)| {
        let kind = match letter {
            'i' => "bigint",
            'b' => "bytea",
            _ => "text",
        };
        format!("${number}::{kind}[]")
    });
    let arrays = arrays.collect::<Vec<_>>().join(", ");
    let numbers = (1..).zip(types.chars()).map(|(number, _)| format!("${number}"));
    let values = format!("values ({})", numbers.collect::<Vec<_>>().join(", "));
    query.text.replace(&values, &format!("select * from unnest({arrays})"))
}

/// A statement to send: for one row, with its parameters, or for many.
pub(super) enum Request<'a> {
    One(&'a Statement),
    Many {
        text: &'static str,
        /// By column, then by row.
        columns: Vec<Vec<&'a Value>>,
    },
}

impl Request<'_> {
    pub(super) fn text(&self) -> &'static str {
        match self {
            Self::One(statement) => statement.query.text,
            Self::Many { text, .. } => text,
        }
    }
}

/// Merges statements that come in the order of their keys. Tables keep their order, and within a table rows
/// keep that of their keys for each statement; those of one row keep theirs.
///
/// Two batches can so lock the rows of one table in different orders, if one of them sets a timer that the
/// other clears. They would have met at an event's guard before, which comes first and has one order; should
/// they ever wait in a circle, the server says so, and one of them tries again.
pub(super) fn merge<'a>(statements: &[&'a Statement]) -> Vec<Request<'a>> {
    let mut groups: BTreeMap<(u8, usize, usize), Vec<&Statement>> = BTreeMap::new();
    let mut round = 0_usize;
    let mut last = None;
    for (number, statement) in statements.iter().enumerate() {
        let key = statement.key();
        round = if last == Some(key) { round.saturating_add(1) } else { 0 };
        last = Some(key);
        let form = TEXTS.get(statement.query.text).map(|(place, _)| *place);
        let form = form.unwrap_or_else(|| FORMS.len().saturating_add(number));
        groups.entry((statement.rank, round, form)).or_default().push(statement);
    }
    groups.into_values().filter_map(request).collect()
}

/// One statement for a group; none for an empty one.
fn request(rows: Vec<&Statement>) -> Option<Request<'_>> {
    let first = *rows.first()?;
    let many = TEXTS.get(first.query.text).filter(|_| rows.len() > 1);
    let Some((_, text)) = many else { return Some(Request::One(first)) };
    let column = |_| Vec::with_capacity(rows.len());
    let mut columns: Vec<Vec<&Value>> = first.params.iter().map(column).collect();
    for row in &rows {
        for (column, value) in columns.iter_mut().zip(&row.params) {
            column.push(value);
        }
    }
    Some(Request::Many { text, columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_follows_from_its_statement() {
        for form in &FORMS {
            let (query, types, _) = form;
            let many = text(form);
            assert!(!many.contains("values (") && many.contains("[]"), "{many}");
            let last = format!("${}", types.len());
            let next = format!("${}", types.len() + 1);
            for text in [query.text, &many] {
                assert!(text.contains(&last) && !text.contains(&next), "{text}");
            }
        }
        assert_eq!(
            text(FORMS.first().unwrap()),
            "insert into events (merchant, payment, version, id, at, schema, body) select * from \
             unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], \
             $7::text[])"
        );
    }

    fn statement(query: &'static Query, rank: u8, key: [&str; 3]) -> Statement {
        Statement { query, params: key.map(Value::from).to_vec(), rank }
    }

    #[test]
    fn one_row_keeps_its_order_and_tables_keep_theirs() {
        let (set, clear) = (&sql::TIMER_PUT, &sql::TIMER_DELETE);
        let statements = [
            statement(&sql::EVENT_INSERT, 3, ["m", "p", "1"]),
            statement(&sql::EVENT_INSERT, 3, ["m", "p", "2"]),
            statement(&sql::MERCHANT_INSERT, 5, ["m", "p", "1"]),
            statement(&sql::MERCHANT_INSERT, 5, ["m", "p", "2"]),
            statement(clear, 7, ["m", "p", "a"]),
            statement(set, 7, ["m", "p", "a"]),
            statement(clear, 7, ["m", "p", "b"]),
            statement(clear, 7, ["m", "p", "b"]),
            statement(set, 7, ["m", "q", "a"]),
        ];
        let merged = merge(&statements.iter().collect::<Vec<_>>());
        let shown: Vec<_> = merged
            .iter()
            .map(|request| {
                let verb = request.text().split(' ').take(3).collect::<Vec<_>>().join(" ");
                match request {
                    Request::One(one) => (verb, vec![one.params[2].clone()]),
                    Request::Many { columns, .. } => {
                        (verb, columns[2].iter().map(|value| (*value).clone()).collect())
                    }
                }
            })
            .collect();
        let row = |verb: &str, rows: &[&str]| {
            (verb.to_owned(), rows.iter().map(|row| Value::from(*row)).collect::<Vec<_>>())
        };
        assert_eq!(
            shown,
            [
                row("insert into events", &["1", "2"]),
                row("insert into merchants", &["1"]),
                row("insert into merchants", &["2"]),
                row("insert into timers", &["a"]),
                row("delete from timers", &["a", "b"]),
                row("insert into timers", &["a"]),
                row("delete from timers", &["b"]),
            ]
            .map(|row| row)
        );
    }
}
