//! Card brands by the first six digits of the number.
//!
//! The ranges are those the schemes publish (sources beside the table). A range decides the *brand
//! on the card's number*, not the network that will carry the payment: co-badged cards have
//! several. Left out: issuer, country and funding, which need a licensed BIN table.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A card brand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are the brands' own names")]
pub enum Brand {
    Visa,
    Mastercard,
    Amex,
    Discover,
    Diners,
    Jcb,
    UnionPay,
    Maestro,
    Elo,
    Hipercard,
    Troy,
    Uatp,
    Dankort,
    /// A number in no published range of the brands above.
    Unknown,
}

impl Brand {
    /// Every brand.
    pub const ALL: [Self; 14] = [
        Self::Visa,
        Self::Mastercard,
        Self::Amex,
        Self::Discover,
        Self::Diners,
        Self::Jcb,
        Self::UnionPay,
        Self::Maestro,
        Self::Elo,
        Self::Hipercard,
        Self::Troy,
        Self::Uatp,
        Self::Dankort,
        Self::Unknown,
    ];

    /// The name as it is stored, logged and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Visa => "visa",
            Self::Mastercard => "mastercard",
            Self::Amex => "amex",
            Self::Discover => "discover",
            Self::Diners => "diners",
            Self::Jcb => "jcb",
            Self::UnionPay => "union_pay",
            Self::Maestro => "maestro",
            Self::Elo => "elo",
            Self::Hipercard => "hipercard",
            Self::Troy => "troy",
            Self::Uatp => "uatp",
            Self::Dankort => "dankort",
            Self::Unknown => "unknown",
        }
    }

    /// The brand whose published range holds this number's first six digits.
    pub(crate) fn of_bin(bin: u32) -> Self {
        RANGES
            .iter()
            .find(|(first, last, _)| (*first..=*last).contains(&bin))
            .map_or(Self::Unknown, |(_, _, brand)| *brand)
    }

    /// Whether the brand issues numbers of this many digits.
    pub(crate) const fn has_length(self, digits: usize) -> bool {
        match self {
            Self::Visa => matches!(digits, 13 | 16 | 19),
            Self::Mastercard | Self::Elo | Self::Hipercard | Self::Troy | Self::Dankort => {
                digits == 16
            }
            Self::Amex | Self::Uatp => digits == 15,
            Self::Diners => matches!(digits, 14..=19),
            Self::Discover | Self::Jcb | Self::UnionPay => matches!(digits, 16..=19),
            Self::Maestro | Self::Unknown => matches!(digits, 12..=19),
        }
    }

    /// How many digits the card verification value on the brand's cards has.
    pub(crate) const fn cvv_length(self) -> usize {
        match self {
            Self::Amex => 4,
            Self::Visa
            | Self::Mastercard
            | Self::Discover
            | Self::Diners
            | Self::Jcb
            | Self::UnionPay
            | Self::Maestro
            | Self::Elo
            | Self::Hipercard
            | Self::Troy
            | Self::Uatp
            | Self::Dankort
            | Self::Unknown => 3,
        }
    }
}

impl fmt::Display for Brand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// First six digits, from and to, both inclusive. The first match wins: brands that live inside
/// another brand's range come first.
///
/// Sources: ISO/IEC 7812 for the first digits; Mastercard Rules and the compliance guide of the
/// Discover Global Network (Discover, Diners, JCB, UnionPay) and Elo's BIN table, as cited in
/// ActiveMerchant's `credit_card_methods.rb`, with Elo's and Maestro's blocks taken whole; test cards
/// of the providers that take them for Hipercard, Troy, Dankort and UATP. UnionPay's 62 wins over
/// Discover's co-badged cards in 622126 to 622925, as on the card.
#[rustfmt::skip]
const RANGES: [(u32, u32, Brand); 59] = [
    (401_178, 401_179, Brand::Elo),
    (431_274, 431_274, Brand::Elo),
    (438_935, 438_935, Brand::Elo),
    (451_416, 451_416, Brand::Elo),
    (457_393, 457_393, Brand::Elo),
    (457_631, 457_632, Brand::Elo),
    (504_175, 504_175, Brand::Elo),
    (506_699, 506_778, Brand::Elo),
    (509_000, 509_999, Brand::Elo),
    (627_780, 627_780, Brand::Elo),
    (636_297, 636_298, Brand::Elo),
    (636_368, 636_368, Brand::Elo),
    (650_031, 650_033, Brand::Elo),
    (650_035, 650_051, Brand::Elo),
    (650_057, 650_081, Brand::Elo),
    (650_405, 650_439, Brand::Elo),
    (650_485, 650_538, Brand::Elo),
    (650_541, 650_598, Brand::Elo),
    (650_700, 650_718, Brand::Elo),
    (650_720, 650_727, Brand::Elo),
    (650_901, 650_978, Brand::Elo),
    (651_652, 651_704, Brand::Elo),
    (655_000, 655_019, Brand::Elo),
    (655_021, 655_058, Brand::Elo),
    (384_100, 384_100, Brand::Hipercard),
    (384_140, 384_140, Brand::Hipercard),
    (384_160, 384_160, Brand::Hipercard),
    (606_282, 606_282, Brand::Hipercard),
    (637_095, 637_095, Brand::Hipercard),
    (637_568, 637_568, Brand::Hipercard),
    (637_599, 637_599, Brand::Hipercard),
    (637_609, 637_609, Brand::Hipercard),
    (637_612, 637_612, Brand::Hipercard),
    (501_900, 501_999, Brand::Dankort),
    (979_200, 979_299, Brand::Troy),
    (100_000, 199_999, Brand::Uatp),
    (222_100, 272_099, Brand::Mastercard),
    (300_000, 305_999, Brand::Diners),
    (309_500, 309_599, Brand::Diners),
    (308_800, 309_499, Brand::Jcb),
    (309_600, 310_299, Brand::Jcb),
    (311_200, 312_099, Brand::Jcb),
    (315_800, 315_999, Brand::Jcb),
    (333_700, 334_999, Brand::Jcb),
    (352_800, 358_999, Brand::Jcb),
    (340_000, 349_999, Brand::Amex),
    (370_000, 379_999, Brand::Amex),
    (360_000, 369_999, Brand::Diners),
    (380_000, 399_999, Brand::Diners),
    (400_000, 499_999, Brand::Visa),
    (510_000, 559_999, Brand::Mastercard),
    (601_100, 601_199, Brand::Discover),
    (644_000, 659_999, Brand::Discover),
    (620_000, 629_999, Brand::UnionPay),
    (810_000, 817_199, Brand::UnionPay),
    (500_000, 508_999, Brand::Maestro),
    (560_000, 599_999, Brand::Maestro),
    (600_000, 643_999, Brand::Maestro),
    (660_000, 699_999, Brand::Maestro),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_well_formed_and_each_is_reachable() {
        for (first, last, brand) in RANGES {
            assert!(first <= last, "{first} {last}");
            assert!((100_000..=999_999).contains(&first), "{first}");
            assert_eq!(Brand::of_bin(first), brand, "{first} is hidden by an earlier range");
            assert_eq!(Brand::of_bin(last), brand, "{last} is hidden by an earlier range");
        }
    }

    #[test]
    fn a_brand_has_one_name_in_json_and_in_logs() {
        for brand in Brand::ALL {
            let json = serde_json::to_string(&brand).unwrap();
            assert_eq!(json, format!("\"{brand}\""));
            assert_eq!(serde_json::from_str::<Brand>(&json).unwrap(), brand);
        }
    }
}
