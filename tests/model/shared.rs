//! A part of the world that states share until one of them changes it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

/// Cloned when it is written to, not before, and hashed once: most events change one part of many.
#[derive(Clone, Debug, Default)]
pub struct Shared<T>(Arc<(T, OnceLock<u64>)>);

impl<T> Shared<T> {
    pub fn new(value: T) -> Self {
        Self(Arc::new((value, OnceLock::new())))
    }
}

impl<T: Hash> Shared<T> {
    /// Of the value; the same for equal ones.
    pub fn digest(&self) -> u64 {
        *self.0.1.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            self.0.0.hash(&mut hasher);
            hasher.finish()
        })
    }
}

impl<T: Hash> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.digest());
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.0 == other.0.0
    }
}

impl<T: Eq> Eq for Shared<T> {}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        let (value, digest) = Arc::make_mut(&mut self.0);
        digest.take();
        value
    }
}
