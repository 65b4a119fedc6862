//! Nobody holds more rights than are needed, and no secret gets where it does not belong.

mod hostile;
mod listed;
mod secrets;
mod used;

#[path = "../../cel/merge.rs"]
mod merge;
#[path = "../../privileges/table.rs"]
#[allow(dead_code, reason = "the tables are only read here")]
mod table;

use table::Row;

use crate::harness::root;

/// What the documents say that somebody may do.
fn documented(table: &str) -> Vec<Row> {
    let page = std::fs::read_to_string(root().join(table::PAGE)).expect("the page can be read");
    table::get(&page, table)
}
