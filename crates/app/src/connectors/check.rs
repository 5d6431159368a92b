//! `baton connectors check`: a folder on its own, or the configured accounts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use baton_connect::cases::Case;
use baton_connect::claims;
use baton_connect::{Connector, Manifest};
use serde_json::json;

use crate::cli::{Common, Report};
use crate::config::Account;
use crate::doctor;

/// What was looked at, and what is wrong with it; nothing if it is right.
type Looked = (String, Option<String>);

/// Checks and reports; fails if anything is wrong.
///
/// # Errors
/// There is nothing to check there.
pub(crate) fn run(
    path: Option<&Path>,
    common: &Common,
    report: Report,
) -> Result<ExitCode, String> {
    let looked = match path {
        Some(path) => folder(path)?,
        None => accounts(common)?,
    };
    let wrong = looked.iter().any(|(_, problem)| problem.is_some());
    if report.json {
        let shown: Vec<_> = looked
            .iter()
            .map(|(what, problem)| json!({"check": what, "problem": problem}))
            .collect();
        println!("{}", json!({ "ok": !wrong, "checks": shown }));
    } else {
        for (what, problem) in &looked {
            match problem {
                None => println!("ok    {what}"),
                Some(problem) => println!("wrong {what}: {problem}"),
            }
        }
    }
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The form of each account's credentials and base URL.
fn accounts(common: &Common) -> Result<Vec<Looked>, String> {
    let config = common.load(None)?;
    if config.accounts.is_empty() {
        return Err("no folder is given, and the configuration has no accounts".to_owned());
    }
    let connectors = super::all()?;
    let look = |account: &Account| {
        (format!("account {}", account.name), doctor::trouble(account, &connectors))
    };
    Ok(config.accounts.iter().map(look).collect())
}

/// Manifest and cases. Cases are replayed if this build has the connector; a folder that is not built in
/// can be read, but not run.
fn folder(path: &Path) -> Result<Vec<Looked>, String> {
    let file = path.join("manifest.toml");
    let text = read(&file)?;
    let manifest = match Manifest::parse(&text) {
        Ok(manifest) => manifest,
        Err(error) => return Ok(vec![(file.display().to_string(), Some(error.to_string()))]),
    };
    let folder = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let named = (!folder.is_empty() && folder != "." && folder != manifest.id)
        .then(|| format!("the folder is called {folder}, and the id is {}", manifest.id));
    let mut looked = vec![(format!("manifest of {}", manifest.gateway_name), named)];
    let connectors = super::all()?;
    let built = connectors.iter().find(|connector| connector.manifest().id == manifest.id);
    let files = case_files(path);
    if files.is_empty() {
        looked.push(("cases".to_owned(), Some("there are none".to_owned())));
    }
    let mut all = Vec::new();
    for file in files {
        let text = read(&file)?;
        let shown = file.strip_prefix(path).unwrap_or(&file).display().to_string();
        looked.push(cases(&shown, &text, built.map(AsRef::as_ref)));
        all.extend(claims::cases(&text).unwrap_or_default());
    }
    let unshown = claims::unshown(&manifest, &all);
    let problem = (!unshown.is_empty()).then(|| unshown.join("\n"));
    looked.push(("claims: each is shown by a case".to_owned(), problem));
    Ok(looked)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// `cases.json`, or everything in `cases`.
fn case_files(path: &Path) -> Vec<PathBuf> {
    let single = path.join("cases.json");
    let mut files: Vec<PathBuf> = single.is_file().then_some(single).into_iter().collect();
    let listed = std::fs::read_dir(path.join("cases")).into_iter().flatten().flatten();
    let json = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "json");
    files.extend(listed.map(|entry| entry.path()).filter(json));
    files.sort();
    files
}

fn cases(name: &str, text: &str, built: Option<&dyn Connector>) -> Looked {
    let read: Vec<Case> = match serde_json::from_str(text) {
        Ok(read) => read,
        Err(error) => return (name.to_owned(), Some(error.to_string())),
    };
    let count = read.len();
    let Some(connector) = built else {
        return (format!("{name}: {count} cases, in form; this build lacks the connector"), None);
    };
    let differences = baton_connect::cases::differences(connector, text);
    let problem = match differences {
        Ok(differences) if differences.is_empty() => None,
        Ok(differences) => Some(differences.join("\n")),
        Err(error) => Some(error),
    };
    (format!("{name}: {count} cases"), problem)
}
