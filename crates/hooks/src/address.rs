//! Which addresses a webhook may go to: public ones, and those that the operator allows.
//!
//! The refused ranges are the special-purpose registries of IANA (RFC 6890 and its successors), with everything
//! that carries an IPv4 address inside an IPv6 one judged by that address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(&'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "webhooks are not sent to {} addresses", self.0)
    }
}

impl std::error::Error for Refused {}

/// A range of addresses, like `10.1.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    address: IpAddr,
    bits: u8,
}

/// The text is no range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadNet;

impl fmt::Display for BadNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a range of addresses like 10.1.0.0/16 or an address")
    }
}

impl std::error::Error for BadNet {}

impl std::str::FromStr for Net {
    type Err = BadNet;

    fn from_str(text: &str) -> Result<Self, BadNet> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| BadNet)?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(whole), str::parse).map_err(|_| BadNet)?;
        if bits > whole { Err(BadNet) } else { Ok(Self { address, bits }) }
    }
}

impl Net {
    fn holds(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let shift = 32_u32.saturating_sub(self.bits.into());
                let cut = |bits: u32| bits.checked_shr(shift).unwrap_or(0);
                cut(net.to_bits()) == cut(address.to_bits())
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let shift = 128_u32.saturating_sub(self.bits.into());
                let cut = |bits: u128| bits.checked_shr(shift).unwrap_or(0);
                cut(net.to_bits()) == cut(address.to_bits())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Where webhooks may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Everywhere, in clear too: for development.
    pub anywhere: bool,
    /// Beyond the public addresses.
    pub allowed: Vec<Net>,
}

impl Policy {
    /// Whether webhooks may go to an address.
    ///
    /// # Errors
    /// Which sort of address it is.
    pub fn check(&self, address: IpAddr) -> Result<(), Refused> {
        if self.anywhere || self.allows(address) { Ok(()) } else { check_public(address) }
    }

    /// Whether the operator allows an address by name.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|net| net.holds(address))
    }
}

fn check_public(address: IpAddr) -> Result<(), Refused> {
    match address {
        IpAddr::V4(address) => check_v4(address),
        IpAddr::V6(address) => check_v6(address),
    }
}

fn check_v4(address: Ipv4Addr) -> Result<(), Refused> {
    let [a, b, c, d] = address.octets();
    let sort = match (a, b, c, d) {
        (0, ..) => "unspecified",
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) => "private",
        (100, 64..=127, ..) => "shared (carrier-grade NAT)",
        (127, ..) => "loopback",
        (169, 254, ..) => "link-local",
        (192, 0, 0, _) | (192, 88, 99, _) => "protocol",
        (192, 0, 2, _) | (198, 51, 100, _) | (203, 0, 113, _) => "documentation",
        (198, 18..=19, ..) => "benchmarking",
        (224..=239, ..) => "multicast",
        (240..=255, ..) => "reserved",
        _ => return Ok(()),
    };
    Err(Refused(sort))
}

fn check_v6(address: Ipv6Addr) -> Result<(), Refused> {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = address.segments();
    let [hi, lo] = [s6, s7].map(u16::to_be_bytes);
    let embedded = Ipv4Addr::new(hi[0], hi[1], lo[0], lo[1]);
    let sort = match (s0, s1, s2, s3, s4, s5) {
        (0, 0, 0, 0, 0, 0) if s6 == 0 && s7 == 0 => "unspecified",
        (0, 0, 0, 0, 0, 0) if s6 == 0 && s7 == 1 => "loopback",
        // IPv4-mapped, IPv4-compatible, and the translation prefix: judged by what is inside.
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => return check_v4(embedded),
        // 6to4 carries an IPv4 address in its second and third segment.
        (0x2002, ..) => {
            let [hi, lo] = [s1, s2].map(u16::to_be_bytes);
            return check_v4(Ipv4Addr::new(hi[0], hi[1], lo[0], lo[1]));
        }
        (0xfc00..=0xfdff, ..) => "private",
        (0xfe80..=0xfeff, ..) => "link-local",
        (0xff00..=0xffff, ..) => "multicast",
        (0x2001, 0xdb8, ..) | (0x3fff, 0..=0xfff, ..) => "documentation",
        (0x2001, 0..=0x1ff, ..) => "protocol",
        // Only this eighth of the space is given out as global unicast (RFC 4291).
        (0x2000..=0x3fff, ..) => return Ok(()),
        _ => "reserved",
    };
    Err(Refused(sort))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_pass() {
        #[rustfmt::skip]
        let rows = [
            ("8.8.8.8",                 None),
            ("1.1.1.1",                 None),
            ("100.63.255.255",          None),
            ("100.128.0.0",             None),
            ("172.15.255.255",          None),
            ("172.32.0.0",              None),
            ("198.17.255.255",          None),
            ("223.255.255.255",         None),
            ("0.0.0.0",                 Some("unspecified")),
            ("0.1.2.3",                 Some("unspecified")),
            ("10.0.0.1",                Some("private")),
            ("172.16.0.1",              Some("private")),
            ("172.31.255.255",          Some("private")),
            ("192.168.1.1",             Some("private")),
            ("100.64.0.1",              Some("shared (carrier-grade NAT)")),
            ("100.127.255.255",         Some("shared (carrier-grade NAT)")),
            ("127.0.0.1",               Some("loopback")),
            ("127.255.255.255",         Some("loopback")),
            ("169.254.169.254",         Some("link-local")),
            ("192.0.0.170",             Some("protocol")),
            ("192.0.2.1",               Some("documentation")),
            ("192.88.99.1",             Some("protocol")),
            ("198.18.0.1",              Some("benchmarking")),
            ("198.51.100.1",            Some("documentation")),
            ("203.0.113.1",             Some("documentation")),
            ("224.0.0.1",               Some("multicast")),
            ("239.255.255.255",         Some("multicast")),
            ("240.0.0.1",               Some("reserved")),
            ("255.255.255.255",         Some("reserved")),
            ("2606:4700::1111",         None),
            ("2a00:1450:4001::200e",    None),
            ("::",                      Some("unspecified")),
            ("::1",                     Some("loopback")),
            ("::ffff:127.0.0.1",        Some("loopback")),
            ("::ffff:10.0.0.1",         Some("private")),
            ("::ffff:8.8.8.8",          None),
            ("::7f00:1",                Some("loopback")),
            ("64:ff9b::10.0.0.1",       Some("private")),
            ("64:ff9b::8.8.8.8",        None),
            ("64:ff9b:1::1",            Some("reserved")),
            ("2002:7f00:1::",           Some("loopback")),
            ("2002:a00:1::1",           Some("private")),
            ("2002:808:808::1",         None),
            ("2001::1",                 Some("protocol")),
            ("2001:db8::1",             Some("documentation")),
            ("3fff:fff::1",             Some("documentation")),
            ("fc00::1",                 Some("private")),
            ("fdff::1",                 Some("private")),
            ("fe80::1",                 Some("link-local")),
            ("fec0::1",                 Some("link-local")),
            ("ff02::1",                 Some("multicast")),
            ("100::1",                  Some("reserved")),
            ("4000::1",                 Some("reserved")),
            ("5f00::1",                 Some("reserved")),
        ];
        let policy = Policy::default();
        for (text, want) in rows {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(policy.check(address).err(), want.map(Refused), "{text}");
            assert_eq!(Policy { anywhere: true, allowed: vec![] }.check(address), Ok(()));
        }
    }

    #[test]
    fn the_operator_allows_ranges() {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let allowed = nets(&["10.1.0.0/16", "192.168.7.9", "fd00:1::/32", "0.0.0.0/0"]);
        let policy = Policy { anywhere: false, allowed };
        for text in ["10.1.255.1", "192.168.7.9", "fd00:1:2::3", "127.0.0.1"] {
            assert_eq!(policy.check(text.parse().unwrap()), Ok(()), "{text}");
        }
        let policy = Policy { anywhere: false, allowed: nets(&["10.1.0.0/16", "fd00:1::/32"]) };
        for text in ["10.2.0.1", "fd00:2::1", "::ffff:10.2.0.1", "127.0.0.1"] {
            assert!(policy.check(text.parse().unwrap()).is_err(), "{text}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "host", "10.0.0.0/-1"] {
            assert_eq!(text.parse::<Net>(), Err(BadNet), "{text}");
        }
    }
}
