//! SOCKS version 5 (RFC 1928), the part that a client of TCP needs: no authentication, CONNECT, names and addresses.
//!
//! Pure: what a client has sent so far goes in, and what it says comes out, or how much more of it is needed.

use ::core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Host, Target};

/// The first byte of everything a client says.
pub const VERSION: u8 = 5;

const NO_AUTHENTICATION: u8 = 0;
const NONE_ACCEPTABLE: u8 = 0xff;
const CONNECT: u8 = 1;

/// The reply field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reply {
    /// The connection is there.
    Succeeded = 0,
    /// There is none, for a reason that has no number.
    Failure = 1,
    /// It is not allowed.
    NotAllowed = 2,
    /// No way leads to the network.
    NetworkUnreachable = 3,
    /// No way leads to the host, or it is none.
    HostUnreachable = 4,
    /// Nobody listens at the port.
    ConnectionRefused = 5,
    /// Nobody answered in time.
    TimedOut = 6,
    /// Something else than CONNECT is wanted.
    CommandNotSupported = 7,
    /// The address is of no kind that there is.
    AddressNotSupported = 8,
}

impl Reply {
    /// The whole answer. The address in it is that of our end, which is nobody's business.
    pub fn answer(self) -> [u8; 10] {
        [VERSION, self as u8, 0, 1, 0, 0, 0, 0, 0, 0]
    }
}

/// What a part of the conversation says so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<T> {
    /// That cannot be told before so many bytes more, at least one.
    Needs(usize),
    /// This.
    Says(T),
}

/// It is another protocol, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSocks;

/// The ways of authentication that a client offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// It would go without.
    Accepted,
    /// It insists on one.
    NoneAcceptable,
}

impl Greeting {
    /// The whole answer.
    pub fn answer(self) -> [u8; 2] {
        match self {
            Greeting::Accepted => [VERSION, NO_AUTHENTICATION],
            Greeting::NoneAcceptable => [VERSION, NONE_ACCEPTABLE],
        }
    }
}

/// Reads the first part.
///
/// # Errors
/// As soon as it cannot be one.
pub fn greeting(bytes: &[u8]) -> Result<Part<Greeting>, NotSocks> {
    match bytes {
        [] => Ok(Part::Needs(1)),
        [version, ..] if *version != VERSION => Err(NotSocks),
        [_] => Ok(Part::Needs(1)),
        [_, count, methods @ ..] => Ok(match usize::from(*count).checked_sub(methods.len()) {
            Some(0) | None if methods.contains(&NO_AUTHENTICATION) => Part::Says(Greeting::Accepted),
            Some(0) | None => Part::Says(Greeting::NoneAcceptable),
            Some(more) => Part::Needs(more),
        }),
    }
}

/// Reads the second part: where the client wants to be connected to, or the reply that it gets instead.
///
/// # Errors
/// As soon as it cannot be one.
pub fn request(bytes: &[u8]) -> Result<Part<Result<Target, Reply>>, NotSocks> {
    const HEAD: usize = 4;
    let Some(([version, command, _reserved, kind], rest)) = bytes.split_first_chunk::<HEAD>() else {
        return Ok(Part::Needs(HEAD - bytes.len()));
    };
    if *version != VERSION {
        return Err(NotSocks);
    }
    let (rest, length) = match (kind, rest) {
        (1, rest) => (rest, 4),
        (4, rest) => (rest, 16),
        (3, []) => return Ok(Part::Needs(1)),
        (3, [length, rest @ ..]) => (rest, usize::from(*length)),
        _ => return Ok(Part::Says(Err(Reply::AddressNotSupported))),
    };
    let Some((address, &[high, low, ..])) = rest.split_at_checked(length) else {
        return Ok(Part::Needs(length + 2 - rest.len()));
    };
    let port = u16::from_be_bytes([high, low]);
    Ok(Part::Says(match host(address, *kind) {
        _ if *command != CONNECT => Err(Reply::CommandNotSupported),
        Some(host) if port != 0 => Ok(Target { host, port }),
        _ => Err(Reply::HostUnreachable),
    }))
}

fn host(address: &[u8], kind: u8) -> Option<Host> {
    match kind {
        1 => Some(Host::Address(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?)))),
        4 => Some(Host::Address(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)).to_canonical())),
        _ => Host::parse(std::str::from_utf8(address).ok()?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads byte by byte as it is asked to, as the agent does; answers what is said and how much of it was read.
    fn read<T>(bytes: &[u8], part: impl Fn(&[u8]) -> Result<Part<T>, NotSocks>) -> (Result<T, NotSocks>, usize) {
        let mut length = 0;
        loop {
            match part(&bytes[..length]) {
                Ok(Part::Needs(more)) => length += more,
                Ok(Part::Says(said)) => return (Ok(said), length),
                Err(error) => return (Err(error), length),
            }
        }
    }

    #[test]
    fn a_client_that_goes_without_authentication_is_greeted_and_no_byte_more_is_read() {
        assert_eq!(read(&[5, 1, 0, 9], greeting), (Ok(Greeting::Accepted), 3));
        assert_eq!(read(&[5, 2, 2, 0], greeting), (Ok(Greeting::Accepted), 4));
        assert_eq!(read(&[5, 1, 2], greeting), (Ok(Greeting::NoneAcceptable), 3));
        assert_eq!(read(&[5, 0], greeting), (Ok(Greeting::NoneAcceptable), 2));
        assert_eq!(read(&[4, 1], greeting), (Err(NotSocks), 1));
    }

    #[test]
    fn answers_are_those_of_the_protocol() {
        assert_eq!(Greeting::Accepted.answer(), [5, 0]);
        assert_eq!(Greeting::NoneAcceptable.answer(), [5, 0xff]);
        assert_eq!(Reply::Succeeded.answer(), [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Reply::ConnectionRefused.answer(), [5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn no_more_is_waited_for_than_a_client_still_has_to_send() {
        assert_eq!(request(&[5, 1]), Ok(Part::Needs(2)));
        assert_eq!(request(&[5, 1, 0, 1, 192, 0]), Ok(Part::Needs(4)));
        assert_eq!(request(&[5, 1, 0, 3, 9, b'a']), Ok(Part::Needs(10)));
    }

    #[test]
    fn names_and_addresses_are_the_hosts_that_they_say() {
        let asked = |bytes: &[u8]| read(bytes, request).0.unwrap().map(|target| target.to_string());
        assert_eq!(asked(b"\x05\x01\x00\x03\x09API.x.com\x01\xbb"), Ok("api.x.com:443".into()));
        assert_eq!(asked(&[5, 1, 0, 1, 192, 0, 2, 7, 0, 80]), Ok("192.0.2.7:80".into()));
        let mapped = [5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7, 0, 80];
        assert_eq!(asked(&mapped), Ok("192.0.2.7:80".into()), "a mapped address is the same host");
        assert_eq!(asked(b"\x05\x01\x00\x03\x03a b\x01\xbb"), Err(Reply::HostUnreachable));
        assert_eq!(asked(&[5, 1, 0, 1, 192, 0, 2, 7, 0, 0]), Err(Reply::HostUnreachable));
        assert_eq!(asked(&[5, 3, 0, 1, 192, 0, 2, 7, 0, 80]), Err(Reply::CommandNotSupported));
        assert_eq!(asked(&[5, 1, 0, 2]), Err(Reply::AddressNotSupported));
        assert_eq!(read(&[4, 1, 0, 1], request).0, Err(NotSocks));
    }
}
