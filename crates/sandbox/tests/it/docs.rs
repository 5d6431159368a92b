//! The tables of `docs/sandbox.md` are what the sandbox really answers.
//!
//! `UPDATE_DOCS=1 cargo test -p baton-sandbox docs` writes them anew.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::client::{CARD, Sandbox, payment};

const PAGE: &str = "../../docs/sandbox.md";

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).unwrap()
}

fn check(name: &str, table: &str) {
    let page = page();
    let (before, rest) = page.split_once(&format!("<!-- begin {name} -->\n")).unwrap();
    let (shown, after) = rest.split_once(&format!("<!-- end {name} -->")).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let begin = format!("<!-- begin {name} -->");
        let page = format!("{before}{begin}\n\n{table}\n<!-- end {name} -->{after}");
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE), page).unwrap();
        return;
    }
    assert_eq!(shown.trim(), table.trim(), "docs/sandbox.md is not up to date: {name}");
}

async fn declines(sandbox: &Sandbox) -> String {
    let mut table = "| amount | code | by | Stripe | Adyen |\n|---|---|---|---|---|\n".to_owned();
    for (amount, row) in &baton_sandbox::codes().declines {
        let (_, own) =
            sandbox.post("/sandbox/acme/payments", payment("r", *amount, true, CARD)).await;
        let form = format!("amount={amount}&currency=usd&confirm=true&payment_method=pm_card_visa");
        let stripe = sandbox.stripe("/payment_intents", None, Some(&form)).await.json();
        let body = json!({
            "merchantAccount": "Shop", "reference": "r", "returnUrl": "http://shop.test/",
            "amount": {"value": amount, "currency": "EUR"},
            "paymentMethod": {"type": "scheme", "number": CARD, "expiryMonth": "03",
                "expiryYear": "2090"},
        });
        let adyen = sandbox.adyen("/payments", None, body).await.json();
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        assert_eq!(own["decline"]["code"], row.code);
        let code = text(&stripe["error"]["code"]);
        let decline_code = text(&stripe["error"]["decline_code"]);
        let stripe = if code == decline_code { code } else { format!("{code} / {decline_code}") };
        writeln!(
            table,
            "| {amount} | `{}` | {} | {stripe} | {} {} |",
            row.code,
            text(&own["decline"]["by"]),
            text(&adyen["refusalReasonCode"]),
            text(&adyen["refusalReason"]),
        )
        .unwrap();
    }
    table
}

#[tokio::test]
async fn docs_tables_are_what_the_sandbox_answers() {
    let codes = baton_sandbox::codes();
    let cards: Vec<_> = codes
        .cards
        .iter()
        .map(|card| format!("| {} | {} |", card.number, card.description))
        .collect();
    check("cards", &format!("| number | behaviour |\n|---|---|\n{}\n", cards.join("\n")));
    let disputes: Vec<_> = codes
        .disputes
        .iter()
        .map(|card| format!("| {} | {} |", card.number, card.description))
        .collect();
    check("disputes", &format!("| number | behaviour |\n|---|---|\n{}\n", disputes.join("\n")));
    let faults: Vec<_> = codes
        .amounts
        .iter()
        .map(|row| format!("| {} | {} |", row.amount, row.description))
        .collect();
    check("faults", &format!("| amount | behaviour |\n|---|---|\n{}\n", faults.join("\n")));
    let sandbox = Sandbox::memory().await;
    check("declines", &declines(&sandbox).await);
}

#[tokio::test]
async fn docs_rules_are_accepted() {
    let sandbox = Sandbox::memory().await;
    let page = page();
    let blocks: Vec<&str> =
        page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let seen = sandbox.send("POST", "/admin/rules", &[], block).await;
        assert_eq!(seen.status, 201, "{block}: {seen:?}");
    }
}
