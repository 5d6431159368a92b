//! Payments by a method that the payer completes on a bank's or a lender's page.
//!
//! Such a method is not saved, and nothing of it is secret: an intent keeps what was said of it. The payer comes back as
//! from a challenge.

use baton_connect::{Contact, Redirect, RedirectMethod};
use serde_json::{Map, Value};

use crate::connector::{ConnectorAccount, Wanted};
use crate::fault::Fault;
use crate::intent::{CaptureMethod, Intent};
use crate::service::Payments;

impl Intent {
    /// What is to be told to whoever the payer is sent to: what came with the method, and what is known of the payer
    /// from elsewhere.
    pub(crate) fn whole_redirect(&self) -> Option<Box<Redirect>> {
        let chosen = self.redirect.as_ref()?;
        let mut payer = contact(self.details.get("billing"));
        let said = &chosen.payer;
        let text = |name: &str| self.details.get(name).and_then(Value::as_str).map(str::to_owned);
        payer.name = said.name.clone().or(payer.name).or_else(|| text("name"));
        payer.email = said.email.clone().or(payer.email).or_else(|| text("email"));
        payer.country = said.country.clone().or(payer.country);
        let shipping = self.details.get("shipping").filter(|value| value.is_object());
        let shipping = shipping.map(|there| contact(Some(there)));
        Some(Box::new(Redirect { payer, shipping, ..Redirect::clone(chosen) }))
    }

    /// Takes what a request says of such a method, or that it is paid otherwise.
    pub(crate) fn choose_redirect(&mut self, chosen: Option<Box<Redirect>>, otherwise: bool) {
        if otherwise {
            self.redirect = None;
        } else if chosen.is_some() {
            self.redirect = chosen;
            (self.method, self.saved_method, self.mandate) = (None, None, None);
        }
    }

    /// Whether neither a card nor anything saved is needed to pay it.
    pub(crate) fn is_without_card(&self) -> bool {
        self.token().is_some() || self.redirect.is_some()
    }

    /// Refuses what such a method cannot do, whatever the connector.
    pub(crate) fn check_redirect(&self) -> Result<(), Fault> {
        let Some(method) = self.redirect.as_ref().map(|redirect| redirect.method) else {
            return Ok(());
        };
        let invalid =
            |field, message: &str| Err(Fault::Invalid { field, message: message.to_owned() });
        if self.setup_future_usage.is_some() || self.mandate.is_some() {
            return invalid(
                "setup_future_usage",
                "a method that the payer completes elsewhere is not saved",
            );
        }
        let holds = self.capture != CaptureMethod::Automatic;
        if holds && method.family() == "bank_redirect" {
            return invalid(
                "capture_method",
                "a bank's page takes the whole amount at once: must be automatic",
            );
        }
        if self.return_url.is_none() {
            return Err(Fault::Missing("return_url"));
        }
        Ok(())
    }
}

/// Who somebody is and where, from the contract's `address` and `email`.
fn contact(given: Option<&Value>) -> Contact {
    let none = Map::new();
    let given = given.and_then(Value::as_object).unwrap_or(&none);
    let address = given.get("address").and_then(Value::as_object).unwrap_or(&none);
    let text = |name: &str| {
        let word = address.get(name).and_then(Value::as_str).map(str::trim);
        word.filter(|word| !word.is_empty()).map(str::to_owned)
    };
    let names: Vec<String> = ["first_name", "last_name"].into_iter().filter_map(text).collect();
    Contact {
        name: Some(names.join(" ")).filter(|name| !name.is_empty()),
        email: given.get("email").and_then(Value::as_str).map(str::to_owned),
        address: ["line1", "line2", "line3"].into_iter().filter_map(text).collect(),
        city: text("city"),
        state: text("state"),
        post_code: text("zip"),
        country: text("country"),
    }
}

impl Payments {
    /// The methods completed elsewhere that a connector is set up for and claims, for an intent if one is named.
    #[must_use]
    pub fn redirects_of(
        &self,
        account: &ConnectorAccount,
        intent: Option<&Intent>,
    ) -> Vec<RedirectMethod> {
        let takes = |method: &RedirectMethod| match intent {
            Some(intent) => self.redirects_at(account, intent, *method),
            None => account.offers(method.family(), method.as_str()),
        };
        RedirectMethod::ALL.into_iter().filter(takes).collect()
    }

    /// Whether a connector is set up for what an intent is paid with.
    pub(crate) fn takes(&self, account: &ConnectorAccount, intent: &Intent) -> bool {
        match &intent.redirect {
            Some(redirect) => self.redirects_at(account, intent, redirect.method),
            None => account.takes(&Wanted::of(intent, None)),
        }
    }

    /// Whether a connector is set up for an intent by this method, and its provider claims to take it.
    fn redirects_at(
        &self,
        account: &ConnectorAccount,
        intent: &Intent,
        method: RedirectMethod,
    ) -> bool {
        let claims = self
            .gateway(&account.connector)
            .is_ok_and(|manifest| manifest.redirects(method, intent.currency));
        claims && account.takes(&Wanted::of(intent, Some(method)))
    }
}
