//! What the API server says that the operator and an agent may do is what the documents say, no more and no less.

use std::collections::BTreeSet;

use super::documented;
use super::table::Row;
use crate::harness::*;

/// One thing that is allowed: resource or address, the only object or none, verb.
type Allowed = BTreeSet<(String, String, String)>;

/// What an account may do in a namespace, as `kubectl auth can-i --list` shows it.
fn listed(account: &str, namespace: &str) -> Allowed {
    let account = format!("--as=system:serviceaccount:{account}");
    let output = kubectl(&["auth", "can-i", "--list", "--no-headers", "-n", namespace, &account]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().flat_map(allowed_by).collect()
}

/// `leases.coordination.k8s.io   []   [doge]   [get patch]`, where the first is empty for addresses.
fn allowed_by(line: &str) -> Allowed {
    let (kind, lists) = line.split_once('[').unwrap_or_else(|| panic!("not a rule: {line}"));
    let lists: Vec<Vec<&str>> =
        lists.split('[').map(|list| list.trim_end().trim_end_matches(']').split_whitespace().collect()).collect();
    let [addresses, names, verbs] = &lists[..] else { panic!("not a rule: {line}") };
    let things = if addresses.is_empty() { vec![kind.trim()] } else { addresses.clone() };
    let names = if names.is_empty() { vec![""] } else { names.clone() };
    let mut all = Allowed::new();
    for thing in things {
        for name in &names {
            all.extend(verbs.iter().map(|verb| (thing.to_owned(), (*name).to_owned(), (*verb).to_owned())));
        }
    }
    all
}

/// What rows say of this place, for this bot.
fn said(rows: &[Row], places: &[&str], bot: &str) -> Allowed {
    let mut all = Allowed::new();
    for row in rows.iter().filter(|row| places.contains(&row.place.as_str())) {
        let names = if row.names.is_empty() { vec![String::new()] } else { row.names.clone() };
        for name in names {
            let name = name.replace("<bot>", bot);
            all.extend(row.verbs.iter().map(|verb| (row.resource.clone(), name.clone(), verb.clone())));
        }
    }
    all
}

fn assert_same(who: &str, found: &Allowed, said: &Allowed) {
    let more: Vec<_> = found.difference(said).collect();
    let less: Vec<_> = said.difference(found).collect();
    assert!(more.is_empty(), "{who} may do more than docs/reference/privileges.md says: {more:?}");
    assert!(less.is_empty(), "{who} may do less than docs/reference/privileges.md says: {less:?}");
}

#[test]
fn accounts_may_do_what_the_documents_say_and_nothing_else() {
    scenario("privileges_listed", Turn::Shared, async |world| {
        let bot = world.apply(bot()).await;
        bot.until_trading().await;
        let agents = bot.active().await.spec.and_then(|s| s.service_account_name).expect("the pod has an account");
        // What every account may do: ask what it may do, and find out what there is to ask for.
        let everybody = listed(&format!("{}:default", world.namespace), &world.namespace);
        let harmless = |thing: &str| thing.starts_with('/') || thing.starts_with("self");
        let more: Vec<_> = everybody.iter().filter(|(thing, ..)| !harmless(thing)).collect();
        assert!(more.is_empty(), "every account of this cluster may do more than ask: {more:?}");

        let operator = documented("the operator");
        for place in ["everywhere", "default", SYSTEM] {
            let namespace = if place == "everywhere" { &world.namespace } else { place };
            let found = listed(&format!("{SYSTEM}:tradingbot-operator"), namespace);
            let said = said(&operator, &["everywhere", place], "");
            assert_same(&format!("The operator in {namespace}"), &(&found - &everybody), &said);
        }
        let agent = documented("an agent");
        let account = format!("{}:{agents}", world.namespace);
        let found = listed(&account, &world.namespace);
        assert_same("An agent", &(&found - &everybody), &said(&agent, &["its namespace"], &bot.name));
        for elsewhere in ["default", SYSTEM] {
            assert_same(
                &format!("An agent in {elsewhere}"),
                &(&listed(&account, elsewhere) - &everybody),
                &Allowed::new(),
            );
        }
        world.note("things that the operator may do", said(&operator, &["everywhere"], "").len());
    });
}

#[test]
fn what_kubectl_lists_is_understood() {
    let rule = |thing: &str, name: &str, verb: &str| (thing.to_owned(), name.to_owned(), verb.to_owned());
    let line = "leases.coordination.k8s.io    []    [doge]    [get patch]";
    let wanted =
        [rule("leases.coordination.k8s.io", "doge", "get"), rule("leases.coordination.k8s.io", "doge", "patch")];
    assert_eq!(allowed_by(line), Allowed::from(wanted));
    assert_eq!(allowed_by("      [/healthz]   []   [get]"), Allowed::from([rule("/healthz", "", "get")]));
}
