//! Methods that a payer completes on a bank's or a lender's page. Each is a `payment_method_data` of the confirmation;
//! Stripe answers with the page, and the payer comes back to the return URL.

use baton_connect::{EncodeError, HttpCall, Purchase, Redirect, RedirectMethod};

use super::request::{self, Fields};

/// The banks that Stripe knows, by its names, which are the contract's.
const IDEAL_BANKS: [&str; 14] = [
    "abn_amro",
    "asn_bank",
    "bunq",
    "handelsbanken",
    "ing",
    "knab",
    "moneyou",
    "rabobank",
    "regiobank",
    "revolut",
    "sns_bank",
    "triodos_bank",
    "van_lanschot",
    "yoursafe",
];
const EPS_BANKS: [&str; 28] = [
    "arzte_und_apotheker_bank",
    "austrian_anadi_bank_ag",
    "bank_austria",
    "bankhaus_carl_spangler",
    "bankhaus_schelhammer_und_schattera_ag",
    "bawag_psk_ag",
    "bks_bank_ag",
    "brull_kallmus_bank_ag",
    "btv_vier_lander_bank",
    "capital_bank_grawe_gruppe_ag",
    "deutsche_bank_ag",
    "dolomitenbank",
    "easybank_ag",
    "erste_bank_und_sparkassen",
    "hypo_alpeadriabank_international_ag",
    "hypo_bank_burgenland_aktiengesellschaft",
    "hypo_noe_lb_fur_niederosterreich_u_wien",
    "hypo_oberosterreich_salzburg_steiermark",
    "hypo_tirol_bank_ag",
    "hypo_vorarlberg_bank_ag",
    "marchfelder_bank",
    "oberbank_ag",
    "raiffeisen_bankengruppe_osterreich",
    "schoellerbank_ag",
    "sparda_bank_wien",
    "volksbank_gruppe",
    "volkskreditbank_ag",
    "vr_bank_braunau",
];

/// Where Sofort pays from.
const SOFORT_COUNTRIES: [&str; 6] = ["AT", "BE", "DE", "ES", "IT", "NL"];

/// What Stripe refuses, told before anything is sent.
pub(super) fn check(
    chosen: &Redirect,
    purchase: &Purchase,
    capture_method: &str,
) -> Result<(), EncodeError> {
    let unfit = |what: &str| Err(EncodeError::Unfit(what.to_owned()));
    if purchase.challenge.is_none() {
        return unfit("nobody is there to be sent to another page");
    }
    let bank = chosen.bank.as_deref();
    let is_known = |banks: &[&str]| bank.is_none_or(|bank| banks.contains(&bank));
    let payer = &chosen.payer;
    match chosen.method {
        RedirectMethod::Klarna if payer.email.is_none() || payer.country.is_none() => {
            unfit("Klarna wants to know the payer's e-mail address and country")
        }
        RedirectMethod::AfterpayClearpay if payer.email.is_none() || payer.name.is_none() => {
            unfit("Afterpay wants to know the payer's name and e-mail address")
        }
        RedirectMethod::Klarna | RedirectMethod::AfterpayClearpay | RedirectMethod::Affirm => {
            Ok(())
        }
        // Banks do not hold.
        RedirectMethod::Ideal
        | RedirectMethod::Eps
        | RedirectMethod::Giropay
        | RedirectMethod::Sofort
            if capture_method == "manual" =>
        {
            unfit("a bank's page takes the whole amount at once")
        }
        RedirectMethod::Ideal if !is_known(&IDEAL_BANKS) => unfit("the bank is none of iDEAL's"),
        RedirectMethod::Eps if !is_known(&EPS_BANKS) => unfit("the bank is none of EPS's"),
        RedirectMethod::Sofort
            if payer.country.as_deref().is_none_or(|code| !SOFORT_COUNTRIES.contains(&code)) =>
        {
            unfit("Sofort pays from Austria, Belgium, Germany, Italy, the Netherlands and Spain")
        }
        RedirectMethod::Ideal
        | RedirectMethod::Eps
        | RedirectMethod::Giropay
        | RedirectMethod::Sofort => Ok(()),
    }
}

/// The second and last call: with it the payer can pay.
pub(super) fn confirm(intent: &str, chosen: &Redirect, purchase: &Purchase) -> HttpCall {
    let mut fields: Fields = vec![
        ("payment_method_data[type]", chosen.method.as_str().into()),
        ("expand[]", "latest_charge".into()),
    ];
    let mut put = |name, value: Option<&str>| {
        fields.extend(value.map(|value| (name, value.into())));
    };
    let bank = chosen.bank.as_deref();
    match chosen.method {
        RedirectMethod::Ideal => put("payment_method_data[ideal][bank]", bank),
        RedirectMethod::Eps => put("payment_method_data[eps][bank]", bank),
        RedirectMethod::Sofort => {
            put("payment_method_data[sofort][country]", chosen.payer.country.as_deref());
        }
        RedirectMethod::Affirm
        | RedirectMethod::AfterpayClearpay
        | RedirectMethod::Giropay
        | RedirectMethod::Klarna => {}
    }
    let payer = &chosen.payer;
    put("payment_method_data[billing_details][name]", payer.name.as_deref());
    put("payment_method_data[billing_details][email]", payer.email.as_deref());
    let (first, more) = request::lines(&payer.address);
    put("payment_method_data[billing_details][address][line1]", first);
    put("payment_method_data[billing_details][address][line2]", more.as_deref());
    put("payment_method_data[billing_details][address][city]", payer.city.as_deref());
    put("payment_method_data[billing_details][address][state]", payer.state.as_deref());
    put("payment_method_data[billing_details][address][postal_code]", payer.post_code.as_deref());
    put("payment_method_data[billing_details][address][country]", payer.country.as_deref());
    if let Some(there) = &chosen.shipping {
        let (first, more) = request::lines(&there.address);
        put("shipping[name]", there.name.as_deref());
        put("shipping[address][line1]", first);
        put("shipping[address][line2]", more.as_deref());
        put("shipping[address][city]", there.city.as_deref());
        put("shipping[address][state]", there.state.as_deref());
        put("shipping[address][postal_code]", there.post_code.as_deref());
        put("shipping[address][country]", there.country.as_deref());
    }
    let back = purchase.challenge.as_ref().map(|challenge| challenge.return_url.as_str());
    put("return_url", back);
    request::confirmation(intent, &fields)
}
