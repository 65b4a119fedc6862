//! Every target with every input of `corpus`, and with some that are made up the same way in every run. Without
//! coverage: what looks for new inputs is `make fuzz`.

mod inputs;
mod source;
mod targets;

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use inputs::Inputs;
use targets::{ALL, Target};
use tradingbot as product;

fn corpus(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target.name)
}

/// The files of a folder, in the order of their names; none where there is no such folder.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    paths.sort();
    let read = |path: PathBuf| (path.clone(), fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
    paths.into_iter().map(read).collect()
}

/// Whether a target keeps its promises with this input.
fn holds(target: &Target, input: &[u8]) -> bool {
    catch_unwind(|| (target.run)(input)).is_ok()
}

/// What is wrong with a target, one line each.
fn run(target: &Target) -> Vec<String> {
    let known = files(&corpus(target));
    let broken = known.iter().filter(|(_, input)| !holds(target, input));
    let mut wrong: Vec<String> = broken.map(|(path, _)| format!("{} breaks {}", path.display(), target.name)).collect();
    if known.is_empty() {
        wrong.push(format!("{} is empty", corpus(target).display()));
    }
    let mut inputs = Inputs::new(target, known.into_iter().map(|(_, input)| input).collect());
    for n in 0..target.inputs {
        let input = inputs.next();
        if !holds(target, &input) {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}-{n}", target.name));
            fs::write(&kept, &input).expect("the input can be kept");
            wrong.push(format!("{} breaks {}: add it to its corpus", kept.display(), target.name));
            break;
        }
    }
    wrong
}

#[test]
fn every_target_keeps_its_promises() {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some(target) = ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            wrong.extend(run(target));
        }
        wrong
    };
    let wrong: Vec<String> = thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker ends")).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_corpus_is_small_and_of_targets_that_there_are() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    for entry in fs::read_dir(&top).expect("there is a corpus") {
        let folder = entry.expect("the folder can be read").path();
        let target = ALL.iter().find(|target| folder.ends_with(target.name));
        let target = target.unwrap_or_else(|| panic!("{} is the corpus of no target", folder.display()));
        for (path, input) in files(&folder) {
            assert!(input.len() <= target.longest, "{} has {} bytes", path.display(), input.len());
        }
    }
}

/// What `make fuzz` has found and kept: `make fuzz-replay`, which says step by step what happens.
#[test]
#[ignore = "asked for by name"]
fn what_was_found_is_mended() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz/crashes");
    let mut wrong = Vec::new();
    for target in &ALL {
        for (path, input) in files(&kept.join(target.name)) {
            println!("{}", path.display());
            if !holds(target, &input) {
                wrong.push(format!("{} breaks {}", path.display(), target.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
