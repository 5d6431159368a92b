//! What only a server across a network does: it goes away, and takes acknowledgements with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use baton_store::{
    CommitError, ListQuery, OpenError, OpenOptions, Relist, Relisted, Store, StoreError, Write,
    WriteSet, open,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::lists::{document, row};
use crate::support::*;

fn one(n: u64) -> WriteSet {
    set([
        Write::Payment(payment(id(n), 1, "snapshot")),
        Write::Event(event(id(n), 1, n)),
        Write::Outbox(outbox(n, id(n), 1, 0)),
    ])
}

/// Passes bytes to the server. Once deaf, it lets the next request through, swallows the answer, then cuts the
/// connection, and refuses every new one.
struct Proxy {
    port: u16,
    deaf: Arc<AtomicBool>,
    cut: watch::Sender<()>,
}

impl Proxy {
    async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let deaf = Arc::new(AtomicBool::new(false));
        let (cut, cuts) = watch::channel(());
        let quiet = Arc::clone(&deaf);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !quiet.load(Ordering::SeqCst) {
                    let server = TcpStream::connect(&server).await.unwrap();
                    tokio::spawn(pass(client, server, Arc::clone(&quiet), cuts.clone()));
                }
            }
        });
        Self { port, deaf, cut }
    }
}

async fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    deaf: Arc<AtomicBool>,
    mut cuts: watch::Receiver<()>,
) {
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut swallowed = false;
    cuts.mark_unchanged();
    loop {
        tokio::select! {
            // Time for the rest of the request, which is sent in parts.
            () = sleep(Duration::from_millis(300)), if swallowed => return,
            read = client.read(&mut up) => match read {
                Ok(0) | Err(_) => return,
                Ok(n) => server.write_all(&up[..n]).await.unwrap(),
            },
            read = server.read(&mut down) => match read {
                Ok(0) | Err(_) => return,
                Ok(_) if deaf.load(Ordering::SeqCst) => swallowed = true,
                Ok(n) => client.write_all(&down[..n]).await.unwrap(),
            },
            _ = cuts.changed() => return,
        }
    }
}

async fn through_proxy(options: OpenOptions) -> Option<(Proxy, Arc<dyn Store>, Arc<dyn Store>)> {
    let url = postgres_database().await?;
    let direct = open(&url, migrate()).await.unwrap();
    let (server, name) = url.split_once('@').unwrap().1.split_once('/').unwrap();
    let proxy = Proxy::start(server.to_owned()).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/{name}", proxy.port);
    let store = open(&url, options).await.unwrap();
    Some((proxy, store, direct))
}

async fn until_committed(store: &dyn Store, n: u64) {
    while store.payment(merchant(), id(n)).await.unwrap().is_none() {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_acknowledgement_is_in_doubt_and_no_connection_is_unavailable() {
    let options = OpenOptions { writers: 1, readers: 1, ..OpenOptions::default() };
    let Some((proxy, store, direct)) = through_proxy(options).await else { return };
    assert_eq!(store.commit(one(1)).await, Ok(()));
    assert_eq!(store.ping().await, Ok(()));

    // The request arrives, the answer does not.
    proxy.deaf.store(true, Ordering::SeqCst);
    assert_eq!(store.commit(one(2)).await, Err(CommitError::InDoubt));
    timeout(Duration::from_secs(10), until_committed(&*direct, 2)).await.unwrap();

    // Nothing arrives: surely not committed.
    let refused = store.commit(one(3)).await;
    assert!(matches!(refused, Err(CommitError::Unavailable(_))), "{refused:?}");
    proxy.cut.send(()).unwrap();
    let unread = timeout(Duration::from_secs(10), async {
        loop {
            if let Err(error) = store.payment(merchant(), id(1)).await {
                return error;
            }
        }
    });
    assert!(matches!(unread.await.unwrap(), StoreError::Unavailable(_)));
    assert_eq!(direct.payment(merchant(), id(3)).await, Ok(None));

    // The server is back, and so is the store, by itself.
    proxy.deaf.store(false, Ordering::SeqCst);
    let back = timeout(Duration::from_secs(10), async {
        while store.commit(one(4)).await != Ok(()) {}
        while store.payment(merchant(), id(4)).await.is_err() {}
    });
    back.await.unwrap();
    assert_eq!(direct.describe().await.unwrap().payments, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_killed_under_load_break_no_promise() {
    let Some(url) = postgres_database().await else { return };
    let store = open(&url, migrate()).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let numbers = Arc::new(AtomicU64::new(1));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (store, stop, numbers) =
                (Arc::clone(&store), Arc::clone(&stop), Arc::clone(&numbers));
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let n = numbers.fetch_add(1, Ordering::SeqCst);
                    answers.push((n, store.commit(one(n)).await));
                }
                answers
            })
        })
        .collect();
    let killer = postgres_client(&url).await;
    for _ in 0..30 {
        sleep(Duration::from_millis(40)).await;
        let kill = "select pg_terminate_backend(pid) from pg_stat_activity \
             where application_name = 'baton' and datname = current_database()";
        killer.batch_execute(kill).await.unwrap();
    }
    stop.store(true, Ordering::SeqCst);

    let (mut committed, mut doubtful, mut failed) = (0, 0, 0);
    let verifier = open(&url, OpenOptions::default()).await.unwrap();
    for client in clients {
        for (n, answer) in client.await.unwrap() {
            let stands = verifier.payment(merchant(), id(n)).await.unwrap().is_some();
            let event = verifier.event(merchant(), id(n), 1).await.unwrap().is_some();
            assert_eq!(stands, event, "half of {n}");
            match answer {
                Ok(()) => {
                    assert!(stands, "{n} was acknowledged and is lost");
                    committed += 1;
                }
                Err(CommitError::InDoubt) => doubtful += 1,
                Err(CommitError::Unavailable(why)) => {
                    assert!(!stands, "{n} was called uncommitted and stands: {why}");
                    failed += 1;
                }
                Err(other) => panic!("{n}: {other:?}"),
            }
        }
    }
    assert!(committed > 100, "the store did not come back");
    assert!(doubtful + failed > 0, "nothing was interrupted");
}

#[tokio::test]
async fn a_role_that_does_not_wait_for_the_disk_is_refused() {
    let Some(url) = postgres_database().await else { return };
    drop(open(&url, migrate()).await.unwrap());
    let client = postgres_client(&url).await;
    let database = url.rsplit_once('/').unwrap().1;
    let off = format!("alter database {database} set synchronous_commit = off");
    client.batch_execute(&off).await.unwrap();
    let refused = open(&url, OpenOptions::default()).await.err().unwrap();
    assert_eq!(refused, OpenError::Unsafe("synchronous_commit is not on".into()));
    let options = OpenOptions { allow_unsafe_durability: true, ..OpenOptions::default() };
    let info = open(&url, options).await.unwrap().describe().await.unwrap();
    assert!(info.settings.contains(&("synchronous_commit".into(), "off".into())), "{info:?}");
}

#[tokio::test]
async fn sessions_name_themselves_and_end_with_the_store() {
    let Some(url) = postgres_database().await else { return };
    let client = postgres_client(&url).await;
    let sessions = async || {
        let count = "select count(*) from pg_stat_activity where application_name = 'node seven'";
        client.query_one(count, &[]).await.unwrap().get::<_, i64>(0)
    };
    let options = OpenOptions { application_name: "node seven".into(), ..migrate() };
    let store = open(&url, options).await.unwrap();
    store.commit(one(1)).await.unwrap();
    store.ping().await.unwrap();
    assert!(sessions().await >= 2);
    drop(store);
    let ended = timeout(Duration::from_secs(10), async {
        while sessions().await > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    });
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_write_the_same_rows_do_not_deadlock() {
    let Some(url) = postgres_database().await else { return };
    let nodes = [open(&url, migrate()).await.unwrap(), open(&url, migrate()).await.unwrap()];
    let clients: Vec<_> = (0..32_u64)
        .map(|client| {
            let store = Arc::clone(&nodes[client as usize % 2]);
            tokio::spawn(async move {
                for round in 0..40_u64 {
                    // The same timers and references in every order.
                    let mut writes = WriteSet::new();
                    for n in 0..6 {
                        let n = (n * (client % 5 + 1) + round) % 7;
                        let call = format!("call {n}");
                        writes.push(Write::SetTimer(timer(id(n), &call, 0, "n", id(client))));
                        writes.push(Write::Reference(reference(&call, None, id(n), 0)));
                    }
                    store.commit(writes).await.unwrap();
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(nodes[0].describe().await.unwrap().timers, 7);
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    let row = postgres_client(&url).await.query_one(deadlocks, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
}

/// How often each index was scanned, once the server has counted `least` scans of the primary keys.
async fn scans(url: &str, least: i64) -> Vec<(String, i64)> {
    let client = postgres_client(url).await;
    let counted = timeout(Duration::from_secs(20), async {
        loop {
            let rows = client
                .query("select indexrelname::text, idx_scan from pg_stat_user_indexes", &[])
                .await
                .unwrap();
            let rows: Vec<(String, i64)> =
                rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            let keys =
                ["payments_merchant_id", "documents_merchant_kind_id", "listed_merchant_kind_id"];
            if keys
                .iter()
                .all(|key| rows.iter().any(|(name, scans)| name == key && *scans >= least))
            {
                return rows;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    counted.await.unwrap()
}

/// The plans are made while the tables are empty, and nobody analyses them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_is_found_by_its_key_also_where_the_server_knows_nothing_of_a_table() {
    const ROWS: u64 = 20;
    let Some(url) = postgres_database().await else { return };
    let store = open(&url, OpenOptions { writers: 1, readers: 1, ..migrate() }).await.unwrap();
    for n in (0..ROWS).map(|n| n * 10) {
        let listed = row(n);
        let (first, payment) = (document(&listed), payment(id(n), 1, "snapshot"));
        let (kind, name) = (listed.kind.clone(), listed.id.clone());
        let second = baton_store::DocumentRow { version: 2, ..first.clone() };
        let relisted = Relisted {
            merchant: merchant(),
            kind: kind.clone(),
            which: Relist::Object(name.clone()),
            payment: id(n),
            status: "failed".into(),
            status_of_several: "failed".into(),
            amount: None,
            account: None,
            connector: None,
        };
        let writes = [
            Write::Document(first),
            Write::Listed(listed),
            Write::Payment(payment),
            Write::Event(event(id(n), 1, n + 1)),
        ];
        store.commit(set(writes)).await.unwrap();
        let writes = [Write::Document(second), Write::Relisted(relisted)];
        store.commit(set(writes)).await.unwrap();
        assert_eq!(store.document(merchant(), &kind, &name).await.unwrap().unwrap().version, 2);
        assert!(store.payment(merchant(), id(n)).await.unwrap().is_some());
    }
    // And a list goes by time.
    let listed = store.lists().listed(&ListQuery::of(merchant(), "intent")).await.unwrap();
    assert_eq!(listed.len(), 10);
    // A session counts at its end.
    drop(store);
    for (index, scans) in scans(&url, i64::try_from(ROWS).unwrap()).await {
        let most = i64::from(index == "listed_by_time");
        assert!(scans <= most || !index.contains("_by_"), "{index} was scanned {scans} times");
    }
}
