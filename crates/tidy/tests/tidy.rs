//! The house rules: which crate may depend on which, what the pure ones must not have, how long a file
//! may be, and what must not stand anywhere.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each crate may depend on among the others, as ARCHITECTURE.md draws it. A new crate is added here
/// on purpose or not at all.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("flow", &["types"]),
    ("connect", &["types"]),
    ("connectors", &["types", "connect"]),
    ("store", &["types"]),
    ("wire", &["types", "connect"]),
    ("vault", &["types", "store"]),
    ("custody", &["types", "connect", "wire", "vault"]),
    ("engine", &["types", "flow", "connect", "store", "wire", "vault"]),
    ("hooks", &["types"]),
    ("payments", &["types", "flow", "connect", "store", "vault", "engine", "hooks"]),
    ("api", &["types", "flow", "connect", "store", "engine", "vault", "hooks", "payments"]),
    ("sandbox", &[]),
    ("sim", &["types", "flow", "connect", "store", "wire", "vault", "engine"]),
    (
        "app",
        &[
            "types",
            "connect",
            "connectors",
            "store",
            "wire",
            "vault",
            "custody",
            "engine",
            "hooks",
            "payments",
            "api",
            "sandbox",
            "sim",
        ],
    ),
    // For tests only: nobody may depend on it.
    ("model", &["types", "flow"]),
    ("tidy", &[]),
];

/// Crates without async, clock, randomness, file or socket.
const PURE: &[&str] = &["types", "flow", "connect", "connectors"];

/// What a pure crate may use from outside.
const PURE_LIBRARIES: &[&str] = &["serde", "serde_json", "time", "toml", "zeroize"];

/// What must not stand in a pure crate's code. Its tests may read files.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "std::process",
    "SystemTime",
    "Instant::",
    "tokio::",
    "async fn",
    "now_utc",
    " rand::",
];

/// Longest source file, in lines.
const LINES_MAX: usize = 700;

/// Longest source file of a connector, in lines.
const CONNECTOR_LINES_MAX: usize = 400;

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the workspace is where the crate is")
}

fn files(dir: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | ".git" | "node_modules" | "baton-data") {
                files(&path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

fn all(endings: &[&str]) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    files(&root, endings, &mut found);
    let named = found.into_iter().filter_map(|path| {
        let text = fs::read_to_string(&path).ok()?;
        Some((path.strip_prefix(&root).unwrap().to_string_lossy().into_owned(), text))
    });
    named.collect()
}

fn manifest(name: &str) -> toml::Table {
    let path = root().join("crates").join(name).join("Cargo.toml");
    fs::read_to_string(&path).unwrap().parse().unwrap()
}

fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let table = manifest.get("dependencies").and_then(toml::Value::as_table);
    table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn dependencies_point_one_way() {
    let mut crates: Vec<String> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    crates.sort();
    let allowed: BTreeMap<&str, &[&str]> = MAY_DEPEND_ON.iter().copied().collect();
    let mut known: Vec<&str> = allowed.keys().copied().collect();
    known.sort_unstable();
    assert_eq!(crates, known, "every crate stands in the list, and every one of the list is there");
    for name in &crates {
        for dependency in dependencies(&manifest(name)) {
            if let Some(other) = dependency.strip_prefix("baton-") {
                let may = allowed.get(name.as_str()).unwrap();
                assert!(may.contains(&other), "{name} must not depend on {other}");
            }
        }
    }
}

#[test]
fn every_crate_takes_lints_and_versions_from_the_workspace() {
    for (name, _) in MAY_DEPEND_ON {
        let manifest = manifest(name);
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        assert_eq!(lints, Some(&toml::Value::Boolean(true)), "{name}");
        for section in ["dependencies", "dev-dependencies"] {
            let table = manifest.get(section).and_then(toml::Value::as_table);
            for (dependency, value) in table.into_iter().flatten() {
                let inherited = value.get("workspace") == Some(&toml::Value::Boolean(true));
                assert!(inherited, "{name}: {dependency} has to come from the workspace's table");
            }
        }
    }
}

/// The crates that may know of bugs on purpose, each as the feature `mutations`.
const MUTABLE: &[&str] = &["flow", "engine", "sim"];

#[test]
fn bugs_on_purpose_stay_out_of_what_is_released() {
    for (name, _) in MAY_DEPEND_ON {
        let manifest = manifest(name);
        let features = manifest.get("features").and_then(toml::Value::as_table);
        let has = features.is_some_and(|features| features.contains_key("mutations"));
        assert_eq!(has, MUTABLE.contains(name), "{name}");
        // Nothing turns it on by itself: no default, no other feature, no dependency.
        let default = features.is_some_and(|features| features.contains_key("default"));
        assert!(!(has && default), "{name} has bugs to choose from and default features");
        let text = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        let named = text.lines().filter(|line| line.contains("mutations"));
        for line in named {
            let own = line.starts_with("mutations = [")
                || ["name = \"mutations\"", "required-features = [\"mutations\"]"].contains(&line);
            assert!(own && MUTABLE.contains(name), "{name}: {line}");
        }
    }
    // An optimised build with them is refused by the compiler.
    let gate = fs::read_to_string(root().join("crates/flow/src/mutation.rs")).unwrap();
    let refused = "#[cfg(all(feature = \"mutations\", not(debug_assertions)))]\ncompile_error!(";
    assert!(gate.contains(refused));
}

#[test]
fn pure_crates_are_pure() {
    for name in PURE {
        for dependency in dependencies(&manifest(name)) {
            let ours = dependency.starts_with("baton-");
            assert!(
                ours || PURE_LIBRARIES.contains(&dependency.as_str()),
                "{name} is pure and must not use {dependency}"
            );
        }
    }
    for (path, text) in all(&[".rs"]) {
        let pure = PURE.iter().any(|name| path.starts_with(&format!("crates/{name}/src/")));
        if !pure || path.contains("/tests") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for word in IMPURE {
                assert!(!line.contains(word), "{path} is in a pure crate and has: {line}");
            }
        }
    }
}

#[test]
fn only_store_knows_sql_and_only_wire_opens_sockets_to_providers() {
    for (path, text) in all(&[".rs"]) {
        if path.contains("/tests/") || path.contains("/examples/") || path.contains("crates/tidy/")
        {
            continue;
        }
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let lower = code.collect::<Vec<_>>().join("\n").to_lowercase();
        let has =
            |words: &[&'static str]| words.iter().find(|word| lower.contains(**word)).copied();
        if !path.starts_with("crates/store/") {
            let found = has(&["insert into ", "delete from ", "rusqlite::", "tokio_postgres::"]);
            assert_eq!(found, None, "{path} has SQL");
        }
        if path.starts_with("crates/engine/") || path.starts_with("crates/api/") {
            let found = has(&["tcpstream", "hyper::client"]);
            assert_eq!(found, None, "{path} opens a socket");
        }
        if path.starts_with("crates/flow/") {
            let found = has(&["http::", "stripe", "adyen", "sql"]);
            assert_eq!(found, None, "{path} knows more than a state machine should");
        }
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for (path, text) in all(&[".rs"]) {
        let lines = text.lines().count();
        let most = if path.starts_with("crates/connectors/src/") {
            CONNECTOR_LINES_MAX
        } else {
            LINES_MAX
        };
        let generated = path.ends_with("iso4217.rs");
        assert!(generated || lines <= most, "{path} has {lines} lines; {most} are allowed");
        if path.contains("/src/") {
            assert!(text.trim_start().starts_with("//!"), "{path} does not open with what it is");
        }
    }
}

#[test]
fn nothing_unfinished_and_nothing_of_a_machine() {
    // Written in halves, so that this file does not find itself.
    let words: Vec<String> = [
        ("TO", "DO"),
        ("FIX", "ME"),
        ("XX", "X:"),
        ("/ro", "ot/"),
        ("/ho", "me/"),
        ("/wo", "rk/"),
        ("to", "do!("),
        ("unimpl", "emented!("),
        ("#[ign", "ore]"),
    ]
    .iter()
    .map(|(a, b)| format!("{a}{b}"))
    .collect();
    for (path, text) in all(&[".rs", ".md", ".toml", ".sql", ".json", ".py", ".sh", ".yml"]) {
        for (at, line) in text.lines().enumerate() {
            for word in &words {
                assert!(!line.contains(word), "{path}:{}: {line}", at + 1);
            }
        }
    }
}

#[test]
fn every_document_that_is_linked_is_there() {
    let root = root();
    for (path, text) in all(&[".md"]) {
        let dir = root.join(&path).parent().unwrap().to_path_buf();
        for (at, _) in text.match_indices("](") {
            let target: String =
                text[at + 2..].chars().take_while(|c| !matches!(c, ')' | '#' | ' ')).collect();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(dir.join(&target).exists(), "{path} links to {target}, which is not there");
        }
    }
}

#[test]
fn every_workspace_dependency_is_used() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let workspace: toml::Table = text.parse().unwrap();
    let declared = workspace["workspace"]["dependencies"].as_table().unwrap();
    let mut used = Vec::new();
    for (name, _) in MAY_DEPEND_ON {
        let manifest = manifest(name);
        for section in ["dependencies", "dev-dependencies"] {
            let table = manifest.get(section).and_then(toml::Value::as_table);
            used.extend(table.into_iter().flatten().map(|(name, _)| name.clone()));
        }
    }
    let unused: Vec<&String> = declared.keys().filter(|name| !used.contains(name)).collect();
    assert!(unused.is_empty(), "declared in the workspace and used by no crate: {unused:?}");
}

#[test]
fn every_error_page_belongs_to_a_code() {
    // The other way round the compiler sees to: each code includes its page.
    let codes = fs::read_to_string(root().join("crates/api/src/codes.rs")).unwrap();
    let mut pages = Vec::new();
    files(&root().join("docs/errors"), &[".md"], &mut pages);
    assert!(pages.len() > 50, "{} pages", pages.len());
    for page in pages {
        let word = page.file_stem().unwrap().to_string_lossy();
        assert!(codes.contains(&format!(" = \"{word}\",")), "docs/errors/{word}.md has no code");
    }
}
