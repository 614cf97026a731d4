//! Who may do what: tokens, users, rules.

use std::collections::BTreeMap;

use http::{HeaderMap, header};

use super::ADMIN_TOKEN;
use super::address::Address;

/// A right, as a Role grants it. `*` stands for everything in any of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `get`, `list`, `create`, `update`, `patch`, `delete`.
    pub verbs: Vec<String>,
    /// API group; empty for the core group.
    pub group: String,
    /// Resources, a subresource after a slash.
    pub resources: Vec<String>,
}

/// Tokens and what they may do.
#[derive(Debug)]
pub(super) struct Access {
    users: BTreeMap<String, User>,
}

/// Somebody with rights.
#[derive(Clone, Debug)]
pub(super) struct User {
    /// Name as it stands in refusals.
    pub(super) name: String,
    rules: Vec<Rule>,
}

impl Rule {
    /// A rule from lists separated by spaces.
    pub fn new(verbs: &str, group: &str, resources: &str) -> Self {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Self { verbs: list(verbs), group: group.to_owned(), resources: list(resources) }
    }

    fn covers(&self, verb: &str, address: &Address) -> bool {
        let among = |list: &[String], item: &str| list.iter().any(|i| i == item || i == "*");
        among(&self.verbs, verb)
            && (self.group == address.group || self.group == "*")
            && among(&self.resources, &address.full_resource())
    }
}

impl Access {
    pub(super) fn allow(&mut self, token: &str, user: &str, rules: &[Rule]) {
        let user = User { name: user.to_owned(), rules: rules.to_vec() };
        self.users.insert(token.to_owned(), user);
    }

    /// The user of a request's token.
    pub(super) fn user(&self, headers: &HeaderMap) -> Option<User> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        self.users.get(value.strip_prefix("Bearer ")?).cloned()
    }
}

impl User {
    pub(super) fn may(&self, verb: &str, address: &Address) -> bool {
        self.rules.iter().any(|rule| rule.covers(verb, address))
    }
}

impl Default for Access {
    fn default() -> Self {
        let mut access = Self { users: BTreeMap::new() };
        access.allow(ADMIN_TOKEN, "admin", &[Rule::new("*", "*", "*")]);
        access
    }
}
