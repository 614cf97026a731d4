//! What a path addresses.

/// A request's path, taken apart. Empty parts are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) namespace: String,
    /// Empty for a group itself (discovery).
    pub(super) resource: String,
    pub(super) name: String,
    pub(super) subresource: String,
}

impl Address {
    /// Takes a path apart; `None` if it is none of the API's.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/');
        let (group, version) = match parts.next()? {
            "api" => ("", parts.next()?),
            "apis" => (parts.next()?, parts.next()?),
            _ => return None,
        };
        let mut rest: Vec<&str> = parts.collect();
        // `namespaces` is a resource when at most a name follows it.
        let namespace = match rest[..] {
            ["namespaces", namespace, _, ..] => {
                rest.drain(..2);
                namespace
            }
            _ => "",
        };
        let part = |idx: usize| rest.get(idx).copied().unwrap_or_default().to_owned();
        let (resource, name, subresource) = (part(0), part(1), part(2));
        (rest.len() <= 3).then(|| Self {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: namespace.to_owned(),
            resource,
            name,
            subresource,
        })
    }

    /// Resource with subresource, as rights are written.
    pub(super) fn full_resource(&self) -> String {
        match &*self.subresource {
            "" => self.resource.clone(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }

    /// Resource with group, as messages name it: `deployments.apps`.
    pub(super) fn qualified(&self) -> String {
        match &*self.group {
            "" => self.resource.clone(),
            group => format!("{}.{group}", self.resource),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let check = |path: &str, expected: [&str; 6]| {
            let a = Address::parse(path).unwrap();
            let parts = [a.group, a.version, a.namespace, a.resource, a.name, a.subresource];
            assert_eq!(parts.each_ref().map(String::as_str), expected, "{path}");
        };
        check(
            "/apis/apps/v1/namespaces/ns/deployments/web/scale",
            ["apps", "v1", "ns", "deployments", "web", "scale"],
        );
        check("/api/v1/namespaces/ns/pods", ["", "v1", "ns", "pods", "", ""]);
        check("/api/v1/namespaces/ns", ["", "v1", "", "namespaces", "ns", ""]);
        check("/api/v1/namespaces", ["", "v1", "", "namespaces", "", ""]);
        check("/apis/argoproj.io/v1alpha1", ["argoproj.io", "v1alpha1", "", "", "", ""]);
        assert_eq!(Address::parse("/version"), None);
    }
}
