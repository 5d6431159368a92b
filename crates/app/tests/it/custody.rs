//! The vault as a process of its own, and a node that has no root key: real processes, real TLS.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::canary::{NUMBER, no_leak};
use crate::support::http::call;
use crate::support::{Place, Process, postgres, said};

const OPERATOR: &str = "operator-of-this-test";

/// An authority with the files of whoever it certifies.
struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    fn ca(&self) -> String {
        self.folder.join("ca.pem").to_str().unwrap().to_owned()
    }

    /// Chain and key of somebody.
    fn certify(&self, name: &str, addresses: &[&str]) -> (String, String) {
        let names: Vec<String> = addresses.iter().map(|text| (*text).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |ending: &str, text: String| {
            let path = self.folder.join(format!("{name}.{ending}"));
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        (file("pem", certificate.pem()), file("key", key.serialize_pem()))
    }
}

/// Two machines: one with the vault, one with the payments.
struct Machines {
    vault: Place,
    node: Place,
    ours: Authority,
    port: u16,
}

impl Machines {
    fn new(database_url: Option<String>) -> Self {
        let vault = Place::new().with("BATON_LOG__LEVEL", "trace");
        let node = Place::new().on(database_url).with("BATON_LOG__LEVEL", "trace");
        let node = node.with("BATON_ADMIN_API_KEY", OPERATOR);
        let ours = Authority::new(&vault.path(""), "ours");
        let (chain, key) = ours.certify("vault", &["127.0.0.1", "localhost"]);
        let vault = vault.with("BATON_TLS__CERT_FILE", &chain).with("BATON_TLS__KEY_FILE", &key);
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        Self { vault, node, ours, port }
    }

    fn start_vault(&self) -> Process {
        let listen = format!("127.0.0.1:{}", self.port);
        let arguments = [
            "serve",
            "--role",
            "vault",
            "--json",
            "--listen",
            &listen,
            "--client-ca",
            &self.ours.ca(),
        ];
        self.vault.start("vault", self.vault.baton(&arguments))
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    fn node_arguments(&self, (chain, key): &(String, String), ca: &str) -> Vec<String> {
        let url = self.url();
        let given = [
            "--vault-url",
            &url,
            "--vault-cert",
            chain,
            "--vault-key",
            key,
            "--vault-ca",
            ca,
            "--dev",
        ];
        given.iter().map(|text| (*text).to_owned()).collect()
    }

    fn start_node(&self) -> Process {
        let arguments = self.node_arguments(&self.ours.certify("node", &["node"]), &self.ours.ca());
        self.node.serve(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

async fn ask(server: &Process, method: &str, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply =
        call(&server.url, method, path, &[("api-key", key), ("x-api-key", key)], &body).await;
    let reply = reply.unwrap();
    (reply.status, reply.json)
}

/// A shop with a provider: its key.
async fn shop(server: &Process) -> String {
    let (status, _) =
        ask(server, "POST", "/accounts", OPERATOR, &json!({"merchant_id": "shop"})).await;
    assert_eq!(status, 200);
    let made = json!({"name": "till", "expiration": "never"});
    let (_, made) = ask(server, "POST", "/api_keys/shop", OPERATOR, &made).await;
    let key = made["api_key"].as_str().unwrap().to_owned();
    let connector = json!({"connector_type": "payment_processor", "connector_name": "sandbox",
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "any"}});
    assert_eq!(ask(server, "POST", "/account/shop/connectors", &key, &connector).await.0, 200);
    key
}

fn saving() -> Value {
    json!({
        "amount": 6540, "currency": "USD", "confirm": true, "customer_id": "ada",
        "setup_future_usage": "off_session", "payment_method": "card",
        "payment_method_data": {"card": {"card_number": NUMBER, "card_exp_month": "12",
            "card_exp_year": "2060", "card_holder_name": "Ada", "card_cvc": "862"}},
    })
}

fn repeat(method: &Value) -> Value {
    json!({"amount": 100, "currency": "USD", "confirm": true, "customer_id": "ada",
        "payment_method": "card", "payment_method_id": method})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_root_key_on_sqlite() {
    a_node_without_a_root_key(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_root_key_on_postgresql() {
    let Some(url) = postgres::database("1: a node without a root key on PostgreSQL").await else {
        return;
    };
    a_node_without_a_root_key(Some(url)).await;
}

async fn a_node_without_a_root_key(database_url: Option<String>) {
    let machines = Machines::new(database_url);
    let mut vault = machines.start_vault();
    let server = machines.start_node();
    for file in ["vault.db", "vault-root.key"] {
        assert!(!machines.node.data().join(file).exists(), "{file} has no place at the node");
        assert!(machines.vault.data().join(file).exists(), "{file} is at the vault");
    }
    assert!(!machines.vault.data().join("baton.db").exists(), "the vault knows no payments");

    let key = shop(&server).await;
    let (status, saved) = ask(&server, "POST", "/payments", &key, &saving()).await;
    assert_eq!((status, &saved["status"]), (200, &json!("succeeded")), "{saved}");
    let method = saved["payment_method_id"].clone();
    let (status, again) = ask(&server, "POST", "/payments", &key, &repeat(&method)).await;
    assert_eq!((status, &again["status"]), (200, &json!("succeeded")), "{again}");

    // Tokens of the Gateway API: made, looked at, read once and for ever, deleted.
    let gateway = machines.node.key();
    let (status, made) =
        ask(&server, "POST", "/StringTokens", &gateway, &json!({"payload": NUMBER})).await;
    assert!(matches!(status, 200 | 201), "{made}");

    // The vault is killed in the middle: what needs no card of ours goes on, the rest says so and changes nothing.
    vault.kill();
    let (status, refused) = ask(&server, "POST", "/payments", &key, &repeat(&method)).await;
    assert_eq!((status, &refused["error"]["code"]), (503, &json!("HE_00")), "{refused}");
    let mut unsaved = saving();
    let fields = unsaved.as_object_mut().unwrap();
    fields.remove("setup_future_usage");
    let (status, paid) = ask(&server, "POST", "/payments", &key, &unsaved).await;
    assert_eq!((status, &paid["status"]), (200, &json!("succeeded")), "{paid}");
    let (status, list) = ask(&server, "GET", "/payments/list", &key, &Value::Null).await;
    assert_eq!((status, list["data"].as_array().unwrap().len()), (200, 3), "{list}");

    // It comes back, and so does everything.
    let vault = machines.start_vault();
    let begun = Instant::now();
    loop {
        let (status, again) = ask(&server, "POST", "/payments", &key, &repeat(&method)).await;
        if status == 200 {
            assert_eq!(again["status"], "succeeded", "{again}");
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{again}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A node that starts anew finds its accounts' credentials there too.
    drop(server);
    let server = machines.start_node();
    let (status, again) = ask(&server, "POST", "/payments", &key, &repeat(&method)).await;
    assert_eq!((status, &again["status"]), (200, &json!("succeeded")), "{again}");
    drop((server, vault));
    no_leak(&machines.node);
    no_leak(&machines.vault);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_the_vault_without_a_certificate_of_its_authority() {
    let machines = Machines::new(None);
    let vault = machines.start_vault();
    let theirs = Authority::new(&machines.vault.path(""), "theirs");
    let ours = machines.ours.certify("node", &["node"]);
    let stranger = theirs.certify("stranger", &["node"]);
    let rows = [
        (
            "a certificate of another authority",
            machines.node_arguments(&stranger, &machines.ours.ca()),
        ),
        ("a vault of another authority", machines.node_arguments(&ours, &theirs.ca())),
        (
            "no certificate",
            vec![
                "--vault-url".into(),
                machines.url(),
                "--vault-ca".into(),
                machines.ours.ca(),
                "--dev".into(),
            ],
        ),
    ];
    for (what, arguments) in rows {
        let mut all = vec!["serve", "--json", "--listen", "127.0.0.1:0"];
        all.extend(arguments.iter().map(String::as_str));
        let ended = machines.node.run(&all);
        assert!(!ended.status.success(), "{what}");
        let text = said(&ended);
        assert!(text.contains("baton explain vault_unusable"), "{what}: {text}");
    }
    // Plain HTTP is not spoken on that port at all.
    let plain = format!("http://127.0.0.1:{}", machines.port);
    let answer = call(&plain, "GET", "/health", &[], "").await;
    assert!(answer.is_err() || answer.is_ok_and(|reply| reply.status == 400));
    drop(vault);
}

#[test]
fn the_role_does_not_start_where_anybody_could_read_everything() {
    let machines = Machines::new(None);
    let bare = Place::new();
    let serve = ["serve", "--role", "vault", "--json", "--listen", "127.0.0.1:0"];
    let with = |more: &[&'static str]| [&serve[..], more].concat();
    for (place, arguments) in [
        (&bare, with(&[])),
        (&bare, with(&["--client-ca", "nowhere.pem"])),
        (&machines.vault, with(&[])),
        (&machines.vault, with(&["--client-ca", "nowhere.pem"])),
    ] {
        let ended = place.run(&arguments);
        assert!(!ended.status.success(), "{arguments:?}");
        assert!(!place.data().join("vault-root.key").exists(), "nothing was made");
    }
    // For development, on loopback, without.
    let dev = bare.start("dev", bare.baton(&with(&["--dev"])));
    assert!(dev.url.starts_with("http://127.0.0.1:"));
}
