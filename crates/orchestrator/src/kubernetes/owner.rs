//! Who else scales a target: horizontal pod autoscalers and KEDA's `ScaledObject`s of its
//! namespace. A second controller that writes the same number is fought, never won against.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use spanwise_model::Owner;
use tokio::time::{Instant, sleep};

use super::Kubernetes;
use super::api::{Call, Failure};
use super::kind::Place;
use crate::error::OrchError;

/// Objects asked for at once.
const PAGE: u32 = 250;
/// Pages read before giving up: 5,000 autoscalers in one namespace.
const N_PAGES_MAX: u32 = 20;
/// KEDA's objects; a cluster without KEDA does not know them, and so has none.
const SCALED_OBJECTS: &str = "scaledobjects";
/// What `ScaledObject`s scale when they name no kind.
const KEDA_DEFAULT_KIND: &str = "Deployment";

/// Lists that were read lately, by path. One reads, the others wait for it: without that a hundred
/// targets of a namespace cost two hundred lists. Bounded by the namespaces of the targets.
#[derive(Debug, Default)]
pub(super) struct Autoscalers(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Option<Recent>>>>>);

#[derive(Debug)]
struct Recent {
    /// When reading began.
    at: Instant,
    list: Arc<[Autoscaler]>,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default = "Vec::new")]
    items: Vec<Autoscaler>,
}

#[derive(Default, Deserialize)]
struct ListMeta {
    #[serde(default, rename = "continue")]
    next: String,
}

#[derive(Debug, Deserialize)]
struct Autoscaler {
    metadata: Meta,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Meta {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    scale_target_ref: Reference,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    api_version: Option<String>,
    kind: Option<String>,
    name: String,
}

impl Kubernetes {
    /// The owner of the target's replicas, if there is one. A `ScaledObject` goes before the
    /// autoscaler it made. `Forbidden` if it cannot be told. What it is judged by may be `age` old.
    pub(super) async fn owner(
        &self,
        place: &Place,
        age: Duration,
    ) -> Result<Option<Owner>, Failure> {
        let (scaled_object, autoscaler) = join(
            self.find_owner(place, "/apis/keda.sh/v1alpha1", SCALED_OBJECTS, age),
            self.find_owner(place, "/apis/autoscaling/v2", "horizontalpodautoscalers", age),
        )
        .await;
        let scaled_object = match scaled_object {
            Err(Failure::Final(OrchError::Forbidden { .. })) if self.options.assume_no_keda => None,
            Err(Failure::Final(OrchError::Forbidden { verb, resource, detail })) => {
                let remedy = "cannot tell whether KEDA scales the target: grant the right, or set \
                              assume_no_keda: true";
                let detail = format!("{remedy}; {detail}");
                return Err(OrchError::Forbidden { verb, resource, detail }.into());
            }
            other => other?,
        };
        if let Some(name) = scaled_object {
            return Ok(Some(Owner::ScaledObject(name)));
        }
        Ok(autoscaler?.map(Owner::HorizontalPodAutoscaler))
    }

    /// The name of the first object of the list that scales the target.
    async fn find_owner(
        &self,
        place: &Place,
        root: &str,
        plural: &str,
        age: Duration,
    ) -> Result<Option<String>, Failure> {
        let path = format!("{root}/namespaces/{}/{plural}?limit={PAGE}", place.namespace);
        let list = self.autoscalers(plural, path, age).await?;
        let owner = list.iter().find(|autoscaler| autoscaler.spec.scale_target_ref.means(place));
        Ok(owner.map(|autoscaler| autoscaler.metadata.name.clone()))
    }

    /// The list at `path`, read at most `age` ago.
    async fn autoscalers(
        &self,
        plural: &str,
        path: String,
        age: Duration,
    ) -> Result<Arc<[Autoscaler]>, Failure> {
        let now = || sleep(Duration::ZERO).deadline();
        if age.is_zero() {
            return self.read_autoscalers(plural, &path).await;
        }
        let shared = Arc::clone(self.autoscalers.0.lock().entry(path.clone()).or_default());
        let mut recent = shared.lock().await;
        if let Some(recent) = recent.as_ref().filter(|recent| now() < recent.at + age) {
            return Ok(Arc::clone(&recent.list));
        }
        let at = now();
        let list = self.read_autoscalers(plural, &path).await?;
        *recent = Some(Recent { at, list: Arc::clone(&list) });
        Ok(list)
    }

    async fn read_autoscalers(
        &self,
        plural: &str,
        path: &str,
    ) -> Result<Arc<[Autoscaler]>, Failure> {
        let mut all = Vec::new();
        let mut next = String::new();
        for _ in 0..N_PAGES_MAX {
            let page: List = match self.page(plural, path, &next).await {
                Err(Failure::Final(OrchError::NotFound { .. })) if plural == SCALED_OBJECTS => {
                    return Ok(Arc::default());
                }
                page => page?,
            };
            all.extend(page.items);
            next = page.metadata.next;
            if next.is_empty() {
                return Ok(all.into());
            }
        }
        let n_max = PAGE * N_PAGES_MAX;
        let detail = format!("more than {n_max} {plural} in one namespace");
        Err(OrchError::invalid(detail).into())
    }

    async fn page<T: DeserializeOwned>(
        &self,
        plural: &str,
        path: &str,
        next: &str,
    ) -> Result<T, Failure> {
        let path = match next {
            "" => path.to_owned(),
            next => format!("{path}&continue={}", escaped(next)),
        };
        let call = Call { verb: "list", resource: plural.to_owned(), path, patch: None };
        self.api.read(call).await
    }
}

impl Reference {
    /// Whether the reference means `place`: group, kind and name agree. The version does not
    /// matter, and a reference without a group is taken to agree.
    fn means(&self, place: &Place) -> bool {
        let group = |api_version: &str| {
            api_version.rsplit_once('/').map_or("", |(group, _)| group) == place.kind.group
        };
        self.name == place.name
            && self.kind.as_deref().unwrap_or(KEDA_DEFAULT_KIND) == place.kind.name
            && self.api_version.as_deref().is_none_or(group)
    }
}

/// Percent-encodes all but letters and digits.
fn escaped(token: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(token.len());
    for byte in token.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::kind::Kind;
    use super::*;

    #[test]
    fn an_autoscaler_owns_what_agrees_in_group_kind_and_name() {
        let kind = Kind {
            name: "Deployment".to_owned(),
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            plural: "deployments".to_owned(),
        };
        let place = Place { kind, namespace: "shop".to_owned(), name: "web".to_owned() };
        let check = |json: &str, expected: bool| {
            let reference: Reference = serde_json::from_str(json).unwrap();
            assert_eq!(reference.means(&place), expected, "{json}");
        };
        check(r#"{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}"#, true);
        check(r#"{"apiVersion":"apps/v2","kind":"Deployment","name":"web"}"#, true);
        check(r#"{"kind":"Deployment","name":"web"}"#, true);
        check(r#"{"name":"web"}"#, true);
        check(r#"{"apiVersion":"apps/v1","kind":"Deployment","name":"cart"}"#, false);
        check(r#"{"apiVersion":"apps/v1","kind":"StatefulSet","name":"web"}"#, false);
        check(r#"{"apiVersion":"example.com/v1","kind":"Deployment","name":"web"}"#, false);
        check(r#"{"apiVersion":"v1","kind":"Deployment","name":"web"}"#, false);
    }

    #[test]
    fn page_tokens_cannot_add_parameters() {
        assert_eq!(escaped("aB3=&x"), "aB3%3D%26x");
    }
}
