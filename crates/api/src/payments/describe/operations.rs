//! What each route is for, what it takes and what it gives.

use http::StatusCode;
use schemars::JsonSchema;

use super::answers::{
    Account, AccountDeleted, ApiKey, ApiKeyRevoked, Connector, ConnectorDeleted, ConnectorInList,
    Customer, CustomerDeleted, CustomerMethods, DefaultMethod, EphemeralKey, ListOf, Mandate,
    MandateRevoked, NewApiKey, Offer, Payment, PaymentList, PaymentMetadata, PaymentMethod,
    PaymentMethodDeleted, PaymentPage, Refund, RefundPage, SessionTokens,
};
use super::filters::PaymentFilterWords;
use super::hooks::{EventAttempt, EventPage, SigningSecret, WebhookEndpoint};
use super::profiles::{Organization, Profile};
use crate::openapi::types::Time;
use crate::openapi::{Doc, Draft, Param, Tag};
use crate::payments::account::AccountRequest;
use crate::payments::connector::ConnectorRequest;
use crate::payments::customer::CustomerRequest;
use crate::payments::hook::{Constraints, Enable, Rotation};
use crate::payments::intent::{CancelRequest, CaptureRequest, IncrementRequest};
use crate::payments::key::{EphemeralRequest, KeyRequest};
use crate::payments::lists::{PaymentFilter, RefundFilter};
use crate::payments::metadata::MetadataRequest;
use crate::payments::method::{MethodRequest, SessionRequest};
use crate::payments::organization::OrganizationRequest;
use crate::payments::profile::ProfileRequest;
use crate::payments::refund::{RefundChange, RefundRequest};
use crate::payments::shape::PaymentsRequest;

const CLIENT_SECRET: Param =
    Param::of::<String>("client_secret", "The payment's secret; a browser has to have it.");

/// What a route says of itself.
pub(super) fn doc(method: &str, path: &str) -> Option<Doc> {
    payments(method, path)
        .or_else(|| steps(method, path))
        .or_else(|| with_payer(method, path))
        .or_else(|| refunds(method, path))
        .or_else(|| super::disputes::doc(method, path))
        .or_else(|| customers(method, path))
        .or_else(|| methods(method, path))
        .or_else(|| accounts(method, path))
        .or_else(|| profiles(method, path))
        .or_else(|| keys(method, path))
        .or_else(|| connectors(method, path))
        .or_else(|| webhooks(method, path))
}

/// Ends a description with what a good request is answered with.
fn gives<T: JsonSchema>(draft: Draft, meaning: &'static str) -> Option<Doc> {
    Some(draft.gives::<T>(StatusCode::OK, meaning))
}

fn payments(method: &str, path: &str) -> Option<Doc> {
    let doc = |id, summary, about| Doc::new(id, Tag::Payments, summary, about);
    let stands = "How the payment stands.";
    match (method, path) {
        ("POST", "/payments") => gives::<Payment>(
            doc(
                "CreatePayment",
                "Make a payment",
                "With `confirm` it is charged at once. `amount` and `currency` are needed.",
            )
            .idempotent()
            .takes::<PaymentsRequest>(
                r#"{"amount": 6540, "currency": "USD", "confirm": true, "payment_method": "card",
                    "payment_method_data": {"card": {"card_number": "4111111111111111",
                        "card_exp_month": "12", "card_exp_year": "2030",
                        "card_holder_name": "Ada Lovelace", "card_cvc": "123"}}}"#,
            ),
            stands,
        ),
        ("GET", "/payments/list") => gives::<PaymentPage>(
            doc("ListPayments", "Payments, newest first", "A page of them.")
                .query(Param::of::<String>("customer_id", "Only this customer's."))
                .query(Param::of::<String>("starting_after", "Only those after this payment."))
                .query(Param::of::<String>("ending_before", "Only those before this payment."))
                .query(Param::of::<u32>("limit", "How many at most: 1 to 100, and 10 by itself."))
                .query(Param::of::<Time>("created", "Only those made then."))
                .query(Param::of::<Time>("created.gte", "Only those made then or later."))
                .query(Param::of::<Time>("created.gt", "Only those made later."))
                .query(Param::of::<Time>("created.lte", "Only those made then or earlier."))
                .query(Param::of::<Time>("created.lt", "Only those made earlier.")),
            "A page.",
        ),
        ("POST", "/payments/list") => gives::<PaymentList>(
            doc("FilterPayments", "Payments by what they are", "Every filter narrows the list.")
                .may_take::<PaymentFilter>(
                r#"{"status": ["succeeded"], "currency": ["USD"], "limit": 50,
                        "order": {"on": "amount", "by": "desc"}}"#,
            ),
            "A page.",
        ),
        ("GET", "/payments/filter") => gives::<PaymentFilterWords>(
            doc(
                "PaymentFilterWords",
                "What payments can be filtered by",
                "The merchant's connectors, and the words that each filter knows.",
            ),
            "The words.",
        ),
        ("GET", "/payments/{payment_id}") => gives::<Payment>(
            doc("GetPayment", "Look at a payment", "As it stands in the books.")
                .query(Param::of::<bool>("force_sync", "Ask the provider first, if it is open."))
                .query(Param::of::<bool>("expand_attempts", "With `attempts`, one by one."))
                .query(Param::of::<bool>("expand_captures", "With `captures`, one by one."))
                .query(CLIENT_SECRET),
            stands,
        ),
        ("POST", "/payments/{payment_id}") => gives::<Payment>(
            doc(
                "UpdatePayment",
                "Change a payment",
                "Before it is confirmed; with `confirm` it is charged at once.",
            )
            .idempotent()
            .takes::<PaymentsRequest>(r#"{"amount": 7000}"#),
            stands,
        ),
        ("POST", "/payments/{payment_id}/confirm") => gives::<Payment>(
            doc("ConfirmPayment", "Charge a payment", "Of two at once, one charges.")
                .idempotent()
                .may_take::<PaymentsRequest>(r#"{"card_cvc": "123"}"#),
            stands,
        ),
        _ => None,
    }
}

/// What is done with a payment once it is there.
fn steps(method: &str, path: &str) -> Option<Doc> {
    let doc = |id, summary, about| Doc::new(id, Tag::Payments, summary, about);
    let stands = "How the payment stands.";
    match (method, path) {
        ("POST", "/payments/{payment_id}/capture") => gives::<Payment>(
            doc(
                "CapturePayment",
                "Take what is held",
                "All of it, or a part. With `capture_method: manual` the rest is released.",
            )
            .idempotent()
            .may_take::<CaptureRequest>(r#"{"amount_to_capture": 6540}"#),
            stands,
        ),
        ("POST", "/payments/{payment_id}/cancel") => gives::<Payment>(
            doc("CancelPayment", "Give a payment up", "What is held is released.")
                .idempotent()
                .may_take::<CancelRequest>(r#"{"cancellation_reason": "out of stock"}"#),
            stands,
        ),
        ("POST", "/payments/{payment_id}/incremental_authorization") => gives::<Payment>(
            doc(
                "IncrementalAuthorization",
                "Raise what is held",
                "To a new total, before it is captured; asked for with request_incremental_authorization.",
            )
            .idempotent()
            .takes::<IncrementRequest>(r#"{"amount": 7540, "reason": "a longer stay"}"#),
            stands,
        ),
        ("POST", "/payments/{payment_id}/cancel_post_capture") => gives::<Payment>(
            doc(
                "CancelCapturedPayment",
                "Reverse a payment",
                "What was taken in one call is given back before it settles.",
            )
            .idempotent()
            .may_take::<CancelRequest>(r#"{"cancellation_reason": "a mistake"}"#),
            stands,
        ),
        ("POST", "/payments/{payment_id}/update_metadata") => gives::<PaymentMetadata>(
            doc("UpdatePaymentMetadata", "Add to a payment's metadata", "Member by member.")
                .takes::<MetadataRequest>(r#"{"metadata": {"order": "17"}}"#),
            "What it is now.",
        ),
        _ => None,
    }
}

/// What a payer's browser takes part in.
fn with_payer(method: &str, path: &str) -> Option<Doc> {
    let doc = |id, summary, about| Doc::new(id, Tag::Payments, summary, about);
    match (method, path) {
        ("POST", "/payments/session_tokens") => gives::<SessionTokens>(
            doc("CreateSessionTokens", "What wallets need", "No connector here takes a wallet.")
                .takes::<SessionRequest>(
                r#"{"payment_id": "pay_1", "client_secret": "pay_1_secret_x", "wallets": []}"#,
            ),
            "None.",
        ),
        ("GET" | "POST", "/payments/return/{merchant}/{payment_id}/{token}") => {
            let id = if method == "GET" { "PayerReturns" } else { "PayerReturnsByForm" };
            let about =
                "The provider sends the browser here. It goes on to the payment's `return_url`.";
            let media = "text/html";
            Some(
                doc(id, "A payer comes back from a challenge", about)
                    .text(StatusCode::SEE_OTHER, "To the shop.", media)
                    .text(StatusCode::OK, "To the shop by a form, or nowhere to go.", media)
                    .text(StatusCode::NOT_FOUND, "There is no such payment.", media)
                    .text(StatusCode::SERVICE_UNAVAILABLE, "To be loaded again.", media)
                    .gives::<super::answers::Failure>(
                        StatusCode::TOO_MANY_REQUESTS,
                        "Too many wrong links from the address.",
                    ),
            )
        }
        _ => None,
    }
}

fn refunds(method: &str, path: &str) -> Option<Doc> {
    let doc = |id, summary, about| Doc::new(id, Tag::Refunds, summary, about);
    let stands = "How the refund stands.";
    match (method, path) {
        ("POST", "/refunds") => gives::<Refund>(
            doc(
                "CreateRefund",
                "Give back",
                "What was captured, or a part. `payment_id` is needed.",
            )
            .idempotent()
            .takes::<RefundRequest>(r#"{"payment_id": "pay_1", "amount": 100}"#),
            stands,
        ),
        ("POST", "/refunds/list") => gives::<RefundPage>(
            doc("ListRefunds", "Refunds, newest first", "A page of them.")
                .may_take::<RefundFilter>(r#"{"refund_status": ["failed"], "limit": 10}"#),
            "A page.",
        ),
        ("GET", "/refunds/{refund_id}") => gives::<Refund>(
            doc("GetRefund", "Look at a refund", "As it stands in the books."),
            stands,
        ),
        ("POST", "/refunds/{refund_id}") => gives::<Refund>(
            doc("UpdateRefund", "Change what is noted of a refund", "No money is moved.")
                .may_take::<RefundChange>(r#"{"reason": "returned"}"#),
            stands,
        ),
        _ => None,
    }
}

fn customers(method: &str, path: &str) -> Option<Doc> {
    let doc = |id, summary, about| Doc::new(id, Tag::Customers, summary, about);
    let example = r#"{"name": "Ada Lovelace", "email": "ada@example.com"}"#;
    match (method, path) {
        ("POST", "/customers") => gives::<Customer>(
            doc("CreateCustomer", "Make a customer", "Nothing is needed.")
                .may_take::<CustomerRequest>(example),
            "The customer.",
        ),
        ("GET", "/customers/list") => gives::<ListOf<Customer>>(
            doc("ListCustomers", "Customers, newest first", "Without those that were deleted.")
                .query(Param::of::<u32>("limit", "How many at most; 100 by itself.")),
            "Customers.",
        ),
        ("GET", "/customers/{customer_id}") => gives::<Customer>(
            doc("GetCustomer", "Look at a customer", "As you told us of them."),
            "The customer.",
        ),
        ("POST", "/customers/{customer_id}") => gives::<Customer>(
            doc("UpdateCustomer", "Change a customer", "What is not named stays.")
                .may_take::<CustomerRequest>(example),
            "The customer.",
        ),
        ("DELETE", "/customers/{customer_id}") => gives::<CustomerDeleted>(
            doc("DeleteCustomer", "Redact a customer", "Payments stay, without the person."),
            "What was redacted.",
        ),
        _ => None,
    }
}

fn methods(method: &str, path: &str) -> Option<Doc> {
    let doc = |id, summary, about| Doc::new(id, Tag::PaymentMethods, summary, about);
    let of_mandates = |id, summary, about| Doc::new(id, Tag::Mandates, summary, about);
    match (method, path) {
        ("POST", "/payment_methods") => gives::<PaymentMethod>(
            doc("CreatePaymentMethod", "Save a card", "Sealed in the vault, without its CVC.")
                .takes::<MethodRequest>(
                r#"{"payment_method": "card", "customer_id": "ada", "card": {
                        "card_number": "4111111111111111", "card_exp_month": "12",
                        "card_exp_year": "2030", "card_holder_name": "Ada Lovelace"}}"#,
            ),
            "The method.",
        ),
        ("GET", "/payment_methods/{payment_method_id}") => gives::<PaymentMethod>(
            doc("GetPaymentMethod", "Look at a saved card", "As far as it may be shown."),
            "The method.",
        ),
        ("POST", "/payment_methods/{payment_method_id}") => gives::<PaymentMethod>(
            doc("UpdatePaymentMethod", "Change a saved card", "Another card, or other notes.")
                .takes::<MethodRequest>(r#"{"metadata": {"color": "blue"}}"#),
            "The method.",
        ),
        ("DELETE", "/payment_methods/{payment_method_id}") => gives::<PaymentMethodDeleted>(
            doc("DeletePaymentMethod", "Forget a saved card", "The vault forgets it too."),
            "It is gone.",
        ),
        ("GET", "/account/payment_methods") => gives::<Offer>(
            doc(
                "ListOfferedMethods",
                "What can be offered",
                "What connectors take, by the payment's currency, amount and country.",
            )
            .query(CLIENT_SECRET),
            "The offer.",
        ),
        ("GET", "/customers/{customer_id}/payment_methods") => gives::<CustomerMethods>(
            doc("ListCustomerMethods", "What a customer has saved", "Newest first."),
            "The methods.",
        ),
        ("POST", "/customers/{customer_id}/payment_methods/{payment_method_id}/default") => {
            let about = "Of a customer's saved methods one is offered first, or none.";
            gives::<DefaultMethod>(
                doc("SetDefaultMethod", "Offer a method first", about),
                "It is offered first.",
            )
        }
        ("GET", "/customers/payment_methods") => gives::<CustomerMethods>(
            doc(
                "ListMethodsOfPayment",
                "What a payment's customer has saved",
                "For a browser that knows the payment's secret.",
            )
            .query(CLIENT_SECRET),
            "The methods.",
        ),
        ("GET", "/mandates/{mandate_id}") => gives::<Mandate>(
            of_mandates("GetMandate", "Look at a mandate", "With the card that it is for."),
            "The mandate.",
        ),
        ("POST", "/mandates/revoke/{mandate_id}") => gives::<MandateRevoked>(
            of_mandates("RevokeMandate", "Revoke a mandate", "It allows nothing any more."),
            "It is revoked.",
        ),
        _ => None,
    }
}

fn accounts(method: &str, path: &str) -> Option<Doc> {
    let doc = |id, summary, about| Doc::new(id, Tag::Accounts, summary, about);
    match (method, path) {
        ("POST", "/accounts") => gives::<Account>(
            doc("CreateAccount", "Make a merchant account", "With a profile and a browser's key.")
                .takes::<AccountRequest>(r#"{"merchant_id": "shop"}"#),
            "The account.",
        ),
        ("GET", "/accounts/{merchant_id}") => gives::<Account>(
            doc("GetAccount", "Look at an account", "Secrets are stars."),
            "The account.",
        ),
        ("POST", "/accounts/{merchant_id}") => gives::<Account>(
            doc("UpdateAccount", "Change an account", "What is not named stays.")
                .takes::<AccountRequest>(r#"{"merchant_name": "The shop"}"#),
            "The account.",
        ),
        ("DELETE", "/accounts/{merchant_id}") => gives::<AccountDeleted>(
            doc("DeleteAccount", "Close an account", "Its keys open nothing any more."),
            "It is closed.",
        ),
        ("GET", "/accounts/list") => gives::<ListOf<Account>>(
            doc(
                "ListAccounts",
                "The accounts of an organisation",
                "Without those that were closed.",
            )
            .query(Param::of::<String>("organization_id", "The organisation; it is needed.")),
            "Accounts.",
        ),
        _ => None,
    }
}

fn profiles(method: &str, path: &str) -> Option<Doc> {
    let doc = |id, summary, about| Doc::new(id, Tag::Accounts, summary, about);
    let all = "/account/{merchant_id}/business_profile";
    let one = "/account/{merchant_id}/business_profile/{profile_id}";
    let example = r#"{"profile_name": "shop", "session_expiry": 3600, "is_manual_retry_enabled": true,
        "return_url": "https://shop.example/done"}"#;
    match (method, path) {
        ("POST", path) if path == all => gives::<Profile>(
            doc("CreateProfile", "Make a profile", "Nothing is needed.")
                .may_take::<ProfileRequest>(example),
            "The profile.",
        ),
        ("GET", path) if path == all => gives::<ListOf<Profile>>(
            doc("ListProfiles", "A merchant's profiles", "Without those that were deleted."),
            "Profiles.",
        ),
        ("GET", path) if path == one => {
            gives::<Profile>(doc("GetProfile", "Look at a profile", "As you set it."), "The profile.")
        }
        ("POST", path) if path == one => gives::<Profile>(
            doc(
                "UpdateProfile",
                "Change a profile",
                "Also which vault keeps the cards that are saved from now on. What is absent stays.",
            )
            .takes::<ProfileRequest>(
                r#"{"is_external_vault_enabled": "enable", "external_vault_connector_details":
                    {"vault_connector_id": "mca_01kh3v3w2xf6d8x9n4t5c7b1za"}}"#,
            ),
            "The profile.",
        ),
        ("DELETE", path) if path == one => gives::<bool>(
            doc("DeleteProfile", "Delete a profile", "Not the default one. Nothing new is made in it."),
            "It is gone: true.",
        ),
        ("POST", "/organization") => gives::<Organization>(
            doc("CreateOrganization", "Make an organisation", "`organization_name` is needed.")
                .takes::<OrganizationRequest>(r#"{"organization_name": "The group"}"#),
            "The organisation.",
        ),
        ("GET", "/organization/{organization_id}") => gives::<Organization>(
            doc("GetOrganization", "Look at an organisation", "Secrets are stars."),
            "The organisation.",
        ),
        ("PUT", "/organization/{organization_id}") => gives::<Organization>(
            doc("UpdateOrganization", "Change an organisation", "What is not named stays.")
                .takes::<OrganizationRequest>(r#"{"organization_name": "The group"}"#),
            "The organisation.",
        ),
        _ => None,
    }
}

fn keys(method: &str, path: &str) -> Option<Doc> {
    let doc = |id, summary, about| Doc::new(id, Tag::ApiKeys, summary, about);
    match (method, path) {
        ("POST", "/api_keys/{merchant_id}") => gives::<NewApiKey>(
            doc("CreateApiKey", "Make a key", "`name` and `expiration` are needed.")
                .takes::<KeyRequest>(r#"{"name": "till", "expiration": "never"}"#),
            "The key, for the only time.",
        ),
        ("GET", "/api_keys/{merchant_id}/list") => gives::<ListOf<ApiKey>>(
            doc("ListApiKeys", "A merchant's keys", "Without those that were revoked."),
            "Keys.",
        ),
        ("GET", "/api_keys/{merchant_id}/{key_id}") => gives::<ApiKey>(
            doc("GetApiKey", "Look at a key", "Its text is not shown again."),
            "The key.",
        ),
        ("POST", "/api_keys/{merchant_id}/{key_id}") => gives::<ApiKey>(
            doc("UpdateApiKey", "Change a key", "Its name, and when it ends.")
                .takes::<KeyRequest>(r#"{"name": "other till"}"#),
            "The key.",
        ),
        ("DELETE", "/api_keys/{merchant_id}/{key_id}") => gives::<ApiKeyRevoked>(
            doc("RevokeApiKey", "Revoke a key", "It opens nothing any more, within seconds."),
            "It is revoked.",
        ),
        ("POST", "/ephemeral_keys") => gives::<EphemeralKey>(
            doc("CreateEphemeralKey", "A key for one customer's browser", "It lives an hour.")
                .takes::<EphemeralRequest>(r#"{"customer_id": "ada"}"#),
            "The key.",
        ),
        _ => None,
    }
}

fn connectors(method: &str, path: &str) -> Option<Doc> {
    let doc = |id, summary, about| Doc::new(id, Tag::Connectors, summary, about);
    let all = "/account/{merchant_id}/connectors";
    let one = "/account/{merchant_id}/connectors/{connector_id}";
    match (method, path) {
        ("POST", path) if path == all => gives::<Connector>(
            doc(
                "CreateConnector",
                "Add an account at a provider",
                "`connector_type` and `connector_name` are needed. Credentials go to the vault.",
            )
            .takes::<ConnectorRequest>(
                r#"{"connector_type": "payment_processor", "connector_name": "sandbox",
                    "connector_account_details": {"auth_type": "HeaderKey", "api_key": "any"}}"#,
            ),
            "The connector.",
        ),
        ("GET", path) if path == all => gives::<ListOf<ConnectorInList>>(
            doc("ListConnectors", "A merchant's connectors", "Without their credentials."),
            "Connectors.",
        ),
        ("GET", path) if path == one => gives::<Connector>(
            doc("GetConnector", "Look at a connector", "Credentials by their last characters."),
            "The connector.",
        ),
        ("POST", path) if path == one => gives::<Connector>(
            doc("UpdateConnector", "Change a connector", "Credentials are replaced as a whole.")
                .takes::<ConnectorRequest>(r#"{"disabled": true}"#),
            "The connector.",
        ),
        ("DELETE", path) if path == one => gives::<ConnectorDeleted>(
            doc("DeleteConnector", "Remove a connector", "No new payment goes to it."),
            "It is gone.",
        ),
        _ => None,
    }
}

fn webhooks(method: &str, path: &str) -> Option<Doc> {
    let doc = |id, summary, about| Doc::new(id, Tag::MerchantWebhooks, summary, about);
    let profile = Param::of::<String>("profile_id", "The profile; the default one by itself.");
    match (method, path) {
        ("POST", "/events/{merchant_id}") => gives::<EventPage>(
            doc("ListEvents", "What was told, newest first", "Every filter narrows the list.")
                .may_take::<Constraints>(r#"{"is_delivered": false, "limit": 20}"#),
            "A page.",
        ),
        ("POST", "/events/profile/list") => gives::<EventPage>(
            doc("ListEventsOfProfile", "What one profile was told", "As the other list.")
                .may_take::<Constraints>(r#"{"event_types": ["payment_succeeded"]}"#),
            "A page.",
        ),
        ("GET", "/events/{merchant_id}/{event_id}/attempts") => gives::<ListOf<EventAttempt>>(
            doc("ListEventAttempts", "How an event was tried", "The first try first."),
            "The tries.",
        ),
        ("POST", "/events/{merchant_id}/{event_id}/retry") => gives::<EventAttempt>(
            doc("RetryEvent", "Send an event again", "Now, and once; the schedule stays."),
            "The try.",
        ),
        ("POST", "/account/{merchant_id}/webhook_secret") => gives::<SigningSecret>(
            doc(
                "RotateWebhookSecret",
                "Replace a signing secret",
                "Both sign for `overlap_seconds`: a day by itself, 30 at most.",
            )
            .may_take::<Rotation>(r#"{"overlap_seconds": 3600}"#),
            "The new one.",
        ),
        ("GET", "/account/{merchant_id}/webhook_endpoint") => gives::<WebhookEndpoint>(
            doc("GetWebhookEndpoint", "Look at an endpoint", "And at what waits for it.")
                .query(profile),
            "The endpoint.",
        ),
        ("POST", "/account/{merchant_id}/webhook_endpoint") => gives::<WebhookEndpoint>(
            doc("EnableWebhookEndpoint", "Send again", "To an endpoint that has answered 410.")
                .may_take::<Enable>(r#"{"enabled": true}"#),
            "The endpoint.",
        ),
        _ => None,
    }
}
