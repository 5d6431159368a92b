//! Connectors of a merchant account.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use baton_payments::{MethodFilter, NewConnector};
use baton_types::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::auth::{Asker, Who};
use super::body::{Body, Hidden};
use super::error::Refusal;
use super::shape::{check_text, hide_secrets, request};
use super::{PaymentsRoute, view};
use crate::App;

pub(crate) fn routes() -> Vec<PaymentsRoute> {
    let who = Who::OperatorOrMerchant;
    let one = "/account/{merchant_id}/connectors/{connector_id}";
    vec![
        PaymentsRoute::new("POST", "/account/{merchant_id}/connectors", who, create),
        PaymentsRoute::new("GET", "/account/{merchant_id}/connectors", who, list),
        PaymentsRoute::new("GET", one, who, show),
        PaymentsRoute::new("POST", one, who, update),
        PaymentsRoute::new("DELETE", one, who, remove),
    ]
}

request!(
    /// A connector.
    ConnectorRequest {
        connector_type: Option<String>,
        connector_name: Option<String>,
        connector_label: Option<String>,
        profile_id: Option<String>,
        connector_account_details: Option<Details>,
        payment_methods_enabled: Option<Vec<MethodsEnabled>>,
        disabled: Option<bool>,
    } kept {
        metadata, test_mode, frm_configs, business_country, business_label, business_sub_label,
        connector_webhook_details, pm_auth_config, status, additional_merchant_data,
        connector_wallets_details, merchant_connector_id,
    }
);

/// Credentials, in any of the contract's forms.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Details {
    auth_type: String,
    #[serde(default)]
    api_key: Option<Hidden>,
    #[serde(default)]
    key1: Option<Hidden>,
    #[serde(default)]
    api_secret: Option<Hidden>,
    #[serde(default)]
    key2: Option<Hidden>,
}

impl Details {
    fn read(self) -> Result<Vec<(String, Secret)>, Refusal> {
        let needed: &[&str] = match self.auth_type.as_str() {
            "HeaderKey" => &["api_key"],
            "BodyKey" => &["api_key", "key1"],
            "SignatureKey" => &["api_key", "key1", "api_secret"],
            "MultiAuthKey" => &["api_key", "key1", "api_secret", "key2"],
            "NoKey" => &[],
            other => {
                check_text("auth_type", other)?;
                let known = "HeaderKey, BodyKey, SignatureKey, MultiAuthKey, NoKey";
                let message = format!("no connector of this server takes it; known: {known}");
                return Err(Refusal::value("connector_account_details.auth_type", message));
            }
        };
        let mut given: Map<String, Value> = Map::new();
        let fields = [
            ("api_key", self.api_key),
            ("key1", self.key1),
            ("api_secret", self.api_secret),
            ("key2", self.key2),
        ];
        let mut credentials = Vec::new();
        for (name, value) in fields {
            if let Some(value) = value {
                given.insert(name.to_owned(), Value::Bool(true));
                credentials.push((name.to_owned(), Secret::new(value.expose().to_owned())));
            }
        }
        match needed.iter().find(|name| !given.contains_key(**name)) {
            Some(name) => Err(Refusal::missing(&format!("connector_account_details.{name}"))),
            None => Ok(credentials),
        }
    }
}

/// A payment method with its types.
#[derive(Deserialize, JsonSchema)]
struct MethodsEnabled {
    payment_method: String,
    #[serde(default)]
    payment_method_types: Option<Vec<Value>>,
}

fn filters(enabled: &[MethodsEnabled]) -> Vec<MethodFilter> {
    let mut filters = Vec::new();
    for methods in enabled {
        for kind in methods.payment_method_types.iter().flatten() {
            let text = |name: &str| kind.get(name).and_then(Value::as_str).unwrap_or_default();
            let number = |name: &str| kind.get(name).and_then(Value::as_i64);
            filters.push(MethodFilter {
                method: methods.payment_method.clone(),
                kind: text("payment_method_type").to_owned(),
                minimum: number("minimum_amount"),
                maximum: number("maximum_amount"),
                currencies: accepted(kind.get("accepted_currencies")),
                countries: accepted(kind.get("accepted_countries")),
            });
        }
    }
    filters
}

fn accepted(filter: Option<&Value>) -> Option<(bool, Vec<String>)> {
    let filter = filter.filter(|filter| filter.is_object())?;
    let without = match filter.get("type").and_then(Value::as_str)? {
        "enable_only" => false,
        "disable_only" => true,
        _ => return None,
    };
    let list = filter.get("list").and_then(Value::as_array)?;
    let codes = list.iter().filter_map(Value::as_str).map(str::to_owned);
    Some((without, codes.collect()))
}

impl ConnectorRequest {
    fn read(mut self) -> Result<NewConnector, Refusal> {
        let auth_type = self.connector_account_details.as_ref().map(|d| d.auth_type.clone());
        let mut credentials =
            self.connector_account_details.take().map(Details::read).transpose()?;
        let webhooks =
            self.connector_webhook_details.as_ref().and_then(|d| d.get("merchant_secret"));
        if let Some(secret) = webhooks.and_then(Value::as_str) {
            let secret = ("merchant_secret".to_owned(), Secret::new(secret.to_owned()));
            // Credentials are replaced as a whole.
            let missing = || Refusal::missing("connector_account_details");
            credentials.as_mut().ok_or_else(missing)?.push(secret);
        }
        let mut details = self.kept()?;
        hide_secrets(&mut details);
        details.remove("merchant_connector_id");
        details.remove("status");
        if let Some(auth_type) = auth_type {
            details.insert("auth_type".to_owned(), auth_type.into());
        }
        let methods = self.payment_methods_enabled.as_deref().map(filters);
        if let Some(enabled) = &self.payment_methods_enabled {
            let shown = enabled.iter().map(|methods| {
                json!({
                    "payment_method": methods.payment_method,
                    "payment_method_types": methods.payment_method_types,
                })
            });
            details.insert("payment_methods_enabled".to_owned(), shown.collect());
        }
        if let Some(label) = &self.connector_label {
            check_text("connector_label", label)?;
        }
        Ok(NewConnector {
            profile: self.profile_id.take(),
            connector: self.connector_name.take().unwrap_or_default(),
            kind: self.connector_type.take().unwrap_or_default(),
            label: self.connector_label.take(),
            disabled: self.disabled,
            credentials,
            methods,
            details,
        })
    }
}

type Answer = Result<Json<Value>, Refusal>;

async fn create(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    Body(request): Body<ConnectorRequest>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    for (name, value) in
        [("connector_type", &request.connector_type), ("connector_name", &request.connector_name)]
    {
        if value.as_deref().unwrap_or_default().is_empty() {
            return Err(Refusal::missing(name));
        }
    }
    let made = app.payments.create_connector(&merchant, request.read()?).await?;
    Ok(Json(view::connector(&made)))
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    let known = app.payments.connectors(&merchant, None).await?;
    Ok(Json(known.iter().map(view::connector_in_list).collect()))
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((id, connector)): Path<(String, String)>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    Ok(Json(view::connector(&app.payments.connector(&merchant, &connector).await?)))
}

async fn update(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((id, connector)): Path<(String, String)>,
    Body(request): Body<ConnectorRequest>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    let changed = app.payments.update_connector(&merchant, &connector, request.read()?).await?;
    Ok(Json(view::connector(&changed)))
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((id, connector)): Path<(String, String)>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    app.payments.delete_connector(&merchant, &connector).await?;
    Ok(Json(json!({
        "merchant_id": id, "merchant_connector_id": connector, "deleted": true
    })))
}
