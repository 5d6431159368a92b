//! Connectors held to programs and specifications that we did not write, call by call. Whole payments are
//! held to them in the tests of the command.
//!
//! Programs come from `tools/counterparts`, specifications from `BATON_SPECS_DIR`. What is not there is
//! skipped, and said so.

mod adyen_signatures;
mod stripe_errors;
mod stripe_form;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use baton_connect::{Fill, Filled, Hole, HttpReply};

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).canonicalize().unwrap()
}

/// Past the test harness, which hides what a test prints.
fn skipped(why: &str) {
    writeln!(std::io::stderr(), "SKIPPED 1: {why}").unwrap();
}

/// The folder of the installed npm packages; why not, if they cannot be.
fn node_modules() -> Result<PathBuf, String> {
    let output = Command::new(root().join("tools/counterparts")).arg("npm").output();
    let output = output.map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(PathBuf::from(text(&output.stdout))),
        false => Err(text(&output.stderr)),
    }
}

fn specification(path: &str) -> Result<PathBuf, String> {
    let folder = std::env::var_os("BATON_SPECS_DIR").ok_or("BATON_SPECS_DIR is not set")?;
    let path = PathBuf::from(folder).join(path);
    path.is_file().then_some(path.clone()).ok_or(format!("{} is not there", path.display()))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A node program that ends when the test does, even when the test is killed: its parent reads a pipe that
/// we hold, and kills it at the end of that.
struct Node {
    child: Child,
}

impl Node {
    /// Starts it and waits for a line of its output with this in it. What is installed has to start: only
    /// what is not there is skipped.
    #[track_caller]
    fn start(arguments: &str, ready: &str) -> Node {
        let script = format!(
            "exec 3<&0; node {arguments} </dev/null & child=$!; \
             (cat <&3; kill $child) >/dev/null 2>&1 & wait $child"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let node = Node { child };
        let mut lines = stdout.lines().map_while(Result::ok);
        let begun = lines.by_ref().any(|line| line.contains(ready));
        // Somebody has to go on reading, or the program waits.
        std::thread::spawn(move || lines.for_each(drop));
        assert!(begun, "node {arguments} does not start");
        node
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Secrets for every hole.
struct Secrets;

impl Fill for Secrets {
    fn secret(&self, hole: &Hole) -> Option<&str> {
        Some(match hole {
            Hole::CardNumber => "4242424242424242",
            Hole::Cvv => "737",
            Hole::AuthenticationValue => "MTIzNDU2Nzg5MDA5ODc2NTQzMjE=",
            Hole::Credential(_) => "sk_test_12345",
        })
    }
}

/// Sends a call once, on a connection of its own.
fn send(port: u16, call: &Filled) -> HttpReply {
    let mut head = format!("{} {} HTTP/1.1\r\n", call.method.as_str(), call.path);
    head += &format!("host: 127.0.0.1:{port}\r\nconnection: close\r\n");
    for (name, value) in &call.headers {
        head += &format!("{name}: {}\r\n", value.as_str());
    }
    if let Some(kind) = call.content_type {
        head += &format!("content-type: {kind}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", call.body.len());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&call.body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    read(&answer)
}

fn read(answer: &[u8]) -> HttpReply {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_lowercase(), value.trim().to_owned()))
    };
    let headers: Vec<(String, String)> = lines.filter_map(field).collect();
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value.contains("chunked"));
    let mut body = answer[end + 4..].to_vec();
    if chunked {
        body = unchunked(&body);
    }
    HttpReply { status, headers, body }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let data = &rest[end + 2..];
        if size == 0 {
            break;
        }
        body.extend_from_slice(&data[..size]);
        rest = &data[size + 2..];
    }
    body
}
