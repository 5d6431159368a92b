//! The guides are run: every command of theirs in one shell, against a real server, and every answer that
//! they show is compared.
//!
//! In a guide, a block `sh server` is how the reader starts the server, which the test does itself; `sh build`
//! is left out; all other `sh` blocks run in turn. A block that follows one directly, of any other language, is
//! what it answers: spaces do not count, `…` stands for anything.

use std::fmt::Write as _;
use std::path::Path;

use crate::counterparts::{installed, skipped};
use crate::support::{Place, binary, said};

const SERVER: &str = "baton serve --dev --listen 127.0.0.1:8080 --data-dir baton-data";

/// Printed after each block's answer.
const MARK: &str = "== end of block ==";

struct Block {
    commands: String,
    answer: Option<String>,
}

struct Guide {
    blocks: Vec<Block>,
    server: Option<String>,
}

fn read(name: &str) -> Guide {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let mut guide = Guide { blocks: Vec::new(), server: None };
    let mut lines = text.lines();
    // Whether only empty lines stand between here and the last block of commands.
    let mut follows = false;
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            follows &= line.trim().is_empty();
            continue;
        };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let body = body.join("\n");
        match language {
            "sh" => guide.blocks.push(Block { commands: body, answer: None }),
            "sh server" => guide.server = Some(body),
            "sh build" => {}
            _ if follows => guide.blocks.last_mut().unwrap().answer = Some(body),
            _ => {}
        }
        follows = language == "sh";
    }
    guide
}

fn run(name: &str) {
    run_with(name, None);
}

/// Runs a guide whose commands find their programs in another folder first.
fn run_with(name: &str, programs: Option<&Path>) {
    let guide = read(name);
    assert_eq!(guide.server.as_deref(), Some(SERVER), "{name}: how the server is started");
    let place = Place::new();
    let server = place.serve(&["--dev"]);
    let sandbox = server.announced["sandbox_url"].as_str().unwrap();
    let mut script = String::new();
    for block in &guide.blocks {
        let commands = block.commands.replace("http://127.0.0.1:8080", &server.url);
        let commands = commands.replace("http://127.0.0.1:40001", sandbox);
        let commands = commands.replace(" --data-dir baton-data", "");
        writeln!(script, "{commands}\necho; echo '{MARK}'").unwrap();
    }
    let folder = Path::new(&binary()).parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = place.run_through("bash", &["-c", &script]);
    let first = programs.map(|folder| format!("{}:", folder.display())).unwrap_or_default();
    shell.env("PATH", format!("{first}{}:{path}", folder.display()));
    shell.env("OPERATOR", server.announced["admin_api_key"].as_str().unwrap_or_default());
    let output = shell.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let answers: Vec<&str> = told.split(MARK).collect();
    assert_eq!(answers.len(), guide.blocks.len() + 1, "{name}: {}", said(&output));
    let mut compared = 0;
    for (block, got) in guide.blocks.iter().zip(answers) {
        let Some(want) = &block.answer else { continue };
        if let Err(missing) = matches(want, got) {
            panic!(
                "{name}: after\n{}\ncame\n{got}\nwithout {missing}\n{}",
                block.commands,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        compared += 1;
    }
    assert!(compared > 0, "{name} shows no answer");
}

/// Whether all parts of `want` are in `got`, in this order; the first that is missing.
fn matches(want: &str, got: &str) -> Result<(), String> {
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    let got = bare(got);
    let mut rest = got.as_str();
    for part in bare(want).split('…') {
        let Some(at) = rest.find(part) else { return Err(part.to_owned()) };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    Ok(())
}

#[test]
fn the_first_charge() {
    run("first-charge.md");
}

#[test]
fn tokens() {
    run("tokens.md");
}

#[test]
fn failover() {
    run("failover.md");
}

#[test]
fn a_lost_answer() {
    run("lost-answer.md");
}

#[test]
fn accounts() {
    run("accounts.md");
}

#[test]
fn keys() {
    run("keys.md");
}

#[test]
fn a_vault_elsewhere() {
    run("external-vault.md");
}

#[test]
fn a_shop() {
    match installed("python") {
        Ok(folder) => run_with("payments.md", Some(&folder.join("bin"))),
        Err(why) => skipped(&why),
    }
}

#[test]
fn an_answer_that_is_not_the_guides_is_seen() {
    assert!(matches("{\"a\": 1, … \"c\": 3", "{\"a\":1,\"b\":2,\"c\":3}").is_ok());
    let rows = [("\"a\":2", "\"a\":2"), ("… \"c\" … \"b\"", "\"b\""), ("{ } { }", "{}{}")];
    for (want, missing) in rows {
        assert_eq!(matches(want, "{\"a\":1,\"b\":2,\"c\":3}"), Err(missing.to_owned()), "{want}");
    }
}
