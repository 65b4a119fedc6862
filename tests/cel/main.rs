//! What the API server refuses and accepts, tried on a real one: `make cluster` gives it, or set KUBECONFIG.

mod account_policy;
mod backup;
mod bot;
mod chart;
mod children;
mod cluster;
mod credentials;
mod examples;
mod flow_schema;
mod health;
mod identity;
mod input;
mod install;
mod lease_policy;
mod ledger_policy;
mod lifecycle;
mod merge;
mod operation;
mod operation_policy;
mod recovery;
mod status;
mod stored;
mod unknown;
