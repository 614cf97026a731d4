//! HTTP/1.1 over a plain socket, one request a connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longest silence on a connection.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A reply as it came over the wire.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The body as text, whatever it is.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Gets a path.
pub(crate) fn get(from: SocketAddr, path: &str) -> Reply {
    let head = format!("GET {path} HTTP/1.1\r\nhost: {from}\r\nconnection: close\r\n\r\n");
    exchange(from, head.as_bytes(), b"").unwrap()
}

/// Gets a JSON document; `None` unless the answer is 200, and while nobody listens.
pub(crate) fn get_json(from: SocketAddr, path: &str) -> Option<Value> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: {from}\r\nconnection: close\r\n\r\n");
    let reply = exchange(from, head.as_bytes(), b"").ok()?;
    (reply.status == 200).then(|| serde_json::from_slice(&reply.body).unwrap())
}

/// Posts a body.
pub(crate) fn post(to: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut head =
        format!("POST {path} HTTP/1.1\r\nhost: {to}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("connection: close\r\n\r\n");
    exchange(to, head.as_bytes(), body).unwrap()
}

/// The value of a sample on `/metrics`, by its name and labels as printed; 0 if it is not there.
pub(crate) fn metric(from: SocketAddr, sample: &str) -> u64 {
    let text = get(from, "/metrics").text();
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

/// Sends, and reads the reply to the end of the connection.
fn exchange(peer: SocketAddr, head: &[u8], body: &[u8]) -> std::io::Result<Reply> {
    let mut write = TcpStream::connect(peer)?;
    write.set_read_timeout(Some(TIMEOUT))?;
    write.set_write_timeout(Some(TIMEOUT))?;
    let mut read = write.try_clone()?;
    let mut bytes = Vec::new();
    std::thread::scope(|scope| {
        // The server may answer before it has read everything; then the reply is what counts.
        scope.spawn(move || write.write_all(head).and_then(|()| write.write_all(body)));
        read.read_to_end(&mut bytes)
            .map(drop)
            .or_else(|error| if bytes.is_empty() { Err(error) } else { Ok(()) })
    })?;
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let no_reply = || std::io::Error::other(format!("no reply in {} bytes", bytes.len()));
    let split = split.ok_or_else(no_reply)?;
    let head = String::from_utf8_lossy(&bytes[..split]);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(no_reply)?;
    Ok(Reply { status, body: bytes[split + 4..].to_vec() })
}
