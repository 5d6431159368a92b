//! What is known of a card by its first six digits: its type, its issuer and the issuer's country, for display.
//!
//! A small table is bundled; an operator who has a licensed one puts it in its place. Nothing here decides
//! anything: no payment is routed, refused or priced by it. The brand is not in the table: it follows from the published
//! ranges of the networks ([`baton_types::Brand`]). What the table does not have is unknown, and is shown as null.

use std::fmt;

/// The table that comes with this build.
const BUNDLED: &str = include_str!("bins.csv");

/// Most ranges of a table: a licensed one has some hundred thousand.
const RANGES_MAX: usize = 2_000_000;

/// Longest issuer's name, in characters.
const ISSUER_MAX: usize = 100;

/// How a card is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardType {
    /// Later, by a credit.
    Credit,
    /// At once, from an account.
    Debit,
    /// Before.
    Prepaid,
}

impl CardType {
    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credit => "CREDIT",
            Self::Debit => "DEBIT",
            Self::Prepaid => "PREPAID",
        }
    }
}

/// What is known of a range of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BinFacts {
    /// How it is paid for.
    pub kind: Option<CardType>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// The issuer's name, for display.
    pub issuer: Option<String>,
}

/// Ranges of first six digits with what is known of them.
#[derive(Debug)]
pub struct BinTable {
    /// In order, and not overlapping.
    ranges: Vec<(u32, u32, BinFacts)>,
}

/// What is wrong with a table, with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinTableError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for BinTableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for BinTableError {}

impl Default for BinTable {
    /// The bundled table. A test holds it to be readable; were it not, everything would be unknown.
    fn default() -> Self {
        Self::parse(BUNDLED).unwrap_or(Self { ranges: Vec::new() })
    }
}

impl BinTable {
    /// Reads a table: lines of `first,last,type,country,issuer`. Empty fields are unknown, empty lines and those
    /// that begin with `#` are left out, and an issuer may hold commas.
    ///
    /// # Errors
    /// A line that cannot be read, or that overlaps another.
    pub fn parse(text: &str) -> Result<Self, BinTableError> {
        let mut read = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let wrong = |message: String| BinTableError { line, message };
            if read.len() == RANGES_MAX {
                return Err(wrong(format!("more than {RANGES_MAX} ranges")));
            }
            let (first, last, facts) = range(content).map_err(wrong)?;
            read.push((first, last, facts, line));
        }
        read.sort_by_key(|(first, ..)| *first);
        for pair in read.windows(2) {
            if let [(_, last, ..), (first, _, _, line)] = pair
                && first <= last
            {
                let message = format!("{first:06} is in another range too");
                return Err(BinTableError { line: *line, message });
            }
        }
        let ranges = read.into_iter().map(|(first, last, facts, _)| (first, last, facts)).collect();
        Ok(Self { ranges })
    }

    /// What is known of a card with these first six digits.
    #[must_use]
    pub fn of(&self, bin: &str) -> Option<&BinFacts> {
        let bin: u32 = bin.get(..6)?.parse().ok()?;
        let after = self.ranges.partition_point(|(first, ..)| *first <= bin);
        let (_, last, facts) = self.ranges.get(after.checked_sub(1)?)?;
        (bin <= *last).then_some(facts)
    }

    /// How many ranges there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether nothing is known of any card.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

fn range(line: &str) -> Result<(u32, u32, BinFacts), String> {
    let mut fields = line.splitn(5, ',').map(str::trim);
    let mut next = |name: &str| fields.next().ok_or_else(|| format!("there is no {name}"));
    let (first, last) = (digits("first", next("first")?)?, digits("last", next("last")?)?);
    if last < first {
        return Err(format!("{last:06} is before {first:06}"));
    }
    let kind = match next("type")? {
        "" => None,
        word if word.eq_ignore_ascii_case("credit") => Some(CardType::Credit),
        word if word.eq_ignore_ascii_case("debit") => Some(CardType::Debit),
        word if word.eq_ignore_ascii_case("prepaid") => Some(CardType::Prepaid),
        _ => return Err("the type is credit, debit, prepaid or empty".to_owned()),
    };
    let country = match next("country")? {
        "" => None,
        code if code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase()) => {
            Some(code.to_owned())
        }
        _ => return Err("the country is two capital letters or empty".to_owned()),
    };
    let issuer = match next("issuer")? {
        "" => None,
        name if name.chars().count() > ISSUER_MAX || name.chars().any(char::is_control) => {
            return Err(format!("the issuer has at most {ISSUER_MAX} printable characters"));
        }
        name => Some(name.to_owned()),
    };
    Ok((first, last, BinFacts { kind, country, issuer }))
}

fn digits(name: &str, text: &str) -> Result<u32, String> {
    let fits = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| fits);
    number.ok_or_else(|| format!("{name} is six digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_table_can_be_read_and_is_about_test_cards() {
        let table = BinTable::parse(BUNDLED).unwrap();
        assert!(table.len() > 30 && table.len() == BinTable::default().len());
        let visa = table.of("424242").unwrap();
        assert_eq!((visa.kind, visa.country.as_deref()), (Some(CardType::Credit), Some("US")));
        assert_eq!(table.of("400005").unwrap().kind, Some(CardType::Debit));
        assert_eq!(table.of("424243"), None);
        assert_eq!(table.of(""), None);
    }

    #[test]
    fn a_range_holds_its_ends_and_nothing_else() {
        let table = BinTable::parse(
            "# mine\n\n 400000 , 400009 , debit , FR , Caisse, dite \"A\"\n400011,400011,,,\n",
        );
        let table = table.unwrap();
        let rows = [("399999", false), ("400000", true), ("400009", true), ("400010", false)];
        for (bin, known) in rows {
            assert_eq!(table.of(bin).is_some(), known, "{bin}");
        }
        assert_eq!(table.of("400005").unwrap().issuer.as_deref(), Some("Caisse, dite \"A\""));
        assert_eq!(table.of("40001199").unwrap(), &BinFacts::default());
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_line() {
        let rows = [
            ("400000", 1, "there is no last"),
            ("400000,400000,debit,FR", 1, "there is no issuer"),
            ("40000,400000,,,", 1, "first is six digits"),
            ("400000,+40000,,,", 1, "last is six digits"),
            ("# x\n400009,400000,,,", 2, "400000 is before 400009"),
            ("400000,400000,charge,,", 1, "the type is"),
            ("400000,400000,,fr,", 1, "the country is"),
            ("400000,400009,,,\n400009,400010,,,", 2, "400009 is in another range too"),
            ("400009,400010,,,\n400000,400009,,,", 1, "400009 is in another range too"),
        ];
        for (text, line, message) in rows {
            let error = BinTable::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.message.contains(message), "{text}: {error}");
        }
    }
}
