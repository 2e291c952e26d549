//! A free TCP port for a server to listen on.

use std::io;
use std::net::{IpAddr, TcpListener};

use crate::files;

/// Lowest port tried: below are the well-known servers of development machines.
const LOWEST: u16 = 12_000;
/// How many random ports are tried before the kernel is asked.
const TRIES: usize = 64;

/// A port of `host` on which nobody listens. It is free *now*: whoever binds it must be ready to find it taken and
/// to ask again.
///
/// The port is taken from below the kernel's ephemeral range. A port inside it could be given to any outgoing
/// connection while a server restarts, or even to a client that reconnects to it, which then talks to itself.
///
/// # Errors
/// When no port can be bound at all, for instance because `host` is not an address of this machine.
pub(crate) fn free_port(host: IpAddr) -> io::Result<u16> {
    let ephemeral = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    if let Some(count) = below_ephemeral(&ephemeral) {
        for _ in 0..TRIES {
            let port = LOWEST + u16::from_ne_bytes(files::random_bytes()?) % count;
            if TcpListener::bind((host, port)).is_ok() {
                return Ok(port);
            }
        }
    }
    Ok(TcpListener::bind((host, 0))?.local_addr()?.port())
}

/// How many ports lie between [`LOWEST`] and the ephemeral range; `None` when too few to choose from.
fn below_ephemeral(range: &str) -> Option<u16> {
    let first: u16 = range.split_whitespace().next()?.parse().ok()?;
    first.checked_sub(LOWEST).filter(|count| *count >= 1000)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_port_can_be_bound() {
        let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let port = free_port(host).unwrap();
        TcpListener::bind((host, port)).unwrap();
    }

    #[test]
    fn the_ephemeral_range_is_avoided_where_there_is_room_below_it() {
        assert_eq!(below_ephemeral("32768\t60999\n"), Some(20_768));
        assert_eq!(below_ephemeral("1024\t65535\n"), None);
        assert_eq!(below_ephemeral("12500 60999"), None);
        assert_eq!(below_ephemeral(""), None);
    }
}
