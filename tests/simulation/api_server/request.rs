//! A request, taken apart.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header};

use super::failure::Failure;
use super::kinds::{Kind, served};
use super::link::Call;
use super::select::Selector;

/// What is asked of which objects.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    /// `None`: nothing is served there.
    pub(super) kind: Option<&'static Kind>,
    /// Events are spoken of in their older form.
    pub(super) older_events: bool,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
    /// Only the metadata is wanted.
    pub(super) only_metadata: bool,
    pub(super) content_type: String,
    pub(super) agent: String,
    pub(super) body: Bytes,
    parameters: Vec<(String, String)>,
}

impl Request {
    pub(super) fn new(method: &Method, uri: &Uri, headers: &HeaderMap) -> Request {
        let path = uri.path().to_owned();
        let query = uri.query().unwrap_or_default().to_owned();
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let parameters = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => ("", "", &[][..]),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !matches!(rest, [] | ["status" | "finalize"]) => {
                (Some(*namespace), rest)
            }
            rest => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, None, None),
            [plural, name] => (*plural, Some(*name), None),
            [plural, name, subresource] => (*plural, Some(*name), Some(*subresource)),
            _ => ("", None, None),
        };
        let found = served(group, version, plural);
        Request {
            method: method.clone(),
            kind: found.map(|(kind, _)| kind),
            older_events: found.is_some_and(|(_, older)| older),
            namespace: namespace.map(ToOwned::to_owned),
            name: name.map(ToOwned::to_owned),
            subresource: subresource.map(ToOwned::to_owned),
            only_metadata: text(header::ACCEPT).contains("as=PartialObjectMetadata"),
            content_type: text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_owned(),
            agent: text(header::USER_AGENT).split('/').next().unwrap_or_default().to_owned(),
            body: Bytes::new(),
            parameters,
            path,
            query,
        }
    }

    /// A parameter of the query; empty where there is none.
    pub(super) fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        matches!(self.parameter(name), "true" | "1")
    }

    pub(super) fn watches(&self) -> bool {
        self.method == Method::GET && self.is_set("watch")
    }

    /// The version that is asked for; `None`: the present one.
    pub(super) fn version(&self) -> Result<Option<u64>, Failure> {
        let text = self.parameter("resourceVersion");
        if text.is_empty() {
            return Ok(None);
        }
        let unreadable = |_| {
            Failure::bad_request(format!(
                "Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
            ))
        };
        text.parse().map(Some).map_err(unreadable)
    }

    pub(super) fn selector(&self, kind: &Kind) -> Result<Selector, Failure> {
        // A watch or list of one object by its path is one by its name.
        let fields = match &self.name {
            Some(name) => format!("metadata.name={name}"),
            None => self.parameter("fieldSelector").to_owned(),
        };
        Selector::parse(kind, self.parameter("labelSelector"), &fields)
    }

    /// How long a watch is served.
    pub(super) fn watch_limit(&self) -> Duration {
        const USUAL: u64 = 1800;
        let asked = self.parameter("timeoutSeconds").parse().ok().filter(|seconds| *seconds > 0);
        Duration::from_secs(asked.unwrap_or(USUAL))
    }

    /// As whoever decides its fate sees it.
    pub(super) fn call(&self) -> Call<'_> {
        Call {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            plural: self.kind.map_or("", |kind| kind.plural),
            namespace: self.namespace.as_deref(),
            name: self.name.as_deref(),
            subresource: self.subresource.as_deref(),
            writes: !matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS),
            watches: self.watches(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str) -> (String, Option<String>, Option<String>, Option<String>) {
        let request = Request::new(&Method::GET, &path.parse().unwrap(), &HeaderMap::new());
        let plural = request.kind.map_or("", |kind| kind.plural).to_owned();
        (plural, request.namespace, request.name, request.subresource)
    }

    #[test]
    fn a_path_names_kind_namespace_object_and_subresource() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            asked("/api/v1/namespaces/a/pods/doge-0/status"),
            ("pods".into(), some("a"), some("doge-0"), some("status"))
        );
        assert_eq!(asked("/apis/coordination.k8s.io/v1/leases"), ("leases".into(), None, None, None));
        assert_eq!(asked("/api/v1/namespaces/a"), ("namespaces".into(), None, some("a"), None));
        assert_eq!(asked("/api/v1/namespaces"), ("namespaces".into(), None, None, None));
        assert_eq!(asked("/api/v1/namespaces/a/leases").0, "", "of another group");
    }
}
