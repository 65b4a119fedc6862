//! A bot that asks right before each order whether it may still send it. It prints its orders and every change of the
//! answer; a real one puts the fencing token into the id of each order.
//!
//! Set `command` of the bot's container to this program, and see `kubectl logs`.

use std::io::{self, Write};
use std::thread::sleep;
use std::time::Duration;

use tradingbot_leadership::{Check, Leadership};

const BETWEEN_ORDERS: Duration = Duration::from_millis(1);

pub fn main() -> io::Result<()> {
    let leadership = Leadership::open()?;
    let mut told = String::new();
    let mut orders = 0u64;
    loop {
        let check = leadership.check();
        if check.may_trade {
            orders += 1;
            // Here the order is sent, as tb-<fencing token>-<number>.
        }
        let now = describe(&check);
        if now != told {
            println!("{now} (orders so far: {orders})");
            io::stdout().flush()?;
            told = now;
        }
        sleep(BETWEEN_ORDERS);
    }
}

fn describe(check: &Check) -> String {
    let Check { may_trade, role, epoch, fencing_token, remaining: _ } = check;
    let word = if *may_trade { "trading" } else { "not trading" };
    format!("{word}: {} in epoch {epoch}, token {fencing_token}", role.as_str())
}
