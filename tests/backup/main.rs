//! The program of backups as a process.
