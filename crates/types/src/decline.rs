//! The product's one table of normalised decline codes.
//!
//! Connectors map a provider's codes to these; everything else (routing, retries, reports, the API)
//! speaks only these. `docs/decline-codes.md` is written from this table. Guarantees: a code's name
//! never changes once released, and no ISO 8583 code stands at two of our codes. Left out: the
//! schemes' dated retry rules and limits; what is said here about a retry is what the code itself
//! means.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclinedBy {
    /// The card's issuer, or the network standing in for it.
    Issuer,
    /// The provider's own risk checks; the issuer was not asked, or approved.
    ProviderRisk,
    /// The provider for another reason of its own.
    ProviderOther,
}

impl DeclinedBy {
    /// The name as it is stored, logged and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::ProviderRisk => "provider_risk",
            Self::ProviderOther => "provider_other",
        }
    }
}

/// Who can do something about a decline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhoCanAct {
    /// The cardholder: correct the data, add funds, call the issuer, take another card.
    Cardholder,
    /// The merchant: change the request or the set-up.
    Merchant,
    /// The provider.
    Provider,
    /// Nobody can, for this payment.
    Nobody,
}

impl WhoCanAct {
    /// The name as it is stored, logged and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cardholder => "cardholder",
            Self::Merchant => "merchant",
            Self::Provider => "provider",
            Self::Nobody => "nobody",
        }
    }
}

/// What kind of retry has a chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// None. To present this card again for this payment cannot help, or the schemes forbid it, or
    /// the code is unknown and so promises nothing.
    Never,
    /// The same card, after a while, within the schemes' limits.
    SameCardLater,
    /// The same request with the wrong detail corrected.
    AfterCorrection,
    /// The same card with the cardholder authenticated (3-D Secure).
    WithAuthentication,
    /// Another card.
    OtherCard,
    /// The same card at another provider: the issuer did not decide.
    AnotherProvider,
}

impl Retry {
    /// The name as it is stored, logged and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::SameCardLater => "same_card_later",
            Self::AfterCorrection => "after_correction",
            Self::WithAuthentication => "with_authentication",
            Self::OtherCard => "other_card",
            Self::AnotherProvider => "another_provider",
        }
    }
}

/// What is known about a decline code.
#[derive(Debug)]
pub struct DeclineInfo {
    /// The code's name.
    pub code: &'static str,
    /// Who usually declines with it; the outcome of an attempt says who did.
    pub by: DeclinedBy,
    /// What happened, in a sentence.
    pub meaning: &'static str,
    /// Who can do something about it.
    pub who_can_act: WhoCanAct,
    /// What kind of retry has a chance.
    pub retry: Retry,
    /// The response codes of ISO 8583 (data element 39) that mean this. Where schemes give one code
    /// several meanings it stands at the commonest, and connectors that know the scheme decide
    /// otherwise.
    pub iso8583: &'static [&'static str],
}

/// Defines the enum and its table from the same rows, so that neither can miss a code.
macro_rules! decline_codes {
    ($($variant:ident $code:literal $by:ident $who:ident $retry:ident [$($iso:literal)*] $meaning:literal;)*) => {
        /// Why a payment was declined, in terms that do not depend on the provider.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum DeclineCode {
            $(#[doc = $meaning] #[serde(rename = $code)] $variant,)*
        }

        impl DeclineCode {
            const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code's row in the table.
            #[must_use]
            pub fn info(self) -> &'static DeclineInfo {
                match self {
                    $(Self::$variant => &DeclineInfo {
                        code: $code,
                        by: DeclinedBy::$by,
                        meaning: $meaning,
                        who_can_act: WhoCanAct::$who,
                        retry: Retry::$retry,
                        iso8583: &[$($iso),*],
                    },)*
                }
            }
        }
    };
}

impl DeclineCode {
    /// Every code, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied()
    }

    /// The name as it is stored, logged and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.info().code
    }

    /// Finds a code by its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::all().find(|code| code.as_str() == name)
    }
}

impl fmt::Display for DeclineCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

// Sources: ISO 8583:1987 data element 39 with the additions that Visa (letters, 78, 82, N7, R0-R3)
// and Mastercard (79, 82, 83) publish to acquirers. `Never` is given only where the meaning leaves
// no chance or the schemes forbid it in every edition of their rules that we know (Visa category 1:
// 04 07 41 43 46 R0 R1 R3).
decline_codes! {
    DoNotHonor "do_not_honor" Issuer Cardholder SameCardLater ["05"]
        "The issuer declined and gives no reason.";
    GenericDecline "generic_decline" Issuer Cardholder SameCardLater []
        "Declined, with a code that says no more than that.";
    InsufficientFunds "insufficient_funds" Issuer Cardholder SameCardLater ["51"]
        "The account does not hold enough money or credit.";
    LostCard "lost_card" Issuer Nobody Never ["41"]
        "The card was reported lost.";
    StolenCard "stolen_card" Issuer Nobody Never ["43"]
        "The card was reported stolen.";
    PickupCard "pickup_card" Issuer Nobody Never ["04" "07" "67"]
        "The issuer wants the card withdrawn.";
    RestrictedCard "restricted_card" Issuer Cardholder OtherCard ["36" "62"]
        "The issuer has restricted where or how the card may be used.";
    ExpiredCard "expired_card" Issuer Cardholder AfterCorrection ["33" "54"]
        "The card has expired, or the expiry date is wrong.";
    InvalidCardNumber "invalid_card_number" Issuer Cardholder AfterCorrection ["14"]
        "The issuer does not know the card number.";
    InvalidExpiry "invalid_expiry" Issuer Cardholder AfterCorrection []
        "The expiry date does not match the card.";
    IncorrectCvv "incorrect_cvv" Issuer Cardholder AfterCorrection ["N7"]
        "The card verification value does not match the card.";
    IncorrectPin "incorrect_pin" Issuer Cardholder AfterCorrection ["55"]
        "The PIN is wrong.";
    PinTriesExceeded "pin_tries_exceeded" Issuer Cardholder OtherCard ["38" "75"]
        "A wrong PIN was entered too often.";
    CardNotActive "card_not_active" Issuer Cardholder SameCardLater ["78"]
        "The card was never activated, or is blocked until its first use with a PIN.";
    ClosedAccount "closed_account" Issuer Nobody Never ["46"]
        "The account behind the card is closed.";
    NoSuchAccount "no_such_account" Issuer Cardholder OtherCard ["39" "42" "44" "52" "53" "56" "76" "77"]
        "The card has no account of the kind that was asked for.";
    NoSuchIssuer "no_such_issuer" Issuer Cardholder AfterCorrection ["15"]
        "No issuer has a card number with this beginning.";
    IssuerUnavailable "issuer_unavailable" Issuer Provider SameCardLater ["91" "92" "N0" "Z3"]
        "The issuer could not be reached, and the network declined in its place.";
    IssuerTimeoutDeclined "issuer_timeout_declined" Issuer Provider SameCardLater ["68"]
        "The issuer answered too late, and the network declined in its place.";
    TransactionNotPermittedCardholder "transaction_not_permitted_cardholder" Issuer Cardholder OtherCard ["57"]
        "The issuer does not allow this kind of payment with this card.";
    TransactionNotPermittedTerminal "transaction_not_permitted_terminal" Issuer Merchant AnotherProvider ["58"]
        "The acquirer has not set the merchant up for this kind of payment.";
    AmountLimitExceeded "amount_limit_exceeded" Issuer Cardholder SameCardLater ["61"]
        "The amount exceeds a limit of the card.";
    CountLimitExceeded "count_limit_exceeded" Issuer Cardholder SameCardLater ["65"]
        "The card was used too often for now. Mastercard also sends 65 to ask for authentication.";
    CurrencyNotSupported "currency_not_supported" Issuer Merchant OtherCard []
        "The card cannot be charged in this currency.";
    InvalidAmount "invalid_amount" Issuer Merchant AfterCorrection ["13"]
        "The amount is not one that can be processed.";
    InvalidTransaction "invalid_transaction" Issuer Merchant AfterCorrection ["12"]
        "The issuer does not accept this request for this card.";
    InvalidMerchant "invalid_merchant" Issuer Merchant AnotherProvider ["03"]
        "The merchant's number is unknown to the acquirer, or blocked.";
    AuthenticationRequired "authentication_required" Issuer Cardholder WithAuthentication ["1A"]
        "The issuer wants the cardholder authenticated first (a soft decline).";
    AuthenticationFailed "authentication_failed" Issuer Cardholder OtherCard []
        "The cardholder did not pass authentication.";
    SuspectedFraud "suspected_fraud" Issuer Cardholder OtherCard ["34" "59" "83"]
        "The issuer suspects fraud.";
    SecurityViolation "security_violation" Issuer Merchant AfterCorrection ["63"]
        "Security data in the request is wrong or missing.";
    LawViolation "law_violation" Issuer Nobody Never ["93"]
        "The payment would break a law.";
    CallIssuer "call_issuer" Issuer Cardholder OtherCard ["01" "02" "70"]
        "The issuer wants to be called before it approves.";
    StopPayment "stop_payment" Issuer Cardholder Never ["R0"]
        "The cardholder told the issuer to stop this payment.";
    RevocationOfAuthorization "revocation_of_authorization" Issuer Cardholder Never ["R1"]
        "The cardholder revoked the mandate for these payments.";
    RevocationOfAllAuthorizations "revocation_of_all_authorizations" Issuer Cardholder Never ["R3"]
        "The cardholder revoked all mandates on this card.";
    CardLifecycleUpdate "card_lifecycle_update" Issuer Cardholder AfterCorrection ["79"]
        "The card was replaced or closed; newer card data may exist.";
    PolicyDecline "policy_decline" Issuer Cardholder OtherCard ["82"]
        "A policy of the issuer forbids it. Visa sends 82 for a wrong verification value.";
    DuplicateTransaction "duplicate_transaction" Issuer Merchant Never ["26" "94"]
        "The same payment was already sent: look for the first one before anything else.";
    AddressVerificationFailed "address_verification_failed" Issuer Cardholder AfterCorrection []
        "The billing address does not match the card's.";
    PartialApprovalUnsupported "partial_approval_unsupported" Issuer Cardholder OtherCard ["10"]
        "Only a part of the amount could be approved, and the merchant does not take a part.";
    PayerCancelled "payer_cancelled" Issuer Cardholder SameCardLater []
        "The payer cancelled before the payment was done.";
    SystemMalfunction "system_malfunction" Issuer Provider SameCardLater ["06" "96"]
        "A system of the network or the issuer failed; the answer is a decline.";
    FormatError "format_error" Issuer Provider AnotherProvider ["30"]
        "The network could not read the request that the provider sent.";
    ReenterTransaction "reenter_transaction" Issuer Merchant SameCardLater ["19"]
        "The issuer asks to send the payment again.";
    RiskBlocked "risk_blocked" ProviderRisk Merchant OtherCard []
        "The provider's risk checks blocked the payment.";
    VelocityExceeded "velocity_exceeded" ProviderRisk Merchant SameCardLater []
        "The provider saw too many attempts in a short time.";
    Blocklisted "blocklisted" ProviderRisk Merchant Never []
        "The card, the payer or the address is on a block list.";
    MerchantAccountDisabled "merchant_account_disabled" ProviderOther Merchant AnotherProvider []
        "The merchant's account at the provider is disabled or not yet active.";
    ProviderDeclined "provider_declined" ProviderOther Provider AnotherProvider []
        "The provider declined for a reason of its own.";
    InstallmentsNotSupported "installments_not_supported" ProviderOther Merchant AfterCorrection []
        "This payment cannot be split into instalments.";
    PrepaidNotSupported "prepaid_not_supported" ProviderOther Cardholder OtherCard []
        "The merchant's account does not take prepaid cards for this payment.";
    CardBrandNotSupported "card_brand_not_supported" ProviderOther Merchant AnotherProvider []
        "The merchant's account does not take cards of this brand.";
    Unmapped "unmapped" ProviderOther Merchant Never []
        "The provider's code has no mapping yet. Such codes are counted, never guessed; the connector says who declined.";
}
