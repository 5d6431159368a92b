//! An intent as what the engine is asked to carry out.

use baton_connect::{Challenge, Payer};
use baton_engine::{Brought, PaidWith, Purchase, Stored as StoredCard};
use baton_flow::{DoubtMode, OrderKind};
use baton_types::{Card, CardNumber};
use serde_json::{Value, json};

use crate::authenticated::Authenticated;
use crate::fault::Fault;
use crate::intent::{CaptureMethod, CardInput, CardKept, Intent, IntentChange, Method};

/// What goes with an intent's purchase beside the intent.
pub(crate) struct With {
    pub(crate) card: Option<PaidWith>,
    pub(crate) accounts: Vec<String>,
    pub(crate) payer: Option<Payer>,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) stored: Option<StoredCard>,
}

pub(crate) fn purchase(intent: &Intent, with: With) -> Purchase {
    let With { card, accounts, payer, challenge, stored } = with;
    Purchase {
        kind: match intent.capture {
            // Nothing is taken, so there is nothing to capture.
            _ if intent.amount == 0 => OrderKind::Authorize(intent.money()),
            CaptureMethod::Automatic => OrderKind::Charge(intent.money()),
            CaptureMethod::Manual | CaptureMethod::ManualMultiple => {
                OrderKind::Authorize(intent.money())
            }
        },
        provider_token: intent
            .token()
            .filter(|_| card.is_none())
            .map(|(token, _)| token.to_owned()),
        redirect: intent.whole_redirect().filter(|_| card.is_none()),
        card,
        accounts,
        merchant_ref: Some(intent.id.clone()),
        brought: Brought::default(),
        description: intent.description.clone(),
        payer,
        digital: None,
        // Whoever leaves a challenge and begins anew buys once: the first cannot be taken without them.
        allow_duplicate: challenge.is_some(),
        challenge,
        stored: stored.map(Box::new),
        may_grow: intent.wants_increments() && intent.capture != CaptureMethod::Automatic,
        doubt: match intent.outcome_mode {
            // A card that is verified twice has cost nobody anything.
            Some(DoubtMode::HoldSafe) if intent.amount == 0 => DoubtMode::ResolveFirst,
            mode => mode.unwrap_or_default(),
        },
    }
}

/// Keeps what may be shown of the card that an intent is paid with.
pub(crate) fn show_card(intent: &mut Intent, card: &CardInput) {
    let (masked, holder) = (card.masked.clone(), card.holder.clone());
    let kind = intent.method.take().and_then(|method| method.kind);
    let card = CardKept { masked, holder, record: None, has_cvv: card.cvv.is_some() };
    intent.method = Some(Method { kind, card });
}

/// What a change asks for: without the CVC, and with no more of a card than may be shown.
pub(crate) fn asked(change: &IntentChange) -> Value {
    let mut asked = json!([
        change.amount,
        change.currency,
        change.capture,
        change.authentication,
        change.customer,
        change.method_kind,
        change.card.as_ref().map(|card| (&card.masked, &card.holder)),
        change.saved_method,
        change.mandate,
        change.setup_future_usage,
        change.return_url,
        change.description,
        change.session_expiry_s,
        change.details,
        change.outcome_mode,
        change.three_ds.as_ref().map(|brought| &brought.result),
    ]);
    // What an older version has remembered of a request stays what it was.
    if let Some(list) = asked.as_array_mut() {
        list.extend(change.recurring.as_ref().map(|recurring| json!(recurring)));
        list.extend(change.redirect.as_ref().map(|redirect| json!(redirect)));
    }
    asked
}

pub(crate) fn paid_with(
    card: CardInput,
    brought: Option<Authenticated>,
) -> Result<PaidWith, Fault> {
    let number = CardNumber::parse(card.number.expose()).map_err(|error| Fault::Invalid {
        field: "payment_method_data.card.card_number",
        message: error.to_string(),
    })?;
    let (expiry, cvv, holder) = (card.masked.expiry, card.cvv, card.holder);
    let card = Card { number, expiry, cvv, holder };
    let three_ds = brought.map(|brought| (brought.result, brought.value));
    Ok(PaidWith { card, network_token: None, three_ds })
}
