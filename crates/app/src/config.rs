//! Configuration: defaults, then a TOML file, then the environment, then flags. Unknown keys are refused.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use baton_api::ContractForm;
use baton_engine::{EngineConfig, QuestionLimits};
use baton_hooks::{Net, Policy, Schedule, Sender, TIMEOUT};
use baton_payments::HookSettings;
use baton_types::Secret;
use baton_wire::{Breaker, WireConfig};
use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format as _, Toml};
use serde::Deserialize;

use crate::listener::Patience;

/// Prefix of environment variables; `BATON_WIRE__ANSWER_TIMEOUT_MS` is `wire.answer_timeout_ms`.
const PREFIX: &str = "BATON_";

/// Variables with the prefix that are no keys: one names the file, our own tests use the others.
const NO_KEYS: [&str; 4] = ["config", "kills", "specs_dir", "test_postgres_url"];

/// The PIN of the root keys' token. Read as it is: as a value like others, 0815 would be the number 815.
const PIN_VARIABLE: &str = "BATON_VAULT__PKCS11__PIN";
const PIN_KEY: &str = "vault__pkcs11__pin";

/// The whole configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where the server listens.
    pub(crate) listen: SocketAddr,
    /// Where payers' browsers reach the server, like `https://pay.shop.example`; with `--dev`, where it listens.
    pub(crate) public_url: Option<String>,
    /// What is known of cards by their first digits, in place of the bundled table.
    pub(crate) bin_table: Option<PathBuf>,
    /// Where this node keeps its files.
    pub(crate) data_dir: PathBuf,
    /// `sqlite:PATH` or `postgres://…`; a SQLite file in the data folder if absent.
    pub(crate) database_url: Option<Secret>,
    /// Whether `serve` brings the database's schema up to date.
    pub(crate) auto_migrate: bool,
    /// This node's name; made once and kept in the data folder if absent.
    pub(crate) node: Option<String>,
    /// The operator's key for `/admin/v1`.
    pub(crate) admin_api_key: Option<Secret>,
    /// How long a stopping server goes on taking requests while `/health/ready` says no, so that a load
    /// balancer can see it. Not with `--dev`.
    pub(crate) shutdown_delay_ms: u64,
    /// How long a stopping server waits for payments in flight.
    pub(crate) shutdown_timeout_ms: u64,
    pub(crate) log: Log,
    pub(crate) payments: Payments,
    pub(crate) wire: Wire,
    pub(crate) store: StoreOptions,
    pub(crate) vault: VaultOptions,
    pub(crate) events: Events,
    pub(crate) webhooks: Webhooks,
    pub(crate) limits: Limits,
    pub(crate) server: Server,
    /// Without it, the server speaks plain HTTP.
    pub(crate) tls: Option<Tls>,
    /// Accounts of the default merchant.
    pub(crate) accounts: Vec<Account>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`, or directives like `info,baton_wire=debug`.
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Json,
    Text,
}

/// Times of the payment protocol, in milliseconds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Payments {
    pub(crate) caller_wait_ms: u64,
    pub(crate) failover_window_ms: u32,
    pub(crate) send_window_ms: u32,
    pub(crate) idempotency_hours: u32,
    pub(crate) repeat_wait_ms: u64,
    pub(crate) clock_difference_ms: u32,
    pub(crate) challenge_minutes: u32,
    pub(crate) replay: bool,
    pub(crate) look_ups_per_second: u32,
    pub(crate) look_up_burst: u32,
    pub(crate) look_up_failures: u32,
    pub(crate) look_up_pause_ms: u64,
}

/// Calls to providers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wire {
    pub(crate) connect_timeout_ms: u64,
    pub(crate) answer_timeout_ms: u64,
    pub(crate) max_in_flight: usize,
    pub(crate) breaker_failures: u32,
    pub(crate) breaker_open_ms: u64,
    pub(crate) http2: bool,
    pub(crate) http1_hosts: Vec<String>,
    pub(crate) http2_max_streams: usize,
    pub(crate) http2_ping_ms: u64,
}

/// Connections to the database.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StoreOptions {
    pub(crate) writers: usize,
    pub(crate) readers: usize,
}

/// How the server treats its clients.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    pub(crate) max_connections: usize,
    pub(crate) handshake_timeout_ms: u64,
    pub(crate) head_timeout_ms: u64,
    pub(crate) body_timeout_ms: u64,
    pub(crate) idle_timeout_ms: u64,
    pub(crate) max_head_bytes: usize,
}

/// The server's certificate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// The chain in PEM form, the server's own certificate first.
    pub(crate) cert_file: PathBuf,
    /// Its key in PEM form, without a password.
    pub(crate) key_file: PathBuf,
    #[serde(default)]
    pub(crate) min_version: TlsVersion,
    /// The authority of the certificates that every client has to show; none if they need none.
    #[serde(default)]
    pub(crate) client_ca_file: Option<PathBuf>,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) enum TlsVersion {
    #[default]
    Tls12,
    Tls13,
}

/// A version as it may be written: an environment variable's `1.3` is read as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Number(f64),
}

impl TryFrom<Written> for TlsVersion {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let text = match written {
            Written::Text(text) => text,
            Written::Number(number) => number.to_string(),
        };
        match text.as_str() {
            "1.2" => Ok(Self::Tls12),
            "1.3" => Ok(Self::Tls13),
            _ => Err("the oldest version of TLS must be \"1.2\" or \"1.3\""),
        }
    }
}

/// What this node lets through.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Per key; 0 is no limit.
    pub(crate) requests_per_second: u32,
    /// How many may come at once after a rest.
    pub(crate) burst: u32,
    /// Per address without a valid key; 0 is no limit.
    pub(crate) failed_keys_per_minute: u32,
}

/// Where card data and credentials are, and what their keys are wrapped by.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct VaultOptions {
    /// Its own database; if absent, beside the payments in PostgreSQL, or a SQLite file in the data folder.
    pub(crate) database_url: Option<Secret>,
    /// The file of root keys; in the data folder if absent.
    pub(crate) root_key_file: Option<PathBuf>,
    /// A device that keeps the root keys, instead of the file.
    pub(crate) pkcs11: Option<Pkcs11>,
    /// Where the vault is, if it is not in this process: then everything above is where it is.
    pub(crate) url: Option<String>,
    /// This node's certificate for it, in PEM form.
    pub(crate) cert_file: Option<PathBuf>,
    /// Its key in PEM form, without a password.
    pub(crate) key_file: Option<PathBuf>,
    /// The authority of the vault's own certificate.
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pkcs11 {
    /// The device's library.
    pub(crate) module: PathBuf,
    /// The token's label.
    pub(crate) token: String,
    /// The label of the root keys.
    pub(crate) key: String,
    /// The user's PIN; better in [`PIN_VARIABLE`].
    pub(crate) pin: Option<Secret>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Events {
    /// Where events go.
    pub(crate) sink: Sink,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sink {
    /// One log line each, and webhooks.
    Log,
    /// Webhooks alone.
    Webhooks,
    /// Nowhere: none are written, and no webhook is sent.
    Off,
}

/// Webhooks to merchants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Webhooks {
    /// Where they may go beside public addresses: `10.1.0.0/16`, or one address.
    pub(crate) allowed_addresses: Vec<String>,
    /// How long to wait before each retry, instead of the published schedule.
    pub(crate) retry_after_ms: Option<Vec<u32>>,
    /// How long events and tries are kept.
    pub(crate) keep_days: u32,
}

/// A gateway account.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) gateway: String,
    #[serde(default)]
    pub(crate) base_url: Option<String>,
    /// Moves no real money; usable with sandbox keys only.
    #[serde(default)]
    pub(crate) test: bool,
    /// Whether payments that were made at its gateway without this server are taken over when a request names them.
    #[serde(default)]
    pub(crate) allow_foreign_references: bool,
    /// Its secrets, by the names that `baton doctor` lists.
    #[serde(default)]
    pub(crate) credentials: HashMap<String, Secret>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            bin_table: None,
            data_dir: PathBuf::from("baton-data"),
            database_url: None,
            auto_migrate: true,
            node: None,
            admin_api_key: None,
            shutdown_delay_ms: 1_000,
            shutdown_timeout_ms: 30_000,
            log: Log::default(),
            payments: Payments::default(),
            wire: Wire::default(),
            store: StoreOptions::default(),
            vault: VaultOptions::default(),
            events: Events::default(),
            webhooks: Webhooks::default(),
            limits: Limits::default(),
            server: Server::default(),
            tls: None,
            accounts: Vec::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Json }
    }
}

impl Default for Payments {
    fn default() -> Self {
        let questions = QuestionLimits::default();
        Self {
            caller_wait_ms: 25_000,
            failover_window_ms: 30_000,
            send_window_ms: 5_000,
            idempotency_hours: 24,
            repeat_wait_ms: 10_000,
            clock_difference_ms: 2_000,
            challenge_minutes: 60,
            replay: true,
            look_ups_per_second: questions.per_second,
            look_up_burst: questions.burst,
            look_up_failures: questions.failures,
            look_up_pause_ms: questions.pause_ms,
        }
    }
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 1_500,
            answer_timeout_ms: 60_000,
            max_in_flight: 1_024,
            breaker_failures: 5,
            breaker_open_ms: 10_000,
            http2: true,
            http1_hosts: Vec::new(),
            http2_max_streams: 16,
            http2_ping_ms: 10_000,
        }
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { writers: 4, readers: 2 }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            max_connections: 4_096,
            handshake_timeout_ms: 10_000,
            head_timeout_ms: 10_000,
            body_timeout_ms: 15_000,
            idle_timeout_ms: 75_000,
            max_head_bytes: 16_384,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let baton_api::Limits { requests_per_second, burst, failed_keys_per_minute } =
            baton_api::Limits::default();
        Self { requests_per_second, burst, failed_keys_per_minute }
    }
}

impl Default for Webhooks {
    fn default() -> Self {
        Self { allowed_addresses: Vec::new(), retry_after_ms: None, keep_days: 30 }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { sink: Sink::Log }
    }
}

/// What flags say; they win over everything else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) file: Option<PathBuf>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) database_url: Option<String>,
}

/// Reads the configuration.
///
/// # Errors
/// What is wrong, where it stands, and for an unknown key the nearest known one.
pub(crate) fn load(flags: Flags) -> Result<Config, String> {
    let mut figment = Figment::new();
    match &flags.file {
        Some(file) if !file.is_file() => {
            return Err(format!("the configuration file {} does not exist", file.display()));
        }
        Some(file) => figment = figment.merge(Toml::file_exact(file)),
        None if Path::new("baton.toml").is_file() => {
            figment = figment.merge(Toml::file_exact("baton.toml"));
        }
        None => {}
    }
    figment = figment
        .merge(Env::raw().only(&["DATABASE_URL"]))
        .merge(Env::prefixed(PREFIX).ignore(&NO_KEYS).ignore(&[PIN_KEY]).split("__"));
    let mut config: Config = figment.extract().map_err(|error| explain(&error))?;
    if let (Some(pkcs11), Some(pin)) = (&mut config.vault.pkcs11, Env::var(PIN_VARIABLE)) {
        pkcs11.pin = Some(Secret::new(pin));
    }
    if let Some(listen) = flags.listen {
        config.listen = listen;
    }
    if let Some(data_dir) = flags.data_dir {
        config.data_dir = data_dir;
    }
    if let Some(url) = flags.database_url {
        config.database_url = Some(Secret::new(url));
    }
    config.check()?;
    Ok(config)
}

/// A configuration error as a sentence. Values are not repeated: they may be secrets.
fn explain(error: &figment::Error) -> String {
    let place = |error: &figment::Error| {
        let path = error.path.join(".");
        let from = error.metadata.as_ref().map(|metadata| metadata.name.to_string());
        match (path.is_empty(), from) {
            (true, None) => String::new(),
            (false, None) => format!(" ({path})"),
            (true, Some(from)) => format!(" (in {from})"),
            (false, Some(from)) => format!(" ({path}, in {from})"),
        }
    };
    let each = error.clone().into_iter().map(|error| match &error.kind {
        Kind::UnknownField(name, known) => {
            let distance = |word: &&&str| strsim::damerau_levenshtein(word, name);
            let nearest = known.iter().min_by_key(distance);
            let hint = nearest.map(|word| format!("; did you mean {word}?")).unwrap_or_default();
            format!("unknown configuration key {name}{}{hint}", place(&error))
        }
        Kind::InvalidType(_, wanted) => {
            format!("a configuration value must be {wanted}{}", place(&error))
        }
        Kind::MissingField(name) => format!("missing configuration key {name}{}", place(&error)),
        Kind::Message(_)
        | Kind::InvalidValue(..)
        | Kind::InvalidLength(..)
        | Kind::UnknownVariant(..)
        | Kind::DuplicateField(_)
        | Kind::ISizeOutOfRange(_)
        | Kind::USizeOutOfRange(_)
        | Kind::Unsupported(_)
        | Kind::UnsupportedKey(..) => format!("{}{}", error.kind, place(&error)),
    });
    each.collect::<Vec<_>>().join("\n")
}

impl Payments {
    fn check(&self) -> Result<(), String> {
        for (name, value, least, most) in [
            ("clock_difference_ms", u64::from(self.clock_difference_ms), 0, 60_000),
            ("challenge_minutes", u64::from(self.challenge_minutes), 1, 43_200),
            ("look_ups_per_second", u64::from(self.look_ups_per_second), 0, 100_000),
            ("look_up_burst", u64::from(self.look_up_burst), 1, 100_000),
            ("look_up_failures", u64::from(self.look_up_failures), 0, 1_000),
            ("look_up_pause_ms", self.look_up_pause_ms, 100, 3_600_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!("payments.{name} must be {least} to {most}, and is {value}"));
            }
        }
        Ok(())
    }
}

impl VaultOptions {
    fn check(&self) -> Result<(), String> {
        let elsewhere = [&self.cert_file, &self.key_file, &self.ca_file];
        if self.url.is_none() && elsewhere.iter().any(|file| file.is_some()) {
            return Err("vault.cert_file, key_file and ca_file go with vault.url".to_owned());
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err("vault.cert_file and vault.key_file go together".to_owned());
        }
        let here =
            self.database_url.is_some() || self.root_key_file.is_some() || self.pkcs11.is_some();
        if self.url.is_some() && here {
            return Err(
                "with vault.url the vault's database and root key are where it is".to_owned()
            );
        }
        Ok(())
    }
}

impl Server {
    fn check(&self) -> Result<(), String> {
        for (name, ms) in [
            ("handshake_timeout_ms", self.handshake_timeout_ms),
            ("head_timeout_ms", self.head_timeout_ms),
            ("body_timeout_ms", self.body_timeout_ms),
            ("idle_timeout_ms", self.idle_timeout_ms),
        ] {
            if !(1..=3_600_000).contains(&ms) {
                return Err(format!("server.{name} must be 1 to 3600000, and is {ms}"));
            }
        }
        for (name, value, least, most) in [
            ("max_connections", self.max_connections, 1, 1_000_000),
            ("max_head_bytes", self.max_head_bytes, 1_024, 1 << 20),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!("server.{name} must be {least} to {most}, and is {value}"));
            }
        }
        Ok(())
    }
}

impl Config {
    fn check(&self) -> Result<(), String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        for (at, account) in self.accounts.iter().enumerate() {
            let name = account.name.as_str();
            if !(3..=64).contains(&name.len()) || !name.bytes().all(plain) {
                return Err(format!(
                    "accounts[{at}].name must be 3 to 64 letters, digits, - and _, and is {name:?}"
                ));
            }
            if self.accounts.iter().take(at).any(|other| other.name == account.name) {
                return Err(format!("accounts[{at}].name: {name} is there twice"));
            }
        }
        self.server.check()?;
        self.payments.check()?;
        let Limits { requests_per_second, burst, failed_keys_per_minute } = self.limits;
        for (name, value, least) in [
            ("requests_per_second", requests_per_second, 0),
            ("burst", burst, 1),
            ("failed_keys_per_minute", failed_keys_per_minute, 0),
        ] {
            if !(least..=baton_api::RATE_MAX).contains(&value) {
                let most = baton_api::RATE_MAX;
                return Err(format!("limits.{name} must be {least} to {most}, and is {value}"));
            }
        }
        self.vault.check()?;
        if self.vault.pkcs11.as_ref().is_some_and(|pkcs11| pkcs11.pin.is_none()) {
            return Err(format!("vault.pkcs11.pin is missing; set {PIN_VARIABLE}"));
        }
        Ok(())
    }

    /// Whether what is said of the vault fits together, after flags have been heard.
    pub(crate) fn check_vault(&self) -> Result<(), String> {
        self.vault.check()
    }

    /// Whether card numbers could be read on their way here: no TLS, and not from this machine only.
    pub(crate) fn listens_in_clear(&self) -> bool {
        self.tls.is_none() && !self.listen.ip().is_loopback()
    }

    pub(crate) fn patience(&self) -> Patience {
        let Server { max_connections, max_head_bytes, .. } = self.server;
        Patience {
            max_connections,
            handshake: Duration::from_millis(self.server.handshake_timeout_ms),
            head: Duration::from_millis(self.server.head_timeout_ms),
            body: Duration::from_millis(self.server.body_timeout_ms),
            idle: Duration::from_millis(self.server.idle_timeout_ms),
            max_head: max_head_bytes,
        }
    }

    /// The database's URL.
    pub(crate) fn store_url(&self) -> String {
        match &self.database_url {
            Some(url) => url.expose().to_owned(),
            None => format!("sqlite:{}", self.data_dir.join("baton.db").display()),
        }
    }

    /// The vault's database's URL.
    pub(crate) fn vault_url(&self) -> String {
        match (&self.vault.database_url, self.store_url()) {
            (Some(url), _) => url.expose().to_owned(),
            (None, shared) if !shared.starts_with("sqlite:") => shared,
            (None, _) => format!("sqlite:{}", self.data_dir.join("vault.db").display()),
        }
    }

    /// The file of root keys.
    pub(crate) fn root_key_file(&self) -> PathBuf {
        let named = self.vault.root_key_file.clone();
        named.unwrap_or_else(|| self.data_dir.join("vault-root.key"))
    }

    /// How long a payer has for a challenge, in milliseconds.
    pub(crate) fn payer_ms(&self) -> i64 {
        i64::from(self.payments.challenge_minutes).saturating_mul(60_000)
    }

    /// How the database is opened.
    pub(crate) fn store_options(&self, migrate: bool) -> baton_store::OpenOptions {
        baton_store::OpenOptions {
            migrate,
            writers: self.store.writers,
            readers: self.store.readers,
            ..baton_store::OpenOptions::default()
        }
    }

    pub(crate) fn engine(&self, node: String) -> EngineConfig {
        EngineConfig {
            node,
            caller_wait_ms: self.payments.caller_wait_ms,
            failover_window_ms: i64::from(self.payments.failover_window_ms),
            send_window_ms: i64::from(self.payments.send_window_ms),
            idempotency_ms: i64::from(self.payments.idempotency_hours).saturating_mul(3_600_000),
            repeat_wait_ms: self.payments.repeat_wait_ms,
            clock_difference_ms: i64::from(self.payments.clock_difference_ms),
            replay: self.payments.replay,
            questions: QuestionLimits {
                per_second: self.payments.look_ups_per_second,
                burst: self.payments.look_up_burst,
                failures: self.payments.look_up_failures,
                pause_ms: self.payments.look_up_pause_ms,
            },
            publish_events: self.events.sink != Sink::Off,
        }
    }

    /// Where webhooks go and when: everywhere in development.
    ///
    /// # Errors
    /// A range of addresses cannot be read.
    pub(crate) fn webhooks(&self, is_dev: bool) -> Result<HookSettings, String> {
        let nets = self.webhooks.allowed_addresses.iter().map(|text| text.parse::<Net>());
        let allowed = nets.collect::<Result<Vec<_>, _>>();
        let allowed = allowed.map_err(|error| format!("webhooks.allowed_addresses: {error}"))?;
        let policy = Policy { anywhere: is_dev, allowed };
        let sender = Sender::new(policy, &[], TIMEOUT).map_err(|error| error.to_string())?;
        let pauses = self.webhooks.retry_after_ms.as_ref();
        let schedule = pauses.map_or_else(Schedule::default, |pauses| {
            Schedule::of_millis(pauses.iter().copied().map(i64::from).collect())
        });
        let keep_ms = i64::from(self.webhooks.keep_days).saturating_mul(24 * 3_600_000);
        Ok(HookSettings { sender, schedule, shows: Arc::new(ContractForm), keep_ms })
    }

    pub(crate) fn limits(&self) -> baton_api::Limits {
        baton_api::Limits {
            requests_per_second: self.limits.requests_per_second,
            burst: self.limits.burst,
            failed_keys_per_minute: self.limits.failed_keys_per_minute,
        }
    }

    pub(crate) fn wire(&self) -> WireConfig {
        WireConfig {
            connect_timeout: Duration::from_millis(self.wire.connect_timeout_ms),
            answer_timeout: Duration::from_millis(self.wire.answer_timeout_ms),
            max_in_flight: self.wire.max_in_flight,
            max_idle_per_origin: self.wire.max_in_flight.min(256),
            breaker: Breaker {
                failures: self.wire.breaker_failures,
                open_for: Duration::from_millis(self.wire.breaker_open_ms),
            },
            http2: self.wire.http2,
            http1_hosts: self.wire.http1_hosts.clone(),
            http2_max_streams: self.wire.http2_max_streams,
            http2_ping: Duration::from_millis(self.wire.http2_ping_ms),
            ..WireConfig::default()
        }
    }
}
