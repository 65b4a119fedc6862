//! What keeps the orders of an old epoch from the exchange.

mod fleet;
mod path;
mod policy;
mod rounds;
mod tally;
