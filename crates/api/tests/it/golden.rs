//! Answers as text that can be compared: one member a line, numbers exactly as they came, and what differs
//! from run to run blotted out.

use crate::client::Seen;

/// What differs, and what stands for it. `null` is not blotted out.
const BLOTTED: [(&str, &str); 6] = [
    ("transactionId", "id"),
    ("gatewayReference", "reference"),
    ("authorizationCode", "code"),
    ("nextCheckAt", "time"),
    ("durationMs", "ms"),
    ("gatewayToken", "token"),
];

/// The status, the headers that matter, and the body.
pub(crate) fn of(seen: &Seen) -> String {
    let mut text = format!("HTTP {}\n", seen.status);
    for name in ["retry-after", "idempotent-replayed", "content-type"] {
        if let Some(value) = seen.header(name) {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    let body = indented(&seen.body);
    let lines: Vec<String> = body.lines().map(blotted).collect();
    text + &lines.join("\n")
}

fn blotted(line: &str) -> String {
    let Some((name, value)) = line.split_once(": ") else { return line.to_owned() };
    let known = BLOTTED.iter().find(|(key, _)| name.trim() == format!("{key:?}"));
    match known {
        Some((_, word)) if !value.starts_with("null") => {
            let comma = if value.ends_with(',') { "," } else { "" };
            format!("{name}: [{word}]{comma}")
        }
        _ => line.to_owned(),
    }
}

/// Compact JSON with line breaks. A parser would turn the numbers into floats.
fn indented(json: &str) -> String {
    let (mut out, mut depth, mut quoted, mut escaped) = (String::new(), 0, false, false);
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    for c in json.chars() {
        if quoted {
            out.push(c);
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '{' | '[' => {
                depth += 1;
                out.push(c);
                newline(&mut out, depth);
            }
            '}' | ']' => {
                depth -= 1;
                newline(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c => {
                quoted = c == '"';
                out.push(c);
            }
        }
    }
    out
}
