//! `baton serve`: puts the parts together, listens, and stops without leaving payments behind.

use std::collections::HashMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use baton_api::{App, ErrorCode};
use baton_engine::audit::{Actor, Audit};
use baton_engine::merchants::{self, AccountSpec};
use baton_engine::{Credentials, Engine, EventSink, LogSink, Parts, SystemClock};
use baton_payments::{BinTable, HookSink, Payments};
use baton_sandbox::{Books, Sync};
use baton_types::Secret;
use baton_wire::Wire;
use clap::{Args, ValueEnum};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::cli::{Common, Report};
use crate::config::{Account, Config, LogFormat, Sink};
use crate::explain::explained;
use crate::listener::Patience;
use crate::tls::Certificates;
use crate::{doctor, listener, node, signals, tls, vault_server};

/// The sandbox accounts that `--dev` configures: one for each role in a failover.
const DEV_ACCOUNTS: [&str; 4] = ["sandbox", "sandbox-a", "sandbox-b", "sandbox-c"];

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// For development: start a sandbox provider too, configure accounts at it, and make an admin key
    /// if none is configured.
    #[arg(long)]
    dev: bool,
    /// With --dev: use the sandbox at this address instead of starting one.
    #[arg(long, value_name = "URL", requires = "dev")]
    sandbox_url: Option<String>,
    /// What is known of cards by their first digits, for display, in place of the bundled table
    #[arg(long, value_name = "FILE")]
    bin_table: Option<PathBuf>,
    /// What this process is: everything, or the vault alone for nodes elsewhere.
    #[arg(long, value_enum, default_value_t = Role::All)]
    role: Role,
    /// With --role vault: the authority of the certificates that clients have to show.
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Where the vault is, if it is a process of its own: https://…
    #[arg(long, value_name = "URL")]
    vault_url: Option<String>,
    /// This node's certificate for the vault, and its key.
    #[arg(long, value_name = "FILE", requires = "vault_key")]
    vault_cert: Option<PathBuf>,
    /// The key of --vault-cert.
    #[arg(long, value_name = "FILE", requires = "vault_cert")]
    vault_key: Option<PathBuf>,
    /// The authority of the vault's own certificate.
    #[arg(long, value_name = "FILE")]
    vault_ca: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Payments, and the vault unless it is elsewhere.
    All,
    /// The vault alone.
    Vault,
}

/// How a development server differs from a plain one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dev {
    /// A sandbox that runs already.
    pub(crate) sandbox_url: Option<String>,
}

/// A server that is up.
pub(crate) struct Running {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    /// The engine, for keys.
    pub(crate) engine: Engine,
    /// The sandbox's address, with `--dev`.
    pub(crate) sandbox_url: Option<String>,
    /// Where the node keeps its files.
    data_dir: PathBuf,
    /// The admin key, if this start made it.
    made_admin_key: Option<Secret>,
    app: Arc<App>,
    stop: CancellationToken,
    served: JoinHandle<()>,
    secure: bool,
    sandbox: Option<baton_sandbox::Running>,
    shutdown_delay: Duration,
    shutdown_timeout: Duration,
    _lock: File,
}

/// Runs until it is told to stop.
///
/// # Errors
/// It cannot start.
pub(crate) async fn run(command: Serve) -> Result<ExitCode, String> {
    let mut config = command.common.load(command.listen)?;
    config.bin_table = command.bin_table.or(config.bin_table);
    let told = &mut config.vault;
    told.url = command.vault_url.or(told.url.take());
    told.cert_file = command.vault_cert.or(told.cert_file.take());
    told.key_file = command.vault_key.or(told.key_file.take());
    told.ca_file = command.vault_ca.or(told.ca_file.take());
    config.check_vault().map_err(|error| explained(ErrorCode::ConfigInvalid, error))?;
    start_log(config.log.format, &audited(&config.log.level))?;
    if command.role == Role::Vault {
        let (ca, json) = (command.client_ca, command.report.json);
        return vault_server::run(config, ca, command.dev, json).await;
    }
    if command.client_ca.is_some() {
        return Err(explained(ErrorCode::ConfigInvalid, "--client-ca goes with --role vault"));
    }
    let dev = command.dev.then(|| Dev { sandbox_url: command.sandbox_url.clone() });
    let running = start(config, dev).await?;
    announce(&running, command.report.json);
    signals::stop().await;
    let left = running.shut_down().await;
    Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn announce(running: &Running, json: bool) {
    let scheme = if running.secure { "https" } else { "http" };
    let url = format!("{scheme}://{}", running.addr);
    let admin_key = running.made_admin_key.as_ref().map(Secret::expose);
    if json {
        let shown = serde_json::json!({
            "url": url,
            "sandbox_url": running.sandbox_url,
            "admin_api_key": admin_key,
        });
        println!("{shown}");
        return;
    }
    println!("Baton listens on {url}");
    if let Some(sandbox) = &running.sandbox_url {
        println!("The sandbox listens on {sandbox}; accounts: {}", DEV_ACCOUNTS.join(", "));
    }
    if let Some(key) = admin_key {
        println!("Admin key, made for this run (set BATON_ADMIN_API_KEY to choose it): {key}");
    }
    println!(
        "Make a key with: baton keys create --sandbox --data-dir {}",
        running.data_dir.display()
    );
}

/// What is logged, with the audit log's entries whatever the level: they are where its head stands outside
/// of the database. Whoever does not want them names their target.
fn audited(level: &str) -> String {
    const TARGET: &str = "baton::audit";
    if level.contains(TARGET) { level.to_owned() } else { format!("{level},{TARGET}=info") }
}

/// Sets up the log: one line per event on standard error.
///
/// # Errors
/// The level is none, or a log has been set up before.
pub(crate) fn start_log(format: LogFormat, level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|error| {
        explained(ErrorCode::ConfigInvalid, format!("log.level {level:?}: {error}"))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let result = match format {
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init(),
        LogFormat::Text => builder.try_init(),
    };
    result.map_err(|error| error.to_string())
}

/// Starts a server.
///
/// # Errors
/// What is in the way, in a sentence.
pub(crate) async fn start(mut config: Config, dev: Option<Dev>) -> Result<Running, String> {
    node::make_data_dir(&config)?;
    let lock = node::lock(&config)?;
    let node_name = node::name(&config)?;
    let tls = config.tls.as_ref().map(tls::open).transpose()?;
    if config.listens_in_clear() {
        tracing::warn!(
            listen = %config.listen,
            "WITHOUT TLS: card numbers and keys can be read on their way here; configure [tls], or listen \
             on loopback behind a proxy that ends TLS"
        );
    }
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.map_err(|error| {
        let text = format!("{} cannot be listened on: {error}", config.listen);
        explained(ErrorCode::ListenFailed, text)
    })?;
    let addr = listener.local_addr().map_err(|error| error.to_string())?;

    let (is_dev, mut made_admin_key) = (dev.is_some(), None);
    let (mut sandbox, mut sandbox_url) = (None, None);
    let shutdown_delay_ms = if dev.is_some() { 0 } else { config.shutdown_delay_ms };
    if let Some(dev) = dev {
        (sandbox, sandbox_url) = start_sandbox(&config, dev).await?;
        config.accounts.extend(sandbox_url.iter().flat_map(|url| dev_accounts(url)));
        if config.admin_api_key.is_none() {
            let key = baton_engine::keys::generate(&SystemClock, "ak_");
            made_admin_key = Some(Secret::new(key.expose().to_owned()));
            config.admin_api_key = Some(key);
        }
    }

    let here = is_dev.then_some((addr, tls.is_some()));
    let (bins, public_url) = (bin_table(&config)?, public_url(&config, here));
    let store = node::open_store(&config, config.auto_migrate).await?;
    let (vault, made_root_key) = node::reach_vault(&config, is_dev).await?;
    if made_root_key && !is_dev {
        for line in node::new_root_key(&config).lines() {
            tracing::warn!("{}", line.trim_start_matches("WARNING: "));
        }
    }
    let audit = Audit::new(Arc::clone(&store), Arc::new(SystemClock));
    let credentials = declare_accounts(&mut config, &audit).await?;
    let webhooks = config.webhooks(is_dev).map_err(|e| explained(ErrorCode::ConfigInvalid, e))?;
    let sink = sink(&config);
    let engine = Engine::new(Parts {
        config: config.engine(node_name),
        store,
        wire: Arc::new(Wire::new(config.wire()).map_err(|error| error.to_string())?),
        clock: Arc::new(SystemClock),
        vault,
        connectors: baton_connectors::all().map_err(|error| error.to_string())?,
        credentials,
        test_urls: sandbox_url.as_deref().map(test_urls).unwrap_or_default(),
        sink: Arc::clone(&sink) as Arc<dyn EventSink>,
        audit,
    });
    let payments = Payments::new(engine.clone(), is_dev).patient_with_payers(config.payer_ms());
    let payments = payments.reached_at(public_url.as_deref()).knowing(bins);
    let payments = with_vaults(payments.with_webhooks(webhooks), sandbox_url.as_deref());
    let app = App::new(begin(payments, &sink), config.admin_api_key.take(), config.limits());
    let stop = CancellationToken::new();
    let router = baton_api::router(Arc::clone(&app));
    let secure = tls.is_some();
    let served = serve(listener, router, config.patience(), tls, &app, &stop);
    tracing::info!(%addr, tls = secure, version = env!("CARGO_PKG_VERSION"), "listening");
    Ok(Running {
        addr,
        engine,
        sandbox_url,
        data_dir: config.data_dir,
        made_admin_key,
        app,
        stop,
        served,
        secure,
        sandbox,
        shutdown_delay: Duration::from_millis(shutdown_delay_ms),
        shutdown_timeout: Duration::from_millis(config.shutdown_timeout_ms),
        _lock: lock,
    })
}

/// What is known of cards by their first digits.
fn bin_table(config: &Config) -> Result<BinTable, String> {
    let Some(path) = &config.bin_table else { return Ok(BinTable::default()) };
    let shown = path.display();
    let wrong = |text: String| explained(ErrorCode::ConfigInvalid, text);
    let text = std::fs::read_to_string(path)
        .map_err(|error| wrong(format!("bin_table {shown} cannot be read: {error}")))?;
    BinTable::parse(&text).map_err(|error| wrong(format!("bin_table {shown}, {error}")))
}

/// Where events go: to merchants, and into the log if that is wanted.
fn sink(config: &Config) -> Arc<HookSink> {
    let log = (config.events.sink == Sink::Log).then(|| Arc::new(LogSink) as Arc<dyn EventSink>);
    Arc::new(HookSink::new(log))
}

/// Begins background work: nothing is published before somebody can be told.
fn begin(payments: Payments, sink: &HookSink) -> Payments {
    sink.connect(payments.clone());
    payments.engine().start();
    payments.start_webhooks();
    payments.start_lists();
    payments
}

/// Where payers reach the server: as configured, or where it listens in development.
fn public_url(config: &Config, dev: Option<(SocketAddr, bool)>) -> Option<String> {
    let listening = dev.map(|(addr, secure)| {
        let scheme = if secure { "https" } else { "http" };
        format!("{scheme}://{addr}")
    });
    let url = config.public_url.clone().or(listening);
    if url.is_none() {
        tracing::info!(
            "public_url is not set: payers come back from a challenge to the shop itself, and what they \
             bring is passed on to nobody"
        );
    }
    url
}

/// Serves in a task of its own, which ends some time after `stop`.
#[allow(clippy::disallowed_methods, reason = "the server itself is what shutdown waits for")]
fn serve(
    listener: TcpListener,
    router: axum::Router,
    patience: Patience,
    certificates: Option<Arc<Certificates>>,
    app: &App,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let metrics = app.edge();
    if let Some(certificates) = certificates.clone() {
        tokio::spawn(certificates.watch(metrics.clone(), stop.clone()));
    }
    tokio::spawn(listener::serve(listener, router, patience, certificates, metrics, stop.clone()))
}

impl Running {
    /// Says that it is not ready, stops accepting, finishes what is in flight, and says how many payments
    /// were left to the next start.
    pub(crate) async fn shut_down(self) -> usize {
        tracing::info!("stopping");
        self.app.stop();
        tokio::time::sleep(self.shutdown_delay).await;
        self.stop.cancel();
        let deadline = self.shutdown_timeout;
        if tokio::time::timeout(deadline, self.served).await.is_err() {
            tracing::warn!("connections were still open when the time was up");
        }
        let left = self.engine.shut_down(deadline).await;
        if left > 0 {
            tracing::warn!(left, "payments in flight are left to the next start");
        }
        if let Some(sandbox) = self.sandbox {
            sandbox.shutdown().await;
        }
        tracing::info!("stopped");
        left
    }
}

async fn start_sandbox(
    config: &Config,
    dev: Dev,
) -> Result<(Option<baton_sandbox::Running>, Option<String>), String> {
    if let Some(url) = dev.sandbox_url {
        return Ok((None, Some(url.trim_end_matches('/').to_owned())));
    }
    let path = config.data_dir.join("sandbox-books.ndjson");
    let sandbox = baton_sandbox::Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        books: Books::File { path, sync: Sync::Always },
        dedup: true,
    };
    let running = baton_sandbox::start(sandbox).await.map_err(|error| error.to_string())?;
    let url = format!("http://{}", running.addr());
    Ok((Some(running), Some(url)))
}

fn dev_accounts(sandbox_url: &str) -> impl Iterator<Item = Account> {
    DEV_ACCOUNTS.into_iter().map(move |name| Account {
        name: name.to_owned(),
        gateway: "Sandbox".to_owned(),
        base_url: Some(format!("{sandbox_url}/sandbox/{name}")),
        test: true,
        allow_foreign_references: false,
        // The sandbox wants a key and takes any; its webhooks are signed with what it is told to sign with.
        credentials: [("ApiKey", "sandbox"), ("WebhookSecret", "sandbox-webhooks")]
            .map(|(name, text)| (name.to_owned(), Secret::new(text.to_owned())))
            .into(),
    })
}

/// Where the test accounts of gateways are that are made while `--dev` runs: at the sandbox, in the dialect of
/// their gateway.
fn test_urls(sandbox_url: &str) -> HashMap<String, String> {
    [
        ("Sandbox", "/sandbox/{account}"),
        ("Stripe", "/stripe/{account}"),
        ("Adyen", "/adyen/{account}/v71"),
    ]
    .map(|(gateway, path)| (gateway.to_owned(), format!("{sandbox_url}{path}")))
    .into()
}

/// With the vaults elsewhere of this build; their test accounts are at the sandbox's stand-ins while `--dev` runs.
fn with_vaults(payments: Payments, sandbox_url: Option<&str>) -> Payments {
    let vaults = baton_connectors::card_vaults::all();
    let test_urls = |url: &str| {
        let named = vaults.iter().map(|vault| vault.claims().name);
        named.map(|name| (name.to_owned(), format!("{url}/{name}/{{account}}"))).collect()
    };
    let test_urls = sandbox_url.map(test_urls).unwrap_or_default();
    payments.with_vaults(vaults, test_urls)
}

/// Writes the configured accounts to the database, and takes out their secrets, which stay in memory.
async fn declare_accounts(config: &mut Config, audit: &Audit) -> Result<Credentials, String> {
    let connectors = baton_connectors::all().map_err(|error| error.to_string())?;
    let describe = |error: baton_engine::EngineError| error.to_string();
    let merchant = merchants::ensure(audit, Actor::System, merchants::DEFAULT).await;
    let merchant = merchant.map_err(describe)?;
    let mut credentials = Credentials::new();
    for account in &mut config.accounts {
        let can = connectors.iter().map(|connector| connector.manifest()).any(|manifest| {
            manifest.gateway_name == account.gateway && manifest.retrieve.is_some()
        });
        if account.allow_foreign_references && !can {
            return Err(explained(ErrorCode::ConfigInvalid, doctor::not_retrievable(account)));
        }
        let spec = AccountSpec {
            name: account.name.clone(),
            gateway: account.gateway.clone(),
            base_url: account.base_url.clone(),
            test: account.test,
            foreign_references: account.allow_foreign_references,
        };
        let id = merchants::put_account(audit, Actor::System, merchant, &spec).await;
        credentials.insert(id.map_err(describe)?, std::mem::take(&mut account.credentials));
    }
    Ok(credentials)
}
