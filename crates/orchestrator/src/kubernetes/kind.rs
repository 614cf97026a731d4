//! Where a target lies: the path of its kind. Built-in kinds are known, the others are looked up in
//! the API group once and remembered.

use parking_lot::Mutex;
use serde::Deserialize;
use spanwise_model::TargetRef;

use super::Kubernetes;
use super::api::{Api, Call, Failure};
use crate::error::OrchError;
use crate::reference::{BUILT_IN, is_name};

/// Kinds that are remembered; a configuration names far fewer.
const N_KINDS_MAX: usize = 256;
/// Kind of a target that names none.
const DEFAULT_KIND: &str = "Deployment";
/// A kind as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Kind name, such as `Rollout`.
    pub(super) name: String,
    /// API group; empty for the core group.
    pub(super) group: String,
    /// API version.
    pub(super) version: String,
    /// Resource name in paths and rights.
    pub(super) plural: String,
}

/// A target, located.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Its kind.
    pub(super) kind: Kind,
    /// Its namespace.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
}

/// Kinds that were looked up.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    known: Mutex<Vec<Kind>>,
}

#[derive(Deserialize)]
struct ResourceList {
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    kind: String,
}

impl Kubernetes {
    /// Finds out where a target lies. Costs a call for a kind that was not seen before and is not
    /// built in.
    pub(super) async fn locate(&self, target: &TargetRef) -> Result<Place, Failure> {
        let namespace = match &*target.namespace {
            "" => self.namespace.clone(),
            namespace => checked("namespace", namespace)?,
        };
        let name = checked("object name", &target.object)?;
        let kind = self.kinds.find(&self.api, &target.kind, &target.api_version).await?;
        Ok(Place { kind, namespace, name })
    }
}

impl Place {
    /// Path of the object.
    pub(super) fn object_path(&self) -> String {
        let Kind { group, version, plural, .. } = &self.kind;
        let root = root(group, version);
        format!("{root}/namespaces/{}/{plural}/{}", self.namespace, self.name)
    }

    /// Path of its scale.
    pub(super) fn scale_path(&self) -> String {
        format!("{}/scale", self.object_path())
    }

    /// Its scale as rights are written.
    pub(super) fn scale_resource(&self) -> String {
        format!("{}/scale", self.kind.plural)
    }
}

impl Kinds {
    async fn find(&self, api: &Api, kind: &str, api_version: &str) -> Result<Kind, Failure> {
        let kind = if kind.is_empty() { DEFAULT_KIND } else { kind };
        if let Some(known) = built_in(kind, api_version) {
            return Ok(known);
        }
        if api_version.is_empty() {
            let detail = format!(
                "kind {kind} is not built in: name its API, as in api_version: argoproj.io/v1alpha1"
            );
            return Err(OrchError::invalid(detail).into());
        }
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let remembered = self.remembered(kind, group, version);
        if let Some(known) = remembered {
            return Ok(known);
        }
        let found = discover(api, kind, group, version).await?;
        let mut known = self.known.lock();
        if known.len() < N_KINDS_MAX {
            known.push(found.clone());
        }
        Ok(found)
    }

    fn remembered(&self, kind: &str, group: &str, version: &str) -> Option<Kind> {
        let known = self.known.lock();
        let same = |k: &&Kind| k.name == kind && k.group == group && k.version == version;
        known.iter().find(same).cloned()
    }
}

fn built_in(kind: &str, api_version: &str) -> Option<Kind> {
    let (name, group, version, plural) = BUILT_IN.into_iter().find(|(name, ..)| *name == kind)?;
    let same = api_version.is_empty()
        || api_version.rsplit_once('/').unwrap_or(("", api_version)) == (group, version);
    same.then(|| Kind {
        name: name.to_owned(),
        group: group.to_owned(),
        version: version.to_owned(),
        plural: plural.to_owned(),
    })
}

/// Asks the API group which resource holds `kind`, and whether it can be scaled.
async fn discover(api: &Api, kind: &str, group: &str, version: &str) -> Result<Kind, Failure> {
    if !group.is_empty() {
        checked("API group", group)?;
    }
    checked("API version", version)?;
    let shown = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let list: Result<ResourceList, Failure> =
        api.read(Call::get(format!("resources of {shown}"), root(group, version))).await;
    let list = match list {
        Err(Failure::Final(OrchError::NotFound { .. })) => {
            let what = format!("API group {shown}; is what brings it installed?");
            return Err(OrchError::NotFound { what }.into());
        }
        other => other?,
    };
    let whole = |r: &&Resource| r.kind == kind && !r.name.contains('/');
    let Some(resource) = list.resources.iter().find(whole) else {
        return Err(
            OrchError::NotFound { what: format!("kind {kind} in API group {shown}") }.into()
        );
    };
    let plural = checked("resource name", &resource.name)?;
    let scale = format!("{plural}/scale");
    if !list.resources.iter().any(|r| r.name == scale) {
        let what = format!("scaling of {kind} ({shown})");
        let detail = "the kind has no scale subresource".to_owned();
        return Err(OrchError::Unsupported { what, detail }.into());
    }
    Ok(Kind { name: kind.to_owned(), group: group.to_owned(), version: version.to_owned(), plural })
}

fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// A name that can stand in a path as it is.
fn checked(what: &str, name: &str) -> Result<String, OrchError> {
    if is_name(name) {
        return Ok(name.to_owned());
    }
    let detail = format!(
        "{what} {name:?} is not a Kubernetes name (lower-case letters, digits, `-` and `.`)"
    );
    Err(OrchError::invalid(detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_path_are_refused() {
        for name in ["", "..", "a/b", "a?x", "Web", "-web", "web-", "a%2fb", &"a".repeat(254)] {
            assert!(checked("object name", name).is_err(), "{name}");
        }
        for name in ["web", "web-1", "a.b.c", "0"] {
            assert!(checked("object name", name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_built_in_kind_of_another_group_is_not_built_in() {
        assert!(built_in("Deployment", "").is_some());
        assert!(built_in("Deployment", "apps/v1").is_some());
        assert!(built_in("Deployment", "example.com/v1").is_none());
        assert!(built_in("ReplicationController", "v1").is_some());
        assert!(built_in("Rollout", "").is_none());
    }
}
