//! Dependencies between the folders of `src` go one way, and the decisions stay pure: nothing in `src/core` reads a
//! clock, draws a random number, does I/O, or depends on the order of a hash map.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FOLDERS: [&str; 7] = ["core", "api", "controller", "agent", "backup", "runtime", "cli"];

/// Which other folders each may use.
fn allowed(folder: &str) -> &'static [&'static str] {
    match folder {
        "core" => &[],
        "api" => &["core"],
        "runtime" => &["core", "api"],
        "controller" | "agent" => &["core", "api", "runtime"],
        "backup" => &["core", "api"],
        "cli" => &["core", "api", "runtime"],
        other => panic!("src/{other} is new: say here what it may use"),
    }
}

/// What a decision must not touch, and why.
const IMPURE: [(&str, &str); 15] = [
    ("std::time::Instant", "reads a clock"),
    ("SystemTime", "reads a clock"),
    ("Instant::now", "reads a clock"),
    ("Timestamp::now", "reads a clock"),
    ("HashMap", "iterates in an order that changes from run to run"),
    ("HashSet", "iterates in an order that changes from run to run"),
    ("getrandom", "is random"),
    ("rand::", "is random"),
    ("std::env", "reads the environment"),
    ("std::fs", "does I/O"),
    ("std::net", "does I/O"),
    ("std::thread", "is concurrent"),
    ("tokio::", "does I/O"),
    ("kube::", "does I/O"),
    ("k8s_openapi::", "belongs to the API server"),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code of a file: no comments, and no strings that fit on a line, which only speak about things.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().map(|line| {
        let line = line.split("//").next().unwrap_or_default();
        line.split('"').step_by(2).collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The folders that code names as `crate::<folder>`, also in a list of them.
fn used(code: &str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let rest = rest.trim_start();
        let names = match rest.strip_prefix('{') {
            Some(list) => top_level(list),
            None => vec![rest],
        };
        for name in names {
            let word: String = name.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.extend(FOLDERS.into_iter().find(|folder| *folder == word));
        }
    }
    found
}

/// The entries of a list that was opened before `text`, without what is inside their own lists.
fn top_level(text: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut entries) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                entries.push(&text[begin..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                entries.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    entries
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn dependencies_between_folders_go_one_way() {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root()).expect("there is src") {
        let path = entry.expect("src can be read").path();
        let folder = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        // The programs are thin and may use everything.
        if !path.is_dir() || folder == "bin" {
            continue;
        }
        for file in sources(&path) {
            for other in used(&code(&file)) {
                if other != folder && !allowed(&folder).contains(&other) {
                    wrong.push(format!("{} uses src/{other}, which src/{folder} must not", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn decisions_are_pure() {
    let mut wrong = Vec::new();
    for file in sources(&root().join("core")) {
        let code = code(&file);
        for (word, why) in IMPURE {
            if code.contains(word) {
                wrong.push(format!(
                    "{} names {word}, which {why}; decisions take such things as arguments",
                    file.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where a program that is built for the simulation differs from the product: in what it reads of clocks, chance and the
/// network. What it does is the product's, or the simulation would prove nothing.
const SIMULATED: [&str; 4] = ["agent/clock.rs", "runtime/clock.rs", "runtime/random.rs", "runtime/reach.rs"];

#[test]
fn only_clocks_chance_and_the_network_are_simulated() {
    let mut wrong = Vec::new();
    for file in sources(&root()) {
        let name = file.strip_prefix(root()).expect("a file of src").to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).expect("a source can be read");
        let asks = text.contains("feature = \"simulation\"") || code(&file).contains("crate::simulation");
        if asks && name != "lib.rs" && !SIMULATED.contains(&name.as_str()) {
            wrong.push(format!("src/{name} differs in the simulation; let it ask one of {SIMULATED:?} instead"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_package_of_the_workspace_is_tested() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (manifest, makefile) = (read(&top.join("Cargo.toml")), read(&top.join("Makefile")));
    let let_in = read(&top.join(".dockerignore"));
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = ")).expect("there is a workspace");
    // Every second part is what stands in quotes.
    for member in members.split('"').skip(1).step_by(2) {
        // Cargo builds nothing where one of them is missing.
        let line = format!("!{member}");
        assert!(let_in.lines().any(|l| l == line), ".dockerignore keeps {member} from the build of the images");
        // Its targets are a test program of the product too, so that nothing is compiled twice for them.
        if member == "tests/fuzz" {
            assert!(top.join("tests/fuzz/main.rs").exists());
            continue;
        }
        let of_member = read(&top.join(member).join("Cargo.toml"));
        let name = of_member.lines().find_map(|line| line.strip_prefix("name = ")).expect("a package has a name");
        let call = format!("cargo test --package {}", name.trim_matches('"'));
        assert!(makefile.contains(&call), "the Makefile never runs '{call}'");
    }
}

#[test]
fn what_code_uses_is_found() {
    let text = "use crate::core::{time::Mono, ids};\nfn f() { crate::api::names::x(); }\nuse crate::{cli::a, runtime::{b, c}};";
    assert_eq!(used(text), BTreeSet::from(["core", "api", "cli", "runtime"]));
    assert_eq!(used("use super::core; use kube::api;"), BTreeSet::new());
}
