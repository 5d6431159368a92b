//! Which part of the sandbox answers which path.
//!
//! `/health`, `/admin/...`, `/challenge/{account}/{payment}`, the three dialects, `/{dialect}/{account}/...`, and the
//! stand-ins for card vaults, `/{vault}/{account}/...` and `/vaults/{account}`.

use std::sync::Arc;

use http::Method;
use serde_json::json;

use crate::dialect::Dialect;
use crate::http::{Call, Fate, Reply};
use crate::provider::Provider;
use crate::{admin, challenge, exchange};

pub(crate) async fn handle(provider: &Arc<Provider>, call: Call) -> Fate {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    let (dialect, account, rest) = match segments.as_slice() {
        ["health"] if call.method == Method::GET => {
            return Fate::Answer(Reply::json(200, &json!({"status": "ok"})));
        }
        ["admin", rest @ ..] => return Fate::Answer(admin::handle(provider, &call, rest).await),
        ["challenge", account, payment] => {
            return Fate::Answer(challenge::handle(provider, &call, account, payment).await);
        }
        ["vaults", rest @ ..] => return Fate::Answer(provider.vaults.admin(&call, rest)),
        ["vgs", account, rest @ ..] => return provider.vaults.vgs(&call, account, rest),
        ["basis_theory", account, rest @ ..] => {
            return provider.vaults.basis_theory(&call, account, rest);
        }
        ["sandbox", account, rest @ ..] => (Dialect::Own, account, rest),
        ["stripe", account, "v1", rest @ ..] => (Dialect::Stripe, account, rest),
        ["adyen", account, "v71", rest @ ..] => (Dialect::Adyen, account, rest),
        _ => return Fate::Answer(Reply::raw(404, "text/plain", "no such path\n")),
    };
    if !is_account_name(account) {
        let message = "an account is 1 to 64 characters of A-Z a-z 0-9 _ -";
        return Fate::Answer(dialect.error(400, "validation", message));
    }
    let account = provider.account(account);
    match dialect.read(&account, &call, rest) {
        Ok(job) => exchange::run(provider, job).await,
        Err(reply) => Fate::Answer(reply),
    }
}

fn is_account_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}
