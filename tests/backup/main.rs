//! The program of backups as a process, against an S3 server on loopback and folders that stand for claims.

mod damage;
mod destinations;
mod killed;
mod round_trip;
mod world;
