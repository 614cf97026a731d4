//! The accept loop of both servers: bounded connections, an orderly end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either, select};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::receiver::intake::Intake;
use crate::receiver::port::{ConnectionEnd, Protocol, ReceiverEvent};
use crate::transport::{Phase, Shutdown};

/// Pause after an error of `accept` that is not about one connection, such as no file descriptors
/// left: the loop neither ends nor spins.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves one connection to its end.
pub(super) type Serve =
    Arc<dyn Fn(TcpStream, SocketAddr, Shutdown) -> BoxFuture<'static, ()> + Send + Sync>;

/// Places for connections, in all and per peer.
struct Places {
    free: Arc<Semaphore>,
    n_max: u32,
    /// Open connections by peer, loopback excepted. At most `n_max` entries; a list, because there
    /// are few and they are looked at only when a connection opens or closes.
    by_peer: Arc<Mutex<Vec<(IpAddr, u32)>>>,
    n_per_peer_max: u32,
}

/// A place that is given back when dropped.
struct Place {
    peer: Option<IpAddr>,
    by_peer: Arc<Mutex<Vec<(IpAddr, u32)>>>,
    _permit: OwnedSemaphorePermit,
}

/// Accepts until the shutdown begins, then waits until the last connection is closed: those are
/// told to finish when draining begins and are cut off when it ends.
pub(super) async fn accept(
    listener: TcpListener,
    intake: Arc<Intake>,
    protocol: Protocol,
    mut shutdown: Shutdown,
    serve: Serve,
) {
    let places = Places {
        free: Arc::new(Semaphore::new(intake.config.n_connections_max as usize)),
        n_max: intake.config.n_connections_max,
        by_peer: Arc::default(),
        n_per_peer_max: intake.config.n_connections_per_peer_max,
    };
    loop {
        let accepted = {
            let stop = std::pin::pin!(shutdown.reached(Phase::Draining));
            let next = std::pin::pin!(listener.accept());
            match select(stop, next).await {
                Either::Left(_) => break,
                Either::Right((accepted, _)) => accepted,
            }
        };
        match accepted {
            Ok((io, peer)) => match places.take(peer) {
                Ok(place) => start(io, peer, place, (&intake, protocol, &shutdown, &serve)),
                Err(end) => {
                    intake.ingest.record(ReceiverEvent::Connection { protocol, peer, end });
                }
            },
            Err(error) if is_about_one_connection(&error) => {}
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
    drop(listener);
    places.all_free().await;
}

fn start(
    io: TcpStream,
    peer: SocketAddr,
    place: Place,
    (intake, protocol, shutdown, serve): (&Arc<Intake>, Protocol, &Shutdown, &Serve),
) {
    // Replies are small and complete: nothing is gained by waiting for more. If it cannot be set,
    // the connection is already gone and says so when it is read.
    drop(io.set_nodelay(true));
    let work = serve(io, peer, shutdown.clone());
    let mut shutdown = shutdown.clone();
    let ingest = Arc::clone(&intake.ingest);
    let task = async move {
        let aborted = std::pin::pin!(shutdown.reached(Phase::Aborting));
        if let Either::Left(_) = select(aborted, work).await {
            let end = ConnectionEnd::Aborted;
            ingest.record(ReceiverEvent::Connection { protocol, peer, end });
        }
        drop(place);
    };
    intake.spawn.spawn(task.boxed());
}

/// Errors of `accept` that concern the connection that would have been, not the listener.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

impl Places {
    fn take(&self, peer: SocketAddr) -> Result<Place, ConnectionEnd> {
        let permit = Arc::clone(&self.free).try_acquire_owned();
        let permit = permit.map_err(|_| ConnectionEnd::TooMany)?;
        let ip = peer.ip().to_canonical();
        let counted = (!ip.is_loopback()).then_some(ip);
        if let Some(ip) = counted {
            let mut by_peer = self.by_peer.lock();
            match by_peer.iter_mut().find(|(other, _)| *other == ip) {
                Some((_, n)) if *n >= self.n_per_peer_max => {
                    return Err(ConnectionEnd::TooManyFromPeer);
                }
                Some((_, n)) => *n += 1,
                None => by_peer.push((ip, 1)),
            }
        }
        Ok(Place { peer: counted, by_peer: Arc::clone(&self.by_peer), _permit: permit })
    }

    async fn all_free(&self) {
        // The semaphore is never closed, so this ends only when all permits are back.
        drop(self.free.acquire_many(self.n_max).await);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(ip) = self.peer else { return };
        let mut by_peer = self.by_peer.lock();
        if let Some(idx) = by_peer.iter().position(|(other, _)| *other == ip) {
            by_peer[idx].1 -= 1;
            if by_peer[idx].1 == 0 {
                by_peer.swap_remove(idx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(n_max: u32, n_per_peer_max: u32) -> Places {
        Places {
            free: Arc::new(Semaphore::new(n_max as usize)),
            n_max,
            by_peer: Arc::default(),
            n_per_peer_max,
        }
    }

    #[test]
    fn one_peer_cannot_take_all_places_but_loopback_may() {
        let places = places(3, 2);
        let peer: SocketAddr = "10.0.0.1:1".parse().unwrap();
        let first = places.take(peer).unwrap();
        let _second = places.take(peer).unwrap();
        assert_eq!(places.take(peer).err(), Some(ConnectionEnd::TooManyFromPeer));
        drop(first);
        drop(places.take(peer).unwrap());

        let local: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let _third = places.take(local).unwrap();
        let _fourth = places.take(local).unwrap();
        assert_eq!(places.take(local).err(), Some(ConnectionEnd::TooMany));
    }
}
