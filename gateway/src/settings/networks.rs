use std::{fmt, net::IpAddr, str::FromStr};

/// A list of networks, such as `10.0.0.0/8,::1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    /// How many leading bits count.
    bits: u8,
}

impl Networks {
    /// Whether `address` is in one of them. An IPv4 address that came over IPv6 counts as what it is.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// The text is no list of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidNetwork;

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a network such as 10.0.0.0/8")
    }
}

impl std::error::Error for InvalidNetwork {}

impl FromStr for Networks {
    type Err = InvalidNetwork;

    fn from_str(raw: &str) -> Result<Self, InvalidNetwork> {
        raw.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(raw: &str) -> Result<Self, InvalidNetwork> {
        let (address, bits) =
            raw.split_once('/').map_or((raw, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| InvalidNetwork))?;
        if bits > most { Err(InvalidNetwork) } else { Ok(Self { address, bits }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_network_whose_leading_bits_it_shares() {
        let networks: Networks = "10.0.0.0/8, 192.168.1.7,fd00::/8".parse().expect("three networks");
        for (address, inside) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
            ("::ffff:10.1.2.3", true),
            ("fd12::1", true),
            ("fe80::1", false),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(networks.contain(address), inside, "{address}");
        }
        let all: Networks = "0.0.0.0/0".parse().expect("a network");
        assert!(all.contain("1.2.3.4".parse().expect("an address")));
        assert!(!Networks::default().contain("127.0.0.1".parse().expect("an address")));
    }

    #[test]
    fn anything_else_is_refused() {
        for raw in ["10.0.0.0/33", "10.0.0/8", "::/129", "localhost", "10.0.0.0/-1", ","] {
            assert_eq!(raw.parse::<Networks>(), Err(InvalidNetwork), "{raw}");
        }
    }
}
