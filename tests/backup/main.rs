//! Backups: what is read, and how it is put back.

mod sources;
