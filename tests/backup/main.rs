//! Backups: what is read and how it is put back, and the program that does it as a process, against an S3 server on
//! loopback and folders that stand for claims.

mod damage;
mod destinations;
mod killed;
mod round_trip;
mod sources;
mod world;
