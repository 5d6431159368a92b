//! The simulated provider, and its administrator's side.

use std::net::SocketAddr;

use baton_sandbox::{Books, Config, start};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A sandbox. Unless a test wants it otherwise, it honours no idempotency keys: what is sent twice is executed
/// twice, and shows.
#[derive(Clone, Copy)]
pub(crate) struct Provider {
    pub(crate) addr: SocketAddr,
}

/// One payment in the sandbox's books.
#[derive(Clone, Debug)]
pub(crate) struct Booked {
    pub(crate) account: String,
    pub(crate) payment: String,
    pub(crate) status: String,
    pub(crate) authorized: i64,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    pub(crate) voided: bool,
    pub(crate) times_executed: i64,
}

impl Booked {
    /// Whether it takes or holds money.
    pub(crate) fn is_live(&self) -> bool {
        let holds = self.status == "authorized" && self.authorized > self.captured;
        !self.voided && (self.captured > self.refunded || holds)
    }
}

impl Provider {
    pub(crate) async fn start() -> Self {
        Self::that_deduplicates(false).await
    }

    pub(crate) async fn that_deduplicates(dedup: bool) -> Self {
        let listen = ([127, 0, 0, 1], 0).into();
        let config = Config { listen, books: Books::Memory, dedup };
        Self { addr: start(config).await.unwrap().addr() }
    }

    pub(crate) fn url(self, account: &str) -> String {
        format!("http://{}/sandbox/{account}", self.addr)
    }

    /// Makes requests that match behave like this from now on.
    pub(crate) async fn rule(self, matches: Value, action: Value, times: Option<u32>) {
        let mut rule = json!({"match": matches, "action": action});
        if let Some(times) = times {
            rule["times"] = times.into();
        }
        let made = self.ask("POST", "/admin/rules", Some(rule)).await;
        assert!(made["id"].is_u64(), "{made}");
    }

    /// How often the rules have applied, newest first.
    /// From now on it does what it does by itself.
    pub(crate) async fn forget_rules(self) {
        let _nothing = self.send("DELETE", "/admin/rules", "").await;
    }

    pub(crate) async fn applied(self) -> Vec<u64> {
        let rules = self.ask("GET", "/admin/rules", None).await;
        let applied = |rule: &Value| rule["applied"].as_u64().unwrap();
        rules["data"].as_array().unwrap().iter().map(applied).collect()
    }

    /// Every payment, whatever became of it.
    pub(crate) async fn books(self) -> Vec<Booked> {
        let page = self.ask("GET", "/admin/books?limit=1000", None).await;
        assert!(page["next_cursor"].is_null(), "more than a page");
        let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        let number = |row: &Value, name: &str| row[name].as_i64().unwrap();
        let read = |row: &Value| Booked {
            account: text(row, "account"),
            payment: row["metadata"]["payment"].as_str().unwrap().to_owned(),
            status: text(row, "status"),
            authorized: number(row, "authorized"),
            captured: number(row, "captured"),
            refunded: number(row, "refunded"),
            voided: row["voided"].as_bool().unwrap(),
            times_executed: number(row, "times_executed"),
        };
        page["data"].as_array().unwrap().iter().map(read).collect()
    }

    /// Accounts that executed something, in the order of their names.
    pub(crate) async fn executed(self) -> Vec<String> {
        self.books().await.into_iter().map(|row| row.account).collect()
    }

    /// No payment is taken or held twice, and nothing was executed twice.
    pub(crate) async fn assert_nothing_twice(self) {
        let summary = self.ask("GET", "/admin/books/summary", None).await;
        assert_eq!(summary["captured_more_than_once"], 0, "{summary}");
        assert_eq!(summary["live_more_than_once"], 0, "{summary}");
        for row in self.books().await {
            assert_eq!(row.times_executed, 1, "{row:?}");
        }
    }

    pub(crate) async fn ask(self, method: &str, path: &str, body: Option<Value>) -> Value {
        let body = body.map_or(String::new(), |body| body.to_string());
        self.ask_with(method, path, &body).await
    }

    /// The same, with a body as it is.
    pub(crate) async fn ask_with(self, method: &str, path: &str, body: &str) -> Value {
        let (head, body) = self.send(method, path, body).await;
        assert!(head.starts_with("HTTP/1.1 2"), "{path}: {head} {body}");
        serde_json::from_str(&body).unwrap_or(Value::Null)
    }

    /// Sends a form of the provider's page; where the browser is sent then.
    pub(crate) async fn form(self, path: &str, body: &str) -> String {
        let (head, _) = self.send("POST", path, body).await;
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        let mut location = fields.filter(|(name, _)| name.eq_ignore_ascii_case("location"));
        location.next().map(|(_, value)| value.to_owned()).unwrap_or_else(|| panic!("{head}"))
    }

    async fn send(self, method: &str, path: &str, body: &str) -> (String, String) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: sandbox.test\r\nconnection: close\r\n\
             authorization: Bearer t\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}
