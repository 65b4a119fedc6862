//! Cuts a stream into parts of one size, each handed on as soon as it is full.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

/// The size of a part. Some servers want all but the last to be of one size; ten thousand of them are the most.
pub const PART: usize = 8 << 20;

/// What goes to an upload. Without [`Piece::End`] it is given up.
#[derive(Clone, Debug)]
pub enum Piece {
    /// The next part.
    Part(Bytes),
    /// That was all.
    End,
}

/// A channel that holds back who is faster than the upload.
pub fn pieces() -> (mpsc::Sender<Piece>, mpsc::Receiver<Piece>) {
    mpsc::channel(1)
}

/// Writes into an upload, from a thread of its own.
#[derive(Debug)]
pub struct Parts {
    part: BytesMut,
    to: mpsc::Sender<Piece>,
}

impl Parts {
    /// Into this upload.
    pub fn new(to: mpsc::Sender<Piece>) -> Parts {
        Parts { part: BytesMut::new(), to }
    }

    fn send(&mut self, piece: Piece) -> io::Result<()> {
        // The upload says itself why it gave up.
        self.to.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Hands on what is left, and that it was all.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.part.is_empty() {
            let part = self.part.split().freeze();
            self.send(Piece::Part(part))?;
        }
        self.send(Piece::End)
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.part.capacity() == 0 {
            self.part.reserve(PART);
        }
        let fits = bytes.len().min(PART - self.part.len());
        self.part.extend_from_slice(&bytes[..fits]);
        if self.part.len() == PART {
            let part = std::mem::take(&mut self.part).freeze();
            self.send(Piece::Part(part))?;
        }
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_parts_but_the_last_have_one_size() {
        let (to, mut from) = pieces();
        let writer = std::thread::spawn(move || {
            let mut parts = Parts::new(to);
            for _ in 0..5 {
                parts.write_all(&vec![7; PART / 2 - 1]).unwrap();
            }
            parts.finish().unwrap();
        });
        let mut sizes = Vec::new();
        while let Some(Piece::Part(part)) = from.recv().await {
            sizes.push(part.len());
        }
        writer.join().unwrap();
        assert_eq!(sizes, [PART, PART, PART / 2 - 5]);
    }

    #[tokio::test]
    async fn a_source_learns_that_nobody_takes_its_parts_any_more() {
        let (to, from) = pieces();
        drop(from);
        let written = std::thread::spawn(move || Parts::new(to).write_all(&vec![7; PART]));
        assert_eq!(written.join().unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
