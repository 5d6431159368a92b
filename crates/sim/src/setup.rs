//! What is simulated: accounts, orders, faults, and how many nodes; from a file where a user has one.

use baton_engine::EngineConfig;
use serde::Deserialize;

use crate::faults::{Day, Faults, SomeFaults};
use crate::kit::{Kit, LAGGING, WITHOUT_KEYS};
use crate::provider::{Dialect, Traits};
use crate::summary::Mode;

/// What a run simulates.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The policy.
    pub mode: Mode,
    /// Rates of faults.
    pub faults: Faults,
    /// The accounts, in the order in which a purchase names them.
    pub accounts: Vec<AccountSetup>,
    /// How many accounts a purchase names; which, is drawn for each order, unless it is all of them.
    pub accounts_per_order: usize,
    /// Of a million orders, how many are authorizations; the rest are charges.
    pub authorizations: u32,
    /// How long after a request the next account may be tried.
    pub failover_window_ms: i64,
    /// Whether a call in doubt is sent again under its key, where its provider keeps keys.
    pub replay: bool,
    /// How many nodes share the database.
    pub nodes: usize,
    /// How many orders a world has.
    pub world_size: u64,
    /// The mean time between two orders of a world.
    pub spacing_ms: u64,
}

/// An account at a provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSetup {
    /// Its name.
    pub name: String,
    /// Its gateway: one of the build's, or a variant of the sandbox that promises less.
    pub gateway: String,
    /// Of a million requests, how many the provider refuses by itself.
    #[serde(default = "few")]
    pub refuses: u32,
}

const fn few() -> u32 {
    30_000
}

/// A user's file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetupFile {
    /// The policy.
    #[serde(default)]
    mode: Option<Mode>,
    /// Which rates to begin from.
    #[serde(default)]
    day: Option<Day>,
    /// The accounts.
    #[serde(default)]
    accounts: Vec<AccountSetup>,
    /// How the payments are to be made.
    #[serde(default)]
    policy: PolicyFile,
    /// Rates that differ from the day's.
    #[serde(default)]
    faults: SomeFaults,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    failover_window_ms: Option<i64>,
    accounts_per_order: Option<usize>,
    authorizations: Option<u32>,
    replay: Option<bool>,
    nodes: Option<usize>,
}

impl Setup {
    /// Five accounts in three dialects, three of which a purchase names, in any order.
    #[must_use]
    pub fn standard(mode: Mode, day: Day) -> Self {
        let account = |name: &str, gateway: &str| AccountSetup {
            name: name.to_owned(),
            gateway: gateway.to_owned(),
            refuses: few(),
        };
        // What the server does if it is not told otherwise.
        let production = EngineConfig::default();
        Self {
            mode,
            faults: day.faults(),
            accounts: vec![
                account("sandbox", "Sandbox"),
                account("keyless", WITHOUT_KEYS),
                account("lagging", LAGGING),
                account("stripe", "Stripe"),
                account("adyen", "Adyen"),
            ],
            accounts_per_order: 3,
            authorizations: 500_000,
            failover_window_ms: production.failover_window_ms,
            replay: production.replay,
            nodes: 2,
            world_size: 200,
            spacing_ms: 250,
        }
    }

    /// Reads a user's file; the command line's mode and day stand before the file's.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn read(text: &str, mode: Option<Mode>, day: Option<Day>) -> Result<Self, String> {
        let file: SetupFile = toml::from_str(text).map_err(|error| error.to_string())?;
        let day = day.or(file.day).unwrap_or_default();
        let mut setup = Self::standard(mode.or(file.mode).unwrap_or_default(), day);
        setup.faults = day.faults().with(&file.faults);
        if !file.accounts.is_empty() {
            setup.accounts_per_order = file.accounts.len();
            setup.accounts = file.accounts;
        }
        if let Some(count) = file.policy.accounts_per_order {
            setup.accounts_per_order = count;
        }
        if let Some(window_ms) = file.policy.failover_window_ms {
            setup.failover_window_ms = window_ms;
        }
        if let Some(share) = file.policy.authorizations {
            setup.authorizations = share;
        }
        setup.replay = file.policy.replay.unwrap_or(setup.replay);
        setup.nodes = file.policy.nodes.unwrap_or(setup.nodes);
        Ok(setup)
    }

    /// Whether the build can simulate it.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn check(&self, kit: &Kit) -> Result<(), String> {
        for account in &self.accounts {
            traits(kit, account)?;
        }
        let names: std::collections::BTreeSet<_> = self.accounts.iter().map(|a| &a.name).collect();
        if names.len() != self.accounts.len() {
            return Err("two accounts have the same name".to_owned());
        }
        if self.accounts_per_order == 0 || self.accounts_per_order > self.accounts.len() {
            return Err(
                "accounts_per_order has to be between 1 and the number of accounts".to_owned()
            );
        }
        if self.nodes == 0 || self.world_size == 0 {
            return Err("a world has at least one node and one order".to_owned());
        }
        Ok(())
    }
}

/// What an account's provider is like: what its connector's manifest claims, and no better.
pub(crate) fn traits(kit: &Kit, account: &AccountSetup) -> Result<Traits, String> {
    let dialect = match account.gateway.as_str() {
        "Sandbox" | WITHOUT_KEYS | LAGGING => Dialect::Sandbox,
        "Stripe" => Dialect::Stripe,
        "Adyen" => Dialect::Adyen,
        other => return Err(format!("account {}: {other} cannot be simulated", account.name)),
    };
    let manifest = kit.manifest(&account.gateway);
    let manifest =
        manifest.ok_or_else(|| format!("gateway {} is not in this build", account.gateway))?;
    let keys = manifest.idempotency.as_ref();
    let look_up = manifest.look_up.as_ref();
    Ok(Traits {
        name: account.name.clone(),
        dialect,
        deduplicates: keys.is_some(),
        keeps_keys_ms: keys
            .map_or(0, |claim| i64::from(claim.retention_hours).saturating_mul(3_600_000)),
        fences: manifest.cancel_by_reference.as_ref().is_some_and(|claim| claim.fences),
        index_lag_ms: look_up.map_or(0, |claim| u64::from(claim.index_lag_ms)),
        // Who cannot be asked has no bound to keep; a minute is what a slow provider takes.
        in_flight_ms: look_up.map_or(60_000, |claim| u64::from(claim.in_flight_bound_ms)),
        refuses: account.refuses,
    })
}
