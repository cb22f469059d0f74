//! A client that speaks HTTP by hand, so that it can break off wherever it likes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

const BOUNDARY: &str = "a-line-that-no-file-has";

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: Value,
}

/// How a file is sent.
#[derive(Clone, Copy)]
pub enum Way {
    /// With its length said before.
    Counted,
    /// In pieces, without its length.
    Chunked,
    /// As counted, and broken off after so many bytes of the body.
    BrokenOff(usize),
}

/// `name` and content of files as a form.
pub fn form(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, bytes) in files {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

/// Sends files as a form.
pub fn post(address: &str, query: &str, files: &[(&str, &[u8])]) -> Answer {
    try_post(address, query, files).expect("an answer")
}

/// The same, to a server that may be gone.
pub fn try_post(address: &str, query: &str, files: &[(&str, &[u8])]) -> Option<Answer> {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let target = format!("/api/v1/assets{query}");
    send(address, ("POST", &target), &kind, &form(files), Way::Counted)
}

/// Sends a file to a name.
pub fn put(address: &str, name: &str, bytes: &[u8], way: Way) -> Option<Answer> {
    send(address, ("PUT", &format!("/api/v1/assets/by-name/{name}")), "application/octet-stream", bytes, way)
}

/// Sends a body; `None` if the server closed the line without an answer, or if it was broken off.
pub fn send(
    address: &str,
    (method, target): (&str, &str),
    kind: &str,
    body: &[u8],
    way: Way,
) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(300))).ok()?;
    let length = match way {
        Way::Chunked => "Transfer-Encoding: chunked".to_owned(),
        _ => format!("Content-Length: {}", body.len()),
    };
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Docent-Client: test\r\n\
         Content-Type: {kind}\r\n{length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    match way {
        // A server that refuses answers before it has read everything.
        Way::Counted => drop(stream.write_all(body)),
        Way::Chunked => {
            for chunk in body.chunks(1000) {
                let sent = write!(stream, "{:x}\r\n", chunk.len())
                    .and_then(|()| stream.write_all(chunk))
                    .and_then(|()| stream.write_all(b"\r\n"));
                if sent.is_err() {
                    break;
                }
            }
            drop(stream.write_all(b"0\r\n\r\n"));
        }
        Way::BrokenOff(bytes) => {
            drop(stream.write_all(&body[..bytes.min(body.len())]));
            return None;
        }
    }
    let mut text = Vec::new();
    // What came before the line broke is an answer, too.
    drop(stream.read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        headers: head.to_lowercase(),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    })
}
