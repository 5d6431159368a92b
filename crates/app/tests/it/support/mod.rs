//! Processes of the command, in a folder of their own.

pub(crate) mod http;
pub(crate) mod postgres;
pub(crate) mod random;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use http::{Reply, call};

pub(crate) const CARD_NUMBER: &str = "4111111111111111";

/// How long anything that should be quick may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A folder for one test: data, books and logs; and what every process of the test is started with.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    pub(crate) database_url: Option<String>,
    environment: Vec<(String, String)>,
}

impl Place {
    /// With SQLite in the data folder.
    pub(crate) fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap(), database_url: None, environment: Vec::new() }
    }

    pub(crate) fn on(mut self, database_url: Option<String>) -> Place {
        self.database_url = database_url;
        self
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Place {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The command with these arguments. Its environment is ours alone, so that nothing of the machine's
    /// (a `baton.toml`, a `DATABASE_URL`) gets in.
    pub(crate) fn baton(&self, arguments: &[&str]) -> Command {
        self.run_through(&binary(), arguments)
    }

    pub(crate) fn run_through(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("BATON_DATA_DIR", self.data());
        command.envs(self.database_url.iter().map(|url| ("DATABASE_URL", url)));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.baton(arguments).output().unwrap()
    }

    /// Runs a command that must succeed, and reads its JSON.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).expect("one JSON value")
    }

    /// A sandbox key for the gateway API.
    pub(crate) fn key(&self) -> String {
        let made = self.json(&["keys", "create", "--sandbox", "--json"]);
        made["api_key"].as_str().unwrap().to_owned()
    }

    pub(crate) fn serve(&self, arguments: &[&str]) -> Process {
        let mut all = vec!["serve", "--json", "--listen", "127.0.0.1:0"];
        all.extend(arguments);
        self.start("serve", self.baton(&all))
    }

    /// A development server at a sandbox that runs already.
    pub(crate) fn serve_at(&self, sandbox: &Process) -> Process {
        self.serve(&["--dev", "--sandbox-url", &sandbox.url])
    }

    /// The sandbox, keeping its books beside the data folder.
    pub(crate) fn sandbox(&self, arguments: &[&str]) -> Process {
        let books = self.path("books.ndjson");
        let books = books.to_str().unwrap();
        let mut all = vec!["sandbox", "--json", "--listen", "127.0.0.1:0", "--books", books];
        all.extend(arguments);
        self.start("sandbox", self.baton(&all))
    }

    /// Starts a process and waits until it says where it listens.
    #[track_caller]
    pub(crate) fn start(&self, name: &str, mut command: Command) -> Process {
        let log = self.path(&format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut process = Process { child, announced: Value::Null, url: String::new(), lines };
        let Ok(first) = process.lines.recv_timeout(PATIENCE) else {
            panic!("{name} does not start: {}", std::fs::read_to_string(&log).unwrap_or_default());
        };
        process.announced = serde_json::from_str(&first).expect("the first line is JSON");
        process.url = process.announced["url"].as_str().unwrap().to_owned();
        process
    }
}

/// The command under test. At run time nextest may say where it is, so that the tests can be moved.
pub(crate) fn binary() -> String {
    std::env::var("NEXTEST_BIN_EXE_baton").unwrap_or(env!("CARGO_BIN_EXE_baton").to_owned())
}

#[track_caller]
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// A running server or sandbox. Killed on drop.
pub(crate) struct Process {
    child: Child,
    /// What it said when it was up.
    pub(crate) announced: Value,
    pub(crate) url: String,
    lines: mpsc::Receiver<String>,
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM. The end has to be waited for.
    pub(crate) fn terminate(&self) {
        signal(self.id(), "TERM");
    }

    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it printed after its first line, once it has ended.
    pub(crate) fn printed_since(&self) -> Vec<String> {
        self.lines.iter().collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn signal(process: u32, name: &str) {
    let command = format!("kill -{name} {process}");
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
}

/// A client of one server with one key.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) url: String,
    pub(crate) key: String,
}

impl Client {
    pub(crate) fn new(server: &Process, key: &str) -> Client {
        Client { url: server.url.clone(), key: key.to_owned() }
    }

    /// One request on a connection of its own; an error if no whole answer came.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        idempotency_key: Option<&str>,
        body: &str,
    ) -> Result<Reply, String> {
        let mut headers = vec![("x-api-key", self.key.as_str())];
        headers.extend(idempotency_key.map(|key| ("idempotency-key", key)));
        call(&self.url, method, path, &headers, body).await
    }

    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> impl Future<Output = Reply> {
        let (client, method, path, body) =
            (self.clone(), method.to_owned(), path.to_owned(), body.to_owned());
        async move {
            let sent = client.try_send(&method, &path, None, &body).await;
            sent.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
        }
    }

    pub(crate) async fn charge(&self, body: &str) -> Reply {
        self.send("POST", "/PaymentGateway/charge", body).await
    }
}

/// The sandbox's administrator.
pub(crate) async fn admin(sandbox: &str, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = call(sandbox, method, &format!("/admin{path}"), &[], &body).await.unwrap();
    assert!(reply.status < 300, "{method} {path}: {}", reply.text);
    reply.json
}

pub(crate) async fn rule(sandbox: &str, rule: Value) {
    admin(sandbox, "POST", "/rules", &rule).await;
}

/// Every payment in the sandbox's books.
pub(crate) async fn books(sandbox: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/books?limit=1000{cursor}");
        let page = admin(sandbox, "GET", &path, &Value::Null).await;
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// A charge's or authorization's body; `amount` in minor units of EUR.
pub(crate) fn purchase(amount: i64, reference: &str, card: &str, accounts: &[&str]) -> String {
    let accounts = json!(accounts);
    format!(
        r#"{{"amount": {}, "currency": "EUR", "myRef": "{reference}", "card":
            {{"cardHolderName": "Ada Lovelace", "cardNumber": "{card}", "expirationMonth": 12,
              "expirationYear": 2040, "cvv": "123"}}, "paymentGatewayAccountNames": {accounts}}}"#,
        major(amount)
    )
}

/// Minor units as the API takes them.
pub(crate) fn major(minor: i64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

/// Whether a file is there and what it holds; empty if it is not.
pub(crate) fn bytes_of(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}
