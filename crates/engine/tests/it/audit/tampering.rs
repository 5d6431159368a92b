//! Somebody changes the table by hand, constraints out of the way.

use std::path::Path;

use baton_engine::audit::{Broken, Head, Intact, VerifyError, chain, verify};
use baton_store::{AuditRow, Store, open};
use proptest::prelude::*;
use rusqlite::types::Value;
use tokio::sync::OnceCell;

use super::{all, appender, entry, whole};
use crate::world::migrating;

/// How many entries the chain has.
const ENTRIES: i64 = 12;

fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

/// A database with a chain; copied for each case.
async fn template() -> &'static [u8] {
    static TEMPLATE: OnceCell<Vec<u8>> = OnceCell::const_new();
    let make = || async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("baton.db");
        let store = open(&url(&path), migrating()).await.unwrap();
        let audit = appender(&store);
        for n in 1..=ENTRIES {
            audit.record(entry(&format!("subject {n}"))).await.unwrap();
        }
        let copy = directory.path().join("copy.db");
        let raw = rusqlite::Connection::open(&path).unwrap();
        raw.execute("vacuum into ?", [copy.to_str().unwrap()]).unwrap();
        std::fs::read(&copy).unwrap()
    };
    TEMPLATE.get_or_init(make).await
}

#[derive(Clone, Debug)]
enum Tampering {
    Change {
        seq: i64,
        column: &'static str,
        value: Value,
    },
    Delete {
        seq: i64,
    },
    /// Everything from an entry on.
    CutOff {
        from: i64,
    },
    Swap {
        a: i64,
        b: i64,
    },
    /// Before this entry, with a right hash or a made-up one; the later ones move up.
    Insert {
        seq: i64,
        right: bool,
    },
    /// An entry is written anew, with a right hash.
    Rewrite {
        seq: i64,
    },
    /// So is everything from an entry on: a chain that holds in itself.
    RewriteAll {
        from: i64,
    },
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let seq = || 1..=ENTRIES;
    let text = || "[ -~]{0,8}".prop_map(Value::Text);
    let any_text = || prop_oneof![3 => text(), 1 => Just(Value::Null), 1 => any::<i64>().prop_map(Value::Integer)];
    let bytes = || {
        let of = |n: usize| proptest::collection::vec(any::<u8>(), n).prop_map(Value::Blob);
        prop_oneof![of(32), of(31), of(0), Just(Value::Null)]
    };
    let column = prop_oneof![
        any::<i64>().prop_map(|at| ("at", Value::Integer(at))),
        any_text().prop_map(|v| ("merchant", v)),
        text().prop_map(|v| ("actor", v)),
        text().prop_map(|v| ("action", v)),
        text().prop_map(|v| ("subject", v)),
        text().prop_map(|v| ("detail", v)),
        any_text().prop_map(|v| ("request_id", v)),
        bytes().prop_map(|v| ("prev", v)),
        bytes().prop_filter("not null", |v| *v != Value::Null).prop_map(|v| ("hash", v)),
        (-3_i64..=0).prop_map(|v| ("seq", Value::Integer(v))),
        (ENTRIES + 1..ENTRIES + 9).prop_map(|v| ("seq", Value::Integer(v))),
    ];
    prop_oneof![
        8 => (seq(), column).prop_map(|(seq, (column, value))| Tampering::Change { seq, column, value }),
        2 => seq().prop_map(|seq| Tampering::Delete { seq }),
        1 => seq().prop_map(|from| Tampering::CutOff { from }),
        3 => (seq(), seq()).prop_filter("two", |(a, b)| a != b).prop_map(|(a, b)| Tampering::Swap { a, b }),
        3 => (seq(), any::<bool>()).prop_map(|(seq, right)| Tampering::Insert { seq, right }),
        2 => seq().prop_map(|seq| Tampering::Rewrite { seq }),
        2 => seq().prop_map(|from| Tampering::RewriteAll { from }),
    ]
}

fn write(raw: &rusqlite::Connection, row: &AuditRow) {
    raw.execute(
        "insert or replace into audit values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rusqlite::params![
            row.seq.cast_signed(),
            row.at.millis(),
            row.merchant,
            row.actor,
            row.action,
            row.subject,
            row.detail,
            row.request_id,
            row.prev,
            row.hash,
        ],
    )
    .unwrap();
}

fn tamper(raw: &rusqlite::Connection, rows: &[AuditRow], what: &Tampering) {
    let row = |seq: i64| rows[usize::try_from(seq).unwrap() - 1].clone();
    let rehashed = |mut row: AuditRow| {
        row.hash = chain::hash(&row);
        row
    };
    raw.execute_batch("pragma foreign_keys = off; pragma ignore_check_constraints = on").unwrap();
    // Uniqueness is only in the way of the tampering itself.
    match what {
        Tampering::Change { seq, column, value } => {
            let text = format!("update audit set {column} = ? where seq = ?");
            raw.execute(&text, rusqlite::params![value, seq]).unwrap();
        }
        Tampering::Delete { seq } => {
            raw.execute("delete from audit where seq = ?", [seq]).unwrap();
        }
        Tampering::CutOff { from } => {
            raw.execute("delete from audit where seq >= ?", [from]).unwrap();
        }
        Tampering::Swap { a, b } => {
            for (from, to) in [(*a, -1), (*b, *a), (-1, *b)] {
                raw.execute("update audit set seq = ? where seq = ?", [to, from]).unwrap();
            }
        }
        Tampering::Insert { seq, right } => {
            for old in (*seq..=ENTRIES).rev() {
                raw.execute("update audit set seq = ? where seq = ?", [old + 1, old]).unwrap();
            }
            let mut new = rehashed(AuditRow { subject: "put in".to_owned(), ..row(*seq) });
            if !right {
                new.hash[0] ^= 1;
            }
            // Two rows cannot name one entry before them.
            raw.execute("update audit set prev = null where seq = ?", [seq + 1]).unwrap();
            write(raw, &new);
        }
        Tampering::Rewrite { seq } => {
            let new = AuditRow { detail: "{}".to_owned(), ..row(*seq) };
            write(raw, &rehashed(new));
        }
        Tampering::RewriteAll { from } => {
            let mut prev = row(*from).prev;
            for seq in *from..=ENTRIES {
                let new = rehashed(AuditRow { detail: "{}".to_owned(), prev, ..row(seq) });
                prev = Some(new.hash.clone());
                write(raw, &new);
            }
        }
    }
}

/// What is found, without and with the head that was noted before.
async fn found(what: &Tampering) -> [Result<Intact, VerifyError>; 2] {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("baton.db");
    std::fs::write(&path, template().await).unwrap();
    let (before, head) = {
        let store = open(&url(&path), migrating()).await.unwrap();
        let rows = all(store.as_ref()).await;
        let intact = whole(store.as_ref()).await.unwrap();
        (rows, intact.head.unwrap())
    };
    tamper(&rusqlite::Connection::open(&path).unwrap(), &before, what);
    let store = open(&url(&path), migrating()).await.unwrap();
    let noted = verify(store.as_ref(), None, &[head], |_| ()).await;
    [whole(store.as_ref()).await, noted]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_tampering_is_found(what in tampering()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // The one value of these that is there already.
        let as_it_is = |what: &Tampering| matches!(what, Tampering::Change { seq: 1, column: "prev", value: Value::Null });
        prop_assume!(!as_it_is(&what));
        let [alone, noted] = runtime.block_on(found(&what));
        prop_assert!(noted.is_err(), "{what:?} is not found");
        let needs_head = match &what {
            Tampering::CutOff { .. } | Tampering::RewriteAll { .. } => true,
            Tampering::Delete { seq } | Tampering::Rewrite { seq } => *seq == ENTRIES,
            _ => false,
        };
        prop_assert_eq!(alone.is_ok(), needs_head, "{:?}: {:?}", what, alone);
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_and_where() {
    let text = |text: &str| Value::Text(text.to_owned());
    let change = |column, value| Tampering::Change { seq: 5, column, value };
    let rows = [
        (change("detail", text("{}")), "entry 5 was changed: its hash is not that of its content"),
        (change("request_id", Value::Null), "entry 5 was changed: its hash"),
        (change("merchant", text("")), "entry 5 was changed: its hash"),
        (change("hash", Value::Blob(vec![7; 32])), "entry 5 was changed: its hash"),
        (
            change("detail", Value::Blob(vec![1])),
            "the entry after 4 was changed: it cannot be read",
        ),
        (change("seq", Value::Integer(0)), "entry 5 stands in the place of 0"),
        (change("seq", Value::Integer(-1)), "the entry after 0 was changed: it cannot be read"),
        (Tampering::Delete { seq: 1 }, "entry 1 is missing"),
        (Tampering::Delete { seq: 5 }, "entry 5 is missing"),
        (Tampering::Delete { seq: ENTRIES }, "the log ends with 11, and entry 12 was noted"),
        (Tampering::CutOff { from: 1 }, "the log ends with 0, and entry 12 was noted"),
        (Tampering::Swap { a: 5, b: 9 }, "reordered: entry 9 stands in the place of 5"),
        (Tampering::Insert { seq: 5, right: true }, "entry 6 was changed"),
        (Tampering::Rewrite { seq: 5 }, "entry 5 was changed: the next one follows another entry"),
        (Tampering::RewriteAll { from: 5 }, "entry 12 is not the one that was noted"),
    ];
    for (what, want) in rows {
        let [_, noted] = found(&what).await;
        let Err(VerifyError::Broken(broken)) = noted else { panic!("{what:?}: {noted:?}") };
        assert!(broken.to_string().contains(want), "{what:?}: {broken}");
    }
}

#[tokio::test]
async fn a_part_of_the_chain_is_verified_from_a_number_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("baton.db");
    std::fs::write(&path, template().await).unwrap();
    let store = open(&url(&path), migrating()).await.unwrap();
    let rows = all(store.as_ref()).await;
    drop(store);
    let change = Tampering::Change { seq: 4, column: "actor", value: Value::Text("x".to_owned()) };
    tamper(&rusqlite::Connection::open(&path).unwrap(), &rows, &change);
    let store = open(&url(&path), migrating()).await.unwrap();
    let part = |from, noted: Vec<Head>| {
        let store = &store;
        async move { verify(store.as_ref(), Some(from), &noted, |_| ()).await }
    };
    for from in 1..=4 {
        let broken = Err(VerifyError::Broken(Broken::Changed { seq: 4 }));
        assert_eq!(part(from, vec![]).await, broken, "{from}");
    }
    let head = Head::of(rows.last().unwrap());
    for from in 5..=12 {
        let intact = Intact { entries: 13 - from, head: Some(head.clone()) };
        assert_eq!(part(from, vec![head.clone()]).await, Ok(intact), "{from}");
    }
    assert_eq!(part(13, vec![]).await, Ok(Intact { entries: 0, head: Some(head) }));
    let beyond = Err(VerifyError::Broken(Broken::Missing { seq: 13 }));
    assert_eq!(part(14, vec![]).await, beyond);
}

#[tokio::test]
async fn an_empty_log_holds_and_a_database_that_is_away_is_no_verdict() {
    let store = baton_store::MemoryStore::default();
    assert_eq!(whole(&store).await, Ok(Intact { entries: 0, head: None }));
    let noted = Head { seq: 1, hash: vec![0; 32] };
    let cut = Err(VerifyError::Broken(Broken::CutOff { end: 0, noted: 1 }));
    assert_eq!(verify(&store, None, &[noted], |_| ()).await, cut);
    assert!(store.ping().await.is_ok());
}
