//! The clients: many streams over a few connections, and an account of every answer.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::Error;
use super::payload::{N_SPANS, Payload, TRACES};

/// Loopback may have more than other addresses.
const N_CONNECTIONS: usize = 80;
/// Requests under way on one connection, below what a server allows.
const N_STREAMS: usize = 90;
/// Requests under way while the capacity is measured.
const N_CLOSED: usize = 32;
/// What is due is sent this often.
const TICK: Duration = Duration::from_millis(5);
const UNAVAILABLE: &str = "14";

/// What the answers were.
#[expect(clippy::struct_field_names, reason = "counts are named n_ everywhere")]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) n_offered_spans: u64,
    pub(crate) n_offered_anomalous: u64,
    pub(crate) n_offered_ordinary: u64,
    pub(crate) n_accepted_spans: u64,
    pub(crate) n_accepted_anomalous: u64,
    /// UNAVAILABLE with a time to come again.
    pub(crate) n_refused: u64,
    /// Anything else.
    pub(crate) n_wrong: u64,
}

#[expect(clippy::struct_field_names, reason = "counts are named n_ everywhere")]
#[derive(Debug, Default)]
struct Counters {
    n_offered: AtomicU64,
    n_offered_anomalous: AtomicU64,
    n_accepted: AtomicU64,
    n_accepted_anomalous: AtomicU64,
    n_refused: AtomicU64,
    n_wrong: AtomicU64,
}

/// How one request ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Accepted,
    Refused,
    Wrong,
}

/// The connections.
pub(crate) struct Load {
    payload: Arc<Payload>,
    to: SocketAddr,
    connections: VecDeque<Connection>,
    next: Arc<AtomicU32>,
}

/// One connection, and what has become of it.
struct Connection {
    send: SendRequest<Bytes>,
    streams: Arc<Semaphore>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

impl Load {
    pub(crate) async fn connect(to: SocketAddr, payload: Payload) -> Result<Self, Error> {
        let mut connections = VecDeque::new();
        for _ in 0..N_CONNECTIONS {
            connections.push_back(Connection::open(to).await?);
        }
        // Request 0 would leave the ids as they are.
        let next = Arc::new(AtomicU32::new(1));
        Ok(Self { payload: Arc::new(payload), to, connections, next })
    }

    /// Number of the request that is sent next.
    pub(crate) fn next_request(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }

    /// As fast as answers come.
    pub(crate) async fn closed(&mut self, time: Duration) -> Answers {
        let counters = Arc::<Counters>::default();
        let until = Instant::now() + time;
        let mut tasks = JoinSet::new();
        for _ in 0..N_CLOSED {
            let Ok((send, _)) = self.connection().await else { continue };
            let (payload, next) = (Arc::clone(&self.payload), Arc::clone(&self.next));
            let counters = Arc::clone(&counters);
            tasks.spawn(async move {
                while Instant::now() < until {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    one(send.clone(), &payload, number, &counters).await;
                }
            });
        }
        tasks.join_all().await;
        counters.get()
    }

    /// So many spans a second, whatever the answers are.
    pub(crate) async fn open(&mut self, spans_per_s: f64, time: Duration) -> Answers {
        let counters = Arc::<Counters>::default();
        let begin = Instant::now();
        let mut tasks = JoinSet::new();
        let mut n_sent = 0_u64;
        let mut tick = tokio::time::interval(TICK);
        while begin.elapsed() < time {
            tick.tick().await;
            let due = (begin.elapsed().as_secs_f64() * spans_per_s / N_SPANS as f64) as u64;
            while n_sent < due {
                n_sent += 1;
                self.spawn(&mut tasks, &counters).await;
            }
            while tasks.try_join_next().is_some() {}
        }
        tasks.join_all().await;
        counters.get()
    }

    /// Offers so much until a second has passed without a refusal; how long that took.
    pub(crate) async fn until_normal(&mut self, spans_per_s: f64) -> Duration {
        let begin = Instant::now();
        loop {
            let answers = self.open(spans_per_s, Duration::from_secs(1)).await;
            if answers.n_refused + answers.n_wrong == 0 || begin.elapsed().as_secs() > 60 {
                return begin.elapsed().saturating_sub(Duration::from_secs(1));
            }
        }
    }

    /// The next connection; one that has ended is opened again, as clients do.
    async fn connection(&mut self) -> Result<(SendRequest<Bytes>, Arc<Semaphore>), Error> {
        self.connections.rotate_left(1);
        let one = &mut self.connections[0];
        if one.driver.is_finished() {
            *one = Connection::open(self.to).await?;
        }
        Ok((one.send.clone(), Arc::clone(&one.streams)))
    }

    async fn spawn(&mut self, tasks: &mut JoinSet<()>, counters: &Arc<Counters>) {
        let (send, streams) = match self.connection().await {
            Ok(connection) => connection,
            Err(error) => {
                eprintln!("connection: {error}");
                counters.n_wrong.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        // Only if every place on the connection is taken does an offer wait.
        let Ok(place) = streams.acquire_owned().await else { return };
        let (payload, counters) = (Arc::clone(&self.payload), Arc::clone(counters));
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        tasks.spawn(async move {
            one(send, &payload, number, &counters).await;
            drop(place);
        });
    }
}

impl Connection {
    async fn open(to: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let (send, connection) = h2::client::handshake(stream).await?;
        let driver = tokio::spawn(connection);
        Ok(Self { send, streams: Arc::new(Semaphore::new(N_STREAMS)), driver })
    }
}

impl Counters {
    fn get(&self) -> Answers {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let n_offered_anomalous = of(&self.n_offered_anomalous);
        Answers {
            n_offered_spans: of(&self.n_offered) * N_SPANS,
            n_offered_anomalous,
            n_offered_ordinary: of(&self.n_offered) * TRACES - n_offered_anomalous,
            n_accepted_spans: of(&self.n_accepted) * N_SPANS,
            n_accepted_anomalous: of(&self.n_accepted_anomalous),
            n_refused: of(&self.n_refused),
            n_wrong: of(&self.n_wrong),
        }
    }
}

/// Sends a request once and counts what was said.
async fn one(send: SendRequest<Bytes>, payload: &Payload, number: u32, counters: &Counters) {
    let (request, n_anomalous) = payload.request(number);
    let add = |counter: &AtomicU64, n: u64| counter.fetch_add(n, Ordering::Relaxed);
    add(&counters.n_offered, 1);
    add(&counters.n_offered_anomalous, n_anomalous);
    let answer = match export(send, request).await {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("request {number}: {error}");
            Answer::Wrong
        }
    };
    match answer {
        Answer::Accepted => {
            add(&counters.n_accepted, 1);
            add(&counters.n_accepted_anomalous, n_anomalous);
        }
        Answer::Refused => drop(add(&counters.n_refused, 1)),
        Answer::Wrong => drop(add(&counters.n_wrong, 1)),
    }
}

async fn export(send: SendRequest<Bytes>, request: Bytes) -> Result<Answer, Error> {
    let mut framed = BytesMut::with_capacity(5 + request.len());
    framed.put_u8(0);
    framed.put_u32(request.len() as u32);
    framed.extend_from_slice(&request);
    let head =
        Request::post("http://server/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
    let mut send = send.ready().await?;
    let (response, mut body) = send.send_request(head, false)?;
    let sending = async {
        let mut left = framed.freeze();
        while !left.is_empty() {
            body.reserve_capacity(left.len());
            let granted = std::future::poll_fn(|ctx| body.poll_capacity(ctx)).await;
            // A server that refuses takes no more; what it says is in the response.
            let Some(Ok(n)) = granted else { return };
            let piece = left.split_to(n.min(left.len()));
            if body.send_data(piece, left.is_empty()).is_err() {
                return;
            }
        }
    };
    let (response, ()) = futures_util::future::join(response, sending).await;
    let (head, mut data) = response?.into_parts();
    if head.headers.contains_key("grpc-status") {
        return Ok(judge(&head.headers));
    }
    while let Some(piece) = data.data().await {
        let n = piece?.len();
        data.flow_control().release_capacity(n)?;
    }
    let trailers = data.trailers().await?.ok_or("an answer without trailers")?;
    Ok(judge(&trailers))
}

fn judge(trailers: &HeaderMap) -> Answer {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some("0") => Answer::Accepted,
        Some(UNAVAILABLE) if trailers.contains_key("grpc-status-details-bin") => Answer::Refused,
        status => {
            eprintln!("status {status:?}: {:?}", text("grpc-message"));
            Answer::Wrong
        }
    }
}
