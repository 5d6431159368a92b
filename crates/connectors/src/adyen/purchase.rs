//! The body of `POST /payments`.

use baton_connect::{
    CardFacts, Cx, EncodeError, Hole, HttpCall, Json, Manifest, Payer, Purchase, Source, ThreeDs,
    Usage,
};

use super::request::{card_fields, merchant_account, money, post};

/// How a stored card is paid with: on no schedule and without its payer, or with the payer there.
const UNSCHEDULED: &str = "UnscheduledCardOnFile";
const CARD_ON_FILE: &str = "CardOnFile";

/// Where a payer would come back to. The field is required; nobody is sent there, because a payment
/// without a payer asks for no challenge.
const NOBODY_RETURNS: &str = "https://payer-absent.invalid/";

pub(super) fn call(
    manifest: &Manifest,
    bought: &Purchase,
    sale: bool,
    cx: &Cx,
) -> Result<HttpCall, EncodeError> {
    let (card, stored) = match &bought.source {
        Source::Card(card) => (Some(card), None),
        Source::ProviderToken(token) => (None, Some(token_parts(token)?)),
        Source::Redirect(redirect) => return Err(EncodeError::redirect(redirect)),
    };
    let method = match (card, stored) {
        (Some(card), _) if card.network_token.is_some() => {
            Json::obj(card_fields("networkToken", card))
        }
        (Some(card), _) => Json::obj(card_fields("scheme", card)),
        (None, stored) => Json::obj([
            ("type", "scheme".into()),
            ("storedPaymentMethodId", stored.map(|(_, id)| id).into()),
        ]),
    };
    let present = bought.challenge.as_ref();
    // A stored card without its payer is a continued authority; all else is a purchase in a shop.
    let asked = bought.merchant_asks();
    let alone = asked.is_some() || (stored.is_some() && present.is_none());
    let (model, shopper) = match (stored, &bought.usage) {
        (Some((shopper, _)), asked) => {
            let merchant = matches!(asked, Some(Usage::MerchantInitiated(_)));
            (Some(if merchant { UNSCHEDULED } else { CARD_ON_FILE }), Some(shopper))
        }
        (None, Some(Usage::Keeps { name, without_payer })) => {
            (Some(if *without_payer { UNSCHEDULED } else { CARD_ON_FILE }), Some(name.as_str()))
        }
        (None, Some(Usage::MerchantInitiated(asked))) => {
            (Some(UNSCHEDULED), Some(asked.name.as_str()))
        }
        (None, None) => (None, None),
    };
    let network = asked.and_then(|asked| asked.network_transaction_id.clone());
    let return_url = present.map_or(NOBODY_RETURNS, |challenge| &challenge.return_url);
    let body = Json::obj([
        ("merchantAccount", merchant_account(cx)?),
        ("reference", bought.reference.as_str().into()),
        ("amount", money(manifest, bought.amount)?),
        ("paymentMethod", method),
        ("returnUrl", return_url.into()),
        ("shopperInteraction", if alone { "ContAuth" } else { "Ecommerce" }.into()),
        ("recurringProcessingModel", model.into()),
        ("shopperReference", shopper.into()),
        // Both are said each time: an account may be set to anything.
        ("captureDelayHours", sale.then_some(0_i64).into()),
        (
            "additionalData",
            Json::obj([
                ("manualCapture", if sale { "false" } else { "true" }.into()),
                ("networkTxReference", network.into()),
                ("authorisationType", bought.may_grow.then_some("PreAuth").into()),
            ]),
        ),
        ("authenticationData", authentication(bought)),
        ("mpiData", card.map(mpi).transpose()?.unwrap_or(Json::Null)),
        ("shopperIP", bought.payer.as_ref().map(|payer| payer.ip.as_str()).into()),
        ("countryCode", bought.payer.as_ref().map(|payer| payer.country.as_str()).into()),
        ("billingAddress", bought.payer.as_ref().map_or(Json::Null, address)),
        ("merchantRiskIndicator", delivery(bought.digital)),
        ("metadata", Json::obj([("payment", bought.payment.as_str().into())])),
    ]);
    Ok(post("/payments", &body))
}

/// With a payer, a challenge is a redirect; without one, or after one that was passed elsewhere, none is
/// to be begun.
fn authentication(bought: &Purchase) -> Json {
    let imported = match &bought.source {
        Source::Card(card) => card.three_ds.is_some(),
        Source::ProviderToken(_) | Source::Redirect(_) => false,
    };
    if imported {
        return Json::Null;
    }
    match bought.challenge {
        Some(_) => {
            Json::obj([("threeDSRequestData", Json::obj([("nativeThreeDS", "disabled".into())]))])
        }
        None => Json::obj([("attemptAuthentication", "never".into())]),
    }
}

/// The result of an authentication that was made elsewhere, or a network token's cryptogram.
fn mpi(card: &CardFacts) -> Result<Json, EncodeError> {
    let Some(result) = &card.three_ds else { return Ok(Json::Null) };
    let value = Json::Hole(Hole::AuthenticationValue);
    if card.network_token.is_some() {
        return Ok(Json::obj([
            ("tokenAuthenticationVerificationValue", value),
            ("eci", result.eci.as_str().into()),
        ]));
    }
    let first = result.version.starts_with('1');
    let id = result.transaction_id.as_str();
    Ok(Json::obj([
        ("cavv", value),
        ("eci", result.eci.as_str().into()),
        ("directoryResponse", directory_response(result)?.into()),
        ("dsTransID", (!first).then_some(id).into()),
        ("xid", first.then_some(id).into()),
        ("threeDSVersion", result.version.as_str().into()),
    ]))
}

/// What the electronic commerce indicator says in the directory's letters: authenticated or attempted. One
/// that says neither is no result to pay with.
fn directory_response(result: &ThreeDs) -> Result<&'static str, EncodeError> {
    match result.eci.as_str() {
        "05" | "02" => Ok("Y"),
        "06" | "01" => Ok("A"),
        other => Err(EncodeError::Unfit(format!("3-D Secure indicator {other}"))),
    }
}

/// The address, if all that Adyen requires is known: street and house are separate lines there.
fn address(payer: &Payer) -> Json {
    let (Some(city), Some(post_code)) = (&payer.city, &payer.post_code) else { return Json::Null };
    let [street, house, ..] = payer.address.as_slice() else { return Json::Null };
    Json::obj([
        ("street", street.as_str().into()),
        ("houseNumberOrName", house.as_str().into()),
        ("postalCode", post_code.as_str().into()),
        ("city", city.as_str().into()),
        ("stateOrProvince", payer.state.clone().into()),
        ("country", payer.country.as_str().into()),
    ])
}

fn delivery(digital: Option<bool>) -> Json {
    match digital {
        Some(true) => Json::obj([("deliveryAddressIndicator", "digitalGoods".into())]),
        Some(false) | None => Json::Null,
    }
}

/// A token as shopper and stored payment method.
fn token_parts(token: &str) -> Result<(&str, &str), EncodeError> {
    let parts =
        token.rsplit_once('/').filter(|(shopper, id)| !shopper.is_empty() && !id.is_empty());
    parts.ok_or_else(|| {
        EncodeError::Unfit("the token: it is SHOPPER/STORED_PAYMENT_METHOD_ID".to_owned())
    })
}
