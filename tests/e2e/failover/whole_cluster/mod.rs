//! Scenarios that run alone, because they disturb nodes, the API server or the operator, or count what it does.

mod idle;
mod nodes;
mod operator;
mod outage;
