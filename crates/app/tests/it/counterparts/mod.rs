//! A real server in front of providers that we did not write: localstripe, and Adyen's official
//! specification; and before receivers of webhooks with libraries that we did not write.
//!
//! Each counterpart is a process of its own that ends with its test, however that ends. What cannot be
//! installed or found here is skipped, and said so.

mod adyen;
mod localstripe;
mod webhooks;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Place, Process};

/// The repository's folder.
fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).canonicalize().unwrap()
}

/// Past the test harness, which hides what a test prints.
pub(crate) fn skipped(why: &str) {
    writeln!(std::io::stderr(), "SKIPPED 1: {why}").unwrap();
}

/// Where `tools/counterparts` has installed something; why not, if it has not.
pub(crate) fn installed(kind: &str) -> Result<PathBuf, String> {
    let output = Command::new(root().join("tools/counterparts")).arg(kind).output();
    let output = output.map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(PathBuf::from(text(&output.stdout))),
        false => Err(text(&output.stderr)),
    }
}

/// An official specification, which is not part of the repository.
fn specification(path: &str) -> Result<PathBuf, String> {
    let folder = std::env::var_os("BATON_SPECS_DIR").ok_or("BATON_SPECS_DIR is not set")?;
    let path = PathBuf::from(folder).join(path);
    path.is_file().then_some(path.clone()).ok_or(format!("{} is not there", path.display()))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program that ends when the test does, even when the test is killed: its parent reads a pipe that we
/// hold, and kills it at the end of that.
struct Held {
    child: Child,
}

impl Held {
    /// Starts a command line and waits until its output has a line with this in it. What is installed has
    /// to start: only what is not there is skipped.
    #[track_caller]
    fn start(line: &str, ready: &str) -> Held {
        let script = format!(
            "exec 3<&0; {line} </dev/null & child=$!; \
             (cat <&3; kill $child) >/dev/null 2>&1 & wait $child"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let held = Held { child };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            match lines.recv_timeout(Duration::from_secs(60)) {
                // The thread goes on reading, so that the program never waits for us.
                Ok(line) if line.contains(ready) => return held,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        panic!("it does not start: {line}");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A server with one test account at a provider, and the mocks that every merchant has. Behind the credentials,
/// more lines of the account may stand.
fn serve(place: &Place, gateway: &str, base_url: &str, credentials: &str) -> Process {
    let config = place.path("provider.toml");
    let text = format!(
        // Callers are told soon that an outcome is not known yet.
        "# localstripe keeps no keys: what comes twice is executed twice.\n\
         [payments]\ncaller_wait_ms = 2000\nreplay = false\n\n\
         [[accounts]]\nname = \"provider\"\ngateway = \"{gateway}\"\nbase_url = \"{base_url}\"\n\
         test = true\ncredentials = {credentials}\n"
    );
    std::fs::write(&config, text).unwrap();
    place.serve(&["--config", config.to_str().unwrap()])
}
