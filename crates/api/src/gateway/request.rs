//! The Gateway API's request bodies, read into what the engine takes. Every error names its field.

use baton_connect::{Payer, ThreeDs, TokenScheme};
use baton_engine::{Brought, InlineAccount, PaidWith};
use baton_flow::{DoubtMode, OrderKind};
use baton_types::{Card, CardNumber, Currency, Cvv, Expiry, MaskedCard, Money, Secret, Timestamp};
use serde::Serialize;

use super::shape;
use crate::accounts::{NO_ACCOUNT_NAME, is_account_name, read_credentials};
use crate::fields::{FieldError, Fields, sentence};

/// Most accounts that one request may name.
const ACCOUNTS_MAX: usize = 10;

/// Largest amount, in minor units. What is larger is a mistake, such as a card number in the wrong place,
/// which would be stored in clear.
const MINOR_MAX: i64 = 999_999_999_999;

/// Longest free text that is taken, in characters.
const TEXT_MAX: usize = 255;

/// The operations that make a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Making {
    Charge,
    Authorize,
    Tokenize,
}

/// The operations on a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changing {
    Capture,
    Void,
    Refund,
}

/// Credentials that come with a request, instead of an account's name.
pub(crate) const INLINE: &str = "paymentGatewayAccount";

/// The client certificate that is shown to the provider.
pub(crate) const CERTIFICATE: &str = "certificateName";

/// The same, for a fallback account.
const FALLBACK_CERTIFICATE: &str = "paymentGatewayCertName";

/// Longest name of a certificate, in characters.
const CERTIFICATE_MAX: usize = 128;

/// How the accounts were given, for errors that name one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AccountsForm {
    /// `paymentGatewayAccountName`, and `fallbackUpgs` behind it.
    Single,
    /// `paymentGatewayAccountNames`.
    List,
    /// `paymentGatewayAccount`, and `fallbackUpgs` behind it.
    Inline,
}

impl AccountsForm {
    /// The path of the account at this place of the list.
    pub(crate) fn path(&self, index: usize) -> String {
        match (self, index.checked_sub(1)) {
            (Self::List, _) => format!("paymentGatewayAccountNames[{index}]"),
            (Self::Inline, _) => format!("fallbackUpgs[{index}].paymentGatewayAccountName"),
            (Self::Single, None) => "paymentGatewayAccountName".to_owned(),
            (Self::Single, Some(backup)) => {
                format!("fallbackUpgs[{backup}].paymentGatewayAccountName")
            }
        }
    }
}

impl AccountsForm {
    /// The path of the certificate for the account at this place, with what came with the request first.
    pub(crate) fn certificate_path(&self, index: usize) -> String {
        match (self, index.checked_sub(1)) {
            (Self::List, _) | (Self::Single | Self::Inline, None) => CERTIFICATE.to_owned(),
            (Self::Single | Self::Inline, Some(backup)) => {
                format!("fallbackUpgs[{backup}].{FALLBACK_CERTIFICATE}")
            }
        }
    }
}

/// The accounts that a request names.
struct Named {
    names: Vec<String>,
    certificates: Vec<Option<String>>,
    form: AccountsForm,
}

/// A charge, authorization or tokenization, read and checked.
pub(crate) struct MakeRequest {
    pub(crate) purchase: baton_engine::Purchase,
    pub(crate) inline: Option<InlineAccount>,
    pub(crate) form: AccountsForm,
}

impl MakeRequest {
    /// What is asked for, to be compared with a repeat: all that has an effect, but for the CVV, and of
    /// the card number what may be stored.
    pub(crate) fn asked(&self) -> impl Serialize {
        let asked = &self.purchase;
        let card = asked.card.as_ref().map(|paid| {
            let three_ds = paid.three_ds.as_ref().map(|(result, _)| result);
            (paid.card.masked(), &paid.card.holder, paid.network_token, three_ds)
        });
        let texts = (&asked.provider_token, &asked.merchant_ref, &asked.description);
        let context = (&asked.payer, asked.digital);
        // Values of credentials may not be kept, not even hashed.
        let gateway = self.inline.as_ref().map(|inline| format!("({})", inline.gateway));
        let accounts: Vec<String> = gateway.into_iter().chain(asked.accounts.clone()).collect();
        let means = (accounts, &asked.brought.certificates);
        (asked.kind, card, texts, context, means, asked.doubt)
    }
}

/// A capture, void or refund, read and checked.
pub(crate) struct ChangeRequest {
    pub(crate) target: baton_engine::Target,
    pub(crate) inline: Option<InlineAccount>,
    pub(crate) amount: Money,
}

impl ChangeRequest {
    /// What is asked for, to be compared with a repeat.
    pub(crate) fn asked(&self) -> impl Serialize {
        let target = &self.target;
        let named = (&target.account, &target.brought.certificates);
        (named, &target.reference, &target.card, self.amount)
    }
}

/// Reads a charge, authorization or tokenization.
pub(crate) fn make(
    mut body: Fields,
    making: Making,
    now: Timestamp,
) -> Result<MakeRequest, FieldError> {
    let kind = match making {
        Making::Charge => OrderKind::Charge(money(&mut body)?),
        Making::Authorize => OrderKind::Authorize(money(&mut body)?),
        Making::Tokenize => OrderKind::Tokenize,
    };
    let provider_token = match making {
        Making::Tokenize => None,
        Making::Charge | Making::Authorize => body.kept_text("userToken", TEXT_MAX)?,
    };
    let allow_duplicate = match making {
        Making::Tokenize => false,
        Making::Charge | Making::Authorize => body.boolean("allowDuplicate")?.unwrap_or_default(),
    };
    let card = match body.object("card")? {
        Some(fields) => Some(card(fields, now)?),
        None if provider_token.is_some() => None,
        None => return Err(body.error("card", "It is required.")),
    };
    let network_token = network_token(&mut body)?;
    let card = card.map(|(card, three_ds)| PaidWith { card, network_token, three_ds });
    let inline = inline(&mut body)?;
    let Named { names: accounts, certificates, form } = accounts(&mut body, inline.is_some())?;
    let purchase = baton_engine::Purchase {
        kind,
        card,
        provider_token,
        redirect: None,
        accounts,
        merchant_ref: body.kept_text("myRef", TEXT_MAX)?,
        description: body.kept_text("orderDesc", TEXT_MAX)?,
        payer: payer(&mut body)?,
        digital: body.boolean("isDigital")?,
        challenge: None,
        stored: None,
        may_grow: false,
        doubt: doubt(&mut body)?,
        brought: Brought { inline: None, certificates },
        allow_duplicate,
    };
    Ok(MakeRequest { purchase, inline, form })
}

/// Reads a capture, void or refund.
pub(crate) fn change(mut body: Fields, changing: Changing) -> Result<ChangeRequest, FieldError> {
    let reference = body.required_text("refTransId", TEXT_MAX)?;
    let amount = money(&mut body)?;
    if changing == Changing::Refund {
        payer(&mut body)?;
    }
    network_token(&mut body)?;
    // The contract sends the card again; here it only has to be the same one, and its CVV is dropped.
    let card = body.object("card")?.map(shown_card).transpose()?;
    body.plain_text("myRef", TEXT_MAX)?;
    let inline = inline(&mut body)?;
    Ok(ChangeRequest {
        target: baton_engine::Target {
            account: account(&mut body)?.filter(|_| inline.is_none()),
            reference: Some(reference.trim().to_owned()),
            merchant_ref: None,
            card,
            brought: Brought { inline: None, certificates: vec![certificate(&mut body)?] },
        },
        inline,
        amount,
    })
}

/// Reads a status request.
pub(crate) fn status(
    mut body: Fields,
) -> Result<(baton_engine::Target, Option<InlineAccount>), FieldError> {
    network_token(&mut body)?;
    let reference = body.plain_text("refTransId", TEXT_MAX)?;
    let merchant_ref = body.plain_text("myRef", TEXT_MAX)?;
    if reference.is_none() && merchant_ref.is_none() {
        return Err(body.error("refTransId", "Either refTransId or myRef is required."));
    }
    let inline = inline(&mut body)?;
    let account = account(&mut body)?.filter(|_| inline.is_none());
    certificate(&mut body)?;
    let (card, brought) = (None, Brought::default());
    Ok((baton_engine::Target { account, reference, merchant_ref, card, brought }, inline))
}

/// Credentials that come with the request. What of them does not fit the gateway, the engine finds out.
fn inline(body: &mut Fields) -> Result<Option<InlineAccount>, FieldError> {
    let Some(mut given) = body.object(INLINE)? else { return Ok(None) };
    let gateway = given.required_text("paymentGatewayName", 64)?.trim().to_owned();
    // None of them is kept in clear, whatever the gateway says of them.
    let credentials = read_credentials(&[], &mut given, &gateway)?;
    Ok(Some(InlineAccount { gateway, credentials }))
}

fn money(body: &mut Fields) -> Result<Money, FieldError> {
    let code = body.required_text("currency", 16)?;
    let currency =
        Currency::parse(code.trim()).map_err(|error| body.error("currency", sentence(error)))?;
    let text = body.required_number("amount")?;
    let amount = Money::parse_major(&text, currency)
        .map_err(|error| body.error("amount", sentence(error)))?;
    if !amount.is_positive() {
        return Err(body.error("amount", "It must be greater than zero."));
    }
    if amount.minor() > MINOR_MAX {
        return Err(body.error("amount", "It is larger than any payment."));
    }
    Ok(amount)
}

type Authenticated = (ThreeDs, Secret);

fn card(mut fields: Fields, now: Timestamp) -> Result<(Card, Option<Authenticated>), FieldError> {
    let three_ds = fields.object("threeDSAuthentication")?.map(three_ds).transpose()?;
    let number = number(&mut fields)?;
    let expiry = expiry(&mut fields)?;
    if expiry.is_past(now) {
        return Err(fields.error("expirationYear", "The card has expired."));
    }
    let holder = fields.kept_text("cardHolderName", TEXT_MAX)?;
    let holder = holder.ok_or_else(|| fields.error("cardHolderName", "It is required."))?;
    for name in ["ownerID", "issueNumber"] {
        fields.plain_text(name, TEXT_MAX)?;
    }
    if fields.text("cardType", 64)?.is_some_and(|word| !shape::CARD_TYPES.contains(&word.as_str()))
    {
        return Err(fields.error("cardType", "It is not one of the contract's card types."));
    }
    let cvv = match fields.text("cvv", 64)? {
        None => None,
        Some(text) if text.is_empty() => None,
        Some(text) => {
            Some(Cvv::parse(&text).map_err(|error| fields.error("cvv", sentence(error)))?)
        }
    };
    if let Some(cvv) = &cvv
        && !cvv.matches_brand(number.brand())
    {
        let digits = if number.brand() == baton_types::Brand::Amex { 4 } else { 3 };
        return Err(fields.error("cvv", format!("This brand's code has {digits} digits.")));
    }
    Ok((Card { number, expiry, cvv, holder: Some(holder) }, three_ds))
}

/// The result of a 3-D Secure authentication. Its value goes to the provider and is not kept.
fn three_ds(mut fields: Fields) -> Result<Authenticated, FieldError> {
    let value = fields.required_text("authenticationValue", 64)?;
    if !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')) {
        return Err(fields.error("authenticationValue", "It must be base64 or hexadecimal."));
    }
    // The provider knows the merchant's name; the contract wants it sent.
    fields.required_text("merchantName", 40)?;
    let mut kept = |name: &str, max| match fields.kept_text(name, max)? {
        Some(text) => Ok(text),
        None => Err(fields.error(name, "It is required.")),
    };
    let eci = kept("eci", 2)?;
    let transaction_id = kept("xid", 40)?;
    let version = kept("version", 5)?;
    if !eci.bytes().all(|b| b.is_ascii_digit()) {
        return Err(fields.error("eci", "It must be one or two digits."));
    }
    if !version.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(fields.error("version", "It must be a version such as 2.2.0."));
    }
    let sli = fields.kept_text("sli", 3)?;
    let value = Secret::new(value.as_str().to_owned());
    Ok((ThreeDs { eci, transaction_id, version, sli }, value))
}

/// Says that the card number is a network token.
fn network_token(body: &mut Fields) -> Result<Option<TokenScheme>, FieldError> {
    const NAME: &str = "networkTokenBrand";
    match body.plain_text(NAME, 64)?.as_deref() {
        None => Ok(None),
        Some("Visa") => Ok(Some(TokenScheme::Visa)),
        Some("MasterCard") => Ok(Some(TokenScheme::Mastercard)),
        Some("Amex") => Ok(Some(TokenScheme::Amex)),
        Some(_) => Err(body.error(NAME, "It must be Visa, MasterCard or Amex.")),
    }
}

/// The card as capture, void and refund send it: compared, and forgotten.
fn shown_card(mut fields: Fields) -> Result<MaskedCard, FieldError> {
    let number = number(&mut fields)?;
    let expiry = expiry(&mut fields)?;
    Ok(Card { number, expiry, cvv: None, holder: None }.masked())
}

fn number(fields: &mut Fields) -> Result<CardNumber, FieldError> {
    let text = fields.required_text("cardNumber", 64)?;
    CardNumber::parse(&text).map_err(|error| fields.error("cardNumber", sentence(error)))
}

fn expiry(fields: &mut Fields) -> Result<Expiry, FieldError> {
    let month = fields.required_integer("expirationMonth")?;
    let year = fields.required_integer("expirationYear")?;
    Expiry::new(month, year).map_err(|error| {
        let month = error == baton_types::CardError::ExpiryMonth;
        let name = if month { "expirationMonth" } else { "expirationYear" };
        fields.error(name, sentence(error))
    })
}

fn payer(body: &mut Fields) -> Result<Option<Payer>, FieldError> {
    let Some(mut payer) = body.object("payerDetails")? else { return Ok(None) };
    let ip = payer.kept_text("clientIPAddress", TEXT_MAX)?;
    let ip = ip.ok_or_else(|| payer.error("clientIPAddress", "It is required."))?;
    let country = payer.required_text("countryCode", 16)?;
    if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(payer.error("countryCode", "It must be two capital letters."));
    }
    let mut address = Vec::new();
    for line in ["address1", "address2", "address3"] {
        address.extend(payer.kept_text(line, TEXT_MAX)?);
    }
    Ok(Some(Payer {
        ip,
        country: country.as_str().to_owned(),
        address,
        post_code: payer.kept_text("postCode", TEXT_MAX)?,
        city: payer.kept_text("city", TEXT_MAX)?,
        state: payer.kept_text("stateProvince", TEXT_MAX)?,
    }))
}

/// The accounts to try, in either syntax; never a mixture.
fn accounts(body: &mut Fields, inline: bool) -> Result<Named, FieldError> {
    const LIST: &str = "paymentGatewayAccountNames";
    let first_certificate = certificate(body)?;
    if let Some(names) = body.texts(LIST)? {
        for (other, there) in [
            ("paymentGatewayAccountName", body.has("paymentGatewayAccountName")),
            ("fallbackUpgs", body.has("fallbackUpgs")),
            (INLINE, inline),
        ] {
            if there {
                let message = format!("It cannot be combined with {LIST}.");
                return Err(body.error(other, message));
            }
        }
        if names.is_empty() {
            return Err(body.error(LIST, "The list is empty."));
        }
        for (index, name) in names.iter().enumerate() {
            check_name(name, || body.path(&format!("{LIST}[{index}]")))?;
        }
        let names = within_limit(names, LIST)?;
        let certificates = vec![first_certificate; names.len()];
        return Ok(Named { names, certificates, form: AccountsForm::List });
    }
    // Credentials win over a name beside them, as the contract has it.
    let mut names = match account(body)? {
        _ if inline => Vec::new(),
        Some(first) => vec![first],
        None => return Err(body.error("paymentGatewayAccountName", "It is required.")),
    };
    let mut certificates = vec![first_certificate];
    for mut backup in body.objects("fallbackUpgs")?.unwrap_or_default() {
        certificates.push(backup.kept_text(FALLBACK_CERTIFICATE, CERTIFICATE_MAX)?);
        let name = backup.required_text("paymentGatewayAccountName", TEXT_MAX)?;
        check_name(&name, || backup.path("paymentGatewayAccountName"))?;
        names.push(name.as_str().to_owned());
    }
    let form = if inline { AccountsForm::Inline } else { AccountsForm::Single };
    let names = within_limit(names, "fallbackUpgs")?;
    Ok(Named { names, certificates, form })
}

fn certificate(body: &mut Fields) -> Result<Option<String>, FieldError> {
    body.kept_text(CERTIFICATE, CERTIFICATE_MAX)
}

fn within_limit(names: Vec<String>, field: &str) -> Result<Vec<String>, FieldError> {
    if names.len() > ACCOUNTS_MAX {
        let message = format!("At most {ACCOUNTS_MAX} accounts can be named.");
        return Err(FieldError::new(field, message));
    }
    Ok(names)
}

fn account(body: &mut Fields) -> Result<Option<String>, FieldError> {
    const NAME: &str = "paymentGatewayAccountName";
    let Some(name) = body.text(NAME, TEXT_MAX)? else { return Ok(None) };
    check_name(&name, || body.path(NAME))?;
    Ok(Some(name.as_str().to_owned()))
}

fn check_name(name: &str, path: impl Fn() -> String) -> Result<(), FieldError> {
    if is_account_name(name) {
        return Ok(());
    }
    Err(FieldError::new(path(), NO_ACCOUNT_NAME))
}

fn doubt(body: &mut Fields) -> Result<DoubtMode, FieldError> {
    match body.text("outcomeMode", 64)?.as_deref().map(String::as_str) {
        None | Some("resolve_first") => Ok(DoubtMode::ResolveFirst),
        Some("stop") => Ok(DoubtMode::Stop),
        Some("hold_safe") => Ok(DoubtMode::HoldSafe),
        Some(_) => Err(body.error("outcomeMode", "It must be resolve_first, hold_safe or stop.")),
    }
}
