//! Backups: what is read, what is kept of it where, and how it is put back.

mod azurite;
mod damage;
mod destinations;
mod gcs;
mod killed;
mod moto;
mod round_trip;
mod servers;
mod sources;
mod world;
