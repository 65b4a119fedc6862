//! The way of an artefact: source → zstd → age → parts → the store, and back. Nothing holds more than a few parts.

mod parts;
mod read;
mod seal;
mod unseal;
mod upload;

pub use parts::{PART, Parts, Piece, pieces};
pub use read::{arrival, read_through};
pub use seal::{Sealed, Sealer};
pub use unseal::{Identities, name as compression_name, unsealed};
pub use upload::upload;
