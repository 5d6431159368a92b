//! What goes along with a profile's webhooks besides signatures: headers of the merchant's own, and its login at the
//! endpoint.
//!
//! Guarantees: the headers' values and the login's password are in the vault only, each under a record that never
//! changes; the log of tries shows stars in their place. Left out: which headers may be added (`baton-hooks`).

use std::collections::BTreeMap;

use baton_hooks::basic_login;
use baton_types::Secret;
use baton_vault::{SealedKind, Tenant};
use serde::{Deserialize, Serialize};

use super::{Known, Told};
use crate::fault::Fault;
use crate::service::{Merchant, Payments};

/// What the log shows of a value that is a secret.
const STARS: &str = "********";

/// A secret as a request brings it.
#[derive(Debug)]
pub enum GivenSecret {
    /// Stars, as they were shown: the one that is kept stays.
    Same,
    /// A new one.
    New(Secret),
}

/// What becomes of the login's password: nothing if `webhook_details` do not come; none, or one, if they do.
pub type GivenPassword = Option<Option<GivenSecret>>;

/// Headers of a profile's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HookHeaders {
    /// Their names, in order.
    names: Vec<String>,
    /// The record of their values.
    record: String,
}

impl HookHeaders {
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }
}

/// A header as it is sent, and as it is logged.
pub(super) struct Extra {
    pub(super) name: String,
    pub(super) value: Secret,
}

impl Extra {
    pub(super) const fn logged() -> &'static str {
        STARS
    }
}

impl Payments {
    async fn seal_hook(
        &self,
        tenant: Tenant,
        prefix: &str,
        secret: &Secret,
    ) -> Result<String, Fault> {
        let record = self.new_name(prefix);
        let vault = self.engine().vault();
        vault.put(tenant, SealedKind::WebhookSecret, &record, secret, self.now()).await?;
        Ok(record)
    }

    /// The record of the login's password from now on.
    ///
    /// # Errors
    /// `Invalid` for stars where none is kept.
    pub(crate) async fn keep_hook_password(
        &self,
        tenant: Tenant,
        before: Option<String>,
        given: GivenPassword,
    ) -> Result<Option<String>, Fault> {
        match given {
            None => Ok(before),
            Some(None) => Ok(None),
            Some(Some(GivenSecret::Same)) => {
                let missing = || Fault::Invalid {
                    field: "webhook_details.webhook_password",
                    message: "stars stand for a password that is kept, and there is none"
                        .to_owned(),
                };
                before.map(Some).ok_or_else(missing)
            }
            Some(Some(GivenSecret::New(password))) => {
                self.seal_hook(tenant, "whp_", &password).await.map(Some)
            }
        }
    }

    /// A profile's headers from now on, in the place of those before.
    ///
    /// # Errors
    /// `Invalid` for stars where no value is kept.
    pub(crate) async fn keep_hook_headers(
        &self,
        merchant: &Merchant,
        before: Option<HookHeaders>,
        given: Vec<(String, GivenSecret)>,
    ) -> Result<Option<HookHeaders>, Fault> {
        if given.is_empty() {
            return Ok(None);
        }
        let mut kept = match before {
            Some(before) => self.open_headers(merchant, &before.record).await?,
            None => BTreeMap::new(),
        };
        let mut values = BTreeMap::new();
        for (name, value) in given {
            let value = match value {
                GivenSecret::New(value) => value.expose().to_owned(),
                GivenSecret::Same => {
                    let missing = || Fault::Invalid {
                        field: "outgoing_webhook_custom_http_headers",
                        message: "stars stand for a value that is kept, and there is none"
                            .to_owned(),
                    };
                    kept.remove(&name).ok_or_else(missing)?
                }
            };
            values.insert(name, value);
        }
        let text = serde_json::to_string(&values).unwrap_or_default();
        let tenant = merchant.caller.tenant();
        let record = self.seal_hook(tenant, "whh_", &Secret::new(text)).await?;
        Ok(Some(HookHeaders { names: values.into_keys().collect(), record }))
    }

    async fn open_headers(
        &self,
        merchant: &Merchant,
        record: &str,
    ) -> Result<BTreeMap<String, String>, Fault> {
        let found = self.hook_secret(merchant, record).await?;
        let found = found.and_then(|found| serde_json::from_str(found.0.expose()).ok());
        found.ok_or_else(|| Fault::Precondition("the webhooks' headers are gone".to_owned()))
    }

    /// What goes along with an event of a profile. A header `Authorization` of the merchant's own takes the login's
    /// place.
    ///
    /// # Errors
    /// The vault does not answer, or has lost a record.
    pub(super) async fn extra_headers(
        &self,
        known: &Known,
        told: &Told,
    ) -> Result<Vec<Extra>, Fault> {
        let mut extras = Vec::new();
        if let Some(headers) = &told.headers {
            let values = self.open_headers(&known.merchant, &headers.record).await?;
            let extra = |(name, value)| Extra { name, value: Secret::new(value) };
            extras.extend(values.into_iter().map(extra));
        }
        let own = |extra: &Extra| extra.name.eq_ignore_ascii_case("authorization");
        let login = told.details.login().filter(|_| !extras.iter().any(own));
        if let Some((username, record)) = login {
            let password = match record {
                None => None,
                Some(record) => {
                    let found = self.hook_secret(&known.merchant, record).await?;
                    let gone = || Fault::Precondition("the webhooks' password is gone".to_owned());
                    Some(found.ok_or_else(gone)?)
                }
            };
            let password = password.as_ref().map(|password| &password.0);
            let value = basic_login(username, password);
            extras.push(Extra { name: "authorization".to_owned(), value });
        }
        Ok(extras)
    }
}
