//! What the operator sends to the API server, and what it makes of the answers, with a server that follows a script.

mod applying;
mod backups;
mod crash;
mod scripted;
