//! A server that speaks Qdrant's gRPC in this process, over memory: exact search, real filters, planned faults.
//!
//! It answers what the adapter asks and refuses everything else, so that a call nobody thought of is noticed. Where
//! Qdrant leaves something open, it is as inconvenient as Qdrant may be: equals come in falling order of their ids.

mod collection;
mod filter;
mod services;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qdrant_client::qdrant::collections_server::CollectionsServer;
use qdrant_client::qdrant::points_server::PointsServer;
use qdrant_client::qdrant::qdrant_server::QdrantServer as HealthServer;
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::sync::{Barrier, watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;

use self::collection::Collection;
use self::services::Services;

/// What the server was made to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A collection was created.
    Created {
        /// Its name.
        collection: String,
    },
    /// A payload index was made.
    Indexed {
        /// Where.
        collection: String,
        /// Over what.
        field: String,
    },
    /// Points were written.
    Upserted {
        /// Where.
        collection: String,
        /// How many by one call.
        points: usize,
        /// Whether the caller waited.
        wait: bool,
    },
    /// Points were deleted.
    Deleted {
        /// Where.
        collection: String,
        /// Whether the caller waited.
        wait: bool,
    },
    /// Points were searched.
    Searched {
        /// Where.
        collection: String,
        /// How many answers at most.
        limit: u64,
        /// Whether the graph was left aside.
        exact: bool,
        /// How many values the filter names.
        named: usize,
    },
}

/// The server. It listens until it is stopped or dropped.
pub struct QdrantServer {
    state: Arc<State>,
    address: SocketAddr,
    runtime: Mutex<Option<Runtime>>,
    // Bound and never listening: keeps the port from others while the server is stopped.
    _port: TcpSocket,
}

/// What lasts while the server is stopped.
struct State {
    collections: Mutex<HashMap<String, Collection>>,
    journal: Mutex<Vec<Event>>,
    plan: Mutex<Plan>,
    hanging: watch::Sender<bool>,
}

/// What goes wrong.
#[derive(Default)]
struct Plan {
    refused: usize,
    meeting: Option<(&'static str, Arc<Barrier>)>,
    key: Option<String>,
    graph: Option<usize>,
}

impl QdrantServer {
    /// A server without collections on a port of its own.
    pub fn start() -> Self {
        let port = TcpSocket::new_v4().expect("a socket");
        port.set_reuseaddr(true).expect("a new socket can be set");
        port.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let server = Self {
            state: Arc::new(State {
                collections: Mutex::default(),
                journal: Mutex::default(),
                plan: Mutex::default(),
                hanging: watch::Sender::new(false),
            }),
            address: port.local_addr().expect("the socket is bound"),
            runtime: Mutex::default(),
            _port: port,
        };
        server.resume();
        server
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Listens again, on the same port and with the same points.
    pub fn resume(&self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = {
            let _context = runtime.enter();
            let listener = std::net::TcpListener::bind(self.address).expect("the port is ours");
            listener.set_nonblocking(true).expect("a new listener can be set");
            tokio::net::TcpListener::from_std(listener).expect("a listener")
        };
        let services = || Services(Arc::clone(&self.state));
        let served = Server::builder()
            .add_service(PointsServer::new(services()).max_decoding_message_size(usize::MAX))
            .add_service(CollectionsServer::new(services()))
            .add_service(HealthServer::new(services()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        runtime.spawn(served);
        *lock(&self.runtime) = Some(runtime);
    }

    /// Cuts all connections and refuses new ones.
    pub async fn stop(&self) {
        let Some(runtime) = lock(&self.runtime).take() else { return };
        // The runtime has everything the server has, so that its end closes every socket.
        let ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(10)));
        ended.await.expect("a runtime can be ended");
    }

    /// Loses everything, as a server does that comes back with an empty disk.
    pub fn wipe(&self) {
        lock(&self.state.collections).clear();
    }

    /// Refuses the next `calls` calls as a server does that is starting.
    pub fn refuse(&self, calls: usize) {
        lock(&self.state.plan).refused = calls;
    }

    /// Takes calls and does not answer them, until it is called with `false`.
    pub fn hang(&self, hanging: bool) {
        self.state.hanging.send_replace(hanging);
    }

    /// The next `calls` calls of `method` go on when all of them have come.
    pub fn gather(&self, method: &'static str, calls: usize) {
        lock(&self.state.plan).meeting = Some((method, Arc::new(Barrier::new(calls))));
    }

    /// Asks for an API key from now on, and repeats a wrong one in its answer.
    pub fn require_key(&self, key: &str) {
        lock(&self.state.plan).key = Some(key.to_owned());
    }

    /// Searches that are not exact find at most `points` from now on.
    pub fn graph_finds_at_most(&self, points: usize) {
        lock(&self.state.plan).graph = Some(points);
    }

    /// What happened since this was last asked.
    pub fn journal(&self) -> Vec<Event> {
        std::mem::take(&mut *lock(&self.state.journal))
    }

    /// Names of all collections, sorted.
    pub fn collections(&self) -> Vec<String> {
        let mut names: Vec<_> = lock(&self.state.collections).keys().cloned().collect();
        names.sort();
        names
    }
}

impl Drop for QdrantServer {
    fn drop(&mut self) {
        if let Some(runtime) = lock(&self.runtime).take() {
            runtime.shutdown_background();
        }
    }
}

impl State {
    /// Lets a call of `method` in, or does with it what was planned.
    async fn admit(&self, method: &'static str, metadata: &MetadataMap) -> Result<(), Status> {
        let meeting = {
            let mut plan = lock(&self.plan);
            let given = metadata.get("api-key").and_then(|key| key.to_str().ok());
            if plan.key.is_some() && plan.key.as_deref() != given {
                return Err(Status::unauthenticated(format!("Invalid API key or JWT: {given:?}")));
            }
            if plan.refused > 0 {
                plan.refused -= 1;
                return Err(Status::unavailable("the server is starting"));
            }
            plan.meeting
                .as_ref()
                .filter(|(planned, _)| *planned == method)
                .map(|(_, meeting)| Arc::clone(meeting))
        };
        if let Some(meeting) = meeting {
            meeting.wait().await;
        }
        let released = self.hanging.subscribe().wait_for(|hanging| !hanging).await.is_ok();
        released.then_some(()).ok_or_else(|| Status::cancelled("the server is gone"))
    }

    fn log(&self, event: Event) {
        lock(&self.journal).push(event);
    }

    fn graph(&self) -> Option<usize> {
        lock(&self.plan).graph
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
