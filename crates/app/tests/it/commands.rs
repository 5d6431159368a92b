//! What each subcommand promises: output, exit code, and what it does to a running server.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::http::call;
use crate::support::{CARD_NUMBER, Client, Place, Process, books, postgres, purchase, rule, said};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_is_as_it_was_last_approved() {
    let place = Place::new();
    for command in [
        "",
        "demo",
        "serve",
        "sandbox",
        "keys",
        "keys create",
        "keys list",
        "keys revoke",
        "audit",
        "audit verify",
        "audit list",
        "audit head",
        "vault",
        "vault status",
        "vault rotate",
        "vault reencrypt",
        "webhooks",
        "webhooks list",
        "webhooks show",
        "webhooks replay",
        "migrate",
        "connectors",
        "connectors list",
        "connectors show",
        "connectors check",
        "connectors new",
        "doctor",
        "explain",
        "bench",
        "bench vault",
    ] {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("--help");
        let output = place.run(&arguments);
        assert!(output.status.success(), "{command}: {}", said(&output));
        let name = format!("help {command}").trim_end().replace(' ', "-");
        insta::assert_snapshot!(name, text(&output.stdout));
    }
}

#[test]
fn the_demo_shows_what_it_promises_and_leaves_nothing_behind() {
    let place = Place::new();
    let folder = place.path("tmp");
    std::fs::create_dir(&folder).unwrap();
    let mut demo = place.baton(&["demo", "--exit", "--listen", "127.0.0.1:0"]);
    let output = demo.env("TMPDIR", &folder).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let shown = text(&output.stdout);
    for promise in [
        "1. A charge that two providers refuse and the third approves",
        "✓ Approved by sandbox-c on the third attempt.",
        "2. A partial refund of that charge",
        "✓ 12.50 of 49.90 EUR is on its way back.",
        "3. A lost answer that is not charged twice",
        "the provider's own books, sandbox-a: 1 charges of 75.00",
        "the provider's own books, sandbox-c: 0 charges of 75.00",
        "✓ Charged once, at sandbox-a. sandbox-c was never asked.",
    ] {
        assert!(shown.contains(promise), "{promise:?} is missing:\n{shown}");
    }
    assert!(!shown.contains('\x1b'), "no colours into a pipe");
    assert_eq!(text(&output.stderr), "");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "its folder is gone");
}

#[tokio::test]
async fn serve_says_where_it_is_in_one_line_of_json() {
    let place = Place::new();
    let mut server = place.serve(&["--dev"]);
    let told = &server.announced;
    assert!(told["admin_api_key"].as_str().unwrap().starts_with("ak_"));
    let ready = call(&server.url, "GET", "/health/ready", &[], "").await.unwrap();
    assert_eq!((ready.status, ready.json["status"].as_str()), (200, Some("ready")));
    let sandbox = told["sandbox_url"].as_str().unwrap();
    assert_eq!(call(sandbox, "GET", "/health", &[], "").await.unwrap().status, 200);

    let client = Client::new(&server, &place.key());
    let accounts = ["sandbox", "sandbox-a", "sandbox-b", "sandbox-c"];
    for (amount, account) in (100..).zip(accounts) {
        let reply = client.charge(&purchase(amount, "order", CARD_NUMBER, &[account])).await;
        assert_eq!((reply.status, reply.code()), (202, "Success"), "{}", reply.text);
    }
    assert_eq!(books(sandbox).await.len(), accounts.len());

    server.terminate();
    assert!(server.wait().success());
    assert_eq!(server.printed_since(), [""; 0]);
}

#[tokio::test]
async fn a_key_works_at_once_beside_the_server_and_ends_within_five_seconds() {
    let place = Place::new();
    let server = place.serve(&["--dev"]);
    let arguments = ["--sandbox", "--json", "--name", "till 4", "--rate-limit", "50"];
    let made = place.json(&[&["keys", "create"][..], &arguments].concat());
    let (secret, id) = (made["api_key"].as_str().unwrap(), made["key"]["id"].as_str().unwrap());
    let client = Client::new(&server, secret);
    let body = purchase(1023, "order-1", CARD_NUMBER, &["sandbox"]);
    let paid = client.charge(&body).await;
    assert_eq!(paid.code(), "Success");
    assert_eq!(paid.headers["ratelimit-limit"], "100", "its own limit, doubled for a moment");

    let listed = place.json(&["keys", "list", "--json"]);
    let row = listed["data"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap();
    assert_eq!((&row["name"], &row["sandbox"]), (&json!("till 4"), &json!(true)));
    assert_eq!(row["rate_limit"], 50);
    let human = said(&place.run(&["keys", "list"]));
    assert!(human.contains(id) && human.contains("50/s  ") && human.contains("valid"), "{human}");
    assert!(!listed.to_string().contains(secret) && !human.contains(secret), "shown once only");

    let live = place.json(&["keys", "create", "--live", "--json"]);
    let reply = Client::new(&server, live["api_key"].as_str().unwrap()).charge(&body).await;
    assert_eq!(reply.status, 400, "a live key at a test account: {}", reply.text);
    let expired = ["keys", "create", "--sandbox", "--json", "--expires", "2001-01-01T00:00:00Z"];
    let expired = place.json(&expired);
    let reply = Client::new(&server, expired["api_key"].as_str().unwrap()).charge(&body).await;
    assert_eq!((reply.status, reply.text.as_str()), (401, ""));

    let ended = place.json(&["keys", "revoke", id, "--json"]);
    let revoked_at = Instant::now();
    assert_eq!(ended["revoked"], true);
    let taken_until = loop {
        let asked_at = revoked_at.elapsed();
        let reply = client.charge(&body).await;
        if reply.status == 401 {
            assert_eq!(reply.text, "");
            break asked_at;
        }
        assert!(asked_at < Duration::from_secs(5), "{asked_at:?} after it ended: {}", reply.text);
        sleep(Duration::from_millis(100)).await;
    };
    eprintln!("the key was refused {taken_until:?} after another process had ended it");
    assert!(said(&place.run(&["keys", "list"])).contains("revoked"));

    for (arguments, complaint) in [
        (vec!["keys", "revoke", "key_00000000000000000000000000"], "has no key"),
        (vec!["keys", "revoke", "nonsense"], "no id of a key"),
        (vec!["keys", "list", "--merchant", "nobody"], "no merchant called nobody"),
        (vec!["keys", "create"], "--sandbox"),
        (vec!["keys", "create", "--sandbox", "--live"], "cannot be used with"),
        (vec!["keys", "create", "--sandbox", "--expires", "soon"], "--expires must be"),
    ] {
        let output = place.run(&arguments);
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
        assert!(said(&output).contains(complaint), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn the_doctor_tells_good_from_bad_and_so_does_its_exit_code() {
    let place = Place::new();
    let findings = |place: &Place, arguments: &[&str]| {
        let output = place.run(arguments);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["ok"], output.status.success(), "{report}");
        report
    };
    let state = |report: &Value, check: &str| {
        let all = report["findings"].as_array().unwrap();
        let found = all.iter().find(|finding| finding["check"] == check).unwrap();
        (found["state"].as_str().unwrap().to_owned(), found["detail"].as_str().unwrap().to_owned())
    };
    let json = ["doctor", "--json"];

    let report = findings(&place, &json);
    let (database, detail) = state(&report, "database");
    assert_eq!((database.as_str(), &report["ok"]), ("bad", &json!(false)));
    assert!(detail.contains("baton migrate"), "{detail}");

    place.json(&["migrate", "--json"]);
    let report = findings(&place, &json);
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(state(&report, "API keys").0, "warning");
    place.key();
    assert_eq!(state(&findings(&place, &json), "API keys").0, "good");

    let accounts = r#"
        [[accounts]]
        name = "good"
        gateway = "Sandbox"
        test = true
        base_url = "http://127.0.0.1:9"
        credentials = { ApiKey = "hush-hush" }
        [[accounts]]
        name = "plain-http-for-live"
        gateway = "Sandbox"
        base_url = "http://127.0.0.1:9"
        credentials = { ApiKey = "hush-hush" }
        [[accounts]]
        name = "no-such-gateway"
        gateway = "Strype"
        [[accounts]]
        name = "no-credential"
        gateway = "Sandbox"
        test = true
        base_url = "http://127.0.0.1:9"
        [[accounts]]
        name = "wrong-credential"
        gateway = "Sandbox"
        test = true
        base_url = "http://127.0.0.1:9"
        credentials = { ApiKey = "hush-hush", Apikey = "hush-hush" }
    "#;
    std::fs::write(place.path("baton.toml"), accounts).unwrap();
    let report = findings(&place, &json);
    assert_eq!(state(&report, "account good").0, "good");
    for (account, why) in [
        ("plain-http-for-live", "base_url"),
        ("no-such-gateway", "no gateway Strype"),
        ("no-credential", "ApiKey is missing"),
        ("wrong-credential", "no credential Apikey"),
    ] {
        let (state, detail) = state(&report, &format!("account {account}"));
        assert!(state == "bad" && detail.contains(why), "{account}: {detail}");
    }
    let output = place.run(&["doctor"]);
    assert!(!output.status.success() && said(&output).contains("bad      account no-credential"));
    assert!(!said(&output).contains("hush-hush") && !report.to_string().contains("hush-hush"));
}

#[test]
fn migrating_twice_is_migrating_once() {
    let place = Place::new();
    let first = place.json(&["migrate", "--json"]);
    assert_eq!(first["backend"], "sqlite");
    assert!(first["schema_version"].as_u64().unwrap() > 0);
    assert_eq!(place.json(&["migrate", "--json"]), first);
    assert!(said(&place.run(&["migrate"])).contains("schema version"));
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let place = Place::new();
    std::fs::write(place.path("bad.toml"), "listn = \"127.0.0.1:1\"").unwrap();
    std::fs::write(place.path("deep.toml"), "[wire]\nmax_inflight = 2").unwrap();
    std::fs::write(place.path("type.toml"), "[wire]\nmax_in_flight = \"hush-hush\"").unwrap();
    let in_environment = Place::new().with("BATON_WIRE__ANSWER_TIMEOUT", "1000");
    for (place, arguments, complaint) in [
        (
            &place,
            vec!["serve", "--config", "bad.toml"],
            "listn (listn, in TOML file); did you mean listen?",
        ),
        (&place, vec!["doctor", "--config", "deep.toml"], "did you mean max_in_flight?"),
        (&place, vec!["migrate", "--config", "type.toml"], "wire.max_in_flight"),
        (&place, vec!["serve", "--config", "gone.toml"], "gone.toml does not exist"),
        (&in_environment, vec!["serve"], "did you mean answer_timeout_ms?"),
    ] {
        let output = place.run(&arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(complaint), "{arguments:?}: {}", said(&output));
        assert!(!said(&output).contains("hush-hush"), "a value may be a secret");
    }
}

#[tokio::test]
async fn a_second_server_in_a_data_folder_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let mut first = place.serve(&["--dev"]);
    let output = place.run(&["serve", "--dev", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("another server is running in it"), "{}", said(&output));
    let client = Client::new(&first, &place.key());
    let body = purchase(1023, "order-1", CARD_NUMBER, &["sandbox"]);
    assert_eq!(client.charge(&body).await.code(), "Success");

    // The lock goes with the process, however that ends.
    first.kill();
    let second = place.serve(&["--dev"]);
    let body = purchase(1024, "order-2", CARD_NUMBER, &["sandbox"]);
    assert_eq!(Client { url: second.url.clone(), ..client }.charge(&body).await.code(), "Success");
}

#[tokio::test]
async fn no_dedup_makes_a_repeated_request_visible() {
    for (flags, executed) in [(&[][..], 1), (&["--no-dedup"][..], 2)] {
        let place = Place::new();
        let sandbox = place.sandbox(flags);
        assert_eq!(sandbox.announced["dedup"], flags.is_empty());
        let body = json!({
            "reference": "twice", "amount": {"value": 100, "currency": "EUR"}, "capture": true,
            "card": {"number": CARD_NUMBER, "exp_month": 12, "exp_year": 2040},
        });
        let headers = [("authorization", "Bearer any"), ("idempotency-key", "once")];
        for _ in 0..2 {
            let path = "/sandbox/shop/payments";
            let reply = call(&sandbox.url, "POST", path, &headers, &body.to_string()).await;
            assert_eq!(reply.unwrap().status, 201);
        }
        assert_eq!(books(&sandbox.url).await.len(), executed);
    }
}

/// A plain server, not a development one, with a test account at a sandbox.
fn configured(place: &Place, sandbox: &Process) -> Process {
    let config = format!(
        "[[accounts]]\nname = \"shop\"\ngateway = \"Sandbox\"\ntest = true\n\
         base_url = \"{}/sandbox/shop\"\ncredentials = {{ ApiKey = \"any\" }}\n",
        sandbox.url
    );
    std::fs::write(place.path("baton.toml"), config).unwrap();
    place.serve(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_payments_in_flight() {
    let place = Place::new().with("BATON_SHUTDOWN_DELAY_MS", "700");
    let sandbox = place.sandbox(&[]);
    rule(&sandbox.url, json!({"action": {"latency_ms": 1800}})).await;
    let mut server = configured(&place, &sandbox);
    let client = Client::new(&server, &place.key());
    let charge = |amount: i64| {
        let (client, body) =
            (client.clone(), purchase(amount, &format!("order-{amount}"), CARD_NUMBER, &["shop"]));
        tokio::spawn(async move { client.charge(&body).await })
    };
    let waited_for = charge(1001);
    // This client does not wait for its answer.
    let left = charge(1002);
    sleep(Duration::from_millis(400)).await;
    left.abort();
    let begun = Instant::now();
    server.terminate();

    sleep(Duration::from_millis(200)).await;
    let ready = call(&server.url, "GET", "/health/ready", &[], "").await.unwrap();
    assert_eq!((ready.status, ready.json["status"].as_str()), (503, Some("stopping")));
    let live = call(&server.url, "GET", "/health", &[], "").await.unwrap();
    assert_eq!(live.status, 200, "it lives until its work is done");

    let reply = waited_for.await.unwrap();
    assert_eq!((reply.status, reply.code()), (202, "Success"), "{}", reply.text);
    assert!(server.wait().success(), "nothing was left behind");
    assert!(begun.elapsed() > Duration::from_secs(1) && begun.elapsed() < Duration::from_secs(10));

    let server = place.serve(&[]);
    let client = Client { url: server.url.clone(), ..client };
    let rows = books(&sandbox.url).await;
    assert_eq!(rows.len(), 2);
    for row in rows {
        let body = json!({"myRef": format!("order-{}", row["amount"])}).to_string();
        let status = client.send("POST", "/PaymentGateway/status", &body).await;
        assert_eq!(status.code(), "Success", "{}", status.text);
        assert_eq!(status.text_of("gatewayReference"), row["id"].as_str().unwrap());
    }
}

#[tokio::test]
async fn database_url_moves_the_server_to_postgresql() {
    let Some(url) = postgres::database("1: serving on PostgreSQL").await else { return };
    let place = Place::new().on(Some(url.clone()));
    let migrated = place.json(&["migrate", "--json"]);
    assert_eq!(migrated["backend"], "postgres");
    let sandbox = place.sandbox(&[]);
    let mut server = place.serve_at(&sandbox);
    let client = Client::new(&server, &place.key());
    let body = purchase(1023, "order-1", CARD_NUMBER, &["sandbox"]);
    let reply = client.charge(&body).await;
    assert_eq!(reply.code(), "Success", "{}", reply.text);
    assert!(!place.data().join("baton.db").exists(), "nothing is kept in SQLite");
    let rows = postgres::connect(&url).await.query("SELECT count(*) FROM payments", &[]).await;
    assert_eq!(rows.unwrap()[0].get::<_, i64>(0), 1);
    let report = place.json(&["doctor", "--json"]).to_string();
    assert!(report.contains("postgres") && report.contains("1 payments"), "{report}");
    assert!(!report.contains(&url), "the URL may hold a password");

    server.kill();
    let server = place.serve_at(&sandbox);
    let body = json!({"myRef": "order-1"}).to_string();
    let client = Client { url: server.url.clone(), ..client };
    let status = client.send("POST", "/PaymentGateway/status", &body).await;
    assert_eq!(status.code(), "Success", "{}", status.text);
    assert_eq!(status.text_of("transactionId"), reply.text_of("transactionId"));
}

#[test]
fn every_code_is_listed_and_explained_and_a_near_miss_is_met() {
    let place = Place::new();
    let listed = place.json(&["explain", "--json"]);
    let rows = listed["data"].as_array().unwrap();
    assert!(rows.len() > 100, "{} codes, decline codes included", rows.len());
    let human = text(&place.run(&["explain"]).stdout);
    for row in rows {
        let (code, summary) = (row["code"].as_str().unwrap(), row["summary"].as_str().unwrap());
        assert!(human.contains(code) && human.contains(summary), "{code}");
    }
    for (word, promise) in [
        ("outcome_unknown", "nothing is sent to another account until it is known"),
        ("Insufficient_Funds", "Retry: same_card_later"),
        ("401", "no body, so that it tells nobody which"),
        ("audit_broken", "Do not repair the table."),
    ] {
        let output = place.run(&["explain", word]);
        let shown = text(&output.stdout);
        let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(output.status.success() && flat.contains(promise), "{word}: {shown}");
        assert!(!shown.contains('\x1b'), "no colours into a pipe");
    }
    let output = place.run(&["explain", "outcome_unkown"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("did you mean outcome_unknown"), "{}", said(&output));
}

/// The code that a command's error ends with, if it is one that is explained.
fn named_code(place: &Place, arguments: &[&str]) -> String {
    let output = place.run(arguments);
    let said = said(&output);
    assert!(!output.status.success(), "{arguments:?}: {said}");
    let (_, code) = said.trim_end().rsplit_once("(baton explain ").expect(&said);
    let code = code.strip_suffix(')').expect("at the end").to_owned();
    assert!(place.run(&["explain", &code]).status.success(), "{code}");
    code
}

#[test]
fn errors_of_commands_name_their_code() {
    let place = Place::new();
    let no_database = named_code(&place, &["keys", "list"]);
    assert_eq!(no_database, "database_unavailable");
    place.key();
    let id = "key_01fwhe4ydgfk1shh6w1g60eecf";
    let file = place.path("file");
    std::fs::write(&file, "").unwrap();
    let adyen = place.path("adyen.toml");
    let account =
        "[[accounts]]\nname = \"adyen-eu\"\ngateway = \"Adyen\"\nallow_foreign_references = true\n";
    std::fs::write(&adyen, account).unwrap();
    let adyen = adyen.display().to_string();
    let (file, below) = (file.display().to_string(), file.join("x").display().to_string());
    let rows: [(&[&str], &str); 8] = [
        (&["keys", "list", "--merchant", "nobody"], "unknown_merchant"),
        (&["keys", "revoke", id], "unknown_key"),
        (&["keys", "revoke", "4"], "unknown_key"),
        (&["keys", "list", "--config", "nowhere.toml"], "config_invalid"),
        (&["serve", "--config", &adyen, "--listen", "127.0.0.1:0"], "config_invalid"),
        (&["keys", "list", "--database-url", "mysql://x"], "database_url_invalid"),
        (&["serve", "--data-dir", &below], "data_dir_unusable"),
        (&["keys", "list", "--data-dir", &file], "data_dir_unusable"),
    ];
    for (arguments, want) in rows {
        assert_eq!(named_code(&place, arguments), want, "{arguments:?}");
    }
    let raw = rusqlite::Connection::open(place.data().join("baton.db")).unwrap();
    let history = [
        ("insert into schema_history values (99, 'x', 'x', 'x')", "schema_newer"),
        (
            "delete from schema_history where version = 99; delete from schema_history where version = \
          (select max(version) from schema_history)",
            "schema_outdated",
        ),
        ("update schema_history set checksum = 'x' where version = 1", "schema_changed"),
    ];
    for (change, want) in history {
        raw.execute_batch(change).unwrap();
        assert_eq!(named_code(&place, &["keys", "list"]), want);
    }
    let server = Place::new();
    let running = server.serve(&[]);
    assert_eq!(named_code(&server, &["serve", "--listen", "127.0.0.1:0"]), "data_dir_locked");
    let other = server.path("other").display().to_string();
    let taken = running.url.trim_start_matches("http://");
    let twice = ["serve", "--listen", taken, "--data-dir", &other];
    assert_eq!(named_code(&server, &twice), "listen_failed");
}

/// Pages of the documentation that are written from manifests. `BLESS=1` writes them anew.
#[test]
fn the_pages_about_connectors_say_what_their_manifests_say() {
    let place = Place::new();
    let folder =
        std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/connectors"));
    let listed = place.json(&["connectors", "list", "--json"]);
    let ids: Vec<&str> = listed["connectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["adyen", "null_failure", "null_success", "sandbox", "stripe"]);
    let mut pages = vec![("README.md".to_owned(), vec!["connectors", "list", "--markdown"])];
    for id in &ids {
        pages.push((format!("{id}.md"), vec!["connectors", "show", *id, "--markdown"]));
    }
    for (file, arguments) in pages {
        let output = place.run(&arguments);
        assert!(output.status.success(), "{}", said(&output));
        let path = folder.join(&file);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &output.stdout).unwrap();
        }
        let page = std::fs::read(&path).unwrap_or_default();
        assert!(page == output.stdout, "docs/connectors/{file}: run with BLESS=1 and review");
    }
}

#[test]
fn a_connectors_folder_and_the_accounts_are_checked() {
    let place = Place::new();
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../connectors/src");
    for id in ["stripe", "adyen", "sandbox"] {
        let shown = place.json(&["connectors", "check", &format!("{sources}/{id}"), "--json"]);
        assert_eq!(shown["ok"], true, "{shown}");
    }
    // A new folder is in order from the start, and a second one is not put over it.
    let here = place.path("");
    let here = here.to_str().unwrap();
    assert!(place.run(&["connectors", "new", "acme_pay", "--dir", here]).status.success());
    assert!(!place.run(&["connectors", "new", "acme_pay", "--dir", here]).status.success());
    let made = place.path("acme_pay");
    let check = |what: &str| {
        let output = place.run(&["connectors", "check", made.to_str().unwrap()]);
        assert_eq!(output.status.success(), what.is_empty(), "{}", said(&output));
        assert!(said(&output).contains(what), "{}", said(&output));
    };
    check("");
    let change = |file: &str, from: &str, to: &str| {
        let path = made.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace(from, to)).unwrap();
    };
    change("cases.json", "\"title\"", "\"tilte\"");
    check("unknown field `tilte`");
    change("cases.json", "\"tilte\"", "\"title\"");
    change("manifest.toml", "https://provider.example/docs/refunds#create", " ");
    check("refund is claimed without a citation");

    let config = place.path("accounts.toml");
    let accounts = |credentials: &str| {
        let account = "[[accounts]]\nname = \"adyen-eu\"\ngateway = \"Adyen\"\nbase_url = \"https://x.example/v71\"\n";
        std::fs::write(&config, format!("{account}credentials = {credentials}\n")).unwrap();
        let output = place.run(&["connectors", "check", "--config", config.to_str().unwrap()]);
        (output.status.success(), said(&output))
    };
    assert!(accounts("{ ApiKey = \"k\", MerchantAccount = \"ShopEU\" }").0);
    let (good, told) = accounts("{ ApiKey = \"secret-7f3a\" }");
    assert!(!good && told.contains("MerchantAccount") && !told.contains("7f3a"), "{told}");
    let (good, told) = accounts("{ ApiKey = \"k\", MerchantAccount = \"S\", Password = \"p\" }");
    assert!(!good && told.contains("no credential Password"), "{told}");
    let output = place.run(&["connectors", "show", "strpe"]);
    assert!(said(&output).contains("did you mean Stripe?"), "{}", said(&output));
}

#[test]
fn a_simulation_says_what_broke_and_how_to_see_it_again() {
    let place = Place::new();
    let calm = place.json(&["simulate", "--payments", "200", "--seed", "3", "--json"]);
    assert_eq!((&calm["double_charges"], &calm["open_losing_holds"]), (&json!(0), &json!(0)));
    assert_eq!(calm["violations"], json!([]));
    assert_eq!(calm["not_yet_checked"].as_array().map(Vec::len), Some(2));
    // A provider that settles what it denied: nothing on our side can close that.
    let file = place.path("my faults.toml");
    std::fs::write(&file, "day = \"mild\"\n[faults]\nsettles_denied = 300000\n").unwrap();
    let file = file.to_str().unwrap();
    // The second world is a short one.
    let options = ["simulate", "--file", file, "--payments", "350", "--seed", "5", "--json"];
    let ran = place.run(&options);
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    let broken: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let found = broken["violations"].as_array().unwrap().last().unwrap().clone();
    let again = found["again"].as_str().unwrap();
    assert!(again.contains(&format!("--file '{file}' ")), "{again}");
    let shell = std::process::Command::new("sh")
        .args(["-c", &again.replacen("baton", env!("CARGO_BIN_EXE_baton"), 1)])
        .output()
        .unwrap();
    let timeline = String::from_utf8_lossy(&shell.stdout).into_owned();
    assert!(timeline.contains(found["what"].as_str().unwrap()), "{again}: {timeline}");
    assert!(timeline.contains("settles what it denied"), "{timeline}");
    let page = place.path("page.html");
    let page = page.to_str().unwrap();
    let shown = said(&place.run(&["simulate", "--payments", "200", "--seed", "3", "--html", page]));
    assert_eq!(shown.matches("not yet checked").count(), 2, "{shown}");
    let html = std::fs::read_to_string(page).unwrap();
    for part in ["SandboxLagging", "not yet checked", "answer_lost", "approvals lost"] {
        assert!(html.contains(part), "{part}");
    }
}
