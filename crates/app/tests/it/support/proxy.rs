//! A wire that can be cut: passes connections on to a port until it is told not to.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;

/// What both ends of the wire share.
#[derive(Default)]
struct Wire {
    is_cut: bool,
    streams: Vec<TcpStream>,
}

/// The wire.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    wire: Arc<Mutex<Wire>>,
}

impl Proxy {
    /// A wire to `to`.
    pub(crate) fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Arc::<Mutex<Wire>>::default();
        let shared = Arc::clone(&wire);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let mut wire = shared.lock();
                let far = TcpStream::connect(to).ok().filter(|_| !wire.is_cut);
                let Some(far) = far else { continue };
                wire.streams.extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                pass(near.try_clone().unwrap(), far.try_clone().unwrap());
                pass(far, near);
            }
        });
        Self { address, wire }
    }

    /// Ends every connection and refuses new ones.
    pub(crate) fn cut(&self) {
        let mut wire = self.wire.lock();
        wire.is_cut = true;
        for stream in wire.streams.drain(..) {
            // Fails only if it has ended.
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Takes connections again.
    pub(crate) fn mend(&self) {
        self.wire.lock().is_cut = false;
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        drop(to.shutdown(Shutdown::Both));
    });
}
