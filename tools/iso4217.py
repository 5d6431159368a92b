#!/usr/bin/env python3
"""Write crates/types/src/iso4217.rs from ISO 4217 "list one".

Usage: python3 tools/iso4217.py LIST_ONE.xml

The list is published by SIX, the standard's maintenance agency; the Python package `iso4217` ships it as
table.xml. Entries are written in the order of their codes, so a new edition shows up as a small diff.

The script refuses a list in which two entries disagree about a currency, and one that drops a currency or
changes its exponent: stored payments must load for ever, and an amount in minor units means something else
under another exponent. Whoever meets that has to decide first what becomes of the stored payments.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

TARGET = pathlib.Path(__file__).parent.parent / "crates/types/src/iso4217.rs"
ROW = re.compile(r'entry\("([A-Z]{3})", \d+, (.*?), ')

HEADER = """\
//! ISO 4217 "list one": every current currency and fund code.
//!
//! Written by `tools/iso4217.py`; do not edit. Publication date of the list: {published}.
//! Withdrawn codes are not in it.

/// One currency of the list.
#[derive(Debug)]
pub(crate) struct Entry {{
    /// The alphabetic code.
    pub(crate) code: &'static str,
    /// The numeric code.
    pub(crate) numeric: u16,
    /// Decimal digits of the minor unit; `None` where the list says "N.A.".
    pub(crate) exponent: Option<u8>,
    /// The English name, as published.
    pub(crate) name: &'static str,
}}

const fn entry(
    code: &'static str,
    numeric: u16,
    exponent: Option<u8>,
    name: &'static str,
) -> Entry {{
    Entry {{ code, numeric, exponent, name }}
}}

/// The list, in the order of the alphabetic codes.
#[rustfmt::skip]
pub(crate) static TABLE: [Entry; {count}] = [
"""


def read(path):
    """Return the list's publication date and {code: (numeric, exponent, name)}."""
    root = ElementTree.parse(path).getroot()
    currencies = {}
    for country in root.iter("CcyNtry"):
        code = country.findtext("Ccy")
        if code is None:  # countries without a currency of their own, such as Antarctica
            continue
        numeric, units = country.findtext("CcyNbr"), country.findtext("CcyMnrUnts")
        name = " ".join(country.findtext("CcyNm").split())
        if not re.fullmatch("[A-Z]{3}", code) or not re.fullmatch("[0-9]{3}", numeric):
            sys.exit(f"malformed entry {code} {numeric}")
        if units != "N.A." and units not in "01234":
            sys.exit(f"{code}: unexpected minor unit {units}")
        found = (int(numeric), None if units == "N.A." else int(units), name)
        if currencies.setdefault(code, found) != found:
            sys.exit(f"{code}: {found} contradicts {currencies[code]}")
    return root.attrib["Pblshd"], currencies


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    published, currencies = read(sys.argv[1])
    rows = {
        code: ("None" if exponent is None else f"Some({exponent})", numeric, name)
        for code, (numeric, exponent, name) in currencies.items()
    }
    known = dict(ROW.findall(TARGET.read_text())) if TARGET.exists() else {}
    lost = [code for code, exponent in known.items() if rows.get(code, (None,))[0] != exponent]
    if lost:
        sys.exit(f"dropped, or with another exponent: {' '.join(lost)}")
    text = HEADER.format(published=published, count=len(rows))
    for code, (exponent, numeric, name) in sorted(rows.items()):
        text += f'    entry("{code}", {numeric}, {exponent}, "{name}"),\n'
    TARGET.write_text(text + "];\n")


if __name__ == "__main__":
    main()
