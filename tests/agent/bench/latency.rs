//! What the gate adds to a request and its answer.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::super::outside::{OUTSIDE, connect};
use super::traffic::MESSAGE;
use super::{Figures, beside_a_gate};

/// A batch takes a second or two. Other work on the machine comes and goes: there are many batches, and the one in which
/// the connection *without* the gate was quietest counts. So the gate's own figures do not choose.
const BATCHES: usize = 20;
const ROUNDS: usize = 5_000;
const WARM_UP: usize = 500;

struct Batch {
    direct: Figures,
    gate: Figures,
    /// Of each round: through the gate, minus the direct one right before it. Chance in either counts in full.
    added: Figures,
}

pub fn added() -> Figures {
    let batches = beside_a_gate(|outside, _| {
        let server = outside.serve_with(|mut stream| {
            stream.set_nodelay(true).unwrap();
            let mut message = [0; MESSAGE];
            while stream.read_exact(&mut message).is_ok() && stream.write_all(&message).is_ok() {}
        });
        let mut direct = TcpStream::connect((OUTSIDE, server.port())).unwrap();
        direct.set_nodelay(true).unwrap();
        let (mut gate, _) = connect(&server.to_string());
        for _ in 0..WARM_UP {
            ask(&mut direct);
            ask(&mut gate);
        }
        (0..BATCHES).map(|_| batch(&mut direct, &mut gate)).collect::<Vec<_>>()
    });
    for batch in &batches {
        println!("  {}; {}; {}", batch.direct, batch.gate, batch.added);
    }
    let quietest = |one: &Batch, other: &Batch| one.direct.percentile(99).total_cmp(&other.direct.percentile(99));
    batches.into_iter().min_by(quietest).map(|batch| batch.added).unwrap()
}

fn batch(direct: &mut TcpStream, gate: &mut TcpStream) -> Batch {
    let rounds: Vec<(Duration, Duration)> = (0..ROUNDS).map(|_| (ask(direct), ask(gate))).collect();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    Batch {
        direct: Figures::new("direct", rounds.iter().map(|(direct, _)| milliseconds(*direct)).collect()),
        gate: Figures::new("gate", rounds.iter().map(|(_, gate)| milliseconds(*gate)).collect()),
        added: Figures::new(
            "added-latency",
            rounds.iter().map(|(direct, gate)| milliseconds(*gate) - milliseconds(*direct)).collect(),
        ),
    }
}

fn ask(stream: &mut TcpStream) -> Duration {
    let mut message = [7; MESSAGE];
    let begun = Instant::now();
    stream.write_all(&message).unwrap();
    stream.read_exact(&mut message).unwrap();
    begun.elapsed()
}
