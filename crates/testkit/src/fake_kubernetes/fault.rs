//! Faults on demand: what a server in trouble does, and what others do just before a request.

use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429 with `Retry-After` in seconds, in plain text as the server's own limiter answers.
    TooManyRequests(u64),
    /// 503.
    Unavailable,
    /// 500.
    InternalError,
    /// No answer, ever; the request is not carried out.
    Hang,
    /// The request is carried out, and its answer never comes.
    LoseAnswer,
    /// The answer comes late.
    Slow(Duration),
    /// The object's status moves first: a new resourceVersion, the same spec.
    StatusMoves,
    /// Somebody else sets the object's replicas first.
    ReplicasBecome(u32),
    /// The object is deleted and made anew first.
    Recreated,
}

/// Faults that wait for their request.
#[derive(Debug, Default)]
pub(super) struct Faults {
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    verb: String,
    resource: String,
    fault: Fault,
    times: u32,
}

impl Faults {
    pub(super) fn add(&mut self, verb: &str, resource: &str, fault: Fault, times: u32) {
        let (verb, resource) = (verb.to_owned(), resource.to_owned());
        self.waiting.push(Waiting { verb, resource, fault, times });
    }

    /// The oldest fault for this request, used up once.
    pub(super) fn take(&mut self, verb: &str, resource: &str) -> Option<Fault> {
        let fits = |w: &&mut Waiting| w.times > 0 && w.verb == verb && w.resource == resource;
        let waiting = self.waiting.iter_mut().find(fits)?;
        waiting.times -= 1;
        Some(waiting.fault)
    }
}
