//! From what is stored to content: decrypted, then unpacked, and compared at its end.

use std::io::{self, BufReader, Read};
use std::path::Path;

use age::x25519::Identity;

use crate::api::backup::Compression;
use crate::backup::digest::Digester;
use crate::core::backup::manifest::{Digest, Manifest};
use crate::core::backup::report::{Failure, FailureReason};

/// Private keys, of which one should fit.
pub struct Identities(Vec<Identity>);

impl Identities {
    /// Those of a file: one a line, as age-keygen writes them. None where there is no file.
    pub fn from_file(path: &Path) -> Result<Identities, Failure> {
        let wrong = |what: String| Failure::new(FailureReason::CannotDecrypt, what);
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Identities(Vec::new())),
            read => read.map_err(|error| wrong(format!("The key identity of the Secret cannot be read: {error}.")))?,
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys = lines.map(|line| line.parse::<Identity>()).collect::<Result<Vec<_>, _>>();
        keys.map(Identities).map_err(|why| {
            wrong(format!(
                "The key identity of spec.backup.encryption.identitySecretName is no private key of age \
                 (AGE-SECRET-KEY-1…): {why}."
            ))
        })
    }
}

/// The content of an artefact.
pub fn unsealed<'a>(
    stored: impl Read + 'a,
    manifest: &Manifest,
    identities: &Identities,
) -> Result<Box<dyn Read + 'a>, Failure> {
    let id = &manifest.id;
    let cannot = |what: String| Failure::new(FailureReason::CannotDecrypt, what);
    let decrypted: Box<dyn Read + 'a> = if manifest.recipients.is_empty() {
        Box::new(stored)
    } else if identities.0.is_empty() {
        return Err(cannot(format!(
            "The backup {id} is encrypted for {}, and there is no private key: set \
             spec.backup.encryption.identitySecretName.",
            manifest.recipients.join(", ")
        )));
    } else {
        let keys = identities.0.iter().map(|key| key as &dyn age::Identity);
        let opened = age::Decryptor::new_buffered(BufReader::new(stored)).and_then(|file| file.decrypt(keys));
        Box::new(opened.map_err(|error| {
            cannot(format!(
                "The backup {id} cannot be decrypted: {error}. It is encrypted for {}; give their private key.",
                manifest.recipients.join(", ")
            ))
        })?)
    };
    let damaged = |error| Failure::new(FailureReason::Damaged, format!("The backup {id} cannot be unpacked: {error}."));
    let plain: Box<dyn Read + 'a> = match manifest.compression.as_str() {
        compression if compression == name(Compression::None) => decrypted,
        compression if compression == name(Compression::Zstd) => {
            Box::new(zstd::stream::read::Decoder::new(decrypted).map_err(damaged)?)
        }
        other => {
            let what = format!("The backup {id} is compressed by {other}, which this program does not know.");
            return Err(Failure::new(FailureReason::Misconfigured, what));
        }
    };
    Ok(Box::new(Compared { from: plain, digester: Some(Digester::default()), content: manifest.content.clone() }))
}

/// How manifests call it.
pub fn name(compression: Compression) -> &'static str {
    match compression {
        Compression::Zstd => "Zstd",
        Compression::None => "None",
    }
}

/// Content whose end comes only if it was what the manifest says.
struct Compared<R> {
    from: R,
    digester: Option<Digester>,
    content: Digest,
}

impl<R: Read> Read for Compared<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        match (&mut self.digester, read) {
            (Some(digester), 1..) => digester.update(&into[..read]),
            (Some(_), 0) if !into.is_empty() => {
                let found = self.digester.take().map(Digester::finish);
                if found.as_ref() != Some(&self.content) {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the content is not the one that its manifest says",
                    ));
                }
            }
            _ => {}
        }
        Ok(read)
    }
}
