//! Which addresses a request may reach: the decision is made on the address that is connected to.
//!
//! Only what is routed on the public internet is open by default. Addresses that carry an IPv4 address inside
//! (mapped, NAT64, 6to4, Teredo) are judged by it or refused, because a translator on the way would unwrap them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Somebody on the internet.
    Public,
    /// This machine or its own network: loopback, private, shared and unique local addresses.
    Private,
    /// Nothing that a request is for: link-local (cloud metadata), multicast, reserved, translated.
    Special,
}

/// What `address` leads to.
pub(super) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => reach_v4(v4),
            None => reach_v6(v6),
        },
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [127, ..] | [10, ..] | [192, 168, ..] => Reach::Private,
        [172, b, ..] if b & 0xf0 == 16 => Reach::Private,
        // Carrier-grade NAT: the provider's network, where clouds put internal services.
        [100, b, ..] if b & 0xc0 == 64 => Reach::Private,
        [0, ..] | [169, 254, ..] | [192, 0, 0, _] => Reach::Special,
        // Documentation, benchmarking, and the anycast address of 6to4 relays.
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [198, 18 | 19, ..] | [192, 88, 99, _] => Reach::Special,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => Reach::Special,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if address == Ipv6Addr::LOCALHOST {
        return Reach::Private;
    }
    match address.segments() {
        [a, ..] if a & 0xfe00 == 0xfc00 => Reach::Private,
        // Teredo, benchmarking, ORCHID and everything else that the IETF keeps for protocols.
        [0x2001, b, ..] if b < 0x200 => Reach::Special,
        // Documentation; 6to4; documentation again.
        [0x2001, 0xdb8, ..] | [0x2002, ..] => Reach::Special,
        [0x3fff, b, ..] if b < 0x1000 => Reach::Special,
        // Of the rest only 2000::/3 is assigned to the internet. This refuses link-local, site-local, multicast,
        // NAT64, IPv4-compatible, unspecified and discard addresses in one go.
        [a, ..] if a & 0xe000 == 0x2000 => Reach::Public,
        _ => Reach::Special,
    }
}
