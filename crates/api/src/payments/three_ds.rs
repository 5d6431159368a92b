//! `three_ds_data`: the result of an authentication that the merchant's own 3-D Secure server has made.

use baton_connect::ThreeDs;
use baton_payments::Authenticated;
use baton_types::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use super::body::Hidden;
use super::error::Refusal;
use super::shape::check_text;

/// Longest authentication value, in characters: 20 bytes in base64 are 28, in hexadecimal 40.
const VALUE_MAX: usize = 64;

/// The result of an authentication that was made elsewhere.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThreeDsData {
    #[serde(default)]
    authentication_cryptogram: Option<Cryptogram>,
    #[serde(default)]
    ds_trans_id: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    eci: Option<String>,
    transaction_status: String,
}

/// The authentication value, by what made it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Cryptogram {
    cavv: Cavv,
}

/// The authentication value (CAVV, AAV).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Cavv {
    #[serde(default)]
    authentication_cryptogram: Option<Hidden>,
}

const FIELD: &str = "three_ds_data";

impl ThreeDsData {
    /// The result, if it is one that a provider can be paid with: authenticated, or attempted.
    pub(crate) fn read(self) -> Result<Authenticated, Refusal> {
        if !matches!(self.transaction_status.as_str(), "Y" | "A") {
            let message = "transaction_status must be Y or A: any other is no authentication";
            return Err(Refusal::value(FIELD, message));
        }
        let value =
            self.authentication_cryptogram.and_then(|told| told.cavv.authentication_cryptogram);
        let missing = |name: &str| Refusal::value(FIELD, format!("{name} is required"));
        let value = value.ok_or_else(|| missing("authentication_cryptogram"))?;
        let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        let text = value.expose();
        if text.is_empty() || text.len() > VALUE_MAX || !text.bytes().all(in_alphabet) {
            let message = "authentication_cryptogram must be base64 or hexadecimal";
            return Err(Refusal::value(FIELD, message));
        }
        let kept = |name: &str, given: Option<String>, longest: usize| {
            let given = given.ok_or_else(|| missing(name))?;
            check_text(FIELD, &given)?;
            let fits = (1..=longest).contains(&given.len());
            let wrong = || Refusal::value(FIELD, format!("{name} has 1 to {longest} characters"));
            fits.then_some(given).ok_or_else(wrong)
        };
        let eci = kept("eci", self.eci, 2)?;
        let version = kept("version", self.version, 5)?;
        let transaction_id = kept("ds_trans_id", self.ds_trans_id, 40)?;
        if !eci.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refusal::value(FIELD, "eci must be one or two digits"));
        }
        if !version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(Refusal::value(FIELD, "version must be one such as 2.2.0"));
        }
        let result = ThreeDs { eci, transaction_id, version, sli: None };
        Ok(Authenticated { result, value: Secret::new(text.to_owned()) })
    }
}
