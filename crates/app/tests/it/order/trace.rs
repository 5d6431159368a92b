//! What strace wrote, as system calls with a beginning and an end.

use std::collections::HashMap;

/// One system call. Times are line numbers: strace writes in the order in which it saw things.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    /// What the descriptor stands for: a path, or `TCP:[from->to]`.
    pub(super) target: String,
    /// What was written.
    data: Vec<u8>,
    begun: usize,
    /// `None` if the trace ends before the call did.
    ended: Option<usize>,
}

impl Call {
    pub(super) fn holds(&self, text: &str) -> bool {
        self.data.windows(text.len()).any(|window| window == text.as_bytes())
    }

    fn is_wal_write(&self) -> bool {
        self.target.ends_with("-wal") && self.name == "pwrite64"
    }

    /// The header of the last frame of a transaction: it alone names the size of the database, and makes
    /// the frames before it count (SQLite's file format, section 4.1).
    fn is_commit(&self) -> bool {
        self.is_wal_write() && self.data.len() == 24 && self.data[4..8] != [0; 4]
    }

    fn is_wal_sync(&self) -> bool {
        self.target.ends_with("-wal") && self.name.ends_with("sync")
    }
}

pub(super) struct Trace(Vec<Call>);

impl Trace {
    pub(super) fn read(text: &str) -> Trace {
        let mut calls: Vec<Call> = Vec::new();
        let mut running: HashMap<&str, usize> = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            let rest = rest.trim_start();
            if rest.starts_with("<... ") {
                if let Some(index) = running.remove(thread) {
                    calls[index].ended = Some(at);
                }
                continue;
            }
            let Some((name, arguments)) = rest.split_once('(') else { continue };
            let unfinished = rest.ends_with("<unfinished ...>");
            if unfinished {
                running.insert(thread, calls.len());
            }
            calls.push(Call {
                name: name.to_owned(),
                target: target(arguments),
                data: written(arguments),
                begun: at,
                ended: (!unfinished).then_some(at),
            });
        }
        Trace(calls)
    }

    /// Says what is wrong unless the log was written with this text, committed and synced before the
    /// first such call began.
    pub(super) fn not_synced_before(
        &self,
        text: &str,
        what: impl Fn(&Call) -> bool,
    ) -> Option<String> {
        let calls = &self.0;
        let Some(told) = calls.iter().find(|call| what(call)) else {
            return Some(format!("{text}: nothing was sent"));
        };
        let after = |at: usize, is: &dyn Fn(&Call) -> bool| {
            let found = calls.iter().find(|call| call.begun > at && is(call))?;
            found.ended
        };
        let written = calls.iter().find(|call| call.is_wal_write() && call.holds(text));
        let synced = written
            .and_then(|written| after(written.ended?, &Call::is_commit))
            .and_then(|committed| after(committed, &Call::is_wal_sync));
        match synced {
            Some(synced) if synced < told.begun => None,
            Some(_) => Some(format!("{text}: it left before the log was synced")),
            None => Some(format!("{text}: it left, and the log was never synced")),
        }
    }
}

/// What stands in the angle brackets behind the descriptor.
fn target(arguments: &str) -> String {
    let Some((_, rest)) = arguments.split_once('<') else { return String::new() };
    let end = [">,", ">)", "> <"].iter().filter_map(|end| rest.find(end)).min();
    rest[..end.unwrap_or(rest.len())].to_owned()
}

/// The strings in quotes, one after the other, as bytes.
fn written(arguments: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut quoted = false;
    let mut rest = arguments.bytes().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => quoted = !quoted,
            _ if !quoted => {}
            b'\\' => match rest.next() {
                Some(b'n') => bytes.push(b'\n'),
                Some(b'r') => bytes.push(b'\r'),
                Some(b't') => bytes.push(b'\t'),
                Some(b'v') => bytes.push(0x0b),
                Some(b'f') => bytes.push(0x0c),
                Some(digit @ b'0'..=b'7') => {
                    let mut value = u32::from(digit - b'0');
                    for _ in 0..2 {
                        match rest.next_if(|next| matches!(next, b'0'..=b'7')) {
                            Some(next) => value = value * 8 + u32::from(next - b'0'),
                            None => break,
                        }
                    }
                    bytes.push(u8::try_from(value).unwrap());
                }
                Some(other) => bytes.push(other),
                None => {}
            },
            other => bytes.push(other),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"7 pwrite64(13</d/baton.db-wal>, "\0ref-1\n", 7, 4096) = 7"#;
    const PART: &str = r#"7 pwrite64(13</d/baton.db-wal>, "\0\0\0\37\0\0\0\0\7\177\252\"J\24,!\235\255l\260\222\270\323A", 24, 8) = 24"#;
    const COMMIT: &str = r#"7 pwrite64(13</d/baton.db-wal>, "\0\0\0\37\0\0\0\37\7\177\252\"J\24,!\235\255l\260\222\270\323A", 24, 8) = 24"#;
    const SYNC: &str = "7 fsync(13</d/baton.db-wal>)  = 0";
    const SYNC_OF_THE_DATABASE: &str = "7 fsync(12</d/baton.db>)  = 0";
    const SYNC_BEGINS: &str = "7 fsync(13</d/baton.db-wal> <unfinished ...>";
    const SYNC_ENDS: &str = "7 <... fsync resumed>)              = 0";
    const SEND: &str = r#"8 writev(20<TCP:[127.0.0.1:1->127.0.0.1:2]>, [{iov_base="POST", iov_len=4}, {iov_base=" ref-1", iov_len=6}], 2) = 10"#;

    #[test]
    fn only_a_sync_that_ended_after_the_commit_and_before_the_request_counts() {
        let good: [&[&str]; 3] = [
            &[PLAN, COMMIT, SYNC, SEND],
            &[PLAN, PART, COMMIT, SYNC_BEGINS, SYNC_ENDS, SEND, SYNC],
            &[SYNC, PLAN, COMMIT, SYNC_BEGINS, PART, SYNC_ENDS, SEND],
        ];
        let bad: [&[&str]; 9] = [
            &[PLAN, COMMIT, SEND],
            &[PLAN, COMMIT, SEND, SYNC],
            &[SEND, PLAN, COMMIT, SYNC],
            &[PLAN, COMMIT, SYNC_BEGINS, SEND, SYNC_ENDS],
            &[PLAN, SYNC, COMMIT, SEND],
            &[PLAN, PART, SYNC, SEND],
            &[PLAN, COMMIT, SYNC_OF_THE_DATABASE, SEND],
            &[COMMIT, SYNC, SEND],
            &[PLAN, COMMIT, SYNC],
        ];
        let complaint = |lines: &[&str]| {
            let trace = Trace::read(&lines.join("\n"));
            trace.not_synced_before("ref-1", |call| {
                call.target == "TCP:[127.0.0.1:1->127.0.0.1:2]" && call.holds("POST ref-1")
            })
        };
        for lines in good {
            assert_eq!(complaint(lines), None, "{lines:#?}");
        }
        for lines in bad {
            assert!(complaint(lines).is_some(), "{lines:#?}");
        }
    }
}
