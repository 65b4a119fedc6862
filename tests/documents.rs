//! What the documents tell people to run and to read exists: targets of make, links, and paths of this repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file of a folder and its folders whose name ends so.
fn files(folder: &Path, ends: &[&str]) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            found.extend(files(&path, ends));
        } else if ends.iter().any(|end| path.to_string_lossy().ends_with(end)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The pages that people read.
fn pages() -> Vec<PathBuf> {
    let at_top = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|name| top().join(name));
    [at_top.to_vec(), files(&top().join("docs"), &[".md"]), files(&top().join(".github"), &[".md"])].concat()
}

/// A page, taken apart.
#[derive(Default)]
struct Page {
    /// What stands in backticks, its lines joined.
    spans: Vec<String>,
    /// The lines of blocks of shell commands, without prompts and comments.
    commands: Vec<String>,
    /// Where links lead.
    links: Vec<String>,
}

fn take_apart(text: &str) -> Page {
    let mut page = Page::default();
    let (mut prose, mut block) = (String::new(), None);
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), block) {
            (Some(kind), None) => block = Some(matches!(kind.trim(), "" | "sh" | "console" | "bash")),
            (Some(_), Some(_)) => block = None,
            (None, Some(true)) => {
                let command = line.split(" #").next().unwrap_or_default().trim_start_matches("$ ").trim();
                page.commands.push(command.to_owned());
            }
            (None, Some(false)) => {}
            (None, None) => {
                prose.push_str(line.trim());
                prose.push('\n');
            }
        }
    }
    // An odd backtick spoils no more than its paragraph.
    for paragraph in prose.split("\n\n") {
        page.spans.extend(paragraph.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")));
        let targets = paragraph.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        page.links.extend(targets.map(ToOwned::to_owned));
    }
    page
}

/// The targets that a command gives to make.
fn make_targets(command: &str) -> Vec<&str> {
    let mut words = command.split_whitespace().skip_while(|word| *word != "make");
    if words.next().is_none() {
        return Vec::new();
    }
    let is_target = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    words.filter(|word| !word.contains('=') && !word.starts_with('-')).take_while(is_target).collect()
}

fn targets_of_the_makefile() -> BTreeSet<String> {
    let text = read(&top().join("Makefile"));
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name)
        .filter(|name| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        })
        .map(ToOwned::to_owned)
        .collect()
}

/// The folders at the top of the repository whose contents are in version control.
fn folders() -> BTreeSet<String> {
    let entries = fs::read_dir(top()).expect("the repository can be read").map(|entry| entry.expect("an entry"));
    let names = entries.filter(|e| e.path().is_dir()).filter_map(|e| e.file_name().into_string().ok());
    names.filter(|name| name != "target" && name != ".git").collect()
}

/// Whether a word looks like a path of this repository; patterns and placeholders do not.
fn looks_like_a_path(word: &str, folders: &BTreeSet<String>) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    plain && word.split_once('/').is_some_and(|(first, _)| folders.contains(first))
}

#[test]
fn every_make_target_that_is_named_exists() {
    let known = targets_of_the_makefile();
    assert!(known.contains("test"), "the Makefile was not understood");
    let mut wrong = Vec::new();
    let mut check = |file: &Path, command: &str| {
        for target in make_targets(command).into_iter().filter(|target| !known.contains(*target)) {
            wrong.push(format!("{} names 'make {target}', which is no target of the Makefile", file.display()));
        }
    };
    for file in pages() {
        let page = take_apart(&read(&file));
        page.spans.iter().filter(|span| span.starts_with("make ")).for_each(|span| check(&file, span));
        page.commands.iter().for_each(|command| check(&file, command));
    }
    for file in files(&top().join(".github"), &[".yaml"]) {
        read(&file).lines().filter_map(|line| line.split_once("run: ")).for_each(|(_, command)| check(&file, command));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_link_leads_to_a_file() {
    let mut wrong = Vec::new();
    for file in pages() {
        for link in take_apart(&read(&file)).links {
            let path = link.split('#').next().unwrap_or_default();
            let elsewhere = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !elsewhere && !file.parent().expect("a file is in a folder").join(path).exists() {
                wrong.push(format!("{} links to {link}, which does not exist", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_path_that_is_named_exists() {
    let folders = folders();
    let mut wrong = Vec::new();
    for file in pages() {
        let page = take_apart(&read(&file));
        let words = page.spans.iter().chain(&page.commands).flat_map(|text| text.split_whitespace());
        for path in words.map(|word| word.trim_end_matches([',', ';'])).filter(|word| looks_like_a_path(word, &folders))
        {
            if !top().join(path).exists() {
                wrong.push(format!("{} names {path}, which does not exist", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_links_and_paths_are_found() {
    let page = take_apart(
        "Run `make lint\nunit ONLY=x` [now](a/b.md#c).\n\n```sh\n$ make e2e   # why\n```\n\n```yaml\nmake no\n```\n",
    );
    assert_eq!(page.spans, ["make lint unit ONLY=x"]);
    assert_eq!(make_targets(&page.spans[0]), ["lint", "unit"]);
    assert_eq!(make_targets("sudo env A=b make unit"), ["unit"]);
    assert_eq!(make_targets("cmake unit"), Vec::<&str>::new());
    assert_eq!(page.commands, ["make e2e"]);
    assert_eq!(page.links, ["a/b.md#c"]);
    let folders = BTreeSet::from(["tests".to_owned()]);
    assert!(looks_like_a_path("tests/all", &folders));
    assert!(!looks_like_a_path("tests/*.rs", &folders) && !looks_like_a_path("target/x", &folders));
}
