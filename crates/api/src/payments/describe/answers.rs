//! The forms of what is answered, field by field. Tests hold every answer that they see against them, so a
//! field that [`view`](super::super::view) shows and that is not here is found, and so is one that is missing.

use std::borrow::Cow;

use baton_payments::status::IntentStatus;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::super::view::{NULLS, SHOWN};
use super::attempts::{Attempt, Capture};
use super::disputes::PaymentDispute;
use super::form::{
    Field, Kind, answer, anything, anything_listed, list, maybe, maybe_list, maybe_text,
    maybe_time, maybe_whole, maybe_yes, nothing, object, object_or_null, of, text, texts, time,
    whole, yes_or_no,
};
use crate::openapi::types::{CurrencyCode, words};

words!(
    /// How a payment stands.
    PaymentStatus,
    "How a payment stands.",
    IntentStatus::ALL.iter().map(|status| status.as_str()).collect::<Vec<_>>()
);
words!(
    /// How a refund stands.
    RefundStanding,
    "How a refund stands.",
    ["pending", "succeeded", "failed"]
);
words!(
    /// How a mandate stands.
    MandateStanding,
    "How a mandate stands.",
    ["active", "inactive", "revoked"]
);

/// A payment: what the code always shows, what it keeps and shows again, and what it knows nothing of.
pub(crate) struct Payment;

impl JsonSchema for Payment {
    fn schema_name() -> Cow<'static, str> {
        "Payment".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kept = SHOWN.iter().map(|name| (*name, anything as Kind, "As it was sent."));
        let null = NULLS.iter().map(|name| (*name, nothing as Kind, "Always null here."));
        let fields: Vec<Field> = PAYMENT.iter().copied().chain(kept).chain(null).collect();
        object("A payment. Amounts are minor units.", &fields, &[], generator)
    }
}

#[rustfmt::skip]
const PAYMENT: &[Field] = &[
    ("payment_id", text, "Yours, or ours."),
    ("merchant_id", text, "The merchant account."),
    ("processor_merchant_id", text, "The same."),
    ("status", of::<PaymentStatus>, "How it stands."),
    ("amount", whole, "What is to be paid."),
    ("net_amount", whole, "The same: nothing is added here."),
    ("amount_capturable", whole, "What can still be captured."),
    ("amount_received", maybe_whole, "What was captured; null before there is an outcome."),
    ("currency", of::<CurrencyCode>, "Its currency."),
    ("client_secret", text, "For the payer's browser."),
    ("created", time, "When it was made."),
    ("modified_at", time, "When it last changed."),
    ("updated", time, "The same."),
    ("expires_on", time, "Until when it can be confirmed."),
    ("customer_id", maybe_text, "Who pays."),
    ("customer", maybe::<PaymentCustomer>, "Who pays, as far as this payment was told."),
    ("description", maybe_text, "What it is for."),
    ("return_url", maybe_text, "Where the payer's browser goes after a challenge."),
    ("setup_future_usage", maybe_text, "Whether the method is to be saved, and for what: `on_session` or `off_session`."),
    ("capture_method", text, "`automatic`, `manual` or `manual_multiple`."),
    ("authentication_type", text, "`three_ds` or `no_three_ds`."),
    ("payment_method", maybe_text, "`card`, once it is known."),
    ("payment_method_type", maybe_text, "`credit` or `debit`, where you said so."),
    ("payment_method_data", maybe::<PaymentMethodData>, "What it is paid with, as far as that may be shown."),
    ("payment_method_id", maybe_text, "The saved method."),
    ("payment_token", maybe_text, "The same, for a browser."),
    ("mandate_id", maybe_text, "The mandate that it was made under, or that it made."),
    ("cancellation_reason", maybe_text, "Why you cancelled it."),
    ("profile_id", text, "The profile."),
    ("attempt_count", whole, "How often a charge was tried."),
    ("payment_method_status", maybe_text, "How the card that it saves or uses stands: `processing`, `active` or `inactive`."),
    ("manual_retry_allowed", yes_or_no, "Whether it can be confirmed again after a failure."),
    ("incremental_authorization_allowed", yes_or_no, "Whether what is held can be raised."),
    ("incremental_authorizations", maybe_list::<IncrementalAuthorization>, "How it was raised; null where it was not."),
    ("authorization_count", maybe_whole, "How often it was raised."),
    ("external_3ds_authentication_attempted", yes_or_no, "Whether somebody else than the provider authenticated the payer."),
    ("is_overcapture_enabled", maybe_yes, "Whether more can be captured than was held."),
    ("outcome_mode", maybe_text, "What is done when a provider's answer is lost: `resolve_first`, `hold_safe` or `stop`; null is the first."),
    ("next_check_at", maybe_time, "When a doubt about its outcome is looked at again."),
    ("connector", maybe_text, "The provider that decided."),
    ("merchant_connector_id", maybe_text, "The connector account of it."),
    ("connector_transaction_id", maybe_text, "The provider's own reference."),
    ("network_transaction_id", maybe_text, "The card network's id of it, where the provider told it: a payment without the payer is tied to this one by it."),
    ("error_code", maybe_text, "Why it failed, as a normalised code; `outcome_unknown` while that is not known."),
    ("error_message", maybe_text, "The same, in the provider's words where it gave any."),
    ("error_reason", maybe_text, "The same."),
    ("error_details", nothing, "Always null here."),
    ("next_action", maybe::<NextAction>, "What the payer has to do."),
    ("attempts", maybe_list::<Attempt>, "Every attempt, with `expand_attempts`; null without."),
    ("captures", maybe_list::<Capture>, "Every capture, with `expand_captures`; null without."),
    ("disputes", maybe_list::<PaymentDispute>, "Its disputes, where it is looked at or listed; null where it has none."),
];

answer!(
    /// The payer of one payment.
    PaymentCustomer,
    "Who pays, as far as a payment was told.",
    &[
        ("id", text, "The customer's id."),
        ("name", anything, "As it was sent."),
        ("email", anything, "As it was sent."),
        ("phone", anything, "As it was sent."),
        ("phone_country_code", anything, "As it was sent."),
    ]
);

answer!(
    /// A raise of what a payment holds.
    IncrementalAuthorization,
    "A raise of what a payment holds.",
    &[
        ("authorization_id", text, "Our reference of it at the provider."),
        ("amount", whole, "The new total."),
        ("status", text, "`success`, `failure` or `processing`."),
        ("error_code", maybe_text, "Why it failed."),
        ("error_message", maybe_text, "The same, in the provider's words where it gave any."),
        ("previously_authorized_amount", whole, "What was held before."),
    ]
);

/// What a payment is made with: one of these.
pub(crate) struct PaymentMethodData;

impl JsonSchema for PaymentMethodData {
    fn schema_name() -> Cow<'static, str> {
        "PaymentMethodData".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let always: &[Field] = &[("billing", anything, "Always null here.")];
        let one: &[Field] = &[
            ("card", of::<PaymentCard>, "The card."),
            ("pay_later", anything, "Whom the payer pays back; empty."),
            ("bank_redirect", anything, "`bank_name`, where a bank was named."),
        ];
        object("What a payment is made with: one of these.", always, one, generator)
    }
}

answer!(
    /// A payment's card.
    PaymentCard,
    "A card as it may be shown.",
    &[
        ("last4", text, "The number's last four digits."),
        ("card_type", maybe_text, "`CREDIT`, `DEBIT` or another kind, where it is known."),
        ("card_network", maybe_text, "The network."),
        ("card_issuer", maybe_text, "The issuer, where it is known."),
        ("card_issuing_country", maybe_text, "The issuer's country, where it is known."),
        ("card_isin", maybe_text, "The number's first digits."),
        ("card_extended_bin", nothing, "Always null here."),
        ("card_exp_month", text, "Two digits."),
        ("card_exp_year", text, "Four digits."),
        ("card_holder_name", maybe_text, "As it was sent."),
        ("payment_checks", nothing, "Always null here."),
        ("authentication_data", nothing, "Always null here."),
    ]
);

/// What a payer has to do.
pub(crate) struct NextAction;

impl JsonSchema for NextAction {
    fn schema_name() -> Cow<'static, str> {
        "NextAction".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let more: &[Field] = &[
            ("redirect_to_url", text, "Send the payer's browser here."),
            ("next_action_data", object_or_null, "What the provider's library needs."),
        ];
        let kind: &[Field] = &[("type", text, "`redirect_to_url` or `invoke_sdk_client`.")];
        object("What the payer has to do.", kind, more, generator)
    }
}

answer!(
    /// A page of payments.
    PaymentPage,
    "Payments, newest first.",
    &[("size", whole, "How many there are here."), ("data", list::<Payment>, "The payments.")]
);

answer!(
    /// A page of a filtered list.
    PaymentList,
    "Payments that the filters take, in the order that was asked for.",
    &[
        ("count", whole, "How many there are here."),
        ("total_count", whole, "How many there are."),
        ("data", list::<Payment>, "The payments."),
    ]
);

answer!(
    /// What a payment's metadata is now.
    PaymentMetadata,
    "A payment's metadata after a change.",
    &[
        ("payment_id", text, "The payment."),
        ("status", of::<PaymentStatus>, "How it stands."),
        ("metadata", anything, "All of it."),
        ("feature_metadata", anything, "As it was sent."),
    ]
);

answer!(
    /// Wallets of a payment.
    SessionTokens,
    "What wallets need to begin a payment: none, because no connector here takes one.",
    &[
        ("payment_id", text, "The payment."),
        ("client_secret", text, "Its secret."),
        ("session_token", anything_listed, "Always empty here."),
        ("vault_details", object_or_null, "The vault that keeps the profile's cards, where a browser can use it: VGS."),
    ]
);

answer!(
    /// A refund.
    Refund,
    "A refund. Amounts are minor units.",
    &[
        ("refund_id", text, "Yours, or ours."),
        ("payment_id", text, "The payment."),
        ("amount", whole, "What is given back."),
        ("currency", of::<CurrencyCode>, "Its currency."),
        ("status", of::<RefundStanding>, "How it stands."),
        ("reason", maybe_text, "Why, in your words."),
        ("metadata", anything, "As it was sent."),
        ("error_code", maybe_text, "Why it failed."),
        ("error_message", maybe_text, "The same, in the provider's words."),
        ("unified_code", nothing, "Always null here."),
        ("unified_message", nothing, "Always null here."),
        ("created_at", time, "When it was asked for."),
        ("updated_at", time, "When it last changed."),
        ("connector", text, "The provider."),
        ("profile_id", text, "The profile."),
        ("merchant_connector_id", maybe_text, "The connector account."),
        ("split_refunds", nothing, "Always null here."),
        ("connector_refund_id", maybe_text, "The provider's own reference."),
        ("issuer_error_code", nothing, "Always null here."),
        ("issuer_error_message", nothing, "Always null here."),
    ]
);

answer!(
    /// A page of refunds.
    RefundPage,
    "Refunds, newest first.",
    &[
        ("count", whole, "How many there are here."),
        ("total_count", whole, "How many there are."),
        ("data", list::<Refund>, "The refunds."),
    ]
);

answer!(
    /// A customer.
    Customer,
    "A customer, as far as you told us.",
    &[
        ("customer_id", text, "Yours, or ours."),
        ("name", anything, "As it was sent."),
        ("email", anything, "As it was sent."),
        ("phone", anything, "As it was sent."),
        ("phone_country_code", anything, "As it was sent."),
        ("description", anything, "As it was sent."),
        ("address", anything, "As it was sent."),
        ("metadata", anything, "As it was sent."),
        ("default_payment_method_id", anything, "The method that is offered first."),
        ("tax_registration_id", anything, "As it was sent."),
        ("created_at", time, "When it was made."),
    ]
);

answer!(
    /// What became of a deleted customer.
    CustomerDeleted,
    "What was redacted.",
    &[
        ("customer_id", text, "The customer."),
        ("customer_deleted", yes_or_no, "Names and addresses of mail and phone."),
        ("address_deleted", yes_or_no, "The address."),
        ("payment_methods_deleted", yes_or_no, "Saved cards, and what the vault held of them."),
    ]
);

answer!(
    /// A saved method.
    PaymentMethod,
    "A saved card.",
    &[
        ("merchant_id", text, "The merchant account."),
        ("customer_id", maybe_text, "Whose it is."),
        ("payment_method_id", text, "Its id."),
        ("payment_token", text, "The same, for a browser."),
        ("payment_method", text, "`card`."),
        ("payment_method_type", maybe_text, "`credit` or `debit`, where you said so."),
        ("payment_method_issuer", anything, "As it was sent."),
        ("payment_method_issuer_code", nothing, "Always null here."),
        ("card", of::<SavedCard>, "The card."),
        ("metadata", anything, "As it was sent."),
        ("created", time, "When it was saved."),
        ("recurring_enabled", yes_or_no, "Whether it can be charged again."),
        ("installment_payment_enabled", yes_or_no, "Always false here."),
        ("payment_experience", texts, "How a payer pays with it."),
        ("requires_cvv", yes_or_no, "Whether a browser should ask for the CVC."),
        ("status", text, "`active`; of a card at a vault elsewhere also `processing` or `inactive`."),
        ("default_payment_method_set", yes_or_no, "Whether it is offered first."),
        ("last_used_at", time, "When it was last used or changed."),
        ("client_secret", nothing, "Always null here."),
    ]
);

answer!(
    /// A customer's default method.
    DefaultMethod,
    "The method that a customer is offered first.",
    &[
        ("customer_id", text, "The customer."),
        ("default_payment_method_id", text, "The method."),
        ("payment_method", text, "`card`."),
        ("payment_method_type", maybe_text, "`credit` or `debit`, where you said so."),
    ]
);

answer!(
    /// A saved card.
    SavedCard,
    "A saved card as it may be shown.",
    &[
        ("last4_digits", text, "The number's last four digits."),
        ("card_network", maybe_text, "The network."),
        ("scheme", maybe_text, "The same."),
        ("card_isin", maybe_text, "The number's first digits."),
        ("expiry_month", text, "Two digits."),
        ("expiry_year", text, "Four digits."),
        ("card_holder_name", maybe_text, "As it was sent."),
        ("nick_name", nothing, "Always null here."),
        ("card_issuer", maybe_text, "The issuer, where it is known."),
        ("card_type", maybe_text, "`CREDIT`, `DEBIT` or another kind, where it is known."),
        ("issuer_country", maybe_text, "The issuer's country, where it is known."),
        ("card_token", nothing, "Always null here."),
        ("card_fingerprint", maybe_text, "What equal cards have in common, where a vault elsewhere keeps it."),
        ("saved_to_locker", yes_or_no, "Whether our own vault keeps it, and none elsewhere."),
    ]
);

answer!(
    /// A method that was deleted.
    PaymentMethodDeleted,
    "A method that is no more.",
    &[("payment_method_id", text, "Its id."), ("deleted", yes_or_no, "Always true.")]
);

answer!(
    /// What a customer has saved.
    CustomerMethods,
    "What a customer has saved.",
    &[
        ("customer_payment_methods", list::<PaymentMethod>, "The methods."),
        ("is_guest_customer", yes_or_no, "Whether nobody is named."),
    ]
);

answer!(
    /// What can be offered to a payer.
    Offer,
    "What can be offered to a payer: what the merchant's connectors take, for a payment if one is named.",
    &[
        ("redirect_url", maybe_text, "The payment's `return_url`."),
        ("currency", maybe_text, "The payment's currency."),
        ("payment_methods", list::<OfferedMethod>, "The methods."),
        ("sdk_next_action", object_or_null, "What comes next."),
        ("is_guest_customer", yes_or_no, "Whether nobody is named."),
        ("mandate_payment", nothing, "Always null here."),
        ("merchant_name", nothing, "Always null here."),
        ("show_surcharge_breakup_screen", yes_or_no, "Always false here."),
        ("payment_type", maybe_text, "`normal`, or `new_mandate` where the method is to be saved."),
        ("request_external_three_ds_authentication", yes_or_no, "Always false here."),
        ("collect_shipping_details_from_wallets", yes_or_no, "Always false here."),
        ("collect_billing_details_from_wallets", yes_or_no, "Always false here."),
        ("is_tax_calculation_enabled", yes_or_no, "Always false here."),
    ]
);

answer!(
    /// A method that can be offered.
    OfferedMethod,
    "A method that can be offered.",
    &[
        ("payment_method", text, "`card`."),
        ("payment_method_types", list::<OfferedType>, "Its types."),
    ]
);

answer!(
    /// A type of a method.
    OfferedType,
    "A type of a method.",
    &[
        ("payment_method_type", text, "`credit` or `debit`."),
        ("payment_experience", anything, "How a payer pays with it, and by which connectors; null for a card."),
        ("card_networks", maybe_list::<OfferedNetwork>, "The networks; null where it is no card."),
        ("bank_names", nothing, "Always null here."),
        ("bank_debits", nothing, "Always null here."),
        ("bank_transfers", nothing, "Always null here."),
        ("required_fields", object_or_null, "What else has to be asked: nothing."),
        ("surcharge_details", nothing, "Always null here."),
        ("pm_auth_connector", nothing, "Always null here."),
    ]
);

answer!(
    /// A network of cards.
    OfferedNetwork,
    "A network of cards.",
    &[
        ("card_network", text, "Its name."),
        ("surcharge_details", nothing, "Always null here."),
        ("eligible_connectors", texts, "Which connectors take it."),
    ]
);

answer!(
    /// A mandate.
    Mandate,
    "A payer's consent to be charged later.",
    &[
        ("mandate_id", text, "Its id."),
        ("status", of::<MandateStanding>, "How it stands."),
        ("payment_method_id", text, "The saved method."),
        ("payment_method", text, "`card`."),
        ("payment_method_type", maybe_text, "`credit` or `debit`, where you said so."),
        ("card", of::<SavedCard>, "The card."),
        ("customer_acceptance", anything, "How the payer agreed, as it was sent."),
    ]
);

answer!(
    /// A mandate that was revoked.
    MandateRevoked,
    "A mandate that allows nothing any more.",
    &[
        ("mandate_id", text, "Its id."),
        ("status", of::<MandateStanding>, "`revoked`."),
        ("error_code", nothing, "Always null here."),
        ("error_message", nothing, "Always null here."),
    ]
);

answer!(
    /// A merchant account.
    Account,
    "A merchant account.",
    &[
        ("merchant_id", text, "Its id."),
        ("organization_id", text, "The organisation that it belongs to."),
        ("default_profile", text, "The profile of payments that name none."),
        ("publishable_key", text, "The key for browsers."),
        ("primary_business_details", anything_listed, "As they were sent."),
        ("sub_merchants_enabled", yes_or_no, "As it was sent."),
        ("enable_payment_response_hash", yes_or_no, "Whether what a browser brings back is signed."),
        ("redirect_to_merchant_with_http_post", yes_or_no, "Whether a browser brings it as a form."),
        ("is_recon_enabled", yes_or_no, "Always false here."),
        ("recon_status", text, "Always `not_requested` here."),
        ("merchant_account_type", text, "Always `standard` here."),
        ("merchant_name", anything, "As it was sent."),
        ("return_url", anything, "As it was sent."),
        ("merchant_details", anything, "As they were sent."),
        ("webhook_details", anything, "As they were sent; secrets are stars."),
        ("metadata", anything, "As it was sent."),
        ("locker_id", anything, "As it was sent."),
        ("parent_merchant_id", anything, "As it was sent."),
        ("payout_routing_algorithm", anything, "As it was sent."),
        ("frm_routing_algorithm", anything, "As it was sent."),
        ("pm_collect_link_config", anything, "As it was sent."),
        ("product_type", anything, "As it was sent."),
        ("payment_response_hash_key", anything, "The key of the contract's signatures: in clear when it was made, then stars."),
    ]
);

answer!(
    /// An account that was deleted.
    AccountDeleted,
    "An account that is no more.",
    &[("merchant_id", text, "Its id."), ("deleted", yes_or_no, "Always true.")]
);

const CONNECTOR_IN_LIST: &[Field] = &[
    ("connector_type", text, "`payment_processor`, or `vault_processor`."),
    ("connector_name", text, "The provider."),
    ("connector_label", maybe_text, "Its name among the merchant's."),
    ("merchant_connector_id", text, "Its id."),
    ("profile_id", text, "The profile."),
    ("disabled", yes_or_no, "Whether it takes no new payments."),
    ("status", text, "`active`, or `inactive` where it is disabled."),
    ("applepay_verified_domains", nothing, "Always null here."),
    ("payment_methods_enabled", anything, "What it takes, with limits, currencies and countries."),
    ("test_mode", anything, "As it was sent."),
    ("frm_configs", anything, "As they were sent."),
    ("business_country", anything, "As it was sent."),
    ("business_label", anything, "As it was sent."),
    ("business_sub_label", anything, "As it was sent."),
    ("pm_auth_config", anything, "As it was sent."),
];

answer!(
    /// A connector among others.
    ConnectorInList,
    "A merchant's account at a provider, without credentials and settings.",
    CONNECTOR_IN_LIST
);

/// A connector.
pub(crate) struct Connector;

impl JsonSchema for Connector {
    fn schema_name() -> Cow<'static, str> {
        "Connector".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let more: &[Field] = &[
            ("connector_account_details", anything, "Credentials, each by its last characters."),
            ("connector_webhook_details", anything, "As they were sent; secrets are stars."),
            ("metadata", anything, "As it was sent."),
            ("additional_merchant_data", anything, "As it was sent."),
            ("connector_wallets_details", anything, "As they were sent; secrets are stars."),
        ];
        let fields: Vec<Field> = CONNECTOR_IN_LIST.iter().chain(more).copied().collect();
        object("A merchant's account at a provider.", &fields, &[], generator)
    }
}

answer!(
    /// A connector that was deleted.
    ConnectorDeleted,
    "A connector that is no more.",
    &[
        ("merchant_id", text, "The merchant account."),
        ("merchant_connector_id", text, "Its id."),
        ("deleted", yes_or_no, "Always true."),
    ]
);

const API_KEY: &[Field] = &[
    ("key_id", text, "Its id."),
    ("merchant_id", text, "The merchant account."),
    ("name", text, "As it was sent."),
    ("description", maybe_text, "As it was sent; not kept."),
    ("created", time, "When it was made."),
    ("expiration", text, "When it ends, or `never`."),
];

/// A key that is shown for the only time.
pub(crate) struct NewApiKey;

impl JsonSchema for NewApiKey {
    fn schema_name() -> Cow<'static, str> {
        "NewApiKey".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut fields = API_KEY.to_vec();
        fields.push(("api_key", text, "The key. It is not shown again."));
        object("A new key.", &fields, &[], generator)
    }
}

/// A key.
pub(crate) struct ApiKey;

impl JsonSchema for ApiKey {
    fn schema_name() -> Cow<'static, str> {
        "ApiKey".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut fields = API_KEY.to_vec();
        fields.push(("prefix", text, "The key's last characters."));
        object("A merchant's key.", &fields, &[], generator)
    }
}

answer!(
    /// A key that was revoked.
    ApiKeyRevoked,
    "A key that opens nothing any more.",
    &[
        ("merchant_id", text, "The merchant account."),
        ("key_id", text, "Its id."),
        ("revoked", yes_or_no, "Always true."),
    ]
);

answer!(
    /// A key for one customer's browser.
    EphemeralKey,
    "A key for one customer's browser.",
    &[
        ("customer_id", text, "The customer."),
        ("created_at", whole, "When it was made, in seconds since 1970."),
        ("expires", whole, "When it ends, in seconds since 1970."),
        ("secret", text, "The key."),
    ]
);

answer!(
    /// What is answered where something is wrong.
    Failure,
    "What is wrong.",
    &[("error", of::<FailureDetails>, "The error.")]
);

/// What is said of an error.
pub(crate) struct FailureDetails;

impl JsonSchema for FailureDetails {
    fn schema_name() -> Cow<'static, str> {
        "FailureDetails".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kind = "`invalid_request`, `api` or `connector`.";
        let always: &[Field] = &[
            ("message", text, "What is wrong, and where."),
            ("code", text, "The contract's code."),
        ];
        let more: &[Field] = &[
            ("type", text, kind),
            ("reason", text, "A word of ours that says more: `baton explain` has a page for it."),
            ("error_type", text, "In place of `type` where JSON cannot be read."),
        ];
        object("An error.", always, more, generator)
    }
}

/// A list of all there are.
pub(crate) struct ListOf<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for ListOf<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}List", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Schema::try_from(list::<T>(generator)).unwrap_or_default()
    }
}
