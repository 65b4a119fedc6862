//! Scenarios that run alone, because they disturb nodes, the API server or the operator, or count what it does.

mod api_server;
mod nodes;
mod operator;
mod steady;
