//! What a provider can do, as its connector's `manifest.toml` says it.
//!
//! Unclaimed is refused, and uncited is unclaimed: a capability without the place where the provider
//! documents it does not load.

use std::collections::BTreeMap;

use baton_types::{Currency, DeclineCode, DeclinedBy, Money};
use serde::Deserialize;

use crate::{DisputeAction, Feature, OperationKind, RedirectMethod};

/// A connector's capabilities. Loaded once, from the file beside its code.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Stable id, lower case: used in metrics and file names.
    pub id: String,
    /// The name that the Gateway API uses (`paymentGatewayName`).
    pub gateway_name: String,
    /// The name for people.
    pub display_name: String,
    /// One sentence for people.
    pub description: String,
    /// The provider's home page.
    pub url: String,
    /// A gateway without money behind it: for sandbox keys only, and never counted by a breaker.
    #[serde(default)]
    pub mock: bool,
    /// The live base URL; absent where each account brings its own.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The account's credentials.
    #[serde(default)]
    pub credentials: Vec<CredentialField>,
    /// Currencies taken; empty means all that have a minor unit.
    #[serde(default)]
    pub currencies: Vec<String>,
    /// Exponents that differ from ISO 4217, by currency.
    #[serde(default)]
    pub exponents: BTreeMap<String, u32>,
    /// Amounts in these currencies have to be multiples of this many of the provider's minor units.
    #[serde(default)]
    pub multiples: BTreeMap<String, i64>,
    /// Where the three are documented.
    #[serde(default)]
    pub currencies_citation: Option<String>,
    /// Longest merchant reference that it keeps whole, in characters.
    pub reference_max_length: usize,
    /// The operations claimed.
    #[serde(default)]
    pub operations: BTreeMap<OperationKind, Claim>,
    /// What it takes beside plain cards.
    #[serde(default)]
    pub features: BTreeMap<Feature, Claim>,
    /// The methods it takes that a payer completes elsewhere.
    #[serde(default)]
    pub redirects: BTreeMap<RedirectMethod, RedirectClaim>,
    /// How it takes idempotency keys, if it does.
    #[serde(default)]
    pub idempotency: Option<Idempotency>,
    /// How an operation is found again, if it can be.
    #[serde(default)]
    pub look_up: Option<LookUpClaim>,
    /// Whether a payment can be had by the provider's own id, with all that was done to it.
    #[serde(default)]
    pub retrieve: Option<Claim>,
    /// How a payment is cancelled whose id is not known, if it can be.
    #[serde(default)]
    pub cancel_by_reference: Option<CancelClaim>,
    /// That what a payer brings back from a challenge has to be passed on, if it has.
    #[serde(default)]
    pub completion: Option<Claim>,
    /// What it can be asked about disputes.
    #[serde(default)]
    pub disputes: BTreeMap<DisputeAction, Claim>,
    /// How webhooks are signed, if it sends any that are read.
    #[serde(default)]
    pub webhook: Option<WebhookClaim>,
    /// What its decline codes mean.
    #[serde(default)]
    pub declines: Option<DeclineTable>,
}

/// A capability and where the provider documents it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Where it is documented.
    pub citation: String,
}

/// A method that a payer completes elsewhere.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedirectClaim {
    /// The currencies that it is paid in.
    pub currencies: Vec<String>,
    /// Where it is documented.
    pub citation: String,
}

/// A credential that an account needs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialField {
    /// Its name, as `credentialsNames` lists it.
    pub name: String,
    /// What it is and where to find it.
    pub description: String,
    /// Whether it is a secret; settings that are not reach the connector in the clear.
    #[serde(default = "yes")]
    pub secret: bool,
    /// Whether an account works without it.
    #[serde(default)]
    pub optional: bool,
}

fn yes() -> bool {
    true
}

/// How a provider takes idempotency keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Idempotency {
    /// The header that carries the key.
    pub header: String,
    /// Longest key, in characters.
    pub max_length: usize,
    /// How long a key is remembered, in hours; a replay after that is a new request.
    pub retention_hours: u32,
    /// Whether a request whose outcome is not known may be sent again under its key, and is executed once.
    #[serde(default)]
    pub replay: bool,
    /// Where it is documented.
    pub citation: String,
}

/// How an operation is found again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookUpClaim {
    /// How long after an operation a look-up may not show it yet, in milliseconds.
    pub index_lag_ms: u32,
    /// How long after its last byte a request may still be executed, in milliseconds.
    pub in_flight_bound_ms: u32,
    /// Where it is documented.
    pub citation: String,
}

/// How a payment is cancelled by our reference.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelClaim {
    /// Whether the provider then refuses a payment with that reference which arrives later.
    pub fences: bool,
    /// Where it is documented.
    pub citation: String,
}

/// How webhooks are signed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookClaim {
    /// The credential that is the key.
    pub credential: String,
    /// Where it is documented.
    pub citation: String,
}

/// What a provider's decline codes mean. What is not in it is `unmapped`: counted, never guessed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclineTable {
    /// Where they are documented.
    pub citation: String,
    /// Our code by the provider's.
    pub codes: BTreeMap<String, DeclineCode>,
}

/// A manifest that does not load. Only a connector's author meets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError(String);

impl std::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// Reads a manifest and checks that it holds together.
    ///
    /// # Errors
    /// Not TOML of this shape, an unknown currency, or a claim without a citation.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self =
            toml::from_str(text).map_err(|error| ManifestError(error.to_string()))?;
        let fail = |what: String| Err(ManifestError(format!("manifest {}: {what}", manifest.id)));
        let named = manifest.currencies.iter().chain(manifest.exponents.keys());
        let redirected = manifest.redirects.values().flat_map(|claim| &claim.currencies);
        for code in named.chain(manifest.multiples.keys()).chain(redirected) {
            if Currency::parse(code).is_err() {
                return fail(format!("{code} is no currency of ISO 4217"));
            }
        }
        let citations = manifest
            .operations
            .iter()
            .map(|(kind, claim)| (kind.as_str(), &claim.citation))
            .chain(manifest.features.iter().map(|(what, claim)| (what.as_str(), &claim.citation)))
            .chain(manifest.redirects.iter().map(|(what, claim)| (what.as_str(), &claim.citation)))
            .chain(manifest.disputes.iter().map(|(what, claim)| (what.as_str(), &claim.citation)))
            .chain(manifest.idempotency.iter().map(|claim| ("idempotency", &claim.citation)))
            .chain(manifest.look_up.iter().map(|claim| ("look_up", &claim.citation)))
            .chain(manifest.retrieve.iter().map(|claim| ("retrieve", &claim.citation)))
            .chain(
                manifest.cancel_by_reference.iter().map(|c| ("cancel_by_reference", &c.citation)),
            )
            .chain(manifest.completion.iter().map(|c| ("completion", &c.citation)))
            .chain(manifest.webhook.iter().map(|claim| ("webhook", &claim.citation)))
            .chain(manifest.declines.iter().map(|claim| ("declines", &claim.citation)))
            .chain(manifest.currencies_citation.iter().map(|text| ("currencies", text)));
        for (what, citation) in citations {
            if citation.trim().is_empty() {
                return fail(format!("{what} is claimed without a citation"));
            }
        }
        let rules = !(manifest.currencies.is_empty()
            && manifest.exponents.is_empty()
            && manifest.multiples.is_empty());
        if rules && manifest.currencies_citation.is_none() {
            return fail("currencies are claimed without a citation".to_owned());
        }
        if manifest.multiples.values().any(|multiple| *multiple <= 0) {
            return fail("a multiple is not above zero".to_owned());
        }
        if let Some(webhook) = &manifest.webhook
            && !manifest.credentials.iter().any(|field| field.name == webhook.credential)
        {
            return fail(format!("the webhook's key {} is no credential", webhook.credential));
        }
        Ok(manifest)
    }

    /// Whether the provider is claimed to do this.
    #[must_use]
    pub fn claims(&self, kind: OperationKind) -> bool {
        self.operations.contains_key(&kind)
    }

    /// Whether the provider is claimed to take this call about a dispute.
    #[must_use]
    pub fn disputes(&self, action: DisputeAction) -> bool {
        self.disputes.contains_key(&action)
    }

    /// Whether the provider is claimed to take this beside plain cards.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains_key(&feature)
    }

    /// Whether the provider is claimed to take this method in this currency.
    #[must_use]
    pub fn redirects(&self, method: RedirectMethod, currency: Currency) -> bool {
        self.redirects
            .get(&method)
            .is_some_and(|claim| claim.currencies.iter().any(|code| code == currency.code()))
    }

    /// Whether the provider is claimed to take this currency.
    #[must_use]
    pub fn takes(&self, currency: Currency) -> bool {
        currency.exponent().is_some()
            && (self.currencies.is_empty()
                || self.currencies.iter().any(|code| code == currency.code()))
    }

    /// The amount in this provider's minor units, or nothing if it does not survive the way there and back.
    #[must_use]
    pub fn to_provider_units(&self, money: Money) -> Option<i64> {
        let (ours, theirs) = self.exponents_of(money.currency())?;
        let units = shift(money.minor(), ours, theirs)?;
        let multiple = self.multiples.get(money.currency().code()).copied().unwrap_or(1);
        if units.checked_rem(multiple) != Some(0) {
            return None;
        }
        (shift(units, theirs, ours)? == money.minor()).then_some(units)
    }

    /// An amount in this provider's minor units as money, or nothing if it has no exact form.
    #[must_use]
    pub fn from_provider_units(&self, units: i64, currency: Currency) -> Option<Money> {
        let (ours, theirs) = self.exponents_of(currency)?;
        let minor = shift(units, theirs, ours)?;
        (shift(minor, ours, theirs)? == units).then(|| Money::new(minor, currency))
    }

    /// What a decline code of this provider means, and whose word it is. One that is not in the table is
    /// taken as the issuer's: that word is repeated at no other provider.
    #[must_use]
    pub fn decline(&self, code: &str) -> (DeclineCode, DeclinedBy) {
        let known = self.declines.as_ref().and_then(|table| table.codes.get(code));
        known.map_or((DeclineCode::Unmapped, DeclinedBy::Issuer), |code| (*code, code.info().by))
    }

    fn exponents_of(&self, currency: Currency) -> Option<(u32, u32)> {
        let ours = u32::from(currency.exponent()?);
        Some((ours, self.exponents.get(currency.code()).copied().unwrap_or(ours)))
    }
}

/// `value` with its decimal point moved from one exponent to another, cut off where it has to be.
fn shift(value: i64, from: u32, to: u32) -> Option<i64> {
    if to >= from {
        value.checked_mul(10_i64.checked_pow(to.checked_sub(from)?)?)
    } else {
        value.checked_div(10_i64.checked_pow(from.checked_sub(to)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"
        id = "x"
        gateway_name = "X"
        display_name = "X"
        description = "A provider."
        url = "https://example.com"
        reference_max_length = 64
    "#;

    fn manifest(more: &str) -> Result<Manifest, ManifestError> {
        Manifest::parse(&format!("{HEAD}\n{more}"))
    }

    #[test]
    fn what_is_not_cited_does_not_load() {
        let rows = [
            ("[operations.charge]\ncitation = \"docs\"", ""),
            ("[operations.charge]\ncitation = \" \"", "charge is claimed without a citation"),
            ("[operations.charge]", "missing field `citation`"),
            ("[retrieve]\ncitation = \" \"", "retrieve is claimed without a citation"),
            ("[features.three_ds]\ncitation = \"\"", "three_ds is claimed without a citation"),
            (
                "[redirects.ideal]\ncurrencies = [\"EUR\"]\ncitation = \"\"",
                "ideal is claimed without a citation",
            ),
            (
                "[redirects.ideal]\ncurrencies = [\"ZZZ\"]\ncitation = \"docs\"",
                "ZZZ is no currency",
            ),
            ("[redirects.barter]\ncurrencies = []\ncitation = \"docs\"", "unknown variant"),
            ("[operations.teleport]\ncitation = \"docs\"", "unknown variant"),
            ("currencies = [\"USD\", \"ZZZ\"]", "ZZZ is no currency"),
            ("currencies = [\"USD\"]", "currencies are claimed without a citation"),
            ("currencies_citation = \"docs\"\n[multiples]\nKWD = 0", "not above zero"),
            ("[webhook]\ncredential = \"K\"\ncitation = \"docs\"", "K is no credential"),
            (
                "[declines]\ncitation = \"docs\"\ncodes = { \"05\" = \"no_such\" }",
                "unknown variant",
            ),
            ("[declines]\ncitation = \"\"\ncodes = {}", "declines is claimed without a citation"),
            ("surprise = 1", "unknown field"),
        ];
        for (more, error) in rows {
            match manifest(more) {
                Ok(loaded) => {
                    assert_eq!(error, "", "{more}");
                    assert!(loaded.claims(OperationKind::Charge));
                    assert!(!loaded.claims(OperationKind::Refund), "unclaimed is refused");
                }
                Err(found) => {
                    assert!(!error.is_empty() && found.to_string().contains(error), "{found}");
                }
            }
        }
    }

    #[test]
    fn an_amount_reaches_the_provider_exactly_or_not_at_all() {
        let manifest = manifest("currencies_citation = \"docs\"\n[exponents]\nISK = 2\nHUF = 0\nMGA = 0\n[multiples]\nISK = 100\nKWD = 10").unwrap();
        let rows = [
            ("USD", 1023, Some(1023)),
            ("ISK", 5, Some(500)),
            ("HUF", 1200, Some(12)),
            ("HUF", 1250, None),
            ("JPY", 7, Some(7)),
            ("BHD", 1234, Some(1234)),
            ("KWD", 1230, Some(1230)),
            ("KWD", 1234, None),
            ("ISK", i64::MAX, None),
        ];
        for (code, minor, want) in rows {
            let money = Money::new(minor, Currency::parse(code).unwrap());
            let units = manifest.to_provider_units(money);
            assert_eq!(units, want, "{code} {minor}");
            if let Some(units) = units {
                assert_eq!(manifest.from_provider_units(units, money.currency()), Some(money));
            }
        }
        let isk = Currency::parse("ISK").unwrap();
        assert_eq!(manifest.from_provider_units(550, isk), None, "half a krona is no answer");
    }
}
