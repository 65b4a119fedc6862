//! What the API server refuses and accepts, tried on a real one: `make cluster` gives it, or set KUBECONFIG.

mod bot;
mod children;
mod cluster;
mod credentials;
mod examples;
mod operation;
mod status;
