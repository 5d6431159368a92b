//! Types that stand for texts and numbers of a known form. They are only descriptions: values are read
//! and written as plain texts and exact numbers.

use baton_types::Currency;
use schemars::json_schema;

/// Declares a named schema.
macro_rules! described {
    ($(#[$doc:meta])* $name:ident, $($schema:tt)+) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name;

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $($schema)+
            }
        }
    };
}
pub(crate) use described;

/// Declares words of which one is read or answered.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $about:literal, $words:expr) => {
        crate::openapi::types::described!(
            $(#[$doc])*
            $name,
            schemars::json_schema!({ "type": "string", "enum": $words, "description": $about })
        );
    };
}
pub(crate) use words;

described!(
    /// Money in major units, as a JSON number that is exact.
    Amount,
    json_schema!({
        "type": "number",
        "format": "decimal",
        "exclusiveMinimum": 0,
        "maximum": 999_999_999_999_u64,
        "description": "An amount in major units such as 10.23, with at most the currency's number of \
                        decimals. It is a decimal and never read or written through a binary fraction.",
    })
);

described!(
    /// A currency that is known.
    CurrencyCode,
    {
        let codes: Vec<&str> = Currency::all().map(Currency::code).collect();
        json_schema!({
            "type": "string",
            "enum": codes,
            "description": "An ISO 4217 code.",
        })
    }
);

described!(
    /// A time.
    Time,
    json_schema!({
        "type": "string",
        "format": "date-time",
        "description": "A time in RFC 3339 form, in UTC.",
    })
);

described!(
    /// An id of ours.
    Id,
    json_schema!({
        "type": "string",
        "pattern": "^[a-z]{3,4}_[0-7][0-9a-hjkmnp-tv-z]{25}$",
        "description": "An id that Baton gave: its kind, and 26 characters that sort by time.",
    })
);

described!(
    /// The name of a gateway account.
    AccountName,
    json_schema!({
        "type": "string",
        "pattern": "^[A-Za-z0-9_-]{3,64}$",
        "description": "The name of one of the merchant's gateway accounts.",
    })
);
