//! What the API server refuses and accepts, tried on a real one: `make cluster` gives it, or set KUBECONFIG.

mod bot;
mod children;
mod cluster;
mod examples;
mod input;
mod install;
mod operation;
mod operation_policy;
mod status;
mod stored;
mod unknown;
