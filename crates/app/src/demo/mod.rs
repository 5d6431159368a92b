//! `baton demo`: the main job, shown on real parts. Everything it does goes over HTTP, as a merchant's
//! server would do it; only its API key is made directly.

mod client;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use baton_engine::audit::Actor;
use baton_engine::keys::{self, NewKey, Scope};
use baton_engine::merchants;
use baton_types::Secret;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::Colour;
use crate::config::Config;
use crate::server::{self, Dev, Running};
use crate::signals;
use crate::style::Style;
use client::{Client, Reply};

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where the server listens [default: 127.0.0.1:8080, or a free port if that is taken]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// End after the tour instead of leaving the server running.
    #[arg(long)]
    exit: bool,
    /// When to use colours.
    #[arg(long, value_enum, default_value = "auto")]
    color: Colour,
}

/// Runs the tour.
///
/// # Errors
/// The server cannot start, or an answer is not what the tour promises.
pub(crate) async fn run(command: Demo) -> Result<ExitCode, String> {
    let folder = tempfile::Builder::new().prefix("baton-demo-").tempdir();
    let folder = folder.map_err(|error| format!("no temporary folder: {error}"))?;
    let config = Config {
        listen: command.listen.unwrap_or_else(free_or_default),
        data_dir: folder.path().join("data"),
        ..Config::default()
    };
    // The tour loses an answer on purpose; the warning about it would stand in the middle of the story.
    server::start_log(config.log.format, "warn,baton_wire=error")?;
    let running = server::start(config, Some(Dev::default())).await?;
    let tour = Tour::new(&running, Style::new(command.color)).await?;
    let result = tour.run().await;
    if result.is_ok() && !command.exit {
        tour.say_goodbye();
        signals::stop().await;
    }
    running.shut_down().await;
    result.map(|()| ExitCode::SUCCESS)
}

/// The usual port, unless somebody has it.
fn free_or_default() -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    if std::net::TcpListener::bind(usual).is_ok() {
        usual
    } else {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    }
}

struct Tour {
    style: Style,
    baton: Client,
    sandbox: Client,
    url: String,
    sandbox_url: String,
    key: Secret,
}

impl Tour {
    async fn new(running: &Running, style: Style) -> Result<Self, String> {
        let audit = running.engine.audit();
        let merchant = merchants::ensure(audit, Actor::System, merchants::DEFAULT).await;
        let new = NewKey {
            merchant: merchant.map_err(|error| error.to_string())?,
            name: "demo".to_owned(),
            scopes: vec![Scope::Gateway],
            sandbox: true,
            expires_at: None,
            rate_limit: None,
        };
        let (_, key) =
            keys::create(audit, Actor::System, new).await.map_err(|error| error.to_string())?;
        let url = format!("http://{}", running.addr);
        let sandbox_url = running.sandbox_url.clone().unwrap_or_default();
        Ok(Self {
            style,
            baton: Client::new(&url, Some(key.expose()))?,
            sandbox: Client::new(&sandbox_url, None)?,
            url,
            sandbox_url,
            key,
        })
    }

    async fn run(&self) -> Result<(), String> {
        let style = self.style;
        println!("{}", style.bold("Baton: one API in front of many payment providers."));
        println!(
            "The server listens on {}, a simulated provider on {}.",
            self.url, self.sandbox_url
        );
        println!("Everything below is real HTTP, and every step is on disk before it is sent.");
        let charged = self.failover().await?;
        self.partial_refund(&charged).await?;
        self.lost_answer().await
    }

    async fn failover(&self) -> Result<Value, String> {
        self.title("1. A charge that two providers refuse and the third approves");
        self.note(
            "The first provider's limiter turns everything away, the second has disabled the",
        );
        self.note("merchant. Neither has attempted anything, so it is safe to go on.");
        let limited = json!({ "refuse": { "status": 429, "code": "rate_limited" } });
        let disabled = json!({ "verdict": { "decline": "merchant_account_disabled" } });
        self.script("sandbox-a", &limited).await?;
        self.script("sandbox-b", &disabled).await?;
        let body = charge("49.90", "order-1001", &["sandbox-a", "sandbox-b", "sandbox-c"]);
        let reply = self.call("POST", "/PaymentGateway/charge", body).await?;
        expect(&reply, "paymentGatewayAccountName", &json!("sandbox-c"))?;
        expect(&reply, "operationResultCode", &json!("Success"))?;
        self.good("Approved by sandbox-c on the third attempt.");
        Ok(reply.body)
    }

    async fn partial_refund(&self, charged: &Value) -> Result<(), String> {
        self.title("2. A partial refund of that charge");
        let reference = charged.get("gatewayReference").unwrap_or(&Value::Null);
        let body = format!(
            r#"{{"refTransId": {reference}, "amount": 12.50, "currency": "EUR",
                "paymentGatewayAccountName": "sandbox-c"}}"#
        );
        let reply = self.call("PUT", "/PaymentGateway/refund", body).await?;
        expect(&reply, "operationResultCode", &json!("Success"))?;
        self.good("12.50 of 49.90 EUR is on its way back.");
        Ok(())
    }

    async fn lost_answer(&self) -> Result<(), String> {
        self.title("3. A lost answer that is not charged twice");
        self.note(
            "The provider takes the money and then drops the connection before it answers. A",
        );
        self.note("retry elsewhere would charge twice: the outcome is looked up first.");
        let lost = json!({ "fault": { "commit": "first", "answer": "close" } });
        self.script("sandbox-a", &lost).await?;
        let body = charge("75.00", "order-1002", &["sandbox-a", "sandbox-c"]);
        let reply = self.call("POST", "/PaymentGateway/charge", body).await?;
        expect(&reply, "operationResultCode", &json!("Success"))?;
        expect(&reply, "paymentGatewayAccountName", &json!("sandbox-a"))?;
        let mut charges = 0_usize;
        for account in ["sandbox-a", "sandbox-c"] {
            let path = format!("/admin/books?account={account}");
            let books = self.sandbox.call("GET", &path, None).await?;
            let payments = books.body.get("data").and_then(Value::as_array);
            let taken = payments
                .into_iter()
                .flatten()
                .filter(|payment| payment.get("captured").and_then(Value::as_i64) == Some(7500));
            let taken = taken.count();
            charges = charges.saturating_add(taken);
            println!("  the provider's own books, {account}: {taken} charges of 75.00");
        }
        if charges != 1 {
            return Err(format!("the providers' books show {charges} charges instead of one"));
        }
        self.good("Charged once, at sandbox-a. sandbox-c was never asked.");
        Ok(())
    }

    fn say_goodbye(&self) {
        self.title("Try it yourself; the server keeps running (Ctrl-C ends it)");
        let Self { url, sandbox_url, .. } = self;
        let key = self.key.expose();
        println!("A charge that the first two accounts refuse:\n");
        println!("curl -s {url}/PaymentGateway/charge \\");
        println!("  -H 'X-Api-Key: {key}' -H 'Content-Type: application/json' \\");
        println!("  -d '{{\"amount\": 10.23, \"currency\": \"USD\", \"card\": {CARD},");
        println!(
            "       \"paymentGatewayAccountNames\": [\"test-failure\", \"test-failure\", \"test-success\"]}}'"
        );
        println!("\nA charge whose answer is lost (the amount asks the sandbox for it):\n");
        println!("curl -s {url}/PaymentGateway/charge \\");
        println!("  -H 'X-Api-Key: {key}' -H 'Content-Type: application/json' \\");
        println!("  -d '{{\"amount\": {LOST_AMOUNT}, \"currency\": \"USD\", \"card\": {CARD},");
        println!("       \"paymentGatewayAccountNames\": [\"sandbox\", \"sandbox-c\"]}}'");
        println!("\nWhat the simulated provider has in its books:\n");
        println!("curl -s {sandbox_url}/admin/books/summary");
    }

    /// Has the sandbox do this to every sale at an account.
    async fn script(&self, account: &str, action: &Value) -> Result<(), String> {
        let rule = json!({
            "match": { "account": account, "operation": "sale" },
            "action": action,
        });
        let reply = self.sandbox.call("POST", "/admin/rules", Some(rule.to_string())).await?;
        if reply.status >= 300 {
            return Err(format!("the sandbox does not take the script: {}", reply.text));
        }
        Ok(())
    }

    async fn call(&self, method: &str, path: &str, body: String) -> Result<Reply, String> {
        let style = self.style;
        println!("\n{} {path}", style.bold(method));
        println!("{}", style.dim(&style.json(&body)));
        let reply = self.baton.call(method, path, Some(body)).await?;
        let status = format!("{}", reply.status);
        let status = if reply.status < 300 { style.green(&status) } else { style.red(&status) };
        println!("\n{status}");
        println!("{}", style.json(&reply.text));
        Ok(reply)
    }

    fn title(&self, text: &str) {
        println!("\n{}", self.style.cyan(&self.style.bold(text)));
    }

    fn note(&self, text: &str) {
        println!("{text}");
    }

    fn good(&self, text: &str) {
        println!("\n{} {text}", self.style.green("✓"));
    }
}

/// The card of every example: the industry's usual test number.
const CARD: &str = "{\"cardHolderName\": \"Ada Lovelace\", \"cardNumber\": \"4111111111111111\", \
                    \"expirationMonth\": 12, \"expirationYear\": 2030, \"cvv\": \"123\"}";

/// The sandbox's amount for "taken, and the answer dropped".
const LOST_AMOUNT: &str = "9100.09";

/// A charge's body. The amount stays text: it never was a float.
fn charge(amount: &str, reference: &str, accounts: &[&str]) -> String {
    let accounts = json!(accounts);
    format!(
        r#"{{"amount": {amount}, "currency": "EUR", "myRef": "{reference}", "card": {CARD},
            "paymentGatewayAccountNames": {accounts}}}"#
    )
}

fn expect(reply: &Reply, name: &str, wanted: &Value) -> Result<(), String> {
    match reply.body.get(name) {
        Some(got) if got == wanted => Ok(()),
        got => {
            let got = got.unwrap_or(&Value::Null);
            Err(format!("{name} is {got} instead of {wanted}: {}", reply.text))
        }
    }
}
