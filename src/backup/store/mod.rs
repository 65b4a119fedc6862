//! A destination: the folder of one bot at one of the places where backups are kept.
//!
//! ```text
//! <prefix>/<namespace>/<bot>/owner.json
//! <prefix>/<namespace>/<bot>/artefacts/<id>
//! <prefix>/<namespace>/<bot>/manifests/<id>.json     written last: without it there is no backup
//! <prefix>/<namespace>/<bot>/damaged/<id>            a verification found the artefact damaged
//! ```

mod failure;
mod open;
mod owner;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload,
};

use super::stop::Stop;
use crate::core::backup::BackupId;
use crate::core::backup::report::{Failure, FailureReason};

pub use open::open;
pub use owner::{claim, refuse_others};

/// Owners and manifests are small; what is larger is none.
const LARGEST_DOCUMENT: u64 = 1 << 20;

/// One destination.
#[derive(Debug)]
pub struct Store {
    /// Which it is, with its address: the end of a sentence.
    name: String,
    object: Arc<dyn ObjectStore>,
    /// The bot's folder.
    folder: Path,
    /// What artefacts get besides their content.
    attributes: Attributes,
    /// The most parts that one artefact may have.
    most_parts: usize,
    stop: Stop,
}

/// What a folder of a destination holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name in the folder.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
}

/// What came of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, or was.
    Removed,
    /// The store keeps it; what it says.
    Locked(String),
}

/// An object of the bot's folder.
#[derive(Clone, Copy, Debug)]
pub enum Object<'a> {
    /// Whose folder it is.
    Owner,
    /// What is backed up.
    Artefact(&'a BackupId),
    /// What is known of it.
    Manifest(&'a BackupId),
    /// It is damaged.
    Damaged(&'a BackupId),
}

/// Folders with one object for each backup.
#[derive(Clone, Copy, Debug)]
pub enum Folder {
    /// Artefacts.
    Artefacts,
    /// Manifests.
    Manifests,
    /// Markers.
    Damaged,
}

impl Folder {
    fn name(self) -> &'static str {
        match self {
            Folder::Artefacts => "artefacts",
            Folder::Manifests => "manifests",
            Folder::Damaged => "damaged",
        }
    }
}

impl Store {
    /// Which it is, such as `the bucket 'backups' at https://…`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The most parts that one artefact may have.
    pub fn most_parts(&self) -> usize {
        self.most_parts
    }

    /// Waits until the run is to end.
    pub async fn stopped(&self) -> Failure {
        self.stop.asked().await
    }

    fn path(&self, object: Object<'_>) -> Path {
        match object {
            Object::Owner => self.folder.clone().join("owner.json"),
            Object::Artefact(id) => self.folder.clone().join(Folder::Artefacts.name()).join(id.as_str()),
            Object::Manifest(id) => self.folder.clone().join(Folder::Manifests.name()).join(format!("{id}.json")),
            Object::Damaged(id) => self.folder.clone().join(Folder::Damaged.name()).join(id.as_str()),
        }
    }

    /// A call of the store, given up when the run is to end.
    async fn call<T>(
        &self,
        doing: &str,
        path: &Path,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            result = call => result.map_err(|error| failure::of(&self.name, doing, path, &error)),
            failure = self.stop.asked() => Err(failure),
        }
    }

    /// An object as a whole; `None`: it is not there.
    pub async fn document(&self, object: Object<'_>) -> Result<Option<Bytes>, Failure> {
        let path = self.path(object);
        let get = async {
            let found = match self.object.get(&path).await {
                Err(error) if failure::object_is_absent(&error) => return Ok(None),
                found => found?,
            };
            match found.meta.size <= LARGEST_DOCUMENT {
                true => found.bytes().await.map(Some),
                // Too large to be one of ours, and nothing that fits could be read from what is left out.
                false => Ok(Some(Bytes::new())),
            }
        };
        self.call("Reading", &path, get).await
    }

    /// Writes an object that is not there yet; false: it was.
    pub async fn create(&self, object: Object<'_>, content: Vec<u8>) -> Result<bool, Failure> {
        let path = self.path(object);
        let put = async {
            let put = |mode| {
                let options = PutOptions { mode, ..PutOptions::default() };
                self.object.put_opts(&path, PutPayload::from(content.clone()), options)
            };
            match put(PutMode::Create).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
                // Some servers know no conditions. What is written has a name of its own, or is compared afterwards.
                Err(error) if failure::is_not_implemented(&error) => put(PutMode::Overwrite).await.map(|_| true),
                Err(error) => Err(error),
            }
        };
        self.call("Writing", &path, put).await
    }

    /// Writes an object, whatever was there.
    pub async fn replace(&self, object: Object<'_>, content: Vec<u8>) -> Result<(), Failure> {
        let path = self.path(object);
        self.call("Writing", &path, self.object.put(&path, PutPayload::from(content))).await.map(drop)
    }

    /// Everything in a folder.
    pub async fn list(&self, folder: Folder) -> Result<Vec<Listed>, Failure> {
        let path = self.folder.clone().join(folder.name());
        let list = async {
            let found = self.object.list(Some(&path)).try_collect::<Vec<_>>().await;
            match found {
                Err(error) if failure::object_is_absent(&error) => Ok(Vec::new()),
                found => found,
            }
        };
        let found = self.call("Listing", &path, list).await?;
        let listed = |meta: object_store::ObjectMeta| {
            // One folder deeper there is nothing of ours.
            let mut rest = meta.location.prefix_match(&path)?;
            let name = rest.next()?.as_ref().to_owned();
            rest.next().is_none().then_some(Listed { name, bytes: meta.size })
        };
        Ok(found.into_iter().filter_map(listed).collect())
    }

    /// Removes an object, if the store lets it go.
    pub async fn remove(&self, object: Object<'_>) -> Result<Removal, Failure> {
        let path = self.path(object);
        let remove = async {
            match self.object.delete(&path).await {
                Err(error) if failure::object_is_absent(&error) => Ok(Removal::Removed),
                Err(error) if failure::is_locked(&error) => Ok(Removal::Locked(failure::cause(&error))),
                removed => removed.map(|()| Removal::Removed),
            }
        };
        self.call("Removing", &path, remove).await
    }

    /// An artefact from its begin; `None`: it is not there.
    pub async fn artefact(
        &self,
        id: &BackupId,
    ) -> Result<Option<BoxStream<'static, object_store::Result<Bytes>>>, Failure> {
        let path = self.path(Object::Artefact(id));
        let get = async {
            match self.object.get(&path).await {
                Err(error) if failure::object_is_absent(&error) => Ok(None),
                found => found.map(|found| Some(found.into_stream())),
            }
        };
        self.call("Reading", &path, get).await
    }

    /// The next bytes of an artefact; `None`: that was all.
    pub async fn next(
        &self,
        id: &BackupId,
        stream: &mut BoxStream<'static, object_store::Result<Bytes>>,
    ) -> Result<Option<Bytes>, Failure> {
        let path = self.path(Object::Artefact(id));
        self.call("Reading", &path, async { stream.next().await.transpose() }).await
    }

    /// Writes an artefact that fits into one part.
    pub async fn put_artefact(&self, id: &BackupId, content: Bytes) -> Result<(), Failure> {
        let path = self.path(Object::Artefact(id));
        let options = PutOptions { attributes: self.attributes.clone(), ..PutOptions::default() };
        self.call("Writing", &path, self.object.put_opts(&path, content.into(), options)).await.map(drop)
    }

    /// Begins to write an artefact in parts.
    pub async fn begin_artefact(&self, id: &BackupId) -> Result<Box<dyn MultipartUpload>, Failure> {
        let path = self.path(Object::Artefact(id));
        let options = PutMultipartOptions { attributes: self.attributes.clone(), ..PutMultipartOptions::default() };
        self.call("Writing", &path, self.object.put_multipart_opts(&path, options)).await
    }

    /// A step of writing an artefact in parts.
    pub async fn step<T>(
        &self,
        id: &BackupId,
        step: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Failure> {
        self.call("Writing", &self.path(Object::Artefact(id)), step).await
    }

    /// What is wrong with an artefact here.
    pub fn fault(&self, reason: FailureReason, id: &BackupId, what: &str) -> Failure {
        Failure::new(reason, format!("The artefact of {id} in {} {what}.", self.name))
    }
}
