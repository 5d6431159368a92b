//! Looking for secrets in bytes, in the forms that software stores them in.

use std::collections::HashMap;

pub(super) struct Secrets<'a> {
    pub(super) number: &'a str,
    pub(super) code: &'a str,
    /// What was typed as a code.
    pub(super) typed: &'a str,
}

/// How many digits of a card number in a row are a leak: the first six and the last four may be kept, but
/// never as one piece.
const DIGITS: usize = 10;

/// Every pattern begins with this many bytes to be found by.
const HEAD: usize = 6;

/// Names that a verification code goes by.
const NAMES: [&str; 8] =
    ["cvv", "Cvv", "CVV", "cvv2", "cvc", "CVC", "security_code", "securityCode"];

/// What stands between a name and its value: JSON, JSON in JSON, forms, headers, debug output, XML.
const BETWEEN: [&str; 14] = [
    "\":\"",
    "\": \"",
    "\":",
    "\": ",
    "\\\":\\\"",
    "\\\": \\\"",
    "=",
    "=\"",
    ": ",
    ": \"",
    ":",
    "(",
    "(\"",
    ">",
];

impl Secrets<'_> {
    /// Every pattern that is a leak, with the name of its form.
    fn patterns(&self) -> Vec<(String, Vec<u8>)> {
        let mut patterns = Vec::new();
        let digits = self.number.as_bytes();
        for window in digits.windows(DIGITS) {
            let window = std::str::from_utf8(window).unwrap();
            add("card number", window, &mut patterns);
            let codes: Vec<String> = window.bytes().map(|byte| byte.to_string()).collect();
            for (form, separator) in [("list of bytes", ","), ("list of bytes, spaced", ", ")] {
                patterns.push((format!("card number, {form}"), codes.join(separator).into()));
            }
            let wide = window.bytes().flat_map(|byte| [byte, 0]).collect();
            patterns.push(("card number, 16 bits each".to_owned(), wide));
        }
        for separator in [" ", "-"] {
            let groups: Vec<&str> =
                (0..4).map(|group| &self.number[4 * group..4 * group + 4]).collect();
            add("card number in groups", &groups[1..].join(separator), &mut patterns);
        }
        if let Ok(value) = self.number.parse::<u64>() {
            patterns.push(("card number, binary".to_owned(), value.to_le_bytes().into()));
            patterns.push(("card number, binary".to_owned(), value.to_be_bytes().into()));
        }
        let pairs = digits.chunks(2).map(|pair| (pair[0] - b'0') * 16 + (pair[1] - b'0'));
        patterns.push(("card number, packed".to_owned(), pairs.collect()));
        for name in NAMES {
            for between in BETWEEN {
                let text = format!("{name}{between}{}", self.code);
                add("code beside its name", &text, &mut patterns);
            }
        }
        add("what was typed as a code", self.typed, &mut patterns);
        patterns
    }

    /// Where a secret is: the form, and what stands around it.
    pub(super) fn find(&self, bytes: &[u8]) -> Vec<(String, String)> {
        let patterns = self.patterns();
        let mut heads: HashMap<&[u8], Vec<&(String, Vec<u8>)>> = HashMap::new();
        for pattern in &patterns {
            heads.entry(&pattern.1[..HEAD]).or_default().push(pattern);
        }
        let mut found = Vec::new();
        let mut told = 0;
        for (at, head) in bytes.windows(HEAD).enumerate() {
            // Most bytes begin nothing: only then is the table asked.
            for (form, pattern) in heads.get(head).into_iter().flatten() {
                // One leak matches in many places of itself.
                if at >= told && bytes[at..].starts_with(pattern) {
                    told = at + 4 * DIGITS;
                    let around = &bytes[at.saturating_sub(60)..(at + 80).min(bytes.len())];
                    found.push((form.clone(), around.escape_ascii().to_string()));
                }
            }
        }
        found
    }
}

fn add(name: &str, text: &str, patterns: &mut Vec<(String, Vec<u8>)>) {
    for (form, bytes) in forms(text) {
        patterns.push((format!("{name}, {form}"), bytes));
    }
}

/// A text as it is, in hexadecimal, as percent escapes and in base64 at each of the three places that it
/// can have in a longer text.
fn forms(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let each = |write: fn(u8) -> String| text.bytes().map(write).collect::<String>().into_bytes();
    let mut forms = vec![
        ("plain", text.as_bytes().to_vec()),
        ("hexadecimal", each(|byte| format!("{byte:02x}"))),
        ("capital hexadecimal", each(|byte| format!("{byte:02X}"))),
        ("percent escapes", each(|byte| format!("%{byte:02x}"))),
        ("capital percent escapes", each(|byte| format!("%{byte:02X}"))),
    ];
    for shift in 0..3 {
        let mut shifted = vec![0; shift];
        shifted.extend(text.bytes());
        let encoded = base64(&shifted);
        // What shares bits with its neighbours is not stable.
        let first = (shift * 8).div_ceil(6);
        let last = shifted.len() * 8 / 6;
        forms.push(("base64", encoded.as_bytes()[first..last].to_vec()));
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let bits: Vec<u8> = bits.collect();
    let sextet = |bits: &[u8]| {
        let value = bits.iter().fold(0, |value, bit| value * 2 + usize::from(*bit));
        char::from(ALPHABET[value << (6 - bits.len())])
    };
    bits.chunks(6).map(sextet).collect()
}

/// The code as a word of its own, in the forms that can be told from chance.
pub(super) fn words(code: &str) -> Vec<(&'static str, Vec<u8>)> {
    let hexadecimal: String = code.bytes().map(|byte| format!("{byte:02x}")).collect();
    vec![
        ("plain", code.into()),
        ("hexadecimal", hexadecimal.into()),
        ("base64", base64(code.as_bytes()).into()),
    ]
}

/// How often a word stands between characters that are neither letters nor digits.
pub(super) fn count_of_words(bytes: &[u8], word: &[u8]) -> usize {
    let is_edge = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at)).is_none_or(|byte| !byte.is_ascii_alphanumeric())
    };
    let found = bytes.windows(word.len()).enumerate().filter(|(_, window)| *window == word);
    found.filter(|(at, _)| is_edge(at.checked_sub(1)) && is_edge(Some(at + word.len()))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRETS: Secrets<'_> =
        Secrets { number: "4111111111111111", code: "862", typed: "not a code" };

    /// Python: `base64.b64encode(b"{'number': '4000007351902843'}")` and so on.
    const NUMBER: Secrets<'_> = Secrets { number: "4000007351902843", ..SECRETS };

    #[test]
    fn a_planted_secret_is_found_in_every_form() {
        for planted in [
            "4000007351902843",
            "x4000007351x",
            "0073519028",
            "7351902843",
            "4000 0073 5190 2843",
            "4000-0073-5190-2843",
            "34303030303037333531393032383433",
            "%34%30%30%30%30%30%37%33%35%31%39%30%32%38%34%33",
            "[52, 48, 48, 48, 48, 48, 55, 51, 53, 49, 57, 48, 50, 56, 52, 51]",
            // base64 of the number alone, after "x", after "xy", and in a JSON text.
            "NDAwMDAwNzM1MTkwMjg0Mw==",
            "eDQwMDAwMDczNTE5MDI4NDM=",
            "eHk0MDAwMDA3MzUxOTAyODQz",
            "eyJudW1iZXIiOiAiNDAwMDAwNzM1MTkwMjg0MyJ9",
            r#"{"cvv":"862"}"#,
            r#"{\"cvv\": \"862\"}"#,
            "cvv=862&x",
            "Cvv(862)",
            r#"security_code: "862""#,
            // base64 of {"cvv":"862"}
            "eyJjdnYiOiI4NjIifQ==",
            "7b22637676223a22383632227d",
            "not a code",
        ] {
            let text = format!("before {planted} after");
            assert!(!NUMBER.find(text.as_bytes()).is_empty(), "{planted}");
        }
        let packed = [0x40, 0x00, 0x00, 0x73, 0x51, 0x90, 0x28, 0x43];
        let number = 4_000_007_351_902_843_u64;
        for planted in [packed, number.to_le_bytes(), number.to_be_bytes()] {
            assert!(!NUMBER.find(&planted).is_empty(), "{planted:?}");
        }
    }

    #[test]
    fn what_may_be_kept_is_no_leak() {
        let kept = r#"{"bin":"400000","last4":"2843","cvv":"123","cvv":null,"took":862,"masked":
            "400000******2843","short":"4000002843"}"#;
        assert_eq!(NUMBER.find(kept.as_bytes()), []);
        assert_eq!(count_of_words(kept.as_bytes(), b"862"), 1);
        assert_eq!(count_of_words(b"862,x862 8620 \"862\" 862", b"862"), 3);
    }
}
