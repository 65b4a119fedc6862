//! SOCKS version 5 (RFC 1928).

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpStream};

use super::super::outside::{OUTSIDE, OUTSIDE_V6, Outside, to_gate};
use super::{echoes, rest, while_trading};

const GREETING: [u8; 3] = [5, 1, 0];

/// An address as SOCKS writes it.
enum Address<'a> {
    V4([u8; 4]),
    V6(Ipv6Addr),
    Name(&'a str),
}

fn request(command: u8, address: &Address<'_>, port: u16) -> Vec<u8> {
    let mut bytes = vec![5, command, 0];
    match address {
        Address::V4(octets) => {
            bytes.push(1);
            bytes.extend(octets);
        }
        Address::V6(address) => {
            bytes.push(4);
            bytes.extend(address.octets());
        }
        Address::Name(name) => {
            bytes.extend([3, u8::try_from(name.len()).unwrap()]);
            bytes.extend(name.as_bytes());
        }
    }
    bytes.extend(port.to_be_bytes());
    bytes
}

/// The reply to a request.
fn ask(bytes: &[u8]) -> (TcpStream, u8) {
    let mut stream = to_gate();
    stream.write_all(&GREETING).unwrap();
    let mut method = [0; 2];
    stream.read_exact(&mut method).unwrap();
    assert_eq!(method, [5, 0]);
    stream.write_all(bytes).unwrap();
    let code = reply(&mut stream);
    (stream, code)
}

fn reply(stream: &mut TcpStream) -> u8 {
    let mut reply = [0; 10];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!((reply[0], reply[2], reply[3]), (5, 0, 1), "{reply:?}");
    reply[1]
}

fn echo(outside: &Outside) -> u16 {
    let server = outside.serve_with(|mut stream| {
        let mut writer = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut stream, &mut writer);
    });
    server.port()
}

#[test]
fn names_and_addresses_of_both_kinds_are_connected_to() {
    while_trading(|outside| {
        let port = echo(outside);
        for address in [Address::V4(OUTSIDE.octets()), Address::V6(OUTSIDE_V6), Address::Name("exchange.test")] {
            let (mut stream, code) = ask(&request(1, &address, port));
            assert_eq!(code, 0);
            echoes(&mut stream);
        }
        // Clients that resolve nothing also write addresses as names.
        let (mut stream, code) = ask(&request(1, &Address::Name("10.99.0.1"), port));
        assert_eq!(code, 0);
        echoes(&mut stream);
    });
}

#[test]
fn a_request_may_come_byte_by_byte_or_all_at_once() {
    while_trading(|outside| {
        let port = echo(outside);
        let mut all = GREETING.to_vec();
        all.extend(request(1, &Address::Name("exchange.test"), port));
        all.extend(b"an order");
        let mut whole = to_gate();
        whole.write_all(&all).unwrap();
        let mut split = to_gate();
        for byte in all {
            split.write_all(&[byte]).unwrap();
        }
        for mut stream in [whole, split] {
            let mut method = [0; 2];
            stream.read_exact(&mut method).unwrap();
            assert_eq!((method, reply(&mut stream)), ([5, 0], 0));
            let mut back = [0; 8];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(&back, b"an order");
        }
    });
}

#[test]
fn what_cannot_be_done_is_answered_with_its_code() {
    while_trading(|outside| {
        let port = echo(outside);
        let there = Address::V4(OUTSIDE.octets());
        let mut unknown_kind = request(1, &there, port);
        unknown_kind[3] = 9;
        for (what, bytes, code) in [
            ("BIND", request(2, &there, port), 7),
            ("UDP ASSOCIATE", request(3, &there, port), 7),
            ("an unknown kind of address", unknown_kind, 8),
            ("loopback", request(1, &Address::V4([127, 0, 0, 1]), port), 2),
            ("nobody listens", request(1, &there, 1), 5),
            ("no such name", request(1, &Address::Name("nowhere.test"), port), 4),
            ("no network there", request(1, &Address::V4([192, 0, 2, 1]), port), 3),
            ("no name", request(1, &Address::Name("a b"), port), 4),
            ("no port", request(1, &there, 0), 4),
        ] {
            let (mut stream, answer) = ask(&bytes);
            assert_eq!(answer, code, "{what}");
            assert_eq!(rest(&mut stream), b"", "{what}: it is closed after that");
        }
    });
}

#[test]
fn a_client_that_insists_on_a_password_is_told_that_there_is_none() {
    while_trading(|_| {
        for greeting in [&[5, 1, 2][..], &[5, 2, 1, 2], &[5, 0]] {
            let mut stream = to_gate();
            stream.write_all(greeting).unwrap();
            assert_eq!(rest(&mut stream), [5, 0xff], "{greeting:?}");
        }
        let mut stream = to_gate();
        stream.write_all(&[5, 3, 2, 1, 0]).unwrap();
        let mut method = [0; 2];
        stream.read_exact(&mut method).unwrap();
        assert_eq!(method, [5, 0], "one of several is enough");
    });
}
