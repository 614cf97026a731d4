//! The fake API server answers as kube-apiserver 1.36.2 did when it was asked the same.
#![cfg(test)]
#![cfg(feature = "fake-kubernetes")]

use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use spanwise_testkit::FakeKubernetes;
use spanwise_testkit::fake_kubernetes::{ADMIN_TOKEN, Rule};
use tower::ServiceExt;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const MERGE: &str = "application/merge-patch+json";

/// A server with the deployment `web` of three replicas.
async fn server() -> FakeKubernetes {
    let fake = FakeKubernetes::new();
    let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}}});
    let (code, _, _) = send(&fake, ADMIN_TOKEN, Method::POST, DEPLOYMENTS, "", &web).await;
    assert_eq!(code, StatusCode::CREATED);
    fake
}

async fn send(
    fake: &FakeKubernetes,
    token: &str,
    method: Method,
    path: &str,
    media: &str,
    body: &Value,
) -> (StatusCode, String, String) {
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, media);
    let request = request.body(axum::body::Body::from(body.to_string())).unwrap();
    let response = fake.as_user(token).oneshot(request).await.unwrap();
    let code = response.status();
    let media = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, media, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn get(fake: &FakeKubernetes, path: &str) -> Value {
    let (code, _, body) = send(fake, ADMIN_TOKEN, Method::GET, path, "", &json!({})).await;
    assert_eq!(code, StatusCode::OK, "{body}");
    serde_json::from_str(&body).unwrap()
}

async fn patch(fake: &FakeKubernetes, query: &str, body: Value) -> (StatusCode, Value) {
    let path = format!("{DEPLOYMENTS}/web/scale{query}");
    let (code, _, body) = send(fake, ADMIN_TOKEN, Method::PATCH, &path, MERGE, &body).await;
    (code, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn a_scale_has_the_identity_of_its_object_and_omits_zeros() {
    let fake = server().await;
    let object = get(&fake, &format!("{DEPLOYMENTS}/web")).await;
    let metadata = &object["metadata"];
    let expected = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": "web", "namespace": "default", "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"]},
        "spec": {"replicas": 3}, "status": {"replicas": 0, "selector": "app=web"},
    });
    assert_eq!(get(&fake, &format!("{DEPLOYMENTS}/web/scale")).await, expected);
    let (_, scale) = patch(&fake, "", json!({"spec": {"replicas": 0}})).await;
    assert_eq!(scale["spec"], json!({}));
}

#[tokio::test]
async fn a_patch_is_checked_against_uid_and_revision() {
    let check = async |metadata: Value, code: u16, message: &str| {
        let fake = server().await;
        let body = json!({"metadata": metadata, "spec": {"replicas": 4}});
        let (found, answer) = patch(&fake, "", body).await;
        assert_eq!(found.as_u16(), code, "{metadata}: {answer}");
        if code != 200 {
            assert_eq!(answer["message"], message, "{metadata}");
            assert_eq!((&answer["kind"], &answer["code"]), (&json!("Status"), &json!(code)));
        }
    };
    let uid = get(&server().await, &format!("{DEPLOYMENTS}/web")).await["metadata"]["uid"].clone();
    let modified = "Operation cannot be fulfilled on deployments.apps \"web\": the object has been \
                    modified; please apply your changes to the latest version and try again";
    check(json!({"resourceVersion": "1"}), 409, modified).await;
    check(json!({"resourceVersion": "0"}), 200, "").await;
    check(json!({}), 200, "").await;
    check(json!({"uid": uid}), 200, "").await;
    check(json!({"resourceVersion": "x"}), 500, "invalid resource version \"x\"").await;
    let recreated = format!(
        "Operation cannot be fulfilled on deployments/scale.apps \"web\": Precondition failed: UID \
         in precondition: other, UID in object meta: {}",
        uid.as_str().unwrap()
    );
    check(json!({"uid": "other"}), 409, &recreated).await;
}

#[tokio::test]
async fn replicas_are_validated_and_null_means_zero() {
    let check = async |replicas: Value, code: u16, spec: Value| {
        let fake = server().await;
        let (found, answer) = patch(&fake, "", json!({"spec": {"replicas": replicas}})).await;
        assert_eq!(found.as_u16(), code, "{replicas}");
        assert_eq!(answer["spec"], spec, "{replicas}");
    };
    check(json!(5), 200, json!({"replicas": 5})).await;
    check(json!(null), 200, json!({})).await;
    check(json!(-1), 422, Value::Null).await;
    check(json!("5"), 422, Value::Null).await;
}

#[tokio::test]
async fn only_a_changed_spec_moves_the_revision() {
    let fake = server().await;
    let revision = async || {
        let scale = get(&fake, &format!("{DEPLOYMENTS}/web/scale")).await;
        scale["metadata"]["resourceVersion"].clone()
    };
    let before = revision().await;
    patch(&fake, "", json!({"spec": {"replicas": 3}})).await;
    assert_eq!(revision().await, before);
    let (_, dry) = patch(&fake, "?dryRun=All", json!({"spec": {"replicas": 9}})).await;
    assert_eq!(
        (&dry["spec"]["replicas"], &dry["metadata"]["resourceVersion"]),
        (&json!(9), &before)
    );
    assert_eq!(revision().await, before);
    patch(&fake, "", json!({"spec": {"replicas": 4}})).await;
    assert_ne!(revision().await, before);
    let object = fake.object("deployments", "default", "web").unwrap();
    assert_eq!(object["metadata"]["generation"], 2);
}

#[tokio::test]
async fn controllers_move_a_status_in_steps_of_their_own() {
    let fake = server().await;
    assert_eq!(fake.run_controllers(), 3);
    assert_eq!(fake.run_controllers(), 0);
    let status = &fake.object("deployments", "default", "web").unwrap()["status"];
    assert_eq!((&status["observedGeneration"], &status["readyReplicas"]), (&json!(1), &json!(3)));
}

#[tokio::test]
async fn bad_media_types_and_options_are_refused() {
    let fake = server().await;
    let path = format!("{DEPLOYMENTS}/web/scale");
    let body = json!({"spec": {"replicas": 4}});
    let (code, ..) =
        send(&fake, ADMIN_TOKEN, Method::PATCH, &path, "application/json", &body).await;
    assert_eq!(code, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(patch(&fake, "?dryRun=x", body).await.0, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn authentication_and_rights_come_before_existence() {
    let fake = server().await;
    fake.allow("reader", "system:serviceaccount:ns:sa", &[Rule::new("get", "apps", "deployments")]);
    let check = async |token: &str, method: Method, path: &str, code: u16, expected: &str| {
        let (found, media, body) = send(&fake, token, method, path, MERGE, &json!({})).await;
        assert_eq!(found.as_u16(), code, "{path}: {body}");
        match serde_json::from_str::<Value>(&body) {
            Ok(status) => assert_eq!(status["message"], expected, "{path}"),
            Err(_) => assert_eq!((&*media, &*body), ("text/plain; charset=utf-8", expected)),
        }
    };
    let web = format!("{DEPLOYMENTS}/web");
    check("nobody", Method::GET, &web, 401, "Unauthorized").await;
    let cannot_patch = "deployments.apps \"web\" is forbidden: User \
        \"system:serviceaccount:ns:sa\" cannot patch resource \"deployments/scale\" in API group \
        \"apps\" in the namespace \"default\"";
    check("reader", Method::PATCH, &format!("{web}/scale"), 403, cannot_patch).await;
    let absent_group = "/apis/keda.sh/v1alpha1/namespaces/default/scaledobjects";
    let cannot_list = "scaledobjects.keda.sh is forbidden: User \"system:serviceaccount:ns:sa\" \
        cannot list resource \"scaledobjects\" in API group \"keda.sh\" in the namespace \
        \"default\"";
    check("reader", Method::GET, absent_group, 403, cannot_list).await;
    check(ADMIN_TOKEN, Method::GET, absent_group, 404, "404 page not found\n").await;
    let missing = "deployments.apps \"x\" not found";
    check("reader", Method::GET, &format!("{DEPLOYMENTS}/x"), 404, missing).await;
}

#[tokio::test]
async fn a_list_comes_in_pages_whose_items_carry_no_kind() {
    let fake = server().await;
    for name in ["a", "b"] {
        let body =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}});
        send(&fake, ADMIN_TOKEN, Method::POST, DEPLOYMENTS, "", &body).await;
    }
    let first = get(&fake, &format!("{DEPLOYMENTS}?limit=2")).await;
    assert_eq!(
        (&first["kind"], &first["apiVersion"]),
        (&json!("DeploymentList"), &json!("apps/v1"))
    );
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&first["items"][0]["kind"], &first["metadata"]["remainingItemCount"]),
        (&Value::Null, &json!(1))
    );
    let next = first["metadata"]["continue"].as_str().unwrap();
    let second = get(&fake, &format!("{DEPLOYMENTS}?limit=2&continue={next}")).await;
    assert_eq!(second["items"][0]["metadata"]["name"], "web");
    assert_eq!(second["metadata"]["continue"], Value::Null);
}

#[tokio::test]
async fn discovery_lists_the_scale_of_what_can_be_scaled() {
    let list = get(&server().await, "/apis/apps/v1").await;
    let names: Vec<&str> =
        list["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"deployments") && names.contains(&"deployments/scale"), "{names:?}");
}

#[tokio::test]
async fn a_name_is_taken_once_and_a_namespace_takes_its_objects_along() {
    let fake = server().await;
    let body = json!({"metadata": {"name": "web"}});
    let (code, ..) = send(&fake, ADMIN_TOKEN, Method::POST, DEPLOYMENTS, "", &body).await;
    assert_eq!(code, StatusCode::CONFLICT);
    let absent = "/apis/apps/v1/namespaces/absent/deployments";
    let (code, ..) = send(&fake, ADMIN_TOKEN, Method::POST, absent, "", &body).await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    let namespace = "/api/v1/namespaces/default";
    send(&fake, ADMIN_TOKEN, Method::DELETE, namespace, "", &json!({})).await;
    assert_eq!(fake.object("deployments", "default", "web"), None);
}
