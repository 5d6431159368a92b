//! `baton explain`: the pages about codes, and the hint to them in the commands' own errors.

use std::fmt::Display;
use std::process::ExitCode;

use baton_api::{ErrorCode, explain};
use baton_store::OpenError;
use baton_types::DeclineCode;
use clap::Args;
use serde_json::json;

use crate::cli::{Colour, Report};
use crate::style::Style;

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code: a reason in an answer, a decline code, a status like 401, or what a command names. Without
    /// one, all are listed.
    code: Option<String>,
    #[command(flatten)]
    report: Report,
}

/// An error with the hint to its page at its end.
pub(crate) fn explained(code: ErrorCode, error: impl Display) -> String {
    format!("{error} (baton explain {})", code.as_str())
}

/// What a store's error is called.
pub(crate) fn open_error(error: &OpenError) -> ErrorCode {
    match error {
        OpenError::Url(_) => ErrorCode::DatabaseUrlInvalid,
        OpenError::Unavailable(_) => ErrorCode::DatabaseUnavailable,
        OpenError::Unsafe(_) => ErrorCode::DatabaseUnsafe,
        OpenError::Outdated { .. } => ErrorCode::SchemaOutdated,
        OpenError::Newer { .. } => ErrorCode::SchemaNewer,
        OpenError::Changed { .. } => ErrorCode::SchemaChanged,
        OpenError::Migration(_) => ErrorCode::MigrationFailed,
    }
}

pub(crate) fn run(command: Explain) -> Result<ExitCode, String> {
    let Some(word) = command.code else {
        list(command.report.json);
        return Ok(ExitCode::SUCCESS);
    };
    let word = word.trim().to_lowercase();
    let page = explain(&word).ok_or_else(|| {
        let near = nearest(&word);
        let hint = if near.is_empty() {
            "baton explain lists all".to_owned()
        } else {
            format!("did you mean {}?", near.join(", "))
        };
        format!("there is no code {word}; {hint}")
    })?;
    if command.report.json {
        println!("{}", json!({ "code": word, "page": page }));
        return Ok(ExitCode::SUCCESS);
    }
    let style = Style::new(Colour::Auto);
    for line in page.lines() {
        if line.starts_with('#') {
            println!("{}", style.bold(line));
        } else {
            println!("{line}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Up to three codes that look like this word.
fn nearest(word: &str) -> Vec<&'static str> {
    let most = (word.chars().count() / 3).max(2);
    let all = ErrorCode::ALL.iter().map(|code| code.as_str());
    let all = all.chain(DeclineCode::all().map(DeclineCode::as_str));
    let mut near: Vec<(usize, &str)> = all
        .map(|code| (strsim::damerau_levenshtein(code, word), code))
        .filter(|(distance, code)| *distance <= most || (word.len() > 3 && code.contains(word)))
        .collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, code)| code).collect()
}

fn list(json: bool) {
    let codes = ErrorCode::ALL.iter().map(|code| (code.as_str(), code.summary(), code.group()));
    let group = "Why a payment was declined: `reason` of an answer and of an attempt";
    let declines = DeclineCode::all().map(|code| (code.as_str(), code.info().meaning, group));
    let all: Vec<_> = codes.chain(declines).collect();
    if json {
        let rows: Vec<_> = all
            .iter()
            .map(|(code, summary, group)| json!({ "code": code, "summary": summary, "group": group }))
            .collect();
        println!("{}", json!({ "data": rows }));
        return;
    }
    let style = Style::new(Colour::Auto);
    let widest = all.iter().map(|(code, ..)| code.len()).max().unwrap_or(0);
    let mut last = "";
    for (code, summary, group) in all {
        if group != last {
            let gap = if last.is_empty() { "" } else { "\n" };
            println!("{gap}{}", style.bold(group));
            last = group;
        }
        println!("  {code:widest$}  {summary}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_finds_the_code() {
        for (word, want) in [
            ("outcome_unkown", "outcome_unknown"),
            ("insuficient_funds", "insufficient_funds"),
            ("brekaer_open", "breaker_open"),
            ("schema", "schema_changed"),
            ("4O1", "401"),
        ] {
            assert!(nearest(word).contains(&want), "{word}: {:?}", nearest(word));
        }
        assert!(nearest("nothing_like_any_of_them").is_empty());
    }
}
