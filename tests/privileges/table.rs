//! The tables of docs/reference/privileges.md, as they are written and as they are read again.

use std::collections::BTreeSet;

/// The page.
pub const PAGE: &str = "docs/reference/privileges.md";

/// What an account may do with one kind of object in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// As kubectl writes it: `leases.coordination.k8s.io`, `tradingbots.tradingbot.io/status`, `pods`.
    pub resource: String,
    /// In the order of the rule.
    pub verbs: Vec<String>,
    /// The only objects of that kind; none: all of them.
    pub names: Vec<String>,
    /// Where: `everywhere`, or a namespace.
    pub place: String,
    pub why: String,
}

/// Where a rule of a ClusterRoleBinding counts.
pub const EVERYWHERE: &str = "everywhere";
const HEADER: &str = "| resource | verbs | only these | where | why |\n|---|---|---|---|---|\n";

fn begin(table: &str) -> String {
    format!("<!-- table of {table} -->\n")
}
const END: &str = "<!-- end of the table -->\n";

/// `leases` of `coordination.k8s.io` as kubectl writes it.
pub fn resource(group: &str, resource: &str) -> String {
    match (group, resource.split_once('/')) {
        ("", _) => resource.to_owned(),
        (group, None) => format!("{resource}.{group}"),
        (group, Some((kind, part))) => format!("{kind}.{group}/{part}"),
    }
}

/// The page with another table of this name.
pub fn put(page: &str, table: &str, rows: &[Row]) -> String {
    let (before, rest) = page.split_once(&begin(table)).unwrap_or_else(|| panic!("{PAGE} has no table of {table}"));
    let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("the table of {table} has no end"));
    let lines: String = rows.iter().map(line).collect();
    format!("{before}{}{HEADER}{lines}{END}{after}", begin(table))
}

fn line(row: &Row) -> String {
    let words = |all: &[String]| all.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let Row { resource, verbs, names, place, why } = row;
    format!("| `{resource}` | {} | {} | {place} | {why} |\n", words(verbs), words(names))
}

/// The rows of a table.
pub fn get(page: &str, table: &str) -> Vec<Row> {
    let (_, rest) = page.split_once(&begin(table)).unwrap_or_else(|| panic!("{PAGE} has no table of {table}"));
    let (rows, _) = rest.split_once(END).unwrap_or_else(|| panic!("the table of {table} has no end"));
    rows.lines().skip(2).map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [resource, verbs, names, place, why] = cells[..] else { panic!("not a row: {line}") };
    let words =
        |cell: &str| cell.split(", ").filter(|w| !w.is_empty()).map(|w| w.trim_matches('`').to_owned()).collect();
    Row {
        resource: resource.trim_matches('`').to_owned(),
        verbs: words(verbs),
        names: words(names),
        place: place.trim_matches('`').to_owned(),
        why: why.to_owned(),
    }
}

/// One thing that is allowed: resource and verb.
pub type Grant = (String, String);

/// What rows allow, apart from where and to which objects.
pub fn grants<'a>(rows: impl IntoIterator<Item = &'a Row>) -> BTreeSet<Grant> {
    rows.into_iter().flat_map(|row| row.verbs.iter().map(|verb| (row.resource.clone(), verb.clone()))).collect()
}
