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

    /// JSON with coloured names, indented.
    pub(crate) fn json(self, text: &str) -> String {
        let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
            return text.to_owned();
        };
        let pretty = serde_json::to_string_pretty(&value).unwrap_or_else(|_| text.to_owned());
        if !self.colours {
            return pretty;
        }
        let lines = pretty.lines().map(|line| match line.split_once("\": ") {
            Some((name, value)) => format!("{}: {value}", self.cyan(&format!("{name}\""))),
            None => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
