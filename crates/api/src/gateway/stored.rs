//! `@TOKEN` in a request's card: the stored text in the token's place, before the card is read.
//!
//! A CVV's token ends with its use: its text is durably deleted before it is handed out. So everything else of
//! the request is read first, with stand-ins, and a mistake elsewhere uses up nothing. A repeat under an
//! idempotency key finds the token gone, and is answered as the first request was.

use baton_engine::{Caller, Engine};
use zeroize::Zeroizing;

use super::Fault;
use crate::fields::{FieldError, Fields};
use crate::tokens::is_token;

const NUMBER: &str = "cardNumber";
const CVV: &str = "cvv";

/// Makes `cardToken` beside the card what it stands for, and says whether the card names tokens.
///
/// # Errors
/// There is no card beside it, or the card has a number of its own.
pub(super) fn normalise(body: &mut Fields) -> Result<bool, FieldError> {
    let token = body.plain_text("cardToken", 64)?;
    let Some(mut card) = body.object("card")? else {
        return match token {
            Some(_) => Err(body.error("card", "It is required beside cardToken.")),
            None => Ok(false),
        };
    };
    if let Some(token) = token {
        if card.has(NUMBER) {
            return Err(body.error("cardToken", "It cannot be combined with card.cardNumber."));
        }
        card.put_text(NUMBER, &format!("@{}", token.trim_start_matches('@')));
    }
    let named = [NUMBER, CVV].iter().any(|name| token_in(&card, name).is_some());
    body.put_object("card", card);
    Ok(named)
}

fn token_in(card: &Fields, name: &str) -> Option<Zeroizing<String>> {
    let token = card.peek_text(name)?.strip_prefix('@')?;
    Some(Zeroizing::new(token.to_owned()))
}

/// Puts numbers in the tokens' places that fit what else the card says. Nothing is ever done with them.
pub(super) fn stand_in(body: &mut Fields) -> Result<(), FieldError> {
    let Some(mut card) = body.object("card")? else { return Ok(()) };
    let is_amex =
        card.peek_text(NUMBER).is_some_and(|n| n.starts_with("34") || n.starts_with("37"));
    let long = is_amex || card.peek_text(CVV).is_some_and(|cvv| cvv.len() == 4);
    if token_in(&card, NUMBER).is_some() {
        card.put_text(NUMBER, if long { "378282246310005" } else { "4111111111111111" });
    }
    if token_in(&card, CVV).is_some() {
        card.put_text(CVV, if long { "1234" } else { "123" });
    }
    body.put_object("card", card);
    Ok(())
}

/// Puts stored texts into the tokens' places. A token that is not there leaves its field out, and is what
/// is returned: the request may still be a repeat.
///
/// # Errors
/// The vault or the audit log does not answer.
pub(super) async fn fill(
    engine: &Engine,
    caller: Caller,
    body: &mut Fields,
) -> Result<Option<FieldError>, Fault> {
    let Some(mut card) = body.object("card")? else { return Ok(None) };
    let mut gone = None;
    // The number first: without it the CVV's token is not used up.
    for name in [NUMBER, CVV] {
        let Some(token) = token_in(&card, name) else { continue };
        let wanted = gone.is_none() && is_token(&token);
        let found = if wanted { engine.use_token(caller, &token).await? } else { None };
        match found {
            Some(revealed) => card.put_text(name, revealed.payload.expose()),
            None => {
                let message = "There is no such token, or it has been used.";
                gone.get_or_insert(card.error(name, message));
                card.remove(name);
            }
        }
    }
    body.put_object("card", card);
    Ok(gone)
}

/// The card as capture, void and refund send it: its number is compared, its CVV never looked at.
///
/// # Errors
/// As [`fill`], and the number's token is not there.
pub(super) async fn fill_number(
    engine: &Engine,
    caller: Caller,
    body: &mut Fields,
) -> Result<(), Fault> {
    if let Some(mut card) = body.object("card")? {
        card.remove(CVV);
        body.put_object("card", card);
    }
    match fill(engine, caller, body).await? {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
