//! From content to what is stored: compressed, then encrypted.

use std::io::{self, Write};

use age::stream::StreamWriter;
use age::x25519::Recipient;
use zstd::stream::write::Encoder;

use super::Parts;
use crate::api::backup::Compression;
use crate::api::backup_config::BackupConfig;
use crate::backup::digest::Digester;
use crate::core::backup::manifest::Digest;
use crate::core::backup::report::{Failure, FailureReason};

/// Zstandard's own default: the best of its levels for its time.
const LEVEL: i32 = 3;

/// Takes content and hands on what is stored.
pub struct Sealer {
    /// Of the content; `None` where it is stored as it is, and the sum of what is stored is the same.
    content: Option<Digester>,
    to: Chain,
}

/// What the content goes through.
enum Chain {
    Plain(Parts),
    Encrypted(StreamWriter<Parts>),
    Compressed(Encoder<'static, Parts>),
    Both(Encoder<'static, StreamWriter<Parts>>),
}

/// What is known when all content was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Of the content, where it differs from what is stored.
    pub content: Option<Digest>,
}

impl Sealer {
    /// As the configuration says, into these parts.
    pub fn new(config: &BackupConfig, parts: Parts) -> Result<Sealer, Failure> {
        let recipients = config.encryption.as_ref().map(|encryption| encryption.recipients.as_slice());
        let failed =
            |error: io::Error| Failure::new(FailureReason::Misconfigured, format!("Encryption failed: {error}."));
        let to = match (config.compression, recipients) {
            (Compression::None, None) => Chain::Plain(parts),
            (Compression::None, Some(keys)) => Chain::Encrypted(encrypted(keys, parts)?),
            (Compression::Zstd, None) => Chain::Compressed(Encoder::new(parts, LEVEL).map_err(failed)?),
            (Compression::Zstd, Some(keys)) => {
                Chain::Both(Encoder::new(encrypted(keys, parts)?, LEVEL).map_err(failed)?)
            }
        };
        let content = match to {
            Chain::Plain(_) => None,
            Chain::Encrypted(_) | Chain::Compressed(_) | Chain::Both(_) => Some(Digester::default()),
        };
        Ok(Sealer { content, to })
    }

    /// That was all content.
    pub fn finish(self) -> io::Result<Sealed> {
        match self.to {
            Chain::Plain(parts) => parts.finish()?,
            Chain::Encrypted(stream) => stream.finish()?.finish()?,
            Chain::Compressed(encoder) => encoder.finish()?.finish()?,
            Chain::Both(encoder) => encoder.finish()?.finish()?.finish()?,
        }
        Ok(Sealed { content: self.content.map(Digester::finish) })
    }
}

impl Write for Sealer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = match &mut self.to {
            Chain::Plain(to) => to.write(bytes),
            Chain::Encrypted(to) => to.write(bytes),
            Chain::Compressed(to) => to.write(bytes),
            Chain::Both(to) => to.write(bytes),
        }?;
        if let Some(content) = &mut self.content {
            content.update(&bytes[..taken]);
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn encrypted(keys: &[String], parts: Parts) -> Result<StreamWriter<Parts>, Failure> {
    let wrong = |message: String| Failure::new(FailureReason::Misconfigured, message);
    let recipients: Vec<Recipient> = keys
        .iter()
        .map(|key| {
            let parsed = key.parse::<Recipient>();
            parsed.map_err(|why| {
                wrong(format!("The recipient {key} of spec.backup.encryption is no public key of age: {why}."))
            })
        })
        .collect::<Result<_, _>>()?;
    let all = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(all)
        .map_err(|error| wrong(format!("spec.backup.encryption.recipients cannot be used: {error}.")))?;
    encryptor.wrap_output(parts).map_err(|error| wrong(format!("Encryption failed: {error}.")))
}
