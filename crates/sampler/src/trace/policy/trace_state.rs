//! W3C `tracestate`, read as strictly as the Collector's library does: a member that is not right
//! spoils the whole.

/// Most members.
const N_MEMBERS_MAX: usize = 32;

/// The value of `key`; `None` if there is none or the text is not a tracestate.
pub(super) fn get<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut members: [(&str, &str); N_MEMBERS_MAX] = [("", ""); N_MEMBERS_MAX];
    let mut n_members = 0;
    for member in text.split(',') {
        if member.is_empty() {
            continue;
        }
        let member = member.trim_matches([' ', '\t']);
        let (name, value) = member.split_once('=')?;
        let is_known = members[..n_members].iter().any(|(known, _)| *known == name);
        if n_members == N_MEMBERS_MAX || is_known || !is_key(name) || !is_value(value) {
            return None;
        }
        members[n_members] = (name, value);
        n_members += 1;
    }
    members[..n_members].iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
}

/// `simple` of up to 256 characters, or `tenant@system` of up to 241 and 14.
fn is_key(key: &str) -> bool {
    let is_inner = |text: &str| {
        text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/".contains(&b))
    };
    let begins_lower = |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase());
    match key.split_once('@') {
        None => key.len() <= 256 && begins_lower(key) && is_inner(key),
        Some((tenant, system)) => {
            let is_tenant = tenant
                .starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && tenant.len() <= 241
                && is_inner(tenant);
            is_tenant && system.len() <= 14 && begins_lower(system) && is_inner(system)
        }
    }
}

/// Up to 256 printable characters but `,` and `=`, the last one no space.
fn is_value(value: &str) -> bool {
    let is_printable = value.bytes().all(|b| (0x20..=0x7e).contains(&b) && b != b',' && b != b'=');
    (1..=256).contains(&value.len()) && is_printable && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, key: &str, expected: Option<&str>) {
        assert_eq!(get(text, key), expected, "{text}");
    }

    #[test]
    fn values_are_found_among_members() {
        check("a=1,b=2", "b", Some("2"));
        check(" a=1 ,\tb=x:y;z ,, c=3", "b", Some("x:y;z"));
        check("0t@sys=1", "0t@sys", Some("1"));
        check("a=1", "b", None);
        check("", "a", None);
    }

    #[test]
    fn one_bad_member_spoils_the_whole() {
        for text in [
            "a=1,b",
            "a=1,a=2",
            "a=1,B=2",
            "a=1,b=",
            "a=1,b=2=3",
            "a=1,b=\u{e9}",
            "a=1,@x=1",
            "a=1, ,b=2",
        ] {
            check(text, "a", None);
        }
        let many = |n: usize| (0..n).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
        check(&many(32), "k31", Some("v"));
        check(&many(33), "k0", None);
    }
}
