//! The currency table against two sources that it was not made from.

use std::collections::{BTreeMap, BTreeSet};

use baton_types::{Currency, MoneyError};

/// Codes in the JDK's table that the standard has withdrawn (it keeps them in "list three"), by
/// what took their place. The JDK never drops a code.
const WITHDRAWN: &[(&str, &str)] = &[
    (
        "ADP ATS BEF BGN CYP DEM EEK ESP FIM FRF GRD HRK IEP ITL LTL LUF LVL MTL NLG PTE SIT SKK XFU",
        "EUR",
    ),
    ("AFA", "AFN"),
    // The JDK already has both; the Netherlands Antillean guilder ended in 2025.
    ("ANG", "XCG"),
    ("AYM AZM", "AZN"),
    ("BGL", "BGN"),
    ("BYB", "BYR"),
    ("BYR", "BYN"),
    ("CSD", "RSD"),
    ("CUC", "CUP"),
    ("GHC", "GHS"),
    ("GWP", "XOF"),
    ("MGF", "MGA"),
    ("MRO", "MRU"),
    ("MZM", "MZN"),
    ("ROL", "RON"),
    ("RUR", "RUB"),
    ("SDD", "SDG"),
    ("SLL", "SLE"),
    ("SRG", "SRD"),
    ("STD", "STN"),
    ("TMM", "TMT"),
    ("TPE USS", "USD"),
    ("TRL", "TRY"),
    ("VEB VEF", "VES"),
    ("XFO", "XDR"),
    ("YUM", "RSD"),
    ("ZMK", "ZMW"),
    ("ZWD ZWL ZWN ZWR", "ZWG"),
];

/// Codes that the JDK of the data file lacks although the standard has them, each with the reason.
const JDK_LACKS: [(&str, &str); 2] = [
    ("UYW", "Uruguay's pension unit: an accounting unit that is no country's currency in the JDK"),
    ("XAD", "the Arab Accounting Dinar: assigned after that JDK's table was made"),
];

/// What a source says of one code: the numeric code and the exponent.
type Table<'a> = BTreeMap<&'a str, (u16, Option<u8>)>;

fn jdk() -> Table<'static> {
    include_str!("../data/jdk-17-currencies.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.split(' ');
            let (code, numeric, digits) =
                (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
            (code, (numeric.parse().unwrap(), digits.parse().ok()))
        })
        .collect()
}

fn ours() -> Table<'static> {
    Currency::all().map(|c| (c.code(), (c.numeric(), c.exponent()))).collect()
}

#[test]
fn the_table_agrees_with_the_jdk_except_where_listed() {
    let (ours, jdk) = (ours(), jdk());
    assert_eq!((ours.len(), jdk.len()), (178, 232), "the whole list, and a whole data file");
    let only_ours: Vec<_> = ours.keys().filter(|code| !jdk.contains_key(*code)).copied().collect();
    assert_eq!(only_ours, JDK_LACKS.map(|(code, _)| code));
    for (code, theirs) in &jdk {
        if let Some(entry) = ours.get(code) {
            assert_eq!(entry, theirs, "{code}");
        }
    }
    let only_jdk: BTreeSet<_> =
        jdk.keys().filter(|code| !ours.contains_key(*code)).copied().collect();
    let listed: BTreeSet<_> = WITHDRAWN.iter().flat_map(|(codes, _)| codes.split(' ')).collect();
    assert_eq!(only_jdk, listed);
    for (codes, successor) in WITHDRAWN {
        let known = ours.contains_key(successor) || listed.contains(successor);
        assert!(known, "{codes} are replaced by {successor}, which nobody knows");
    }
}

#[test]
fn exponents_other_than_two_are_those_of_the_standard() {
    let with = |exponent| {
        let codes = Currency::all().filter(|c| c.exponent() == exponent).map(Currency::code);
        codes.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        with(Some(0)),
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
    );
    assert_eq!(with(Some(3)), "BHD IQD JOD KWD LYD OMR TND");
    assert_eq!(with(Some(4)), "CLF UYW");
    assert_eq!(with(None), "XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX");
    // Often taken for zero or one, by providers and by libraries; the standard says two.
    for code in ["HUF", "TWD", "IDR", "COP", "MGA", "MRU", "LAK", "CVE", "ILS", "RSD"] {
        assert_eq!(Currency::parse(code).unwrap().exponent(), Some(2), "{code}");
    }
}

#[test]
fn codes_and_numbers_are_unique_and_sorted() {
    let codes: Vec<_> = Currency::all().map(Currency::code).collect();
    assert!(codes.is_sorted(), "binary search needs the order");
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
    let numbers: BTreeSet<_> = Currency::all().map(Currency::numeric).collect();
    assert_eq!(numbers.len(), codes.len(), "equality compares the numeric codes");
    assert!(Currency::all().all(|c| c.name().trim() == c.name() && !c.name().is_empty()));
}

#[test]
fn every_code_parses_in_either_case_and_nothing_else_does() {
    for currency in Currency::all() {
        assert_eq!(Currency::parse(currency.code()), Ok(currency));
        assert_eq!(Currency::parse(&currency.code().to_lowercase()), Ok(currency));
    }
    assert_eq!(Currency::parse("uSd").map(Currency::numeric), Ok(840));
    for (text, excerpt) in [
        ("", ""),
        ("US", "US"),
        ("USDD", "USDD"),
        (" USD", " USD"),
        ("BGN", "BGN"),
        ("ｕｓｄ", "ｕｓｄ"),
        ("a\nb", "a b"),
        ("840", "***"),
        ("4111111111111111", "****************"),
        ("four hundred dollars", "four hundred dol"),
    ] {
        let expected = MoneyError::UnknownCurrency(excerpt.to_owned());
        assert_eq!(Currency::parse(text), Err(expected), "{text}");
    }
}
