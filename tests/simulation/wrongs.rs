//! The deliberate mistakes, and which seed catches each.

use std::ops::Range;

use tradingbot::core::wrong::Wrong;

use crate::runner::{self, Batch};

/// Mistakes that nothing shows here: they are in what the simulation has of its own in the place of the product.
/// docs/reliability.md says what catches them.
pub const ELSEWHERE: [Wrong; 1] = [Wrong::GuardOnProcessGroup];

/// Prints the table; answers whether every mistake was caught that can be.
///
/// # Errors
/// When a seed did not come to an end.
pub fn table(seeds: &Range<u64>, jobs: usize) -> Result<bool, String> {
    println!("{:35} {:>9} {:>6}  broken", "deliberate mistake", "caught by", "seeds");
    let mut all = true;
    for wrong in Wrong::ALL.into_iter().filter(|wrong| !ELSEWHERE.contains(wrong)) {
        let batch = Batch { seeds: seeds.clone(), jobs, wrong: Some(wrong), until_broken: true, tell: false };
        let tally = runner::run(&batch)?;
        // Several are under way at a time.
        match tally.broken.iter().min_by_key(|outcome| outcome.seed) {
            Some(outcome) => {
                let first = outcome.broken.first().map(ToString::to_string).unwrap_or_default();
                // A status that is quoted at its end is for whoever runs the seed again.
                let first = first.split_once(": {").map_or(first.as_str(), |(sentence, _)| sentence);
                println!("{:35} {:>9} {:>6}  {first}", wrong.as_str(), outcome.seed, tally.seeds);
            }
            None => {
                all = false;
                println!("{:35} {:>9} {:>6}  not caught", wrong.as_str(), "-", tally.seeds);
            }
        }
    }
    Ok(all)
}
