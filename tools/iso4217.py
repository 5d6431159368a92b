#!/usr/bin/env python3
"""Write crates/types/src/iso4217.rs from ISO 4217 "list one".

Usage: python3 tools/iso4217.py LIST_ONE.xml > crates/types/src/iso4217.rs

The list is published by SIX, the standard's maintenance agency; the Python package `iso4217` ships it as
table.xml. The script refuses a list in which two entries disagree about a currency, and writes entries in
the order of their codes, so a new edition shows up as a small diff.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree

HEADER = """\
//! ISO 4217 "list one": every current currency and fund code. Written by `tools/iso4217.py`; do not edit.
//!
//! Publication date of the list: {published}. Withdrawn codes are not in it.

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
    sys.stdout.write(HEADER.format(published=published, count=len(currencies)))
    for code, (numeric, exponent, name) in sorted(currencies.items()):
        exponent = "None" if exponent is None else f"Some({exponent})"
        sys.stdout.write(f'    entry("{code}", {numeric}, {exponent}, "{name}"),\n')
    sys.stdout.write("];\n")


if __name__ == "__main__":
    main()
