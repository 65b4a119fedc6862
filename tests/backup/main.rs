//! Backups: what is read, what is kept of it where, and how it is put back.

mod damage;
mod destinations;
mod killed;
mod round_trip;
mod sources;
mod world;
