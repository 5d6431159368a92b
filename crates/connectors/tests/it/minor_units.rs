//! Minor units by each provider's own table: an amount arrives exactly, or is refused.

use std::collections::BTreeSet;

use baton_types::{Currency, Money};

use crate::support::all_connectors;

/// What one major unit is in the provider's minor units, by trying.
fn decimals(gateway: &str, code: &str) -> Option<usize> {
    let connectors = all_connectors();
    let connector = connectors.iter().find(|c| c.manifest().gateway_name == gateway).unwrap();
    let (manifest, currency) = (connector.manifest(), Currency::parse(code).unwrap());
    let exponent = u32::from(currency.exponent()?);
    let major = Money::new(10_i64.pow(exponent), currency);
    let units = manifest.takes(currency).then(|| manifest.to_provider_units(major))??;
    assert!(units.to_string().trim_end_matches('0') == "1", "{gateway} {code}: {units}");
    Some(units.to_string().len() - 1)
}

fn with(gateway: &str, wanted: usize) -> BTreeSet<String> {
    let codes = Currency::all().map(|currency| currency.code().to_owned());
    codes.filter(|code| decimals(gateway, code) == Some(wanted)).collect()
}

fn set(codes: &str) -> BTreeSet<String> {
    codes.split(' ').map(str::to_owned).collect()
}

#[test]
fn decimals_are_those_of_the_providers_tables() {
    // docs.stripe.com/currencies: zero-decimal but for UGX, which is written with two; so is ISK.
    let zero = set("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF");
    assert_eq!(with("Stripe", 0), zero);
    assert_eq!(with("Stripe", 3), set("BHD JOD KWD OMR TND"));
    // docs.adyen.com/development-resources/currency-codes.
    let zero = set("CVE DJF GNF IDR JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF");
    assert_eq!(with("Adyen", 0), zero);
    assert_eq!(with("Adyen", 3), set("BHD IQD JOD KWD LYD OMR TND"));
    for (gateway, code, wanted) in [
        ("Stripe", "ISK", Some(2)),
        ("Stripe", "UGX", Some(2)),
        ("Stripe", "HUF", Some(2)),
        ("Stripe", "TWD", Some(2)),
        ("Stripe", "CLP", Some(0)),
        ("Stripe", "IQD", None),
        ("Stripe", "XAU", None),
        ("Adyen", "CLP", Some(2)),
        ("Adyen", "ISK", Some(2)),
        ("Adyen", "MGA", None),
        ("Adyen", "HUF", Some(2)),
    ] {
        assert_eq!(decimals(gateway, code), wanted, "{gateway} {code}");
    }
}

#[test]
fn every_amount_survives_the_way_there_and_back_or_is_refused() {
    for connector in all_connectors() {
        let manifest = connector.manifest();
        for currency in Currency::all().filter(|currency| manifest.takes(*currency)) {
            let mut sent = 0;
            for minor in (0..1_200).chain([99_999, 100_000, 123_450, i64::MAX / 1_000, i64::MAX]) {
                let money = Money::new(minor, currency);
                if let Some(units) = manifest.to_provider_units(money) {
                    assert_eq!(manifest.from_provider_units(units, currency), Some(money));
                    sent += 1;
                }
            }
            assert!(sent > 5, "{} {currency}: only {sent} amounts can be sent", manifest.id);
        }
    }
}
