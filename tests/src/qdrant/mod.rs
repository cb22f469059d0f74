//! A server that speaks Qdrant's gRPC in this process, over memory: real filters, a graph that misses, planned faults.
//!
//! It answers what the adapter asks and refuses everything else, so that a call nobody thought of is noticed. Where
//! Qdrant leaves something open, it is as inconvenient as Qdrant may be: equals come in falling order of their ids, and
//! a search that need not be exact misses some of a large collection, with a filter or without. As in Qdrant, anybody
//! may ask for its health, names of collections end at 255 characters, limits of strict mode are bad requests, and calls
//! during a drop fail inside.

mod collection;
mod filter;
mod services;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
use tonic::transport::{Identity, Server, ServerTlsConfig};

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
        /// How many values the filter names.
        named: usize,
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

/// What strict mode forbids; `None` is no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Points in one upsert.
    pub upsert: Option<usize>,
    /// Answers of one search.
    pub query: Option<u64>,
    /// Values that one condition of a filter names.
    pub condition: Option<usize>,
    /// Whether searches may be exact.
    pub exact: Option<bool>,
}

/// The server. It listens until it is stopped or dropped.
pub struct QdrantServer {
    state: Arc<State>,
    address: SocketAddr,
    runtime: Mutex<Option<Runtime>>,
    identity: Option<Identity>,
    // Bound and never listening: keeps the port from others while the server is stopped.
    _port: TcpSocket,
}

/// What lasts while the server is stopped.
struct State {
    collections: Mutex<HashMap<String, Collection>>,
    journal: Mutex<Vec<Event>>,
    plan: Mutex<Plan>,
    hanging: watch::Sender<bool>,
    holding: watch::Sender<Holding>,
}

/// What goes wrong.
struct Plan {
    refused: usize,
    stumbling: usize,
    meeting: Option<(&'static str, Arc<Barrier>)>,
    held: Option<(&'static str, usize)>,
    key: Option<String>,
    graph: Option<usize>,
    full_scan: u64,
    limits: Limits,
}

/// Whether a call is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holding {
    Nobody,
    Somebody,
}

/// Qdrant's default: smaller collections are compared one by one.
const FULL_SCAN_BYTES: u64 = 10_000 * 1024;

impl Default for Plan {
    fn default() -> Self {
        Self {
            refused: 0,
            stumbling: 0,
            meeting: None,
            held: None,
            key: None,
            graph: None,
            full_scan: FULL_SCAN_BYTES,
            limits: Limits::default(),
        }
    }
}

impl QdrantServer {
    /// A server without collections on a port of its own.
    pub fn start() -> Self {
        Self::start_by(None)
    }

    /// One that speaks TLS, by the certificate of `fixtures/tls`.
    pub fn start_with_tls() -> Self {
        let pem = |name: &str| std::fs::read(tls_fixture(name)).expect("is there");
        Self::start_by(Some(Identity::from_pem(pem("certificate.pem"), pem("key.pem"))))
    }

    fn start_by(identity: Option<Identity>) -> Self {
        let port = TcpSocket::new_v4().expect("a socket");
        port.set_reuseaddr(true).expect("a new socket can be set");
        port.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let server = Self {
            state: Arc::new(State {
                collections: Mutex::default(),
                journal: Mutex::default(),
                plan: Mutex::default(),
                hanging: watch::Sender::new(false),
                holding: watch::Sender::new(Holding::Nobody),
            }),
            address: port.local_addr().expect("the socket is bound"),
            runtime: Mutex::default(),
            identity,
            _port: port,
        };
        server.resume();
        server
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        let scheme = if self.identity.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
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
        let mut server = Server::builder();
        if let Some(identity) = &self.identity {
            let tls = ServerTlsConfig::new().identity(identity.clone());
            server = server.tls_config(tls).expect("the certificate fits its key");
        }
        let served = server
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

    /// Fails inside at the next `calls` calls, as a server does while a collection is dropped.
    pub fn stumble(&self, calls: usize) {
        lock(&self.state.plan).stumbling = calls;
    }

    /// Holds the `call`-th call of `method` from now on (from 1) before it has an effect, or with ` answered` after its
    /// name before it is answered, until [`release`](Self::release).
    pub fn hold(&self, method: &'static str, call: usize) {
        lock(&self.state.plan).held = Some((method, call));
    }

    /// Waits until a call is held.
    pub async fn until_held(&self) {
        let mut holding = self.state.holding.subscribe();
        holding.wait_for(|holding| *holding == Holding::Somebody).await.expect("the server is there");
    }

    /// Lets the call go on, or nobody be held.
    pub fn release(&self) {
        lock(&self.state.plan).held = None;
        self.state.holding.send_replace(Holding::Nobody);
    }

    /// Forbids what is beyond `limits`.
    pub fn limit(&self, limits: Limits) {
        lock(&self.state.plan).limits = limits;
    }

    /// Searches that need not be exact go by a graph in collections of more than so many bytes of vectors.
    pub fn graph_beyond(&self, bytes: u64) {
        lock(&self.state.plan).full_scan = bytes;
    }

    /// Removes a collection behind everybody's back.
    pub fn remove(&self, collection: &str) {
        lock(&self.state.collections).remove(collection);
    }

    /// Takes calls and does not answer them, until it is called with `false`.
    pub fn hang(&self, hanging: bool) {
        self.state.hanging.send_replace(hanging);
    }

    /// The next `calls` calls of `method` go on when all of them have come.
    pub fn gather(&self, method: &'static str, calls: usize) {
        lock(&self.state.plan).meeting = Some((method, Arc::new(Barrier::new(calls))));
    }

    /// Asks for an API key from now on, but for its health, and repeats a wrong one in its answer.
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
            if method != "health_check" && plan.key.is_some() && plan.key.as_deref() != given {
                return Err(Status::unauthenticated(format!("Invalid API key or JWT: {given:?}")));
            }
            if plan.refused > 0 {
                plan.refused -= 1;
                return Err(Status::unavailable("the server is starting"));
            }
            if plan.stumbling > 0 {
                plan.stumbling -= 1;
                return Err(Status::internal("Service internal error: the shard is being removed"));
            }
            plan.meeting
                .as_ref()
                .filter(|(planned, _)| *planned == method)
                .map(|(_, meeting)| Arc::clone(meeting))
        };
        if let Some(meeting) = meeting {
            meeting.wait().await;
        }
        self.pause(method).await?;
        let released = self.hanging.subscribe().wait_for(|hanging| !hanging).await.is_ok();
        released.then_some(()).ok_or_else(|| Status::cancelled("the server is gone"))
    }

    /// Holds a call if that was planned.
    async fn pause(&self, place: &'static str) -> Result<(), Status> {
        {
            let mut plan = lock(&self.plan);
            match &mut plan.held {
                Some((planned, call)) if *planned == place => *call -= 1,
                _ => return Ok(()),
            }
            if plan.held.is_some_and(|(_, call)| call > 0) {
                return Ok(());
            }
            plan.held = None;
        }
        let mut holding = self.holding.subscribe();
        self.holding.send_replace(Holding::Somebody);
        let released = holding.wait_for(|holding| *holding == Holding::Nobody).await.is_ok();
        released.then_some(()).ok_or_else(|| Status::cancelled("the server is gone"))
    }

    /// Refuses what a limit of strict mode forbids.
    fn within<T: PartialOrd + std::fmt::Display>(
        &self,
        what: &str,
        given: T,
        limit: impl Fn(&Limits) -> Option<T>,
    ) -> Result<(), Status> {
        match limit(&lock(&self.plan).limits) {
            Some(limit) if given > limit => Err(Status::invalid_argument(format!(
                "Bad request: Limit exceeded {given} > {limit} for \"{what}\". Help: Reduce the \"{what}\" parameter"
            ))),
            _ => Ok(()),
        }
    }

    fn log(&self, event: Event) {
        lock(&self.journal).push(event);
    }

    /// How many answers a graph gives at most, and from how many bytes of vectors on there is one.
    fn graph(&self) -> (Option<usize>, u64) {
        let plan = lock(&self.plan);
        (plan.graph, plan.full_scan)
    }
}

/// A file of `fixtures/tls`.
pub fn tls_fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tls").join(name)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
