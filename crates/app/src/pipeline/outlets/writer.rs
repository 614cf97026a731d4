//! A thread that writes requests somewhere, and the bounded queue before it.
//!
//! A request is done when the sink says that it is safe. When the sink fails, what it took since is
//! lost here, and is counted and told; the thread rests a second and goes on.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use spanwise_otlp::exporter::{NotQueued, Stats};
use spanwise_otlp::protobuf_to_json;
use tokio::sync::Notify;
use tracing::warn;

/// Rest after a failure.
const REST: Duration = Duration::from_secs(1);

/// Where requests are written.
pub trait Sink: Send {
    /// Takes a request. `Ok(true)`: it and everything before it is safe.
    fn write(&mut self, request: &[u8]) -> anyhow::Result<bool>;

    /// Brings to safety what was taken, if that is due or `now`; whether that was done.
    fn finish(&mut self, now: bool) -> anyhow::Result<bool>;

    /// When [`Sink::finish`] has something to do.
    fn due(&self) -> Option<Instant>;

    /// Forgets what was taken and is not safe.
    fn abandon(&mut self);
}

/// The thread's part.
pub struct Writer {
    sink: Box<dyn Sink>,
    shared: Arc<Shared>,
    /// Requests the sink took that are not safe, as numbers of spans.
    taken: VecDeque<u64>,
}

/// The sending end. Cloning shares the queue.
#[derive(Clone, Debug)]
pub struct WriterHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    n_bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    requests: VecDeque<(Bytes, u64)>,
    stats: Stats,
    n_losses: u64,
    is_closing: bool,
    /// Told when requests are done.
    listener: Option<Arc<Notify>>,
}

impl Writer {
    /// Both ends before a sink.
    pub fn new(sink: Box<dyn Sink>, n_bytes_max: u64) -> (WriterHandle, Self) {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
            n_bytes_max: n_bytes_max as usize,
        });
        let handle = WriterHandle { shared: Arc::clone(&shared) };
        (handle, Self { sink, shared, taken: VecDeque::new() })
    }

    /// Writes until [`WriterHandle::close`], then what is left, and ends. Blocks: run it on a thread
    /// of its own.
    pub fn run(mut self) {
        while let Some(next) = self.next() {
            let written = match next {
                Some((request, n_spans)) => self.write(&request, n_spans),
                None => self.sink.finish(false),
            };
            self.settle(written);
        }
        let finished = self.sink.finish(true);
        self.settle(finished);
        let mut state = self.shared.state.lock();
        state.stats.is_stopped = true;
    }

    /// The next request, or `Some(None)` when the sink has something to finish; `None` at the end.
    #[expect(clippy::option_option, reason = "end, nothing and something are told apart")]
    fn next(&self) -> Option<Option<(Bytes, u64)>> {
        let mut state = self.shared.state.lock();
        loop {
            if let Some((request, n_spans)) = state.requests.pop_front() {
                state.stats.n_queued_bytes -= request.len();
                return Some(Some((request, n_spans)));
            }
            if state.is_closing {
                return None;
            }
            match self.sink.due() {
                None => self.shared.wake.wait(&mut state),
                Some(due) => {
                    if self.shared.wake.wait_until(&mut state, due).timed_out() {
                        return Some(None);
                    }
                }
            }
        }
    }

    fn write(&mut self, request: &[u8], n_spans: u64) -> anyhow::Result<bool> {
        self.taken.push_back(n_spans);
        let is_safe = self.sink.write(request)?;
        Ok(is_safe || self.sink.finish(false)?)
    }

    fn settle(&mut self, written: anyhow::Result<bool>) {
        let n_spans: u64 = match &written {
            Ok(false) => return,
            _ => self.taken.iter().sum(),
        };
        let mut state = self.shared.state.lock();
        state.stats.n_queued -= n_spans;
        match written {
            Ok(_) => {
                state.stats.failing = None;
                state.stats.n_sent += n_spans;
                state.stats.n_done_requests += self.taken.len() as u64;
                if let Some(listener) = &state.listener {
                    listener.notify_one();
                }
            }
            Err(error) => {
                warn!(error = format!("{error:#}"), n_spans, "kept traces could not be written");
                state.stats.n_abandoned += n_spans;
                let problem = format!("{error:#}");
                state.stats.failing = Some(problem.clone());
                state.stats.last_problem = Some(problem);
                // What waits stands behind what was lost: whoever offers again begins before it.
                let waiting = state.requests.drain(..).map(|(_, n)| n).sum::<u64>();
                state.stats.n_abandoned += waiting;
                state.stats.n_queued -= waiting;
                state.stats.n_queued_bytes = 0;
                state.n_losses += 1;
                self.sink.abandon();
                self.shared.wake.wait_for(&mut state, REST);
            }
        }
        self.taken.clear();
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl WriterHandle {
    /// Queues a request of `n_spans` spans. Never waits.
    ///
    /// # Errors
    /// It was not taken, and its spans are counted.
    pub fn send(&self, request: Bytes, n_spans: u64) -> Result<(), NotQueued> {
        let n_losses = self.n_losses();
        self.send_unless_lost(request, n_spans, n_losses)
    }

    /// The same, if the sink has failed `n_losses` times so far: else what was queued before is lost,
    /// and must be offered again first.
    ///
    /// # Errors
    /// As [`WriterHandle::send`]; [`NotQueued::Stopped`] if it has failed since.
    pub fn send_unless_lost(
        &self,
        request: Bytes,
        n_spans: u64,
        n_losses: u64,
    ) -> Result<(), NotQueued> {
        let mut state = self.shared.state.lock();
        let n_bytes = state.stats.n_queued_bytes + request.len();
        let is_lost = state.n_losses != n_losses;
        let refused = if state.stats.is_stopped || state.is_closing || is_lost {
            Some(NotQueued::Stopped)
        } else {
            // A request as large as the queue must get through one day.
            (n_bytes > self.shared.n_bytes_max && n_bytes > request.len())
                .then_some(NotQueued::Full)
        };
        if let Some(refused) = refused {
            state.stats.n_not_queued += n_spans;
            return Err(refused);
        }
        state.stats.n_queued_bytes = n_bytes;
        state.stats.n_queued += n_spans;
        state.requests.push_back((request, n_spans));
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// What became of the spans so far.
    pub fn stats(&self) -> Stats {
        self.shared.state.lock().stats.clone()
    }

    /// How many times the sink failed and lost what it had taken.
    pub fn n_losses(&self) -> u64 {
        self.shared.state.lock().n_losses
    }

    /// Requests that are done, in the order in which they were queued.
    pub fn n_done_requests(&self) -> u64 {
        self.shared.state.lock().stats.n_done_requests
    }

    /// Has `listener`, and nobody else, told when requests are done.
    pub fn tell(&self, listener: Arc<Notify>) {
        self.shared.state.lock().listener = Some(listener);
    }

    /// Lets the thread end when it has written what waits.
    pub fn close(&self) {
        self.shared.state.lock().is_closing = true;
        self.shared.wake.notify_all();
    }
}

/// Standard output: one OTLP/JSON request a line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line;

impl Sink for Line {
    fn write(&mut self, request: &[u8]) -> anyhow::Result<bool> {
        let text = protobuf_to_json(request)?;
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{text}")?;
        stdout.flush()?;
        Ok(true)
    }

    fn finish(&mut self, _now: bool) -> anyhow::Result<bool> {
        Ok(true)
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn abandon(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes three requests at a time; fails on one that says so.
    #[derive(Default)]
    struct Threes {
        taken: Vec<Vec<u8>>,
        safe: Arc<Mutex<Vec<Vec<u8>>>>,
    }

    impl Sink for Threes {
        fn write(&mut self, request: &[u8]) -> anyhow::Result<bool> {
            anyhow::ensure!(request != b"bad", "refused");
            self.taken.push(request.to_vec());
            if self.taken.len() < 3 {
                return Ok(false);
            }
            self.finish(true)
        }

        fn finish(&mut self, now: bool) -> anyhow::Result<bool> {
            if now {
                self.safe.lock().append(&mut self.taken);
            }
            Ok(now)
        }

        fn due(&self) -> Option<Instant> {
            None
        }

        fn abandon(&mut self) {
            self.taken.clear();
        }
    }

    #[test]
    fn requests_are_done_when_they_are_safe_and_lost_in_the_open() {
        let sink = Threes::default();
        let safe = Arc::clone(&sink.safe);
        let (handle, writer) = Writer::new(Box::new(sink), 1 << 20);
        for request in ["a", "b", "c", "d", "bad"] {
            handle.send(Bytes::from(request), 2).unwrap();
        }
        handle.close();
        let thread = std::thread::spawn(move || writer.run());
        thread.join().unwrap();
        let stats = handle.stats();
        assert_eq!((stats.n_sent, stats.n_done_requests), (6, 3));
        assert_eq!((stats.n_abandoned, stats.n_queued, handle.n_losses()), (4, 0, 1));
        assert_eq!(*safe.lock(), [b"a", b"b", b"c"]);
        assert_eq!(handle.send(Bytes::new(), 1), Err(NotQueued::Stopped));
    }

    #[test]
    fn a_full_queue_refuses_and_counts() {
        let (handle, _writer) = Writer::new(Box::new(Threes::default()), 10);
        handle.send(Bytes::from(vec![0; 20]), 1).unwrap();
        assert_eq!(handle.send(Bytes::from(vec![0; 1]), 5), Err(NotQueued::Full));
        assert_eq!(handle.stats().n_not_queued, 5);
    }
}
