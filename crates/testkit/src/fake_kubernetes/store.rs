//! The objects, their kinds, and one counter of resource versions for all.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::address::Address;

/// A kind that is served.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) name: String,
    pub(super) namespaced: bool,
    pub(super) scalable: bool,
}

/// Key of an object: group, resource, namespace, name.
type Key = (String, String, String, String);

/// Everything the server holds.
#[derive(Debug)]
pub(super) struct Store {
    kinds: Vec<Kind>,
    objects: BTreeMap<Key, Value>,
    revision: u64,
    n_created: u64,
}

impl Default for Store {
    fn default() -> Self {
        let kind =
            |group: &str, version: &str, plural: &str, name: &str, namespaced, scalable| Kind {
                group: group.to_owned(),
                version: version.to_owned(),
                plural: plural.to_owned(),
                name: name.to_owned(),
                namespaced,
                scalable,
            };
        let crds = "customresourcedefinitions";
        let kinds = vec![
            kind("", "v1", "namespaces", "Namespace", false, false),
            kind("", "v1", "replicationcontrollers", "ReplicationController", true, true),
            kind("apps", "v1", "deployments", "Deployment", true, true),
            kind("apps", "v1", "replicasets", "ReplicaSet", true, true),
            kind("apps", "v1", "statefulsets", "StatefulSet", true, true),
            kind(
                "autoscaling",
                "v2",
                "horizontalpodautoscalers",
                "HorizontalPodAutoscaler",
                true,
                false,
            ),
            kind("apiextensions.k8s.io", "v1", crds, "CustomResourceDefinition", false, false),
        ];
        let mut store = Self { kinds, objects: BTreeMap::new(), revision: 100, n_created: 0 };
        let namespaces =
            Address { version: "v1".into(), resource: "namespaces".into(), ..Address::default() };
        store.create(&namespaces, json!({"metadata": {"name": "default"}}));
        store
    }
}

impl Store {
    /// The kind a path addresses, if it is served.
    pub(super) fn kind(&self, address: &Address) -> Option<&Kind> {
        let served = |k: &&Kind| {
            k.group == address.group && k.version == address.version && k.plural == address.resource
        };
        self.kinds.iter().find(served)
    }

    /// The kinds of a group and version; none if there is no such group.
    pub(super) fn group(&self, address: &Address) -> Vec<&Kind> {
        let within = |k: &&Kind| k.group == address.group && k.version == address.version;
        self.kinds.iter().filter(within).collect()
    }

    /// The latest resource version.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn get(&self, address: &Address) -> Option<&Value> {
        self.objects.get(&key(address))
    }

    /// The objects of a list in order of namespace and name.
    pub(super) fn list(&self, address: &Address) -> Vec<&Value> {
        let within = |(group, resource, namespace, _): &&Key| {
            *group == address.group
                && *resource == address.resource
                && (address.namespace.is_empty() || *namespace == address.namespace)
        };
        self.objects.iter().filter(|(key, _)| within(key)).map(|(_, object)| object).collect()
    }

    /// An object by resource, namespace and name, whatever its group.
    pub(super) fn find(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let fits = |(_, r, ns, n): &&Key| r == resource && ns == namespace && n == name;
        self.objects.iter().find(|(key, _)| fits(key)).map(|(_, object)| object.clone())
    }

    /// Stores a new object with a fresh identity. The name must be free.
    pub(super) fn create(&mut self, address: &Address, mut object: Value) -> Value {
        self.n_created += 1;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let metadata = &mut object["metadata"];
        metadata["uid"] = json!(format!("00000000-0000-4000-8000-{:012}", self.n_created));
        metadata["generation"] = json!(1);
        metadata["creationTimestamp"] = json!("2025-01-01T00:00:00Z");
        if !address.namespace.is_empty() {
            metadata["namespace"] = json!(address.namespace);
        }
        if matches!(&*address.resource, "deployments" | "statefulsets" | "replicasets") {
            let replicas = &mut object["spec"]["replicas"];
            if replicas.is_null() {
                *replicas = json!(1);
            }
        }
        if address.resource == "customresourcedefinitions" {
            self.register(&object);
        }
        self.write(&Address { name, ..address.clone() }, object)
    }

    /// Replaces an object: nothing happens if it is the same, else it gets a new resourceVersion,
    /// and a new generation if its spec differs.
    pub(super) fn update(&mut self, address: &Address, mut object: Value) -> Value {
        let Some(old) = self.get(address).cloned() else { return object };
        for fixed in
            ["uid", "generation", "creationTimestamp", "resourceVersion", "namespace", "name"]
        {
            object["metadata"][fixed] = old["metadata"][fixed].clone();
        }
        if object == old {
            return old;
        }
        if object["spec"] != old["spec"] {
            let generation = old["metadata"]["generation"].as_u64().unwrap_or(0);
            object["metadata"]["generation"] = json!(generation + 1);
        }
        self.write(address, object)
    }

    /// Removes an object, and with a namespace everything in it.
    pub(super) fn delete(&mut self, address: &Address) -> Option<Value> {
        let removed = self.objects.remove(&key(address))?;
        self.revision += 1;
        if address.resource == "namespaces" {
            self.objects.retain(|(_, _, namespace, _), _| *namespace != address.name);
        }
        if address.resource == "customresourcedefinitions" {
            let plural = removed["spec"]["names"]["plural"].clone();
            self.kinds.retain(|kind| kind.plural != plural);
        }
        Some(removed)
    }

    /// Gives an object a new resourceVersion and nothing else, as a status write does.
    pub(super) fn touch(&mut self, address: &Address) {
        if let Some(mut object) = self.get(address).cloned() {
            let count = object["status"]["touched"].as_u64().unwrap_or(0);
            object["status"]["touched"] = json!(count + 1);
            self.write(address, object);
        }
    }

    /// Brings every workload's status up to its spec, one write per step.
    pub(super) fn run_controllers(&mut self) -> u32 {
        let scalable = |(group, resource, ..): &Key| {
            self.kinds.iter().any(|k| k.scalable && k.group == *group && k.plural == *resource)
        };
        let keys: Vec<Key> = self.objects.keys().filter(|key| scalable(key)).cloned().collect();
        let mut n_writes = 0;
        for key in keys {
            let (group, resource, namespace, name) = key;
            let address = Address { group, namespace, resource, name, ..Address::default() };
            for fields in
                [&["observedGeneration"][..], &["replicas", "updatedReplicas"], &["readyReplicas"]]
            {
                n_writes += u32::from(self.advance_status(&address, fields));
            }
        }
        n_writes
    }

    /// Sets fields of a status to what the spec wants; false if they were so.
    fn advance_status(&mut self, address: &Address, fields: &[&str]) -> bool {
        let Some(old) = self.get(address).cloned() else { return false };
        let replicas = old["spec"]["replicas"].as_u64().unwrap_or(0);
        let mut object = old.clone();
        for field in fields {
            // Zeros are left out of a status.
            match *field {
                "observedGeneration" => {
                    object["status"][field] = old["metadata"]["generation"].clone();
                }
                _ if replicas == 0 => {
                    object["status"].as_object_mut().map(|status| status.remove(*field));
                }
                _ => object["status"][field] = json!(replicas),
            }
        }
        let moved = object != old;
        if moved {
            self.write(address, object);
        }
        moved
    }

    fn register(&mut self, definition: &Value) {
        let spec = &definition["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for version in spec["versions"].as_array().into_iter().flatten() {
            self.kinds.push(Kind {
                group: text(&spec["group"]),
                version: text(&version["name"]),
                plural: text(&spec["names"]["plural"]),
                name: text(&spec["names"]["kind"]),
                namespaced: spec["scope"] == "Namespaced",
                scalable: version["subresources"]["scale"].is_object(),
            });
        }
    }

    fn write(&mut self, address: &Address, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.objects.insert(key(address), object.clone());
        object
    }
}

fn key(address: &Address) -> Key {
    let Address { group, resource, namespace, name, .. } = address.clone();
    (group, resource, namespace, name)
}
