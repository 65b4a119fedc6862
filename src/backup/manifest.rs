//! From a manifest to its bytes and back, with a sum that finds what was edited.

use serde::Deserialize;
use serde_json::Value;

use super::digest::sha256;
use crate::core::backup::BackupId;
use crate::core::backup::manifest::{Manifest, VERSION};

/// The bytes to store: the manifest with its sum.
pub fn sealed(mut manifest: Manifest) -> Vec<u8> {
    manifest.checksum = sum(&manifest);
    serde_json::to_vec(&manifest).unwrap_or_default()
}

fn sum(manifest: &Manifest) -> String {
    let blank = Manifest { checksum: String::new(), ..manifest.clone() };
    sha256(&serde_json::to_vec(&blank).unwrap_or_default())
}

/// The manifest of a backup of this bot, as it was written; else why it is none, the end of a sentence.
pub fn opened(bytes: &[u8], id: &BackupId, namespace: &str, bot: &str) -> Result<Manifest, String> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let not_json = |error: serde_json::Error| format!("cannot be read: {error}");
    let Version { version } = serde_json::from_slice(bytes).map_err(not_json)?;
    if version > VERSION {
        return Err(format!("has the form {version}, and this program knows none after {VERSION}"));
    }
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(not_json)?;
    let value: Value = serde_json::from_slice(bytes).map_err(not_json)?;
    // The second finds fields that nobody reads.
    if manifest.checksum != sum(&manifest) || serde_json::to_value(&manifest).ok() != Some(value) {
        return Err("was edited or damaged: its checksum does not fit".into());
    }
    if manifest.id != *id {
        return Err(format!("is that of {}", manifest.id));
    }
    if (manifest.namespace.as_str(), manifest.bot.as_str()) != (namespace, bot) {
        return Err(format!("is that of the bot {} in {}", manifest.bot, manifest.namespace));
    }
    if manifest.schedule != id.schedule() || Some(manifest.started_time) != id.begun() {
        return Err("names another schedule or time than its id".into());
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::backup::manifest::{Digest, Format};

    fn manifest(id: &BackupId) -> Manifest {
        Manifest {
            version: VERSION,
            id: id.clone(),
            namespace: "trading".into(),
            bot: "doge".into(),
            bot_uid: "u".into(),
            epoch: 7,
            schedule: id.schedule().into(),
            format: Format::Stream,
            started_time: id.begun().unwrap(),
            finished_time: id.begun().unwrap(),
            content: Digest { bytes: 3, sha256: sha256(b"abc") },
            stored: Digest { bytes: 3, sha256: sha256(b"abc") },
            compression: "None".into(),
            recipients: Vec::new(),
            tools: [("tradingbot-backup".to_owned(), "1".to_owned())].into(),
            checksum: String::new(),
        }
    }

    #[test]
    fn what_was_sealed_opens_and_nothing_else_does() {
        let id: BackupId = "20261124T020000Z-daily-3f9a".parse().unwrap();
        let other: BackupId = "20261124T020000Z-daily-3f9b".parse().unwrap();
        let bytes = sealed(manifest(&id));
        let open = |bytes: &[u8], id| opened(bytes, id, "trading", "doge");
        assert!(open(&bytes, &id).is_ok());
        assert!(open(&bytes, &other).unwrap_err().contains("is that of"));
        assert!(opened(&bytes, &id, "trading", "cat").unwrap_err().contains("is that of the bot doge"));

        let text = String::from_utf8(bytes.clone()).unwrap();
        let edited = text.replace("\"epoch\":7", "\"epoch\":8");
        let added = text.replace("\"epoch\":7", "\"epoch\":7,\"more\":1");
        let later = text.replace("\"version\":1", "\"version\":2");
        for (bytes, why) in
            [(&edited, "edited"), (&added, "edited"), (&later, "the form 2"), (&text[..20].into(), "read")]
        {
            assert!(open(bytes.as_bytes(), &id).unwrap_err().contains(why), "{bytes}");
        }
        // White space says nothing.
        let pretty = serde_json::to_vec_pretty(&serde_json::from_str::<Value>(&text).unwrap()).unwrap();
        assert!(open(&pretty, &id).is_ok());
    }
}
