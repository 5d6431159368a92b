//! What every backend does with the audit log; [`crate::conformance`] runs it.

use std::sync::Arc;

use baton_store::{AuditQuery, AuditRow, CommitError, Guard, Store, Write};

use crate::support::*;

fn hash(n: u8) -> Vec<u8> {
    vec![n; 32]
}

/// The entry of number `n` in a chain; its time runs backwards, so that nothing can lean on it.
pub fn audit(n: u8) -> AuditRow {
    AuditRow {
        seq: n.into(),
        at: at(1_000 - i64::from(n)),
        merchant: n.is_multiple_of(2).then(|| merchant().to_string()),
        actor: format!("actor {}", n % 3),
        action: format!("action {}", n % 4),
        subject: format!("subject {}", n % 5),
        detail: format!(r#"{{"n":{n},"text":"\u0000 ü %_"}}"#),
        request_id: n.is_multiple_of(7).then(|| format!("request {n}")),
        prev: (n > 1).then(|| hash(n - 1)),
        hash: hash(n),
    }
}

pub async fn an_audit_log_is_read_as_written_by_number_and_filter(store: Arc<dyn Store>) {
    const ALL: u8 = 60;
    let everything = AuditQuery { limit: 1000, ..AuditQuery::default() };
    assert_eq!(store.audit(&everything).await, Ok(vec![]));
    for first in [1, 21, 41] {
        let writes = (first..first + 20).map(|n| Write::Audit(audit(n)));
        assert_eq!(store.commit(set(writes)).await, Ok(()));
    }
    let all: Vec<_> = (1..=ALL).map(audit).collect();
    assert_eq!(store.audit(&everything).await, Ok(all.clone()));

    type Keep = fn(&AuditRow) -> bool;
    let text = |text: &str| Some(text.to_owned());
    let merchant = Some(merchant().to_string());
    let queries: [(AuditQuery, Keep); 11] = [
        (AuditQuery { merchant: merchant.clone(), ..everything.clone() }, |r| r.seq % 2 == 0),
        (AuditQuery { merchant: text("mer"), ..everything.clone() }, |_| false),
        (AuditQuery { merchant: text("mer\0"), ..everything.clone() }, |_| false),
        (AuditQuery { actor: text("actor 1"), ..everything.clone() }, |r| r.seq % 3 == 1),
        (AuditQuery { action: text("action 1"), ..everything.clone() }, |r| r.seq % 4 == 1),
        (AuditQuery { subject: text("subject 1"), ..everything.clone() }, |r| r.seq % 5 == 1),
        (AuditQuery { subject: text("subject"), ..everything.clone() }, |_| false),
        // From is within, to is not.
        (AuditQuery { from: Some(at(980)), ..everything.clone() }, |r| r.seq <= 20),
        (AuditQuery { to: Some(at(980)), ..everything.clone() }, |r| r.seq > 20),
        (AuditQuery { from: Some(at(980)), to: Some(at(981)), ..everything.clone() }, |r| {
            r.seq == 20
        }),
        (
            AuditQuery {
                merchant,
                subject: text("subject 2"),
                actor: text("actor 0"),
                action: text("action 0"),
                ..everything.clone()
            },
            |r| r.seq == 12,
        ),
    ];
    for (query, keep) in queries {
        let mut want: Vec<_> = all.iter().filter(|row| keep(row)).cloned().collect();
        assert_eq!(store.audit(&query).await, Ok(want.clone()), "{query:?}");
        let newest_first = AuditQuery { newest_first: true, ..query };
        want.reverse();
        assert_eq!(store.audit(&newest_first).await, Ok(want), "{newest_first:?}");
    }

    // Pages, both ways.
    for newest_first in [false, true] {
        let mut query = AuditQuery { newest_first, limit: 7, ..AuditQuery::default() };
        let mut read = Vec::new();
        loop {
            let page = store.audit(&query).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 7);
            query.beyond = Some(last.seq);
            read.extend(page);
        }
        if newest_first {
            read.reverse();
        }
        assert_eq!(read, all);
    }
    for (beyond, newest_first, want) in
        [(0, false, 60), (0, true, 0), (60, false, 0), (u64::MAX, false, 0), (u64::MAX, true, 60)]
    {
        let query = AuditQuery { beyond: Some(beyond), newest_first, ..everything.clone() };
        assert_eq!(store.audit(&query).await.unwrap().len(), want, "{beyond}");
    }
}

pub async fn the_audit_log_takes_each_number_once_and_never_forks(store: Arc<dyn Store>) {
    let writes = (1..=5).map(|n| Write::Audit(audit(n)));
    assert_eq!(store.commit(set(writes)).await, Ok(()));
    let conflicts = [
        // The same once more, another of a number that is taken, one that follows the same entry, and
        // one that has another's hash.
        audit(5),
        AuditRow { hash: hash(77), ..audit(5) },
        AuditRow { hash: hash(77), ..audit(1) },
        AuditRow { seq: 9, hash: hash(77), ..audit(3) },
        AuditRow { hash: hash(2), ..audit(6) },
    ];
    for row in conflicts {
        let with_a_change = [Write::Audit(row.clone()), Write::ApiKey(api_key(1, b"hash"))];
        let answer = store.commit(set(with_a_change)).await;
        assert_eq!(answer, Err(CommitError::Conflict(Guard::AuditSeq)), "{row:?}");
    }
    let invalid = [
        // It follows no entry, or itself, or is no entry of a chain at all.
        AuditRow { prev: Some(hash(99)), ..audit(6) },
        AuditRow { prev: Some(hash(6)), ..audit(6) },
        AuditRow { prev: None, ..audit(6) },
        AuditRow { hash: vec![6; 31], ..audit(6) },
        AuditRow { seq: 0, prev: None, ..audit(6) },
        AuditRow { seq: u64::MAX, ..audit(6) },
        AuditRow { subject: "\0".to_owned(), ..audit(6) },
        AuditRow { subject: "x".repeat(1001), ..audit(6) },
    ];
    for row in invalid {
        let with_a_change = [Write::Audit(row.clone()), Write::ApiKey(api_key(1, b"hash"))];
        let answer = store.commit(set(with_a_change)).await;
        assert!(matches!(answer, Err(CommitError::Invalid(_))), "{row:?}: {answer:?}");
    }
    assert_eq!(store.api_keys(merchant()).await, Ok(vec![]));

    // A guard of the change itself is told, rather than that of the log.
    let change = || Write::ApiKey(api_key(1, b"hash"));
    assert_eq!(store.commit(set([Write::Audit(audit(6)), change()])).await, Ok(()));
    let both = store.commit(set([Write::Audit(audit(6)), change()])).await;
    assert_eq!(both, Err(CommitError::Conflict(Guard::ApiKey)));
    let all = AuditQuery { limit: 100, ..AuditQuery::default() };
    assert_eq!(store.audit(&all).await, Ok((1..=6).map(audit).collect()));
}
