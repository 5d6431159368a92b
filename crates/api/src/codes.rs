//! Every code that an operator or a client can meet, each with a page that explains it.
//!
//! The pages are in `docs/errors` and part of the program: `baton explain CODE` prints them. Guarantees: a
//! code without its page does not compile, and neither does a word of an outcome that has no code. To add a
//! code: one line in the table below, one file. Left out: the decline codes, which have a table of their own
//! and share one page.

use baton_types::DeclineCode;
use baton_types::outcome::{Doubt, NotSent, Refused};

/// Defines the codes from one table, so that none can miss its page.
macro_rules! codes {
    ($($(#[doc = $title:literal])* $group:ident { $($code:ident = $word:literal,)* })*) => {
        /// What went wrong, in a word. A word that was released never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "each has a page")]
        pub enum ErrorCode {
            $($($code,)*)*
        }

        impl ErrorCode {
            /// Every code, by group.
            pub const ALL: &[Self] = &[$($(Self::$code,)*)*];

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$code => $word,)*)*
                }
            }

            /// The page that explains it, in Markdown.
            #[must_use]
            pub const fn page(self) -> &'static str {
                match self {
                    $($(Self::$code => include_str!(concat!("../../../docs/errors/", $word, ".md")),)*)*
                }
            }

            /// What the code's group has in common.
            #[must_use]
            pub fn group(self) -> &'static str {
                match self {
                    $($(Self::$code)|* => concat!($($title)*).trim(),)*
                }
            }
        }
    };
}

codes! {
    /// What became of a request: `reason` of an answer
    Result {
        Declined = "declined",
        InProgress = "in_progress",
        Pending = "pending",
        ActionRequired = "action_required",
        OutcomeUnknown = "outcome_unknown",
        DuplicateInDoubt = "duplicate_in_doubt",
        PartialApproval = "partial_approval",
        Absent = "absent",
        Voided = "voided",
        Fenced = "fenced",
        CaptureFailed = "capture_failed",
        NotExecuted = "not_executed",
        NotTried = "not_tried",
        NoAnswer = "no_answer",
        Unavailable = "unavailable",
        InternalError = "internal_error",
        Imported = "imported",
        UnknownReference = "unknown_reference",
        NotAllowed = "not_allowed",
    }
    /// Why nothing was sent: `reason` of an attempt
    NotSent {
        BreakerOpen = "breaker_open",
        TooManyInFlight = "too_many_in_flight",
        NotConfigured = "not_configured",
        NotSupported = "not_supported",
        DnsFailed = "dns_failed",
        ConnectFailed = "connect_failed",
        ConnectTimeout = "connect_timeout",
        TlsFailed = "tls_failed",
        ClosedBeforeSending = "closed_before_sending",
        StreamRefused = "stream_refused",
        TooLate = "too_late",
        PreparationFailed = "preparation_failed",
    }
    /// Why a provider attempted nothing: `reason` of an attempt
    Refused {
        Credentials = "credentials",
        Validation = "validation",
        RateLimited = "rate_limited",
    }
    /// Why an outcome is not known: `reason` of an attempt
    Doubt {
        AnswerTimeout = "answer_timeout",
        ConnectionLost = "connection_lost",
        AnswerCutShort = "answer_cut_short",
        UndocumentedStatus = "undocumented_status",
        Unreadable = "unreadable",
        OwnerGone = "owner_gone",
        Abandoned = "abandoned",
    }
    /// What the Payments API refuses: `code` of an error, in the contract's words
    Contract {
        Ir01 = "IR_01",
        Ir04 = "IR_04",
        Ir06 = "IR_06",
        Ir07 = "IR_07",
        Ir08 = "IR_08",
        Ir09 = "IR_09",
        Ir13 = "IR_13",
        Ir14 = "IR_14",
        Ir16 = "IR_16",
        Ir20 = "IR_20",
        Ir24 = "IR_24",
        Ir39 = "IR_39",
        He00 = "HE_00",
        He01 = "HE_01",
        He02 = "HE_02",
        Ce01 = "CE_01",
    }
    /// Why a saved card cannot be paid with: `reason` of an error of the Payments API
    Vault {
        VaultUnavailable = "vault_unavailable",
        VaultDenied = "vault_denied",
        VaultCardGone = "vault_card_gone",
    }
    /// Status codes of answers without a `reason`
    Http {
        BadRequest = "400",
        Unauthorized = "401",
        NotFound = "404",
        MethodNotAllowed = "405",
        PayloadTooLarge = "413",
        Unprocessable = "422",
        TooManyRequests = "429",
        NotInThisVersion = "501",
    }
    /// What keeps a server or a command from starting
    Start {
        ConfigInvalid = "config_invalid",
        DataDirUnusable = "data_dir_unusable",
        DataDirLocked = "data_dir_locked",
        ListenFailed = "listen_failed",
        VaultUnusable = "vault_unusable",
        DatabaseUrlInvalid = "database_url_invalid",
        DatabaseUnavailable = "database_unavailable",
        DatabaseUnsafe = "database_unsafe",
        SchemaOutdated = "schema_outdated",
        SchemaNewer = "schema_newer",
        SchemaChanged = "schema_changed",
        MigrationFailed = "migration_failed",
    }
    /// What commands find
    Command {
        UnknownMerchant = "unknown_merchant",
        UnknownKey = "unknown_key",
        UnknownPayment = "unknown_payment",
        CannotSettle = "cannot_settle",
        UnknownIncident = "unknown_incident",
        UnknownWebhook = "unknown_webhook",
        AuditBroken = "audit_broken",
    }
}

impl ErrorCode {
    /// A code by its word, in small or capital letters.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(word))
    }

    /// What happened, in a sentence: the page's first.
    #[must_use]
    pub fn summary(self) -> &'static str {
        self.page().lines().find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or("")
    }
}

impl From<NotSent> for ErrorCode {
    fn from(why: NotSent) -> Self {
        match why {
            NotSent::BreakerOpen => Self::BreakerOpen,
            NotSent::TooManyInFlight => Self::TooManyInFlight,
            NotSent::NotConfigured => Self::NotConfigured,
            NotSent::NotSupported => Self::NotSupported,
            NotSent::DnsFailed => Self::DnsFailed,
            NotSent::ConnectFailed => Self::ConnectFailed,
            NotSent::ConnectTimeout => Self::ConnectTimeout,
            NotSent::TlsFailed => Self::TlsFailed,
            NotSent::ClosedBeforeSending => Self::ClosedBeforeSending,
            NotSent::StreamRefused => Self::StreamRefused,
            NotSent::TooLate => Self::TooLate,
            NotSent::PreparationFailed => Self::PreparationFailed,
        }
    }
}

impl From<Refused> for ErrorCode {
    fn from(why: Refused) -> Self {
        match why {
            Refused::Credentials => Self::Credentials,
            Refused::Validation => Self::Validation,
            Refused::RateLimited => Self::RateLimited,
            Refused::Unavailable => Self::Unavailable,
        }
    }
}

impl From<Doubt> for ErrorCode {
    fn from(why: Doubt) -> Self {
        match why {
            Doubt::AnswerTimeout => Self::AnswerTimeout,
            Doubt::ConnectionLost => Self::ConnectionLost,
            Doubt::AnswerCutShort => Self::AnswerCutShort,
            Doubt::UndocumentedStatus => Self::UndocumentedStatus,
            Doubt::Unreadable => Self::Unreadable,
            Doubt::InProgress => Self::InProgress,
            Doubt::OwnerGone => Self::OwnerGone,
            Doubt::Abandoned => Self::Abandoned,
        }
    }
}

/// The page of a code or of a decline code; a decline code's row of the table stands before its family's
/// page.
#[must_use]
pub fn explain(word: &str) -> Option<String> {
    if let Some(code) = ErrorCode::parse(word) {
        return Some(code.page().to_owned());
    }
    let info = DeclineCode::parse(word)?.info();
    let iso = if info.iso8583.is_empty() { "none".to_owned() } else { info.iso8583.join(", ") };
    Some(format!(
        "# `{word}`\n\n{}\n\nA decline code. Declined by: {}. Who can act: {}. Retry: {}. ISO 8583: {iso}.\n\n\
         What all declines have in common:\n\n{}",
        info.meaning,
        info.by.as_str(),
        info.who_can_act.as_str(),
        info.retry.as_str(),
        ErrorCode::Declined.page(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_says_what_happened_what_it_means_for_money_and_what_to_do() {
        for code in ErrorCode::ALL {
            let (word, page) = (code.as_str(), code.page());
            assert!(page.starts_with(&format!("# `{word}`\n\n")), "{word}");
            let mut at = 0;
            let parts =
                ["## What happened\n", "## Was money moved?\n", "## What to do\n", "## Example\n"];
            for part in parts {
                let found = page.find(part).unwrap_or_else(|| panic!("{word} lacks {part}"));
                assert!(found > at, "{word}: {part} is out of order");
                let text = page.get(found + part.len()..).unwrap().trim_start();
                assert!(!text.is_empty() && !text.starts_with('#'), "{word}: {part} is empty");
                at = found;
            }
            assert!(code.summary().ends_with('.') && code.summary().len() < 90, "{word}");
            let example = page.get(at..).unwrap();
            let shown = if *code == ErrorCode::Declined { "insufficient_funds" } else { word };
            assert!(example.contains(shown), "{word} is not in its example");
        }
    }

    #[test]
    fn words_are_unique_and_found() {
        for (at, code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(ErrorCode::parse(code.as_str()), Some(*code));
            assert!(!ErrorCode::ALL.iter().skip(at + 1).any(|o| o.as_str() == code.as_str()));
            assert_eq!(DeclineCode::parse(code.as_str()), None, "one word, one meaning");
        }
        assert_eq!(explain("no such word"), None);
    }

    #[test]
    fn the_words_of_outcomes_are_those_of_their_codes() {
        use {Doubt as D, NotSent as N};
        let not_sent = [
            N::BreakerOpen,
            N::TooManyInFlight,
            N::NotConfigured,
            N::NotSupported,
            N::DnsFailed,
            N::ConnectFailed,
            N::ConnectTimeout,
            N::TlsFailed,
            N::ClosedBeforeSending,
            N::StreamRefused,
            N::TooLate,
            N::PreparationFailed,
        ];
        for why in not_sent {
            assert_eq!(ErrorCode::from(why).as_str(), why.as_str());
        }
        let doubts = [
            D::AnswerTimeout,
            D::ConnectionLost,
            D::AnswerCutShort,
            D::UndocumentedStatus,
            D::Unreadable,
            D::InProgress,
            D::OwnerGone,
            D::Abandoned,
        ];
        for why in doubts {
            assert_eq!(ErrorCode::from(why).as_str(), why.as_str());
        }
    }

    #[test]
    fn a_decline_code_is_explained_by_its_row_and_its_family() {
        for code in DeclineCode::all() {
            let page = explain(code.as_str()).unwrap();
            assert!(page.contains(code.info().meaning) && page.contains("## Was money moved?"));
        }
        assert!(explain("lost_card").unwrap().contains("ISO 8583: 41."));
    }
}
