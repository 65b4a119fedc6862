//! The values that go into and come out of [`super::decide`].

mod decision;
mod memory;
mod observation;
mod record;
mod spec;

pub use decision::*;
pub use memory::*;
pub use observation::*;
pub use record::*;
pub use spec::*;
