//! A payer who comes back from a challenge.

use baton_api::Limits;
use baton_engine::EngineConfig;
use serde_json::{Value, json};

use super::{Shop, card, payment, with};
use crate::client::{self, Seen};
use crate::server::{OPERATOR, Server};

const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded")];

/// A payment whose payer is asked to authenticate.
async fn challenged(shop: &Shop, more: Value) -> Value {
    let body = json!({"authentication_type": "three_ds", "return_url": "https://shop.example/done?x=1#end",
        "payment_method_data": card("4000000000003220")});
    let asked = shop.post("/payments", with(with(payment(1000), body), more)).await;
    assert_eq!(asked["status"], "requires_customer_action", "{asked}");
    asked
}

/// Presses a button of the provider's page: the path at our server that the browser is sent to.
pub(crate) async fn press(shop: &Shop, asked: &Value, button: &str) -> String {
    let answer = shop.challenge(asked, button).await;
    let location = answer.header("location").expect("a way back");
    location.strip_prefix(&format!("http://{}", shop.server.addr)).expect("to us").to_owned()
}

pub(crate) async fn open(shop: &Shop, path: &str) -> Seen {
    client::send(shop.server.addr, "GET", path, &[], b"").await
}

fn to_shop(asked: &Value, status: &str) -> String {
    let text = |name: &str| asked[name].as_str().unwrap();
    // Then comes the signature, whose form the handler's own test holds.
    format!(
        "https://shop.example/done?x=1&status={status}&payment_id={}&payment_intent_client_secret={}\
         &amount=1000&manual_retry_allowed=false&signature=",
        text("payment_id"),
        text("client_secret"),
    )
}

/// Whether a browser is sent to a URL that begins so and ends with a signature.
fn goes_to(seen: &Seen, start: &str) -> bool {
    let rest = seen.header("location").and_then(|url| url.strip_prefix(start));
    let tag = rest.and_then(|rest| rest.strip_suffix("&signature_algorithm=HMAC-SHA512#end"));
    tag.is_some_and(|tag| tag.len() == 128 && tag.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[tokio::test]
async fn a_payer_is_sent_on_with_how_the_payment_stands() {
    let shop = Shop::open().await;
    for (button, status) in [("approve", "succeeded"), ("fail", "failed")] {
        let asked = challenged(&shop, json!({})).await;
        let path = press(&shop, &asked, button).await;
        for _ in 0..3 {
            let seen = open(&shop, &path).await;
            assert_eq!(seen.status, 303, "{seen:?}");
            assert!(goes_to(&seen, &to_shop(&asked, status)), "{seen:?}");
            assert_eq!(seen.header("cache-control"), Some("no-store"));
        }
        let posted = client::send(shop.server.addr, "POST", &path, &FORM, b"MD=1&PaRes=2").await;
        assert_eq!(posted.status, 303, "{posted:?}");
        let seen = shop.get(&format!("/payments/{}", asked["payment_id"].as_str().unwrap())).await;
        assert_eq!(seen["status"], status, "{seen}");
    }
}

#[tokio::test]
async fn who_comes_back_without_having_answered_finds_the_payment_as_it_was() {
    let shop = Shop::open().await;
    let asked = challenged(&shop, json!({})).await;
    let path = press(&shop, &challenged(&shop, json!({})).await, "approve").await;
    let (start, _) = path.split_once('?').unwrap();
    let parts: Vec<&str> = start.split('/').collect();
    let id = asked["payment_id"].as_str().unwrap();
    // The link of one payment does not open another.
    let rows = [
        (parts[3], id, parts[5]),
        (parts[3], parts[4], "0123456789abcdefghijklmnopqrstuv"),
        (parts[3], parts[4], ""),
        ("mer_01m8c5ad58f6st6s7r4emrh0dn", parts[4], parts[5]),
        ("nobody", parts[4], parts[5]),
    ];
    for (merchant, payment, token) in rows {
        let seen = open(&shop, &format!("/payments/return/{merchant}/{payment}/{token}")).await;
        assert_eq!(seen.status, 404, "{payment} {seen:?}");
        assert_eq!(seen.header("location"), None);
    }
    let still = shop.get(&format!("/payments/{id}")).await;
    assert_eq!(still["status"], "requires_customer_action");
    // Its own one does, and says that nothing was decided.
    let link = shop.link_of(id).await;
    let seen = open(&shop, &link).await;
    let wanted = to_shop(&asked, "requires_customer_action");
    assert!(seen.status == 303 && goes_to(&seen, &wanted), "{seen:?}");
}

#[tokio::test]
async fn a_shop_that_wants_a_form_gets_one() {
    let shop = Shop::open().await;
    let operator = [("api-key", OPERATOR)];
    let change = br#"{"redirect_to_merchant_with_http_post": true}"#;
    let path = format!("/accounts/{}", shop.merchant);
    let changed = client::send(shop.server.addr, "POST", &path, &operator, change).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let asked = challenged(&shop, json!({"return_url": "https://shop.example/?a=\"><b>"})).await;
    let path = press(&shop, &asked, "approve").await;
    let seen = open(&shop, &path).await;
    assert_eq!((seen.status, seen.header("location")), (200, None), "{seen:?}");
    let field = "<input type=\"hidden\" name=\"status\" value=\"succeeded\">";
    let action = "action=\"https://shop.example/?a=&quot;&gt;&lt;b&gt;\"";
    assert!(seen.body.contains(field) && seen.body.contains(action), "{}", seen.body);
    let policy = seen.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'sha256-"), "{policy}");
}

#[tokio::test]
async fn whoever_guesses_links_is_slowed() {
    let limits = Limits { failed_keys_per_minute: 3, ..Limits::default() };
    let shop = Shop::named(Server::limited(EngineConfig::default(), limits).await, "shop").await;
    let guess = "/payments/return/mer_01m8c5ad58f6st6s7r4emrh0dn/pay/x";
    let mut last = 0;
    for _ in 0..20 {
        last = open(&shop, guess).await.status;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
}
