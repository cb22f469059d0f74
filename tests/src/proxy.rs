//! Stands between a client and a server, and cuts their connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Forwards connections.
pub struct Proxy {
    address: SocketAddr,
    line: Arc<Line>,
    accepting: JoinHandle<()>,
}

struct Line {
    server: String,
    /// Bytes that may pass towards the server before every connection is cut.
    budget: AtomicI64,
    /// What a message contains in whose middle every connection is cut.
    marker: std::sync::Mutex<Option<Vec<u8>>>,
    cuts: AtomicUsize,
    cut: std::sync::Mutex<CancellationToken>,
}

impl Proxy {
    /// To `server`, a host and a port.
    pub async fn to(server: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("listens");
        let address = listener.local_addr().expect("an address");
        let line = Arc::new(Line {
            server,
            budget: AtomicI64::new(i64::MAX),
            marker: std::sync::Mutex::default(),
            cuts: AtomicUsize::new(0),
            cut: std::sync::Mutex::default(),
        });
        let accepting = tokio::spawn({
            let line = Arc::clone(&line);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(forward(Arc::clone(&line), client));
                }
            }
        });
        Self { address, line, accepting }
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How often connections were cut.
    pub fn cuts(&self) -> usize {
        self.line.cuts.load(SeqCst)
    }

    /// Cuts every connection after so many more bytes towards the server, wherever that is in a message.
    pub fn cut_after(&self, bytes: i64) {
        self.line.budget.store(bytes, SeqCst);
    }

    /// Cuts every connection in the middle of the next `marker` that is sent towards the server in one piece.
    pub fn cut_inside(&self, marker: &[u8]) {
        *self.line.marker.lock().expect("nobody panics with it") = Some(marker.to_vec());
    }

    /// Cuts every connection now.
    pub fn cut(&self) {
        self.line.cut();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.line.cut();
    }
}

impl Line {
    fn cut(&self) {
        self.budget.store(i64::MAX, SeqCst);
        self.cuts.fetch_add(1, SeqCst);
        self.current().cancel();
        *self.cut.lock().expect("nobody panics with it") = CancellationToken::new();
    }

    /// Up to where `bytes` may pass, if the marker is in them; it is looked for once.
    fn middle(&self, bytes: &[u8]) -> Option<usize> {
        let mut marker = self.marker.lock().expect("nobody panics with it");
        let length = marker.as_ref()?.len();
        let place = bytes.windows(length).position(|window| Some(window) == marker.as_deref())?;
        *marker = None;
        Some(place + length / 2)
    }

    fn current(&self) -> CancellationToken {
        self.cut.lock().expect("nobody panics with it").clone()
    }
}

async fn forward(line: Arc<Line>, client: TcpStream) {
    let cut = line.current();
    let Ok(server) = TcpStream::connect(&line.server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            let left = line.budget.fetch_sub(read as i64, SeqCst);
            let passes = line.middle(&buffer[..read]).unwrap_or(left.clamp(0, read as i64) as usize);
            if to_server.write_all(&buffer[..passes]).await.is_err() {
                return;
            }
            if passes < read {
                line.cut();
                return;
            }
        }
    };
    let back = tokio::io::copy(&mut from_server, &mut to_client);
    tokio::select! {
        () = cut.cancelled() => {}
        () = there => {}
        _ = back => {}
    }
}
