//! Why a connection failed, in words: what answers at the address, if it is not gRPC as the URL has it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fault::Failure;

/// Time for the question and its answer, each.
const SOON: Duration = Duration::from_millis(500);

/// What speaks at the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    /// HTTP/1, with this status.
    Http1(u16),
    /// TLS: it complains about plain text.
    Tls,
    /// Something else without TLS, such as gRPC.
    Plain,
}

/// The failure of a connection to `endpoint` (scheme, host and port) that ended in `text`: refused, if what answers there
/// cannot be what the URL says, else unavailable.
pub(super) async fn explain(endpoint: &str, text: &str) -> Failure {
    let Some((scheme, address)) = endpoint.split_once("://") else { return Failure::unavailable(text) };
    let secure = scheme == "https";
    let away = || match text.contains(address) {
        true => Failure::unavailable(text),
        false => Failure::unavailable(format!("{address}: {text}")),
    };
    if text.contains("InvalidCertificate") || text.contains("invalid peer certificate") {
        let detail = text.rsplit_once("InvalidCertificate").map_or("", |(_, detail)| detail);
        let detail: String =
            detail.chars().filter(|c| c.is_ascii_alphanumeric() || *c == ' ').take(60).collect();
        return Failure::refused(format!(
            "the certificate of {address} is not trusted ({detail}): SSL_CERT_FILE names a PEM file of the authorities to trust"
        ));
    }
    if text.contains("Failed to create TLS config") {
        return Failure::refused(format!(
            "no certificates of authorities are installed ({text}): install ca-certificates, or name a PEM file in SSL_CERT_FILE"
        ));
    }
    match (secure, spoken(address).await) {
        // A proxy in front of a server that is away.
        // A proxy in front of a server that is away, or what the URL says.
        (_, None | Some(Spoken::Http1(500..))) | (false, Some(Spoken::Plain)) | (true, Some(Spoken::Tls)) => {
            away()
        }
        (_, Some(Spoken::Http1(_))) => Failure::refused(format!(
            "{address} speaks HTTP/1 and not gRPC, as Qdrant does on its REST port, 6333: give the gRPC port, 6334 as a rule"
        )),
        (false, Some(Spoken::Tls)) => {
            Failure::refused(format!("{address} speaks TLS: the URL has to begin with https://"))
        }
        (true, Some(Spoken::Plain)) => {
            Failure::refused(format!("{address} does not speak TLS: the URL has to begin with http://"))
        }
    }
}

async fn spoken(address: &str) -> Option<Spoken> {
    let mut stream = tokio::time::timeout(SOON, TcpStream::connect(address)).await.ok()?.ok()?;
    let question = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = [0; 12];
    let mut length = 0;
    // A peer that says something and then closes or waits has said enough.
    let talk = async {
        stream.write_all(question).await.ok()?;
        while length < answer.len() {
            match stream.read(&mut answer[length..]).await {
                Ok(read @ 1..) => length += read,
                _ => break,
            }
        }
        Some(())
    };
    drop(tokio::time::timeout(SOON, talk).await);
    heard(&answer[..length])
}

/// What the first bytes of an answer to a request of HTTP/1 say.
fn heard(answer: &[u8]) -> Option<Spoken> {
    match answer {
        // A record of TLS that holds an alert, or a handshake: type, then version 3.
        [21 | 22, 3, ..] => Some(Spoken::Tls),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', status @ ..] => {
            let status = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
            Some(Spoken::Http1(status.unwrap_or(0)))
        }
        [] => None,
        _ => Some(Spoken::Plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        assert_eq!(heard(b"HTTP/1.1 200"), Some(Spoken::Http1(200)));
        assert_eq!(heard(b"HTTP/1.0 503"), Some(Spoken::Http1(503)));
        assert_eq!(heard(&[21, 3, 3, 0, 2, 2, 22]), Some(Spoken::Tls));
        // Settings, the first frame of HTTP/2.
        assert_eq!(heard(&[0, 0, 6, 4, 0, 0, 0, 0, 0]), Some(Spoken::Plain));
        assert_eq!(heard(&[]), None);
    }
}
