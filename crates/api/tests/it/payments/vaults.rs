//! Cards at vaults elsewhere: saved after the payment, had back before the next one, whatever the vault does.

use std::time::Duration;

use baton_store::{DocumentRow, Write, WriteSet};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Shop, card, payment, with};
use crate::client::{self, Seen};
use crate::server::Server;

/// A shop whose cards are kept at a vault.
pub(super) struct Vaulted {
    shop: Shop,
    pub(super) connector: String,
}

fn credentials(vault: &str, key: &str) -> Value {
    match vault {
        "vgs" => json!({"auth_type": "SignatureKey", "api_key": key, "key1": "canary-password",
            "api_secret": "tntsfeqzp4a"}),
        _ => json!({"auth_type": "HeaderKey", "api_key": key}),
    }
}

impl Vaulted {
    async fn open(vault: &str) -> Self {
        Self::on(Server::start().await, vault).await
    }

    pub(super) async fn on(server: Server, vault: &str) -> Self {
        let shop = Shop::named(server, "shop").await;
        shop.server.engine.start();
        let made = json!({"connector_type": "vault_processor", "connector_name": vault,
            "connector_account_details": credentials(vault, "canary-vault-key")});
        let made = shop.post("/account/shop/connectors", made).await;
        let connector = made["merchant_connector_id"].as_str().unwrap().to_owned();
        let this = Self { shop, connector };
        this.choose("enable").await;
        this
    }

    async fn profile(&self) -> String {
        let account = self.shop.get("/accounts/shop").await;
        account["default_profile"].as_str().unwrap().to_owned()
    }

    async fn choose(&self, word: &str) -> Value {
        let path = format!("/account/shop/business_profile/{}", self.profile().await);
        let body = json!({"is_external_vault_enabled": word,
            "external_vault_connector_details": {"vault_connector_id": self.connector}});
        self.shop.post(&path, body).await
    }

    /// What the stand-in has and was asked.
    async fn vault(&self) -> Value {
        let path = format!("/vaults/{}", self.connector);
        client::send(self.shop.server.sandbox.addr(), "GET", &path, &[], b"").await.json()
    }

    async fn break_vault(&self, faults: Value) {
        let path = format!("/vaults/{}/faults", self.connector);
        let body = faults.to_string();
        let sandbox = self.shop.server.sandbox.addr();
        let seen = client::send(sandbox, "PUT", &path, &[], body.as_bytes()).await;
        assert_eq!(seen.status, 200, "{seen:?}");
    }

    async fn cards(&self) -> usize {
        self.vault().await["cards"].as_object().unwrap().len()
    }

    async fn asked(&self, operation: &str) -> u64 {
        self.vault().await["asked"][operation].as_u64().unwrap_or(0)
    }

    /// A payment that saves its card: its method.
    async fn save(&self, customer: &str) -> String {
        let made = self.shop.post("/payments", saving(customer)).await;
        assert_eq!(made["status"], "succeeded", "{made}");
        made["payment_method_id"].as_str().unwrap().to_owned()
    }

    async fn status(&self, method: &str) -> String {
        let shown = self.shop.get(&format!("/payment_methods/{method}")).await;
        shown["status"].as_str().unwrap().to_owned()
    }

    async fn until(&self, method: &str, status: &str) {
        let begun = Instant::now();
        while self.status(method).await != status {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "not {status}: {:?}",
                self.vault().await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn repeat(&self, method: &str) -> Seen {
        let mut body = payment(777);
        let fields = body.as_object_mut().unwrap();
        fields.remove("payment_method_data");
        fields.insert("payment_method_id".to_owned(), method.into());
        fields.insert("card_cvc".to_owned(), "123".into());
        self.shop.send("POST", "/payments", &body).await
    }

    /// How many sealed cards of methods are in our own vault.
    async fn sealed(&self) -> usize {
        let end = baton_types::Timestamp::from_millis(i64::MAX);
        let kind = baton_vault::SealedKind::SavedCard;
        self.shop.server.engine.vault().list(kind, end, 100).await.unwrap().len()
    }

    async fn waiting(&self) -> Vec<baton_payments::WaitingCard> {
        let store = self.shop.server.engine.store();
        baton_payments::waiting_cards(store.as_ref(), 100).await.unwrap()
    }

    async fn nothing_waits(&self) {
        let begun = Instant::now();
        loop {
            let timers = self.shop.server.engine.store().describe().await.unwrap().timers;
            if timers == 0 && self.sealed().await == 0 {
                return assert_eq!(self.waiting().await, []);
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{timers} timers");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn saving(customer: &str) -> Value {
    with(payment(500), json!({"customer_id": customer, "setup_future_usage": "off_session"}))
}

const VAULTS: [&str; 2] = ["vgs", "basis_theory"];

#[tokio::test]
async fn a_new_customers_card_goes_to_the_vault_and_pays_again() {
    for vault in VAULTS {
        let at = Vaulted::open(vault).await;
        let method = at.save("ada").await;
        at.until(&method, "active").await;
        at.nothing_waits().await;
        assert_eq!((at.cards().await, at.asked("store").await), (1, 1), "{vault}");

        let listed = at.shop.get("/customers/ada/payment_methods").await;
        let shown = &listed["customer_payment_methods"][0];
        assert_eq!(shown["payment_method_id"], json!(method), "{listed}");
        assert_eq!(shown["card"]["saved_to_locker"], false);
        let fingerprint = shown["card"]["card_fingerprint"].as_str().unwrap().to_owned();
        assert!(!fingerprint.is_empty() && !fingerprint.contains("4111"));

        let seen = at.repeat(&method).await;
        assert_eq!((seen.status, &seen.json()["status"]), (200, &json!("succeeded")), "{seen:?}");
        assert_eq!(seen.json()["payment_method_status"], "active");
        assert_eq!(at.asked("retrieve").await, 1);
        assert_eq!(at.shop.server.at_provider().await, 2);

        // The same card again has the same fingerprint.
        let second = at.save("bob").await;
        at.until(&second, "active").await;
        let listed = at.shop.get("/customers/bob/payment_methods").await;
        let again = &listed["customer_payment_methods"][0]["card"]["card_fingerprint"];
        assert_eq!(again, &json!(fingerprint), "{vault}");

        let path = format!("/payment_methods/{method}");
        assert_eq!(at.shop.send("DELETE", &path, &Value::Null).await.status, 200);
        at.nothing_waits().await;
        // VGS's stand-in gives equal cards one alias, which Bob still needs.
        assert_eq!(at.cards().await, 1, "{vault}");
        assert_eq!(at.asked("delete").await, u64::from(vault != "vgs"), "{vault}");
        assert_eq!(at.repeat(&method).await.status, 404);
        let pays = at
            .shop
            .post(
                "/payments",
                json!({"amount": 50, "currency": "USD", "confirm": true,
            "customer_id": "bob", "payment_method": "card", "payment_method_id": second}),
            )
            .await;
        assert_eq!(pays["status"], "succeeded", "{pays}");

        let gone = at.shop.send("DELETE", "/customers/bob", &Value::Null).await.json();
        assert_eq!(gone["payment_methods_deleted"], true, "{gone}");
        at.nothing_waits().await;
        assert_eq!(at.cards().await, 0, "{vault}");
    }
}

/// Whatever a vault does when a card is to be stored, the payment stands; and once the vault does its part, the card
/// is there once.
#[tokio::test]
async fn a_vault_that_fails_never_fails_a_payment() {
    for vault in VAULTS {
        for fault in ["unavailable", "limit", "drop_answer", "garbage", "deny"] {
            let at = Vaulted::open(vault).await;
            at.break_vault(json!({"faults": [{"operation": "store", "what": fault, "times": 1}]}))
                .await;
            let method = at.save("ada").await;
            at.until(&method, "active").await;
            at.nothing_waits().await;
            assert_eq!((at.cards().await, at.asked("store").await), (1, 2), "{vault} {fault}");
            assert_eq!(at.repeat(&method).await.status, 200, "{vault} {fault}");
        }
    }
}

#[tokio::test]
async fn a_card_that_the_vault_refuses_is_given_up_and_erased() {
    for vault in VAULTS {
        let at = Vaulted::open(vault).await;
        at.break_vault(json!({"faults": [{"operation": "store", "what": "refuse"}]})).await;
        let made = at.shop.post("/payments", saving("ada")).await;
        assert_eq!(made["status"], "succeeded", "{made}");
        let method = made["payment_method_id"].as_str().unwrap();
        at.until(method, "inactive").await;
        at.nothing_waits().await;
        assert_eq!((at.cards().await, at.asked("store").await), (0, 1));
        let payment = made["payment_id"].as_str().unwrap();
        let shown = at.shop.get(&format!("/payments/{payment}")).await;
        assert_eq!(
            (&shown["status"], &shown["payment_method_status"]),
            (&json!("succeeded"), &json!("inactive"))
        );
        let listed = at.shop.get("/customers/ada/payment_methods").await;
        assert_eq!(listed["customer_payment_methods"], json!([]));
        let seen = at.repeat(method).await;
        assert_eq!(
            (seen.status, &seen.json()["error"]["code"]),
            (400, &json!("IR_16")),
            "{seen:?}"
        );
        assert!(!seen.body.contains("4111"), "{seen:?}");
    }
}

/// A vault that is down for long: the card is kept sealed, the step can be seen, and nothing is lost.
#[tokio::test]
async fn what_waits_for_a_vault_can_be_seen_and_is_done_when_the_vault_is_back() {
    let at = Vaulted::open("vgs").await;
    at.break_vault(json!({"faults": [{"operation": "store", "what": "deny"}]})).await;
    let method = at.save("ada").await;
    let begun = Instant::now();
    let waiting = loop {
        let waiting = at.waiting().await;
        if waiting.iter().any(|card| card.trouble.is_some()) {
            break waiting;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{waiting:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let [card] = waiting.as_slice() else { panic!("{waiting:?}") };
    assert_eq!(
        (card.method.as_str(), card.step, card.vault.as_str()),
        (method.as_str(), "storing", "vgs")
    );
    assert_eq!(card.trouble.as_deref(), Some("the vault does not let us: 401 Unauthorized"));
    assert_eq!(at.status(&method).await, "processing");
    assert_eq!(at.sealed().await, 1, "sealed until the vault has it");
    let seen = at.repeat(&method).await;
    assert_eq!((seen.status, &seen.json()["error"]["code"]), (400, &json!("IR_16")), "{seen:?}");
    let metrics = client::send(at.shop.server.addr, "GET", "/metrics", &[], b"").await.body;
    let line =
        r#"baton_external_vault_calls_total{vault="vgs",operation="store",outcome="denied"}"#;
    assert!(metrics.contains(line), "{metrics}");
    at.break_vault(json!({"faults": []})).await;
    at.until(&method, "active").await;
    at.nothing_waits().await;
    assert_eq!(at.cards().await, 1);
}

/// A vault that never does its part: after the longest time that a card is kept here it is erased.
#[tokio::test]
async fn a_card_that_its_vault_does_not_take_is_erased_in_the_end() {
    let at = Vaulted::open("vgs").await;
    at.break_vault(json!({"faults": [{"operation": "store", "what": "unavailable"}]})).await;
    let method = at.save("ada").await;
    assert_eq!(at.sealed().await, 1);
    let store = at.shop.server.engine.store();
    let merchant = store.merchant_by_name("shop").await.unwrap().unwrap().id;
    // As if it had been saved 72 hours ago.
    let begun = Instant::now();
    loop {
        let row = store.document(merchant, "payment_method", &method).await.unwrap().unwrap();
        let mut body: Value = serde_json::from_str(&row.body).unwrap();
        assert!(body["vault"]["until"].is_i64(), "{body}");
        body["vault"]["until"] = json!(1);
        let row = DocumentRow { version: row.version + 1, body: body.to_string(), ..row };
        if store.commit(WriteSet::from(vec![Write::Document(row)])).await.is_ok() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "somebody else always writes");
    }
    at.until(&method, "inactive").await;
    at.nothing_waits().await;
    assert_eq!((at.sealed().await, at.cards().await), (0, 0));
    assert_eq!(at.repeat(&method).await.status, 400);
}

#[tokio::test]
async fn a_payment_that_is_not_approved_saves_nothing_anywhere() {
    let at = Vaulted::open("basis_theory").await;
    let declined = with(saving("ada"), json!({"payment_method_data": card("4000000000000002")}));
    let made = at.shop.post("/payments", declined).await;
    assert_eq!(made["status"], "failed", "{made}");
    assert_eq!(at.sealed().await, 0);
    assert_eq!((at.cards().await, at.asked("store").await), (0, 0));
}

/// A payment in doubt: whether its card is to be stored is not known yet.
#[tokio::test]
async fn a_card_is_not_stored_before_its_payment_is_known_to_be_approved() {
    let at = Vaulted::on(Server::impatient(300).await, "vgs").await;
    let silent = json!({"fault": {"commit": "never", "answer": {"status": {"status": 503}}}});
    at.shop.server.script(json!({"operation": "lookup"}), silent).await;
    let lost = json!({"fault": {"commit": "first", "answer": "close"}});
    at.shop.server.script(json!({"operation": "sale"}), lost).await;
    let made = at.shop.post("/payments", saving("ada")).await;
    assert_eq!(made["status"], "processing", "{made}");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!((at.cards().await, at.asked("store").await, at.sealed().await), (0, 0, 1));
}

#[tokio::test]
async fn nothing_is_had_back_through_a_connector_that_was_disabled() {
    let at = Vaulted::open("vgs").await;
    let method = at.save("ada").await;
    at.until(&method, "active").await;
    let path = format!("/account/{}/connectors/{}", at.shop.merchant, at.connector);
    let off = json!({"connector_type": "vault_processor", "disabled": true});
    at.shop.post(&path, off).await;
    let seen = at.repeat(&method).await;
    assert_eq!((seen.status, &seen.json()["error"]["reason"]), (400, &json!("vault_denied")));
    assert_eq!(at.asked("retrieve").await, 0);
}

/// Before anything is sent to a provider, the card has to be there: else a clear error, and the payment as it was.
#[tokio::test]
async fn a_vault_that_does_not_give_the_card_stops_the_payment_before_it_begins() {
    for vault in VAULTS {
        let at = Vaulted::open(vault).await;
        let method = at.save("ada").await;
        at.until(&method, "active").await;
        let rows = [
            ("unavailable", 503, "HE_00", "vault_unavailable"),
            ("limit", 503, "HE_00", "vault_unavailable"),
            ("drop_answer", 503, "HE_00", "vault_unavailable"),
            ("garbage", 503, "HE_00", "vault_unavailable"),
            ("deny", 400, "IR_16", "vault_denied"),
            // Rather nobody is charged than somebody else.
            ("another", 400, "IR_16", "vault_denied"),
        ];
        let unconfirmed = json!({"amount": 50, "currency": "USD", "customer_id": "ada",
            "payment_method": "card", "payment_method_id": method});
        let made = at.shop.post("/payments", unconfirmed).await;
        let confirm = format!("/payments/{}/confirm", made["payment_id"].as_str().unwrap());
        let before = at.shop.server.at_provider().await;
        for (fault, status, code, reason) in rows {
            at.break_vault(
                json!({"faults": [{"operation": "retrieve", "what": fault, "times": 1}]}),
            )
            .await;
            let seen = at.shop.send("POST", &confirm, &json!({})).await;
            let error = &seen.json()["error"];
            assert_eq!(
                (seen.status, &error["code"]),
                (status, &json!(code)),
                "{vault} {fault} {seen:?}"
            );
            assert_eq!(error["reason"], reason, "{seen:?}");
            assert_eq!(seen.header("retry-after").is_some(), status == 503, "{seen:?}");
            assert!(!seen.body.contains("4111") && !seen.body.contains("canary"), "{seen:?}");
        }
        assert_eq!(at.shop.server.at_provider().await, before, "no provider was asked");
        let shown = at.shop.get(&confirm.replace("/confirm", "")).await;
        assert_eq!(shown["status"], "requires_confirmation", "{shown}");
        let done = at.shop.post(&confirm, json!({})).await;
        assert_eq!(done["status"], "succeeded", "{done}");

        // Somebody has deleted it at the vault.
        let token = at.vault().await["cards"].as_object().unwrap().keys().next().unwrap().clone();
        let sandbox = at.shop.server.sandbox.addr();
        let path = match vault {
            "vgs" => format!("/vgs/{}/aliases/{token}", at.connector),
            _ => format!("/basis_theory/{}/tokens/{token}", at.connector),
        };
        let headers = [("authorization", "Basic eDp5eg=="), ("bt-api-key", "x")];
        assert_eq!(client::send(sandbox, "DELETE", &path, &headers, b"").await.status, 204);
        let seen = at.repeat(&method).await;
        assert_eq!(
            (seen.status, &seen.json()["error"]["reason"]),
            (400, &json!("vault_card_gone")),
            "{seen:?}"
        );
    }
}

/// A deletion that the vault does not take at once is done later, also when it was a customer's.
#[tokio::test]
async fn what_is_deleted_here_is_deleted_there_in_the_end() {
    for vault in VAULTS {
        let at = Vaulted::open(vault).await;
        let (first, second) = (at.save("ada").await, at.save("ada").await);
        at.until(&first, "active").await;
        at.until(&second, "active").await;
        let faults = json!([{"operation": "delete", "what": "unavailable", "times": 1},
            {"operation": "delete", "what": "drop_answer", "times": 1}]);
        at.break_vault(json!({ "faults": faults })).await;
        let gone = at.shop.send("DELETE", "/customers/ada", &Value::Null).await.json();
        assert_eq!(gone["payment_methods_deleted"], true, "{gone}");
        at.nothing_waits().await;
        assert_eq!(at.cards().await, 0, "{vault}");
    }
}

/// Another card under the same method: the new one is stored, the old one deleted.
#[tokio::test]
async fn a_card_that_is_replaced_is_replaced_at_the_vault() {
    for vault in VAULTS {
        let at = Vaulted::open(vault).await;
        let method = at.save("ada").await;
        at.until(&method, "active").await;
        let old = at.vault().await["cards"].clone();
        let other = json!({"card": {"card_number": "5555555555554444", "card_exp_month": "11",
            "card_exp_year": "91", "card_holder_name": "Ada"}});
        at.shop.post(&format!("/payment_methods/{method}"), other).await;
        at.nothing_waits().await;
        at.until(&method, "active").await;
        let new = at.vault().await["cards"].clone();
        assert_eq!(new.as_object().unwrap().values().collect::<Vec<_>>(), ["4444"], "{old} {new}");
        let seen = at.repeat(&method).await;
        let last4 = &seen.json()["payment_method_data"]["card"]["last4"];
        assert_eq!((seen.status, last4), (200, &json!("4444")), "{seen:?}");
    }
}

#[tokio::test]
async fn a_vault_that_cannot_be_used_cannot_be_chosen() {
    let at = Vaulted::open("vgs").await;
    let path = "/account/shop/connectors";
    let base = json!({"connector_type": "vault_processor", "connector_name": "vgs",
        "connector_account_details": credentials("vgs", "k")});
    let rows = [
        (json!({"connector_name": "nobody"}), "known: vgs, basis_theory"),
        (json!({"connector_account_details": {"auth_type": "HeaderKey", "api_key": "k"}}), "key1"),
        (json!({"metadata": {"environment": "live"}}), "sandbox, live, live-eu-1"),
    ];
    for (change, message) in rows {
        let seen = at.shop.send("POST", path, &with(base.clone(), change.clone())).await;
        assert_eq!(
            (seen.status, &seen.json()["error"]["code"]),
            (400, &json!("IR_07")),
            "{seen:?}"
        );
        assert!(seen.body.contains(message), "{change} {seen:?}");
        assert!(!seen.body.contains("canary"), "{seen:?}");
    }
    let profile = format!("/account/shop/business_profile/{}", at.profile().await);
    let details =
        |id: Value| json!({"external_vault_connector_details": {"vault_connector_id": id}});
    let rows = [
        details(json!("mca_nobody")),
        details(json!(at.shop.connector)),
        with(details(Value::Null), json!({"is_external_vault_enabled": "enable"})),
    ];
    for body in rows {
        let seen = at.shop.send("POST", &profile, &body).await;
        assert_eq!(
            (seen.status, &seen.json()["error"]["code"]),
            (400, &json!("IR_07")),
            "{body} {seen:?}"
        );
    }
    let shown = at.shop.get(&profile).await;
    assert_eq!(shown["is_external_vault_enabled"], "enable", "{shown}");
    assert_eq!(
        shown["external_vault_connector_details"]["vault_connector_id"],
        json!(at.connector)
    );
    // A vault takes no payments.
    let alone = json!({"connector_type": "payment_processor", "disabled": true});
    at.shop.post(&format!("{path}/{}", at.shop.connector), alone).await;
    let seen = at.shop.send("POST", "/payments", &payment(100)).await;
    assert_eq!(seen.json()["error"]["code"], "IR_39", "{seen:?}");
}

#[tokio::test]
async fn a_browser_is_told_of_the_vault_where_the_contract_has_a_form_for_it() {
    let told = async |at: &Vaulted| {
        let made = json!({"amount": 100, "currency": "USD"});
        let made = at.shop.post("/payments", made).await;
        let body =
            json!({"payment_id": made["payment_id"], "client_secret": made["client_secret"]});
        let path = "/payments/session_tokens";
        let seen = at.shop.send_as(&at.shop.publishable, "POST", path, &body).await;
        assert_eq!(seen.status, 200, "{seen:?}");
        assert!(!seen.body.contains("canary"), "{seen:?}");
        seen.json()["vault_details"].clone()
    };
    let at = Vaulted::open("vgs").await;
    let vgs = json!({"vault_type": "vgs",
        "vault_data": {"vault_id": "tntsfeqzp4a", "environment": "sandbox"}});
    assert_eq!(told(&at).await, vgs);
    at.choose("skip").await;
    assert_eq!(told(&at).await, Value::Null);
    // From now on our own vault keeps what is saved.
    let method = at.save("ada").await;
    assert_eq!(at.status(&method).await, "active");
    assert_eq!((at.sealed().await, at.cards().await), (1, 0));
    assert_eq!(told(&Vaulted::open("basis_theory").await).await, Value::Null);
}

/// New credentials are used at once; without a connector nothing is reached, and that is said.
#[tokio::test]
async fn a_connector_is_put_right_and_taken_away() {
    let at = Vaulted::open("basis_theory").await;
    let method = at.save("ada").await;
    at.until(&method, "active").await;
    let path = format!("/account/shop/connectors/{}", at.connector);
    let change = |key: &str| {
        json!({"connector_type": "vault_processor",
        "connector_account_details": credentials("basis_theory", key)})
    };
    at.shop.post(&path, change("wrong")).await;
    assert_eq!(at.repeat(&method).await.json()["error"]["reason"], "vault_denied");
    let shown = at.shop.post(&path, change("canary-vault-key-2")).await;
    assert!(!shown.to_string().contains("canary"), "{shown}");
    assert_eq!(at.repeat(&method).await.status, 200);
    assert_eq!(at.shop.send("DELETE", &path, &Value::Null).await.status, 200);
    assert_eq!(at.repeat(&method).await.json()["error"]["reason"], "vault_denied");
}
