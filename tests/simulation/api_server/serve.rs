//! From a request to its answer.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::failure::{Failure, deleted};
use super::kinds::Kind;
use super::older_events::{from_older, to_older};
use super::request::Request;
use super::store::{Id, State};
use super::watch::Watch;
use super::write::{How, strip, text};

/// What is sent back.
#[derive(Debug)]
pub(super) enum Answer {
    Object(u16, Value),
    Watch(Box<Watch>),
}

impl State {
    /// Carries a request out. `stale`: how far back reads look.
    pub(super) fn serve(&mut self, request: &Request, stale: Duration) -> Result<Answer, Failure> {
        let kind = request.kind.ok_or_else(Failure::no_such_resource)?;
        let subresource_is_served = match request.subresource.as_deref() {
            None => true,
            Some("status") => kind.status,
            Some(_) => false,
        };
        if !subresource_is_served || (request.namespace.is_some() && !kind.namespaced) {
            return Err(Failure::no_such_resource());
        }
        if request.watches() {
            return Watch::begin(self, kind, request).map(|watch| Answer::Watch(Box::new(watch)));
        }
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let how = How {
            dry: request.parameter("dryRun") == "All",
            manager: [request.parameter("fieldManager"), &request.agent]
                .into_iter()
                .find(|name| !name.is_empty())
                .unwrap_or("unknown")
                .to_owned(),
            subresource: request.subresource.clone(),
        };
        let (code, object) = match (&request.method, request.name.as_deref()) {
            (&Method::GET, Some(name)) => (200, self.read(kind, namespace, name, request, stale)?),
            (&Method::GET, None) => return self.list(kind, request, stale).map(|list| Answer::Object(200, list)),
            (&Method::POST, None) => {
                let (object, _) = self.create(kind, namespace, body(request)?, &how)?;
                (201, object)
            }
            (&Method::PUT, Some(name)) => {
                let (object, new) = self.replace(kind, namespace, name, body(request)?, &how)?;
                (if new { 201 } else { 200 }, object)
            }
            (&Method::PATCH, Some(name)) => {
                let (object, new) = self.patch(kind, namespace, name, request, &how)?;
                (if new { 201 } else { 200 }, object)
            }
            (&Method::DELETE, Some(name)) => {
                let answer = self.delete(kind, namespace, name, &options(request)?)?;
                return Ok(Answer::Object(
                    200,
                    if answer["kind"] == "Status" { answer } else { shown(&answer, request) },
                ));
            }
            (&Method::DELETE, None) => {
                return self.delete_all(kind, request).map(|list| Answer::Object(200, list));
            }
            _ => return Err(Failure::method_not_allowed()),
        };
        Ok(Answer::Object(code, shown(&object, request)))
    }

    fn read(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        request: &Request,
        stale: Duration,
    ) -> Result<Arc<Value>, Failure> {
        if let Some(version) = request.version()?.filter(|version| *version > self.version) {
            return Err(Failure::too_large_version(version, self.version));
        }
        let found = self.get_at(kind, namespace, name, self.version_before(stale));
        found.ok_or_else(|| Failure::not_found(kind, name))
    }

    fn list(&self, kind: &Kind, request: &Request, stale: Duration) -> Result<Value, Failure> {
        let selector = request.selector(kind)?;
        let mut version = self.version_before(stale);
        let asked = request.version()?;
        if let Some(wanted) = asked.filter(|wanted| *wanted > self.version) {
            return Err(Failure::too_large_version(wanted, self.version));
        }
        let mut after = None;
        if !request.parameter("continue").is_empty() {
            let (at, last) = read_token(request.parameter("continue"))?;
            (version, after) = (at, Some(last));
        } else if let Some(exactly) = asked.filter(|_| request.parameter("resourceVersionMatch") == "Exact") {
            version = exactly;
        }
        if version < self.floor {
            let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
            return Err(Failure::expired(message));
        }
        let all = self.listed(kind, request.namespace.as_deref(), version);
        let is_left = |id: &Id| after.as_ref().is_none_or(|(namespace, name)| (&id.1, &id.2) > (namespace, name));
        let mut left = all.iter().filter(|(id, object)| is_left(id) && selector.selects(object));
        let limit = request.parameter("limit").parse().ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let page: Vec<_> = left.by_ref().take(limit).collect();
        let mut meta = json!({"resourceVersion": version.to_string()});
        let more = left.count();
        if let Some((id, _)) = page.last().filter(|_| more > 0) {
            meta["continue"] = json!(format!("{version}:{}/{}", id.1, id.2));
            meta["remainingItemCount"] = json!(more);
        }
        let items = page.into_iter().map(|(_, object)| {
            let mut item = shown(object, request);
            // Lists of the built-in kinds say what their items are once, for all.
            if !kind.is_custom() && !request.only_metadata {
                strip(&mut item, &["kind", "apiVersion"]);
            }
            item
        });
        let (api_version, name) = match (request.only_metadata, request.older_events) {
            (true, _) => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata"),
            (false, true) => ("v1".to_owned(), kind.kind),
            (false, false) => (kind.api_version(), kind.kind),
        };
        Ok(
            json!({"kind": format!("{name}List"), "apiVersion": api_version, "metadata": meta, "items": items.collect::<Vec<_>>()}),
        )
    }

    fn delete_all(&mut self, kind: &Kind, request: &Request) -> Result<Value, Failure> {
        let (selector, options) = (request.selector(kind)?, options(request)?);
        let all = self.listed(kind, request.namespace.as_deref(), self.version);
        for (id, object) in all.iter().filter(|(_, object)| selector.selects(object)) {
            self.delete(kind, &id.1, text(object, "name"), &options)?;
        }
        Ok(deleted(kind, "", ""))
    }
}

fn body(request: &Request) -> Result<Value, Failure> {
    let read = serde_json::from_slice(&request.body);
    let object = read.map_err(|error| Failure::bad_request(format!("the body cannot be read: {error}")))?;
    Ok(if request.older_events { from_older(object) } else { object })
}

/// The options of a DELETE: its body, or its query where it has none.
fn options(request: &Request) -> Result<Value, Failure> {
    if !request.body.is_empty() {
        return body(request);
    }
    let mut options = json!({});
    let parameter = |name: &str| Some(request.parameter(name)).filter(|text| !text.is_empty());
    if let Some(policy) = parameter("propagationPolicy") {
        options["propagationPolicy"] = json!(policy);
    }
    if let Some(seconds) = parameter("gracePeriodSeconds").and_then(|text| text.parse::<i64>().ok()) {
        options["gracePeriodSeconds"] = json!(seconds);
    }
    if let Some(all) = parameter("dryRun") {
        options["dryRun"] = json!([all]);
    }
    Ok(options)
}

/// A token to go on listing with: the version of the first page, and the last object that was shown.
fn read_token(token: &str) -> Result<(u64, (String, String)), Failure> {
    let parts = token.split_once(':').and_then(|(version, last)| Some((version.parse().ok()?, last.split_once('/')?)));
    let (version, (namespace, name)) = parts.ok_or_else(|| Failure::bad_request("continue key is not valid"))?;
    Ok((version, (namespace.to_owned(), name.to_owned())))
}

/// An object in the form that the request asks for.
pub(super) fn shown(object: &Value, request: &Request) -> Value {
    if request.only_metadata {
        return json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]});
    }
    if request.older_events { to_older(object.clone()) } else { object.clone() }
}
