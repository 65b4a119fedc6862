//! The order gate: nothing of an old epoch reaches the exchange.

mod fleet;
mod rounds;
mod tally;
