//! What everybody may do, and why: the tables of docs/reference/privileges.md are what is installed, and no rule goes
//! without a reason. `make manifests` writes them.

mod installed;
mod reasons;
mod table;

use std::collections::BTreeSet;
use std::path::Path;

use installed::Installed;
use reasons::{REASONS, Who};
use table::{PAGE, Row};

fn rows(who: Who, rows: Vec<Row>) -> Vec<Row> {
    let reason = |row: Row| {
        let found = REASONS.iter().find(|r| r.who == who && r.resource == row.resource);
        let found = found.unwrap_or_else(|| {
            panic!(
                "{who:?} may {:?} {}: say why in tests/privileges/reasons.rs, or take it away",
                row.verbs, row.resource
            )
        });
        Row { why: found.why.into(), ..row }
    };
    rows.into_iter().map(reason).collect()
}

fn tables() -> [(&'static str, Vec<Row>); 6] {
    let installed = Installed::read();
    [
        ("the operator", rows(Who::Operator, installed.operator())),
        ("an agent", rows(Who::Agent, installed::agent())),
        ("the active", rows(Who::Active, installed::active())),
        ("view", rows(Who::View, installed.people("view"))),
        ("edit", rows(Who::Edit, only_beyond(installed.people("edit"), &installed.people("view")))),
        ("admin", rows(Who::Admin, only_beyond(installed.people("admin"), &installed.people("edit")))),
    ]
}

/// Whoever may edit may also view.
fn only_beyond(rows: Vec<Row>, others: &[Row]) -> Vec<Row> {
    rows.into_iter().filter(|row| !others.contains(row)).collect()
}

fn page() -> (std::path::PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{PAGE}: {error}"));
    (path, text)
}

#[test]
fn the_page_is_what_is_installed() {
    let (path, found) = page();
    let wanted = tables().into_iter().fold(found.clone(), |page, (name, rows)| table::put(&page, name, &rows));
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(&path, wanted).unwrap();
    }
    assert!(found == wanted, "{PAGE} differs from what is installed. Run `make manifests` and commit the result.");
}

#[test]
fn a_table_that_was_written_is_read_again() {
    let (_, page) = page();
    for (name, rows) in tables() {
        assert!(!rows.is_empty(), "{name}");
        assert_eq!(table::get(&table::put(&page, name, &rows), name), rows);
    }
    assert_eq!(table::resource("tradingbot.io", "tradingbots/status"), "tradingbots.tradingbot.io/status");
}

#[test]
fn every_reason_is_one_for_a_rule() {
    let tables = tables();
    let has = |who: Who| &tables[who as usize].1;
    let idle: Vec<_> = REASONS.iter().filter(|r| !has(r.who).iter().any(|row| row.resource == r.resource)).collect();
    assert!(idle.is_empty(), "nobody may do this any more: {idle:?}");
}

#[test]
fn every_role_that_is_installed_is_in_a_table() {
    assert_eq!(Installed::read().unused_roles(), Vec::<String>::new());
    let installed = Installed::read();
    let (view, edit, admin) = (installed.people("view"), installed.people("edit"), installed.people("admin"));
    assert!(!view.is_empty());
    let missing = |rows: &[Row], others: &[Row]| only_beyond(rows.to_vec(), others);
    assert_eq!(missing(&view, &edit), [], "the page says that editors may do what viewers may");
    assert_eq!(missing(&edit, &admin), [], "the page says that admins may do what editors may");
}

#[test]
fn the_operator_runs_where_restricted_pods_are_demanded() {
    let installed = Installed::read();
    let [namespace] = &installed.namespaces[..] else { panic!("one namespace") };
    let labels = namespace.metadata.labels.clone().unwrap_or_default();
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
}

#[test]
fn nobody_may_use_a_wildcard() {
    let tables = tables();
    for row in tables.iter().flat_map(|(_, rows)| rows) {
        assert!(!row.resource.contains('*') && !row.verbs.iter().any(|verb| verb == "*"), "{row:?}");
    }
}

/// RBAC refuses to give away what one does not hold.
#[test]
fn the_operator_holds_what_it_gives_to_agents() {
    let [(_, operator), (_, agent), ..] = tables();
    let (holds, gives) = (table::grants(&operator), table::grants(&agent));
    let missing: BTreeSet<_> = gives.difference(&holds).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_operator_deletes_no_claim_and_lists_no_secret() {
    let [(_, operator), ..] = tables();
    let grants = table::grants(&operator);
    let may = |resource: &str, verb: &str| grants.contains(&(resource.to_owned(), verb.to_owned()));
    assert!(!may("persistentvolumeclaims", "delete"), "an active's data would go with a mistake");
    assert!(!may("secrets", "list") && !may("secrets", "watch"));
}
