//! A Kubernetes API server in the process: objects in memory, answers as kube-apiserver 1.36 gives
//! them, faults on demand.
//!
//! It implements what spanwise and its tests use: create, get, list, replace, merge-patch and delete
//! of any registered kind, the scale subresource, discovery of one group, custom resource
//! definitions, bearer tokens with rules. No watches, no admission, no server-side apply, no
//! garbage collection. Time does not pass in it: controllers run when a test calls
//! [`FakeKubernetes::run_controllers`].
//!
//! A difference to a real server found by running the same tests there is a bug here.

mod access;
mod address;
mod fault;
mod handler;
mod object;
mod scale;
mod store;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::map_request;
use axum::response::Response;
use http::{HeaderValue, header};
use parking_lot::Mutex;
use serde_json::Value;

pub use self::access::Rule;
pub use self::fault::Fault;
pub use self::handler::Call;
use self::handler::Server;

/// The token that may do everything.
pub const ADMIN_TOKEN: &str = "admin";

/// The fake server; see the module text. A clone is the same server.
#[derive(Clone, Debug, Default)]
pub struct FakeKubernetes {
    server: Arc<Mutex<Server>>,
}

/// A listener that ends with this value.
#[derive(Debug)]
pub struct Listening {
    /// Where it listens, on loopback.
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl FakeKubernetes {
    /// A server with the built-in kinds, the namespace `default` and the token [`ADMIN_TOKEN`].
    pub fn new() -> Self {
        Self::default()
    }

    /// The server as a tower service on which every request without a token carries `token`.
    pub fn as_user(&self, token: &str) -> Router {
        let bearer: HeaderValue = format!("Bearer {token}").parse().expect("a token is plain text");
        self.router().layer(map_request(move |mut request: Request| {
            let bearer = bearer.clone();
            async move {
                request.headers_mut().entry(header::AUTHORIZATION).or_insert(bearer);
                request
            }
        }))
    }

    /// The server as a tower service.
    pub fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }

    /// Serves on a free loopback port until the returned value is dropped.
    pub async fn listen(&self) -> Listening {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("a bound listener has an address");
        let router = self.router();
        let serve = async move { axum::serve(listener, router).await.expect("serving") };
        #[expect(clippy::disallowed_methods, reason = "a test server has nobody else to run it")]
        let task = tokio::spawn(serve);
        Listening { address, task }
    }

    /// Lets `token` act as `user` under `rules`, in place of what it could do before.
    pub fn allow(&self, token: &str, user: &str, rules: &[Rule]) {
        self.server.lock().access.allow(token, user, rules);
    }

    /// Makes the next `times` requests of `verb` on `resource` (`deployments/scale`) meet `fault`.
    pub fn inject(&self, verb: &str, resource: &str, fault: Fault, times: u32) {
        self.server.lock().faults.add(verb, resource, fault, times);
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.server.lock().calls.clone()
    }

    /// How many calls of `verb` on `resource` there were.
    pub fn n_calls(&self, verb: &str, resource: &str) -> usize {
        let server = self.server.lock();
        server.calls.iter().filter(|c| c.verb == verb && c.resource == resource).count()
    }

    /// Lets the workload controllers bring every status up to its spec, one write after another as
    /// they do. Returns how many writes that took.
    pub fn run_controllers(&self) -> u32 {
        self.server.lock().store.run_controllers()
    }

    /// The object as it is stored.
    pub fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.server.lock().store.find(resource, namespace, name)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(fake): State<FakeKubernetes>, request: Request) -> Response {
    handler::answer(&fake.server, request).await
}
