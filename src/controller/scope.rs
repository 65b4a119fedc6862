//! Which namespaces' bots this operator looks after.

use std::collections::BTreeSet;

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};

/// All namespaces, or the ones that are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Empty: all.
    listed: BTreeSet<String>,
}

impl Scope {
    /// Reads names with commas between; nothing means all namespaces.
    ///
    /// # Errors
    /// A sentence about the first that cannot be a namespace's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let listed = names.map(|name| checked(name).map(ToOwned::to_owned)).collect::<Result<_, _>>()?;
        Ok(Self { listed })
    }

    /// What to list and watch to see everything of a kind that belongs to the scope: `of(None)`, the whole cluster at
    /// once, or `of(namespace)` for each that is listed.
    pub fn each<T>(&self, of: impl Fn(Option<&str>) -> T) -> Vec<T> {
        if self.listed.is_empty() {
            return vec![of(None)];
        }
        self.listed.iter().map(|namespace| of(Some(namespace))).collect()
    }

    /// The same for kinds whose objects are in namespaces.
    pub fn apis<K>(&self, client: &Client) -> Vec<Api<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        self.each(|namespace| match namespace {
            None => Api::all(client.clone()),
            Some(namespace) => Api::namespaced(client.clone(), namespace),
        })
    }
}

fn checked(name: &str) -> Result<&str, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.len() <= 63 && name.chars().all(fits) && !name.starts_with('-') && !name.ends_with('-') {
        return Ok(name);
    }
    Err(format!("WATCH_NAMESPACES names '{name}', which no namespace can be called; list names with commas between."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Vec<Option<String>> {
        Scope::parse(text).unwrap().each(|namespace| namespace.map(ToOwned::to_owned))
    }

    #[test]
    fn nothing_means_all_and_a_list_means_each_once() {
        assert_eq!(asked(""), [None]);
        assert_eq!(asked(" , "), [None]);
        assert_eq!(asked("desk-b, desk-a,desk-b"), [Some("desk-a".to_owned()), Some("desk-b".to_owned())]);
    }

    #[test]
    fn what_is_no_namespace_is_refused_by_name() {
        let long = "n".repeat(64);
        for bad in ["Desk", "a/b", "-a", "a-", "*", long.as_str()] {
            let refused = Scope::parse(&format!("desk,{bad}")).unwrap_err();
            assert!(refused.contains(&format!("'{bad}'")), "{refused}");
        }
    }
}
