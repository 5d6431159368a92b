//! `baton doctor`: is everything there that a server needs?

use std::collections::HashSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::ExitCode;
use std::sync::Arc;

use baton_connect::Connector;
use baton_engine::{Clock as _, SystemClock};
use baton_store::Store;
use clap::Args;
use serde::Serialize;

use crate::cli::{Colour, Common, Report};
use crate::config::{Account, Config};
use crate::node;
use crate::style::Style;

/// From how many days before its end on a certificate is warned of.
const EXPIRY_WARNING_DAYS: i64 = 30;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

/// One thing that was looked at.
#[derive(Serialize)]
struct Finding {
    check: String,
    state: State,
    detail: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    Warning,
    Bad,
}

fn finding(check: impl Into<String>, state: State, detail: impl Into<String>) -> Finding {
    Finding { check: check.into(), state, detail: detail.into() }
}

/// Looks at everything and reports; fails if anything is bad.
///
/// # Errors
/// The configuration cannot be read at all.
pub(crate) async fn run(command: Doctor) -> Result<ExitCode, String> {
    let config = command.common.load(None)?;
    let mut found = vec![finding("configuration", State::Good, "every key is known")];
    found.extend(folder(&config));
    found.push(tls(&config));
    found.extend(database(&config).await);
    found.extend(vault(&config).await);
    found.extend(accounts(&config)?);
    let bad = found.iter().any(|finding| finding.state == State::Bad);
    if command.report.json {
        println!("{}", serde_json::json!({ "ok": !bad, "findings": found }));
    } else {
        let style = Style::new(Colour::Auto);
        for Finding { check, state, detail } in &found {
            let mark = match state {
                State::Good => style.green("good   "),
                State::Warning => style.yellow("warning"),
                State::Bad => style.red("bad    "),
            };
            println!("{mark}  {check}: {detail}");
        }
    }
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn folder(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "data folder";
    if let Err(error) = node::make_data_dir(config) {
        return vec![finding(CHECK, State::Bad, error)];
    }
    let shown = config.data_dir.display();
    match std::fs::metadata(&config.data_dir) {
        Err(error) => vec![finding(CHECK, State::Bad, format!("{shown}: {error}"))],
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            let detail = format!("{shown} can be read by other users; chmod 700 it");
            vec![finding(CHECK, State::Warning, detail)]
        }
        Ok(_) => vec![finding(CHECK, State::Good, format!("{shown}, for this user only"))],
    }
}

/// How a client's connection is protected.
fn tls(config: &Config) -> Finding {
    const CHECK: &str = "TLS";
    let Some(tls) = &config.tls else {
        let listen = config.listen;
        return if config.listens_in_clear() {
            let detail = format!(
                "{listen} can be reached from other machines without TLS: card numbers and keys can be read \
                 on their way here"
            );
            finding(CHECK, State::Warning, detail)
        } else {
            finding(CHECK, State::Good, format!("none, and {listen} is for this machine only"))
        };
    };
    let pair = match crate::tls::read(tls) {
        Ok(pair) => pair,
        Err(error) => return finding(CHECK, State::Bad, error),
    };
    if let Err(error) = pair.validity().check() {
        return finding(CHECK, State::Bad, format!("{}: {error}", tls.cert_file.display()));
    }
    let open_key = std::fs::metadata(&tls.key_file).is_ok_and(|key| key.mode() & 0o077 != 0);
    if open_key {
        let detail = format!("{} can be read by other users; chmod 600 it", tls.key_file.display());
        return finding(CHECK, State::Warning, detail);
    }
    let not_after = pair.validity().not_after;
    let days = not_after.since(SystemClock.now()) / (24 * 3_600_000);
    if days < EXPIRY_WARNING_DAYS {
        let detail = format!("the certificate ends in {days} days, at {not_after}");
        return finding(CHECK, State::Warning, detail);
    }
    finding(CHECK, State::Good, format!("the certificate holds until {not_after}"))
}

async fn database(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "database";
    let store = match node::open_store(config, false).await {
        Ok(store) => store,
        Err(error) => {
            let detail = format!("{error}; a new database is made by baton migrate or baton serve");
            return vec![finding(CHECK, State::Bad, detail)];
        }
    };
    let info = match store.describe().await {
        Ok(info) => info,
        Err(error) => return vec![finding(CHECK, State::Bad, error.to_string())],
    };
    let mut found = vec![finding(
        CHECK,
        State::Good,
        format!("{} {}, schema version {}", info.backend, info.version, info.schema_version),
    )];
    let settings: Vec<String> =
        info.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
    found.push(finding("durability", State::Good, settings.join(", ")));
    let held = format!(
        "{} payments, {} calls running or in doubt, {} events to publish",
        info.payments, info.timers, info.outbox
    );
    found.push(finding("contents", State::Good, held));
    found.extend(keys(store.as_ref()).await);
    found
}

async fn keys(store: &dyn Store) -> Option<Finding> {
    let merchants = store.merchants().await.ok()?;
    let mut valid = 0_usize;
    for merchant in &merchants {
        let keys = store.api_keys(merchant.id).await.ok()?;
        valid = valid.saturating_add(keys.iter().filter(|key| key.revoked_at.is_none()).count());
    }
    Some(if valid == 0 {
        finding("API keys", State::Warning, "none; make one with: baton keys create --sandbox")
    } else {
        finding("API keys", State::Good, format!("{valid} not revoked"))
    })
}

async fn vault(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "vault";
    if let Some(url) = &config.vault.url {
        let reached = match node::reach_vault(config, false).await {
            Ok((vault, _)) => vault.ping().await.map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        return vec![match reached {
            Ok(()) => finding(CHECK, State::Good, format!("elsewhere, at {url}; it answers")),
            Err(error) => finding(CHECK, State::Bad, error),
        }];
    }
    let opened = match node::open_vault(config, false).await {
        Ok((vault, _)) => vault.status().await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    let status = match opened {
        Ok(status) => status,
        Err(error) => {
            let detail = format!("{error}; a new vault is made by baton migrate or baton serve");
            return vec![finding(CHECK, State::Bad, detail)];
        }
    };
    let records: u64 = status.counts.iter().map(|count| count.records).sum();
    let info = &status.store;
    let held = format!(
        "{} {}, schema version {}, {records} records",
        info.backend, info.version, info.schema_version
    );
    let mut found = vec![finding(CHECK, State::Good, held)];
    if status.roots.len() > 1 {
        let detail = "its rotation was interrupted; finish it: baton vault rotate --root";
        found.push(finding("vault root key", State::Warning, detail));
    } else if config.vault.pkcs11.is_some() {
        found.push(finding("vault root key", State::Good, "in a PKCS#11 token"));
    } else {
        let file = config.root_key_file();
        let detail = format!("in the file {}; in production, keep it in a device", file.display());
        found.push(finding("vault root key", State::Warning, detail));
    }
    if status.stale > 0 {
        let detail =
            format!("{} records are under old keys; run: baton vault reencrypt", status.stale);
        found.push(finding("vault keys", State::Warning, detail));
    }
    found
}

fn accounts(config: &Config) -> Result<Vec<Finding>, String> {
    let connectors = baton_connectors::all().map_err(|error| error.to_string())?;
    if config.accounts.is_empty() {
        let detail = "none configured; every merchant has test-success and test-failure";
        return Ok(vec![finding("accounts", State::Warning, detail)]);
    }
    let look = |account: &Account| {
        let check = format!("account {}", account.name);
        match trouble(account, &connectors) {
            Some(detail) => finding(check, State::Bad, detail),
            None => finding(check, State::Good, account.gateway.clone()),
        }
    };
    Ok(config.accounts.iter().map(look).collect())
}

/// What would keep an account from being called, its gateway included.
pub(crate) fn trouble(account: &Account, connectors: &[Arc<dyn Connector>]) -> Option<String> {
    let named =
        |connector: &&Arc<dyn Connector>| connector.manifest().gateway_name == account.gateway;
    match connectors.iter().find(named) {
        Some(connector) => problem(account, connector.as_ref()),
        None => {
            let names: Vec<&str> =
                connectors.iter().map(|c| c.manifest().gateway_name.as_str()).collect();
            Some(format!("no gateway {}; there are {}", account.gateway, names.join(", ")))
        }
    }
}

/// What is said of an account that could never take over what it is to take over.
pub(crate) fn not_retrievable(account: &Account) -> String {
    let Account { name, gateway, .. } = account;
    format!(
        "accounts: {name}: allow_foreign_references needs a gateway that can be asked for a payment by its own \
         reference, and {gateway} cannot"
    )
}

/// What would keep an account from being called.
fn problem(account: &Account, connector: &dyn Connector) -> Option<String> {
    let manifest = connector.manifest();
    let given: HashSet<&str> = account.credentials.keys().map(String::as_str).collect();
    let wanted = manifest.credentials.iter();
    if let Some(missing) =
        wanted.clone().find(|field| !field.optional && !given.contains(field.name.as_str()))
    {
        return Some(format!(
            "the credential {} is missing: {}",
            missing.name, missing.description
        ));
    }
    if account.allow_foreign_references && manifest.retrieve.is_none() {
        return Some(not_retrievable(account));
    }
    let known: HashSet<&str> = wanted.map(|field| field.name.as_str()).collect();
    if let Some(unknown) = given.difference(&known).next() {
        return Some(format!("{} has no credential {unknown}", account.gateway));
    }
    let policy = if account.test {
        baton_wire::Policy::PlainHttpAllowed
    } else {
        baton_wire::Policy::HttpsOnly
    };
    match account.base_url.as_deref().or(manifest.base_url.as_deref()) {
        None if manifest.mock => None,
        None => Some("it needs a base_url".to_owned()),
        Some(url) => baton_wire::BaseUrl::parse(url, policy)
            .err()
            .map(|error| format!("its base_url cannot be used: {error}")),
    }
}
