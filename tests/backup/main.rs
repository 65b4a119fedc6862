//! Backups: what is read and how it is put back, and the program that does it.

mod sources;
