//! Colours on a terminal, plain text elsewhere.

use std::io::IsTerminal as _;

use crate::cli::Colour;

/// Paints text, or does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    colours: bool,
}

impl Style {
    pub(crate) fn new(when: Colour) -> Self {
        let colours = match when {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => std::io::stdout().is_terminal(),
        };
        Self { colours }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }

    /// JSON with coloured names, indented, without members that are null. Numbers stay as they are
    /// written: an amount of 49.90 is shown as that.
    pub(crate) fn json(self, text: &str) -> String {
        let pretty = indented(text);
        let lines = pretty.iter().map(|line| match line.split_once("\": ") {
            Some((name, value)) => format!("{}: {value}", self.cyan(&format!("{name}\""))),
            None => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// JSON text on lines, two spaces a level. It must be JSON.
fn indented(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let (mut level, mut in_string, mut escaped) = (0_usize, false, false);
    let new_line = |lines: &mut Vec<String>, level: usize| lines.push("  ".repeat(level));
    for c in text.chars() {
        if in_string || !c.is_whitespace() {
            let closes = !in_string && matches!(c, '}' | ']');
            if closes {
                level = level.saturating_sub(1);
                new_line(&mut lines, level);
            }
            if let Some(line) = lines.last_mut() {
                line.push(c);
                if !in_string && c == ':' {
                    line.push(' ');
                }
            }
            let opens = !in_string && matches!(c, '{' | '[');
            if opens {
                level = level.saturating_add(1);
            }
            if opens || (!in_string && c == ',') {
                new_line(&mut lines, level);
            }
        }
        in_string = in_string != (c == '"' && !escaped);
        escaped = in_string && c == '\\' && !escaped;
    }
    lines.retain(|line| !line.ends_with(": null") && !line.ends_with(": null,"));
    without_dangling_commas(lines)
}

/// What was last in its object may have been left out.
fn without_dangling_commas(lines: Vec<String>) -> Vec<String> {
    let next = lines.iter().skip(1).map(String::clone).chain([String::new()]);
    let closes = |line: &str| line.trim_start().starts_with(['}', ']']);
    let mended = lines.iter().zip(next).map(|(line, next)| match line.strip_suffix(',') {
        Some(bare) if closes(&next) => bare.to_owned(),
        _ => line.clone(),
    });
    mended.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_without_nulls_and_with_numbers_as_written() {
        let text = r#"{"amount":49.90,"gone":null,"said":"a, \"b\": {c}","list":[{"x":1},{"y":null}],"z":null}"#;
        let shown = Style::new(Colour::Never).json(text);
        let want = r#"{
  "amount": 49.90,
  "said": "a, \"b\": {c}",
  "list": [
    {
      "x": 1
    },
    {
    }
  ]
}"#;
        assert_eq!(shown, want);
    }
}
