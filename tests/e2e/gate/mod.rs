//! What keeps the orders of an old epoch from the exchange.

mod path;
mod policy;
