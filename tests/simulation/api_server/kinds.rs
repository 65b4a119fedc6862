//! The kinds of objects that are served, and how each differs from the others.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, Node, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Brings an object into the shape in which it is stored, or says why it cannot be read.
type Typed = fn(Value) -> Result<Value, String>;

/// A kind and what the API server does with its objects.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) namespaced: bool,
    /// Whether the status is a subresource.
    pub(super) status: bool,
    /// Whether changes of the contents are counted in `metadata.generation`.
    pub(super) generation: bool,
    /// Whether a PUT without a version is taken for one of the present version.
    pub(super) unconditional: bool,
    /// Whether a PUT makes the object where there is none.
    pub(super) put_creates: bool,
    /// Whether it is written down who owns which field: for kinds that are applied. For the others nobody looks, and it
    /// would cost most of the time.
    pub(super) managed: bool,
    /// Whether DELETE is answered with the object.
    pub(super) returned: bool,
    /// `None`: a custom resource, whose schema says so.
    pub(super) typed: Option<Typed>,
}

impl Kind {
    /// `v1`, or the group and the version.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// As errors name it: `leases.coordination.k8s.io`.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// As errors about contents name it: `Lease.coordination.k8s.io`.
    pub(super) fn qualified_kind(&self) -> String {
        if self.group.is_empty() { self.kind.to_owned() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// Whether it is one of the product's own.
    pub(super) fn is_custom(&self) -> bool {
        self.typed.is_none()
    }

    const fn of(group: &'static str, kind: &'static str, plural: &'static str, typed: Option<Typed>) -> Kind {
        Kind {
            group,
            version: if typed.is_some() { "v1" } else { "v1alpha1" },
            kind,
            plural,
            namespaced: true,
            status: false,
            generation: false,
            unconditional: typed.is_some(),
            put_creates: false,
            managed: false,
            returned: false,
            typed,
        }
    }

    const fn cluster_wide(self) -> Kind {
        Kind { namespaced: false, ..self }
    }

    const fn status(self) -> Kind {
        Kind { status: true, ..self }
    }

    const fn generation(self) -> Kind {
        Kind { generation: true, ..self }
    }

    const fn versioned_puts(self) -> Kind {
        Kind { unconditional: false, ..self }
    }

    const fn put_creates(self) -> Kind {
        Kind { put_creates: true, ..self }
    }

    const fn managed(self) -> Kind {
        Kind { managed: true, ..self }
    }

    const fn returned(self) -> Kind {
        Kind { returned: true, ..self }
    }
}

fn typed<T: Serialize + DeserializeOwned>(object: Value) -> Result<Value, String> {
    let read: T = serde_json::from_value(object).map_err(|error| error.to_string())?;
    serde_json::to_value(read).map_err(|error| error.to_string())
}

const CORE: &str = "";
const RBAC: &str = "rbac.authorization.k8s.io";
const OURS: &str = "tradingbot.io";

/// All kinds. Their order is the order of objects in the store, nothing else.
pub(super) static KINDS: [Kind; 19] = [
    Kind::of(CORE, "Namespace", "namespaces", Some(typed::<Namespace>)).cluster_wide().status().returned(),
    Kind::of(CORE, "Node", "nodes", Some(typed::<Node>)).cluster_wide().status(),
    Kind::of(CORE, "Pod", "pods", Some(typed::<Pod>)).status().generation().returned(),
    Kind::of(CORE, "Service", "services", Some(typed::<Service>)).status().put_creates().managed().returned(),
    Kind::of(CORE, "ServiceAccount", "serviceaccounts", Some(typed::<ServiceAccount>)).managed().returned(),
    Kind::of(CORE, "Secret", "secrets", Some(typed::<Secret>)).managed(),
    Kind::of(CORE, "ConfigMap", "configmaps", Some(typed::<ConfigMap>)).managed(),
    Kind::of(CORE, "PersistentVolumeClaim", "persistentvolumeclaims", Some(typed::<PersistentVolumeClaim>))
        .status()
        .returned(),
    Kind::of("coordination.k8s.io", "Lease", "leases", Some(typed::<Lease>)).versioned_puts().put_creates(),
    Kind::of("batch", "Job", "jobs", Some(typed::<Job>)).status().generation(),
    Kind::of("batch", "CronJob", "cronjobs", Some(typed::<CronJob>)).status().generation().managed(),
    Kind::of(RBAC, "Role", "roles", Some(typed::<Role>)).put_creates().managed(),
    Kind::of(RBAC, "RoleBinding", "rolebindings", Some(typed::<RoleBinding>)).put_creates().managed(),
    Kind::of("policy", "PodDisruptionBudget", "poddisruptionbudgets", Some(typed::<PodDisruptionBudget>))
        .status()
        .generation()
        .versioned_puts()
        .managed(),
    Kind::of("networking.k8s.io", "NetworkPolicy", "networkpolicies", Some(typed::<NetworkPolicy>))
        .generation()
        .managed(),
    Kind::of("discovery.k8s.io", "EndpointSlice", "endpointslices", Some(typed::<EndpointSlice>)).generation(),
    Kind::of("events.k8s.io", "Event", "events", Some(typed::<Event>)).put_creates(),
    Kind::of(OURS, "TradingBot", "tradingbots", None).status().generation(),
    Kind::of(OURS, "TradingBotOperation", "tradingbotoperations", None).status().generation(),
];

/// The kind that a path names, and whether it named the older form of Events.
pub(super) fn served(group: &str, version: &str, plural: &str) -> Option<(&'static Kind, bool)> {
    if (group, version, plural) == (CORE, "v1", "events") {
        return of_plural(plural).map(|kind| (kind, true));
    }
    let found = KINDS.iter().find(|kind| kind.group == group && kind.version == version && kind.plural == plural);
    found.map(|kind| (kind, false))
}

/// The kind of that plural.
pub(super) fn of_plural(plural: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.plural == plural)
}

/// The kind of that plural; one that there is not is a mistake of the caller.
pub(super) fn known(plural: &str) -> &'static Kind {
    of_plural(plural).unwrap_or_else(|| panic!("the simulated API server serves no {plural}"))
}

/// The kind that an owner's reference means.
pub(super) fn of_reference(api_version: &str, name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.kind == name && kind.api_version() == api_version)
}
