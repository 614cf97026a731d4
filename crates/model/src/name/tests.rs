use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000);

fn check(operation: &str, expected: &str) {
    assert_eq!(fold_operation(operation), expected);
}

#[test]
fn ids_in_names_are_folded_and_words_stay() {
    check("GetCart", "GetCart");
    check("hipstershop.AdService/GetAds", "hipstershop.AdService/GetAds");
    check("GET /cart/42", "GET /cart/{}");
    check("GET /api/v1/users/1234/orders", "GET /api/v1/users/{}/orders");
    check("/a/4d2a46c7-71cb-4cf1-b5bb-b68406d9da6f/b", "/a/{}/b");
    check("/a/4d2a46c7-71cb-4cf1-b5bb-b68406d9da6f", "/a/{}");
    check("OrderService2", "OrderService2");
    check("job-20251122T08", "job-20251122T08");
    check("get 290330a0c0c6eac6", "get {}");
    check("item=7&page=3", "item={}&page={}");
    check("größe/99/ü", "größe/{}/ü");
    check("", "");
}

#[test]
fn the_same_names_give_the_same_id() {
    let mut sites = CallSites::new(10, 10);
    let a = sites.intern("cart", "GET /cart/1", SpanKind::Server, NOW);
    let b = sites.intern("cart", "GET /cart/2", SpanKind::Server, NOW);
    let c = sites.intern("cart", "GET /cart/2", SpanKind::Client, NOW);
    assert_eq!(a, b);
    assert_ne!(a, c);
    assert_eq!(&*sites.get(a).operation, "GET /cart/{}");
    assert_eq!(sites.find("cart", "GET /cart/{}", SpanKind::Client), Some(c));
}

#[test]
fn names_beyond_the_bound_share_the_overflow_site_of_their_service() {
    let mut sites = CallSites::new(100, 2);
    for op in ["a", "b", "c", "d", "d"] {
        sites.intern("cart", op, SpanKind::Server, NOW);
    }
    let other = sites.intern("cart", "e", SpanKind::Server, NOW);
    assert!(sites.get(other).overflow);
    assert_eq!(&*sites.get(other).operation, "__other__");
    assert_eq!(sites.overflow_names().next(), Some(("cart::d", 2)));
    let elsewhere = sites.intern("ads", "a", SpanKind::Server, NOW);
    assert!(!sites.get(elsewhere).overflow);
}

#[test]
fn a_flood_of_service_names_stays_bounded() {
    let mut sites = CallSites::new(50, 50);
    for n in 0..200_000 {
        sites.intern(&format!("svc-x{n}y"), "op", SpanKind::Server, NOW);
    }
    assert!(sites.len() <= 51, "{}", sites.len());
    assert!(sites.services.len() <= 51);
    assert!(sites.overflow_names().count() <= TOP_OVERFLOW_NAMES);
    let known = sites.intern("svc-x0y", "op", SpanKind::Server, NOW);
    assert!(!sites.get(known).overflow);
}

#[test]
fn idle_sites_retire_and_their_ids_rest_before_reuse() {
    let mut sites = CallSites::new(10, 10);
    let a = sites.intern("cart", "a", SpanKind::Server, NOW);
    let later = NOW.plus_ns(3_600_000_000_000);
    let b = sites.intern("cart", "b", SpanKind::Server, later);
    let mut retired = Vec::new();
    sites.expire(later, 3_600_000_000_000, &mut retired);
    assert_eq!(retired, [a]);
    assert_eq!(sites.find("cart", "a", SpanKind::Server), None);
    let c = sites.intern("cart", "c", SpanKind::Server, later);
    assert!(c != a && c != b);
    let much_later = later.plus_ns(REUSE_AFTER_NS);
    assert_eq!(sites.intern("cart", "d", SpanKind::Server, much_later), a);
    assert_eq!(&*sites.get(a).operation, "d");
}

#[test]
fn long_names_are_cut_between_characters() {
    let mut sites = CallSites::new(10, 10);
    let id = sites.intern(&"ü".repeat(400), &"é".repeat(300), SpanKind::Server, NOW);
    assert!(sites.get(id).operation.len() <= NAME_BYTES_MAX);
}

/// Reserves every operation of one service.
#[derive(Debug)]
struct Service(&'static str);

impl Reserved for Service {
    fn covers(&self, service: &str, _: &str, _: SpanKind) -> bool {
        service == self.0
    }
}

#[test]
fn reserved_names_find_room_among_a_flood_of_others() {
    let mut sites = CallSites::new(50, 10);
    sites.reserve(vec![Arc::new(Service("cart"))]);
    for n in 0..200 {
        sites.intern(&format!("svc-x{n}y"), "op", SpanKind::Server, NOW);
    }
    for op in ["a", "b", "c"] {
        let id = sites.intern("cart", op, SpanKind::Server, NOW);
        assert_eq!((&*sites.get(id).operation, sites.get(id).overflow), (op, false));
    }
    let ads = sites.intern("ads", "a", SpanKind::Server, NOW);
    assert!(sites.get(ads).overflow);
    for n in 0..5_000 {
        sites.intern("cart", &format!("op-x{n}y"), SpanKind::Server, NOW);
    }
    assert!(sites.len() <= 50 + RESERVED_MAX + 2, "{}", sites.len());
}

#[test]
fn services_that_retire_make_room_for_others() {
    let mut sites = CallSites::new(10, 10);
    let mut now = NOW;
    for round in 0..20 {
        for n in 0..10 {
            let id = sites.intern(&format!("job-x{round}y{n}z"), "run", SpanKind::Server, now);
            assert!(!sites.get(id).overflow, "round {round}");
            assert_eq!(
                &*sites.services[sites.get(id).service_id.0 as usize].name,
                &*sites.get(id).service
            );
        }
        now = now.plus_ns(400 * 1_000_000_000);
        sites.expire(now, 1, &mut Vec::new());
        now = now.plus_ns(REUSE_AFTER_NS);
    }
    assert!(sites.services.len() <= 10, "{}", sites.services.len());
}
