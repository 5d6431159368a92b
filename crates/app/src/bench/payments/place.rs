//! What is measured: a server and a sandbox as processes of their own, with their files in a folder that
//! goes away; and what the operating system and the server say about the server.
//!
//! Everything listens on loopback, on ports that are free. The processes get an environment of ours alone,
//! and are killed when this is dropped.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::http;

/// How long a process may take until it says where it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that listens. Killed on drop.
pub(super) struct Process {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub(super) authority: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

enum Folder {
    /// Goes away.
    Temporary(tempfile::TempDir),
    Kept(PathBuf),
}

/// A folder, and how to start what is measured in it.
pub(super) struct Place {
    folder: Folder,
    /// PostgreSQL; without, SQLite in the folder.
    database_url: Option<String>,
    /// Where the server's log goes; nowhere if absent.
    log: Option<PathBuf>,
}

impl Place {
    pub(super) fn new(
        parent: Option<&Path>,
        database_url: Option<String>,
        log: Option<PathBuf>,
    ) -> Result<Self, String> {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("baton-bench-");
        let folder = parent.map_or_else(|| builder.tempdir(), |parent| builder.tempdir_in(parent));
        let folder = folder.map_err(|error| format!("no temporary folder: {error}"))?;
        Ok(Self { folder: Folder::Temporary(folder), database_url, log })
    }

    /// A folder that stays.
    pub(super) fn kept(
        folder: &Path,
        database_url: Option<String>,
        log: Option<PathBuf>,
    ) -> Result<Self, String> {
        let describe = |error: std::io::Error| format!("{}: {error}", folder.display());
        std::fs::create_dir_all(folder).map_err(describe)?;
        let folder = folder.canonicalize().map_err(describe)?;
        Ok(Self { folder: Folder::Kept(folder), database_url, log })
    }

    fn folder(&self) -> &Path {
        match &self.folder {
            Folder::Temporary(folder) => folder.path(),
            Folder::Kept(folder) => folder,
        }
    }

    fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// The database that the server uses.
    pub(super) fn store_url(&self) -> String {
        let file = || format!("sqlite:{}", self.data().join("baton.db").display());
        self.database_url.clone().unwrap_or_else(file)
    }

    /// This program, with an environment of ours alone.
    fn command(&self, arguments: &[&str]) -> Result<Command, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder()).env_clear().stdin(Stdio::null());
        command.env("BATON_DATA_DIR", self.data());
        // One key sends everything, so its limit is off.
        command.env("BATON_LIMITS__REQUESTS_PER_SECOND", "0");
        command.env("BATON_ADMIN_API_KEY", OPERATOR);
        // In the environment rather than on the command line: it may hold a password.
        command.envs(self.database_url.iter().map(|url| ("DATABASE_URL", url)));
        Ok(command)
    }

    /// The simulated provider, its books in memory.
    pub(super) async fn sandbox(&self, latency_ms: u64) -> Result<Process, String> {
        let mut command = self.command(&["sandbox", "--json", "--listen", "127.0.0.1:0"])?;
        let sandbox = start(command.stderr(Stdio::null())).await?;
        set_latency(&sandbox, latency_ms).await?;
        Ok(sandbox)
    }

    /// A server whose accounts are at the sandbox.
    pub(super) async fn server(&self, sandbox: &Process) -> Result<Process, String> {
        let url = format!("http://{}", sandbox.authority);
        let listen = "127.0.0.1:0";
        let arguments = ["serve", "--json", "--listen", listen, "--dev", "--sandbox-url", &url];
        let mut command = self.command(&arguments)?;
        let log = match &self.log {
            None => Stdio::null(),
            Some(path) => {
                let file = File::options().create(true).append(true).open(path);
                file.map_err(|error| format!("{}: {error}", path.display()))?.into()
            }
        };
        start(command.stderr(log)).await
    }

    /// A key for the gateway API.
    pub(super) async fn key(&self) -> Result<String, String> {
        let mut command = self.command(&["keys", "create", "--sandbox", "--json"])?;
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.map_err(|error| error.to_string())?;
        let output = output.map_err(|error| error.to_string())?;
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        match told.get("api_key").and_then(Value::as_str) {
            Some(key) => Ok(key.to_owned()),
            None => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

/// The operator's key of a server that is there for a measurement only, on loopback.
const OPERATOR: &str = "bench-operator";

/// A key for the Payments API, of a new merchant account with a connector at the sandbox.
pub(super) async fn payments_key(server: &Process) -> Result<String, String> {
    let merchant = format!("bench-{}-{}", std::process::id(), server.child.id());
    let send = async |path: String, body: Value| {
        let headers = [("api-key", OPERATOR), ("content-type", "application/json")];
        let told = http::ask(&server.authority, "POST", &path, &headers, body.to_string()).await?;
        serde_json::from_str::<Value>(&told).map_err(|error| error.to_string())
    };
    send("/accounts".to_owned(), json!({ "merchant_id": merchant })).await?;
    let connector = json!({
        "connector_type": "payment_processor", "connector_name": "sandbox",
        "connector_account_details": { "auth_type": "HeaderKey", "api_key": "any" },
    });
    send(format!("/account/{merchant}/connectors"), connector).await?;
    let key = json!({ "name": "bench", "expiration": "never" });
    let told = send(format!("/api_keys/{merchant}"), key).await?;
    let key = told.get("api_key").and_then(Value::as_str).map(str::to_owned);
    key.ok_or_else(|| "the answer holds no key".to_owned())
}

/// How long the sandbox rests before it answers.
pub(super) async fn set_latency(sandbox: &Process, latency_ms: u64) -> Result<(), String> {
    let body = json!({ "latency_ms": latency_ms }).to_string();
    http::ask(&sandbox.authority, "PUT", "/admin/settings", &[], body).await.map(drop)
}

/// Starts a process and waits until it says where it listens.
async fn start(command: &mut Command) -> Result<Process, String> {
    let child = command.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let mut process = Process { child, authority: String::new() };
    let stdout = process.child.stdout.take().ok_or("no standard output")?;
    let read = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map(|_| line)
    });
    let line = tokio::time::timeout(PATIENCE, read).await;
    let line = line.map_err(|_| "a process does not start".to_owned())?;
    let line = line.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let told: Value = serde_json::from_str(&line).unwrap_or_default();
    let url = told.get("url").and_then(Value::as_str).and_then(|url| url.strip_prefix("http://"));
    let url = url.ok_or("a process does not start; --server-log FILE keeps the server's log")?;
    process.authority = url.to_owned();
    Ok(process)
}

/// What a server has used up to a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    at: Instant,
    cpu: Duration,
    commits: u64,
    transactions: u64,
    syncs: u64,
}

/// What a server has used between two readings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    pub(super) time: Duration,
    pub(super) cpu: Duration,
    pub(super) commits: u64,
    pub(super) transactions: u64,
    pub(super) syncs: u64,
}

impl Reading {
    /// Now. PostgreSQL's syncs are read from its own statistics, which cover the whole server.
    pub(super) async fn take(server: &Process, place: &Place) -> Result<Self, String> {
        let page = http::ask(&server.authority, "GET", "/metrics", &[], String::new()).await?;
        let mut syncs = metric(&page, "baton_store_syncs_total")?;
        if let Some(url) = &place.database_url {
            let told = baton_store::postgres_syncs(url).await.map_err(|error| error.to_string())?;
            syncs = told.unwrap_or_default();
        }
        Ok(Self {
            at: Instant::now(),
            cpu: cpu_time(server)?,
            commits: metric(&page, "baton_store_commits_total")?,
            transactions: metric(&page, "baton_store_transactions_total")?,
            syncs,
        })
    }

    pub(super) fn since(&self, earlier: &Self) -> Used {
        Used {
            time: self.at.saturating_duration_since(earlier.at),
            cpu: self.cpu.saturating_sub(earlier.cpu),
            commits: self.commits.saturating_sub(earlier.commits),
            transactions: self.transactions.saturating_sub(earlier.transactions),
            syncs: self.syncs.saturating_sub(earlier.syncs),
        }
    }
}

fn metric(page: &str, name: &str) -> Result<u64, String> {
    let found = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    found.ok_or_else(|| format!("the server's metrics have no {name}"))
}

/// The processor time of all of a process's threads.
fn cpu_time(process: &Process) -> Result<Duration, String> {
    let path = format!("/proc/{}/stat", process.child.id());
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    ticks(&text).ok_or_else(|| format!("{path} cannot be read"))
}

/// `utime` and `stime`, fields 14 and 15. Linux shows them in hundredths of a second on every machine.
fn ticks(stat: &str) -> Option<Duration> {
    // The second field is the name in parentheses, and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(user.checked_add(system)?.checked_mul(10)?))
}

/// What a process has in memory, in kB: now, and at most so far.
pub(super) fn memory(process: &Process) -> Result<(u64, u64), String> {
    let path = format!("/proc/{}/status", process.child.id());
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let kilobytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    let both = kilobytes("VmRSS:").zip(kilobytes("VmHWM:"));
    both.ok_or_else(|| format!("{path} does not tell the memory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 0 0 0 123 45 0 0 20 0 9 0 1";
        assert_eq!(ticks(stat), Some(Duration::from_millis(1_680)));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let page = "# TYPE baton_a counter\nbaton_a_total_more 1\nbaton_a_total 12\n";
        assert_eq!(metric(page, "baton_a_total"), Ok(12));
        assert!(metric(page, "baton_b_total").is_err());
    }
}
