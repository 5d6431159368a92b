//! The page that a challenged shopper is sent to, with three buttons: approve, fail, abandon.
//!
//! `GET` shows it, `POST` with `outcome=approve|fail|abandon` presses a button. Approving authorises (and
//! captures a sale), failing declines with `authentication_failed`, abandoning changes nothing and makes
//! the challenge impossible to complete. A challenge whose issuer gives up waiting is declined in the same way. A completed challenge sends the shopper to the payment's return
//! URL, if it has one; in Adyen's dialect nothing else comes of it until the result is brought to
//! `/payments/details`.

use std::sync::Arc;

use http::Method;

use crate::clock::Id;
use crate::codes::DeclineCode;
use crate::core::payment::UNAUTHENTICATED;
use crate::core::{Books, Payment, Status};
use crate::dialect::Dialect;
use crate::http::{Call, Reply, parse_form};
use crate::provider::Provider;

pub(crate) async fn handle(
    provider: &Arc<Provider>,
    call: &Call,
    account: &str,
    payment: &str,
) -> Reply {
    let account = provider.known_account(account);
    let (Some(account), Some(id)) = (account, Id::parse(payment)) else {
        return page(404, "<p>No such payment.</p>");
    };
    let form = parse_form(&String::from_utf8_lossy(&call.body));
    let pressed = form.iter().find(|(name, _)| name == "outcome").map(|(_, value)| value.as_str());
    let (reply, seq) = provider.change(&account, |books| match (&call.method, pressed) {
        (&Method::GET, _) => show(books, id),
        (&Method::POST, Some("approve")) => complete(books, id, None),
        (&Method::POST, Some("fail")) => complete(books, id, DeclineCode::find(UNAUTHENTICATED)),
        (&Method::POST, Some("abandon")) => abandon(books, id),
        _ => page(400, "<p>Post outcome=approve, fail or abandon.</p>"),
    });
    match provider.journal.durable(seq).await {
        Ok(()) => reply,
        Err(_) => page(500, "<p>The books cannot be written.</p>"),
    }
}

fn open(books: &Books, id: Id) -> Result<Arc<Payment>, Reply> {
    let Some(payment) = books.payment(id) else {
        return Err(page(404, "<p>No such payment.</p>"));
    };
    let over = payment.attempt().is_some_and(|attempt| attempt.abandoned || attempt.answered);
    if payment.status != Status::ActionRequired || payment.voided || over {
        return Err(page(410, "<p>This challenge is over.</p>"));
    }
    Ok(payment.clone())
}

fn show(books: &Books, id: Id) -> Reply {
    match open(books, id) {
        Ok(payment) => page(
            200,
            &format!(
                "<p>Payment of {} {} (minor units).</p><form method=\"post\">\
                 <button name=\"outcome\" value=\"approve\">Approve</button> \
                 <button name=\"outcome\" value=\"fail\">Fail</button> \
                 <button name=\"outcome\" value=\"abandon\">Abandon</button></form>",
                payment.amount, payment.currency
            ),
        ),
        Err(reply) => reply,
    }
}

fn complete(books: &mut Books, id: Id, decline: Option<DeclineCode>) -> Reply {
    let payment = match open(books, id) {
        Ok(payment) => payment,
        Err(reply) => return reply,
    };
    if payment.dialect == Dialect::Adyen {
        // Nothing comes of it before the merchant has brought the result.
        let kept = books.update(id, |payment| {
            if let Some(attempt) = payment.attempts.last_mut() {
                (attempt.answered, attempt.settles_with) = (true, decline);
                attempt.settles_ms = None;
            }
        });
        if kept.is_err() {
            return page(404, "<p>No such payment.</p>");
        }
    } else {
        books.conclude(id, decline);
    }
    let done = page(200, "<p>Done. You may close this page.</p>");
    match &payment.settings.return_url {
        Some(url) => {
            let reply = page(303, "<p>Going back to the shop.</p>");
            reply.with("location", &return_url(url, &payment))
        }
        None => done,
    }
}

/// The return URL with what the dialect adds to it.
fn return_url(url: &str, payment: &Payment) -> String {
    let id = payment.dialect.payment_id(payment.id);
    let added = match payment.dialect {
        Dialect::Own => format!("payment={id}"),
        Dialect::Stripe if payment.settings.verification => {
            format!("setup_intent=seti_{}", payment.id)
        }
        Dialect::Stripe => format!("payment_intent={id}"),
        Dialect::Adyen => format!("redirectResult={id}"),
    };
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{added}")
}

fn abandon(books: &mut Books, id: Id) -> Reply {
    if let Err(reply) = open(books, id) {
        return reply;
    }
    let left = books.update(id, |payment| {
        if let Some(attempt) = payment.attempts.last_mut() {
            attempt.abandoned = true;
        }
    });
    match left {
        Ok(()) => page(200, "<p>Abandoned: this challenge can never be completed.</p>"),
        Err(_) => page(404, "<p>No such payment.</p>"),
    }
}

fn page(status: u16, content: &str) -> Reply {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sandbox challenge</title>\
         <h1>Sandbox challenge</h1>{content}</html>\n"
    );
    Reply::raw(status, "text/html; charset=utf-8", html)
}
