//! Label and field selectors.

use serde_json::Value;

use super::failure::Failure;
use super::kinds::Kind;

/// Which objects a request is about, besides kind and namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Requirement {
    Exists(String),
    Absent(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

/// The fields by which objects of a kind can be selected, besides their names.
fn selectable(kind: &Kind) -> &'static [&'static str] {
    match kind.kind {
        "Pod" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
        ],
        "Service" => &["spec.clusterIP", "spec.type"],
        "Job" => &["status.successful"],
        "Node" => &["spec.unschedulable"],
        "Namespace" => &["status.phase"],
        "Secret" => &["type"],
        "Event" => &[
            "reason",
            "type",
            "reportingController",
            "regarding.kind",
            "regarding.name",
            "regarding.namespace",
            "regarding.uid",
        ],
        _ => &[],
    }
}

impl Selector {
    /// Reads the two query parameters.
    pub(super) fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<Selector, Failure> {
        let labels = terms(labels).into_iter().map(requirement).collect::<Result<_, _>>()?;
        let fields = terms(fields).into_iter().map(|term| field(kind, term)).collect::<Result<_, _>>()?;
        Ok(Selector { labels, fields })
    }

    /// Whether an object is selected.
    pub(super) fn selects(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let by_labels = self.labels.iter().all(|requirement| requirement.holds(labels));
        by_labels && self.fields.iter().all(|(path, equal, value)| (at(object, path) == *value) == *equal)
    }
}

fn at(object: &Value, path: &str) -> String {
    match path.split('.').fold(object, |value, part| &value[part]) {
        Value::String(text) => text.clone(),
        Value::Null => match path {
            "spec.unschedulable" => "false".to_owned(),
            _ => String::new(),
        },
        other => other.to_string(),
    }
}

impl Requirement {
    fn holds(&self, labels: &Value) -> bool {
        let value = |key: &String| labels.get(key).and_then(Value::as_str);
        match self {
            Requirement::Exists(key) => value(key).is_some(),
            Requirement::Absent(key) => value(key).is_none(),
            Requirement::In(key, values) => value(key).is_some_and(|value| values.iter().any(|v| v == value)),
            Requirement::NotIn(key, values) => value(key).is_none_or(|value| values.iter().all(|v| v != value)),
        }
    }
}

/// Between the commas, but not between those in brackets.
fn terms(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let between = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    };
    text.split(between).map(str::trim).filter(|term| !term.is_empty()).collect()
}

fn requirement(term: &str) -> Result<Requirement, Failure> {
    let key = |text: &str| {
        let text = text.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        match !text.is_empty() && text.chars().all(fits) {
            true => Ok(text.to_owned()),
            false => {
                Err(Failure::bad_request(format!("unable to parse requirement: <nil>: Invalid value: \"{term}\"")))
            }
        }
    };
    let list = |text: &str| {
        let inside = text.trim().trim_start_matches('(').trim_end_matches(')');
        inside.split(',').map(|value| value.trim().to_owned()).collect::<Vec<_>>()
    };
    if let Some(name) = term.strip_prefix('!') {
        return Ok(Requirement::Absent(key(name)?));
    }
    if let Some((name, value)) = term.split_once("!=") {
        return Ok(Requirement::NotIn(key(name)?, vec![value.trim().to_owned()]));
    }
    if let Some((name, value)) = term.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value).trim();
        return Ok(Requirement::In(key(name)?, vec![value.to_owned()]));
    }
    if let Some((name, values)) = term.split_once(" notin ") {
        return Ok(Requirement::NotIn(key(name)?, list(values)));
    }
    if let Some((name, values)) = term.split_once(" in ") {
        return Ok(Requirement::In(key(name)?, list(values)));
    }
    Ok(Requirement::Exists(key(term)?))
}

fn field(kind: &Kind, term: &str) -> Result<(String, bool, String), Failure> {
    let (path, equal, value) = if let Some((path, value)) = term.split_once("!=") {
        (path, false, value)
    } else if let Some((path, value)) = term.split_once('=') {
        (path, true, value.strip_prefix('=').unwrap_or(value))
    } else {
        return Err(Failure::bad_request(format!("invalid selector: '{term}'; can't understand '{term}'")));
    };
    let path = path.trim();
    if !["metadata.name", "metadata.namespace"].contains(&path) && !selectable(kind).contains(&path) {
        let has_none = selectable(kind).is_empty() && !kind.is_custom();
        return Err(Failure::bad_request(match has_none {
            true => format!("\"{path}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""),
            false => format!("field label not supported: {path}"),
        }));
    }
    Ok((path.to_owned(), equal, value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::kinds::of_plural;
    use super::*;

    fn selects(labels: &str, fields: &str) -> bool {
        let object = json!({"metadata": {"name": "doge-0", "labels": {"bot": "doge", "role": "active"}}, "spec": {"nodeName": "n1"}});
        Selector::parse(of_plural("pods").unwrap(), labels, fields).unwrap().selects(&object)
    }

    #[test]
    fn every_form_of_a_label_selector_is_understood() {
        for chosen in [
            "",
            "bot",
            "bot=doge",
            "bot==doge,role!=standby",
            "role in (active, standby),!gone",
            "gone notin (x)",
            "gone!=x",
        ] {
            assert!(selects(chosen, ""), "{chosen}");
        }
        for left_out in
            ["gone", "!bot", "bot=btc", "role in (standby)", "role notin (active,standby)", "bot,role=standby"]
        {
            assert!(!selects(left_out, ""), "{left_out}");
        }
        assert!(Selector::parse(of_plural("pods").unwrap(), "a b", "").is_err());
    }

    #[test]
    fn a_field_selector_names_fields_that_the_kind_offers() {
        assert!(selects("", "metadata.name=doge-0,spec.nodeName!=n2") && !selects("", "spec.nodeName=n2"));
        let refused = Selector::parse(of_plural("pods").unwrap(), "", "spec.x=x").unwrap_err();
        assert_eq!((refused.code, refused.message.as_str()), (400, "field label not supported: spec.x"));
    }
}
