//! `baton serve --role vault`: the vault alone, for nodes elsewhere that hold no root key.
//!
//! Guarantees: outside of development nobody connects without a certificate of the authority that was named; the
//! payments' database is never opened. Left out: anything that decides who may read which record: a node may read all.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use baton_api::{EdgeMetrics, ErrorCode};
use baton_engine::{Clock as _, SystemClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::explain::explained;
use crate::{listener, node, signals, tls};

/// How often what has expired is deleted.
const SWEEP: Duration = Duration::from_secs(60);

/// Most records that are deleted at once.
const SWEPT_MAX: u32 = 1_000;

/// Runs until it is told to stop.
///
/// # Errors
/// It cannot start.
pub(crate) async fn run(
    mut config: Config,
    client_ca: Option<PathBuf>,
    is_dev: bool,
    json: bool,
) -> Result<ExitCode, String> {
    let wrong = |text: &str| explained(ErrorCode::ConfigInvalid, text);
    if config.vault.url.is_some() {
        return Err(wrong("with --role vault the vault is here: vault.url has to be absent"));
    }
    match (&mut config.tls, client_ca) {
        (Some(tls), Some(file)) => tls.client_ca_file = Some(file),
        (None, Some(_)) => {
            return Err(wrong("--client-ca needs the server's own certificate: [tls]"));
        }
        (_, None) => {}
    }
    let is_guarded = config.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
    let is_at_home = is_dev && config.listen.ip().is_loopback();
    if !is_guarded && !is_at_home {
        return Err(wrong(
            "--role vault needs [tls] and the authority of its clients' certificates (--client-ca, or \
             tls.client_ca_file); without, it starts with --dev on loopback only",
        ));
    }
    node::make_data_dir(&config)?;
    let _lock = node::lock(&config)?;
    let certificates = config.tls.as_ref().map(tls::open).transpose()?;
    if !is_guarded {
        tracing::warn!("WITHOUT CLIENT CERTIFICATES: whoever can connect can read every card");
    }
    let (vault, made_root_key) = node::open_vault(&config, config.auto_migrate).await?;
    if made_root_key && !is_dev {
        for line in node::new_root_key(&config).lines() {
            tracing::warn!("{}", line.trim_start_matches("WARNING: "));
        }
    }
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        let text = format!("{} cannot be listened on: {error}", config.listen);
        explained(ErrorCode::ListenFailed, text)
    })?;
    let addr = listener.local_addr().map_err(|error| error.to_string())?;
    let scheme = if certificates.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{addr}");
    let stop = CancellationToken::new();
    let metrics = EdgeMetrics::default();
    let router = baton_custody::router(vault.clone(), Arc::new(|| SystemClock.now()));
    let mut tasks = tokio::task::JoinSet::new();
    if let Some(certificates) = certificates.clone() {
        tasks.spawn(certificates.watch(metrics.clone(), stop.clone()));
    }
    tasks.spawn(sweep(vault, stop.clone()));
    let patience = config.patience();
    tasks.spawn(listener::serve(listener, router, patience, certificates, metrics, stop.clone()));
    tracing::info!(%addr, mutual_tls = is_guarded, version = env!("CARGO_PKG_VERSION"), "the vault listens");
    if json {
        println!("{}", serde_json::json!({ "url": url, "role": "vault" }));
    } else {
        println!("The vault listens on {url}");
    }
    signals::stop().await;
    tracing::info!("stopping");
    stop.cancel();
    let ended = async { while tasks.join_next().await.is_some() {} };
    let deadline = Duration::from_millis(config.shutdown_timeout_ms);
    if tokio::time::timeout(deadline, ended).await.is_err() {
        tracing::warn!("connections were still open when the time was up");
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Deletes CVVs and other records whose time is over.
async fn sweep(vault: baton_vault::Vault, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
        if let Err(error) = vault.sweep(SystemClock.now(), SWEPT_MAX).await {
            tracing::warn!(%error, "expired records cannot be deleted");
        }
    }
}
