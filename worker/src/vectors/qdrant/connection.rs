//! One server, every call to it bounded in time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use qdrant_client::config::QdrantConfig;
use qdrant_client::{Qdrant, QdrantError};

use super::options::{QdrantOptions, Target};
use crate::vectors::IndexError;

/// Codes of gRPC.
const NOT_FOUND: i32 = 5;
const ALREADY_EXISTS: i32 = 6;
const INTERNAL: i32 = 13;

/// The longest text taken over from the server, in characters.
const MAX_TEXT: usize = 500;

/// A connection that is made when it is first needed, and made again after it was lost.
pub(super) struct Connection {
    config: QdrantConfig,
    client: Mutex<Arc<Qdrant>>,
}

/// A call that failed. The text holds nothing that is secret.
#[derive(Debug)]
pub(super) struct Failure {
    code: Option<i32>,
    text: String,
}

impl Connection {
    /// Connects to nothing yet.
    pub(super) fn new(options: &QdrantOptions) -> anyhow::Result<Self> {
        let Target { endpoint, api_key } = options.target()?;
        let mut config = Qdrant::from_url(&endpoint)
            .api_key(api_key)
            .timeout(options.timeout)
            .connect_timeout(options.connect_timeout.min(options.timeout))
            // The check blocks, prints, and is made once although servers are exchanged.
            .skip_compatibility_check();
        // One connection carries many calls, and is the only one to be found broken.
        config.set_pool_size(1);
        let client = config.clone().build().map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Self { config, client: Mutex::new(Arc::new(client)) })
    }

    /// Where the server is, without credentials.
    pub(super) fn endpoint(&self) -> &str {
        &self.config.uri
    }

    /// Asks the server, for at most the time that the options give.
    pub(super) async fn call<T, A>(&self, ask: impl FnOnce(Arc<Qdrant>) -> A) -> Result<T, Failure>
    where
        A: Future<Output = Result<T, QdrantError>>,
    {
        self.call_within(self.config.timeout, ask).await
    }

    /// A round trip that asks for nothing.
    pub(super) async fn ping(&self) -> Result<(), Failure> {
        let soon = self.config.connect_timeout;
        self.call_within(soon, async |client| client.health_check().await.map(drop)).await
    }

    async fn call_within<T, A>(
        &self,
        limit: Duration,
        ask: impl FnOnce(Arc<Qdrant>) -> A,
    ) -> Result<T, Failure>
    where
        A: Future<Output = Result<T, QdrantError>>,
    {
        let client = Arc::clone(&self.client.lock().unwrap_or_else(PoisonError::into_inner));
        match tokio::time::timeout(limit, ask(Arc::clone(&client))).await {
            Ok(answer) => answer.map_err(|error| self.failure(&error)),
            Err(_) => {
                self.replace(&client);
                Err(Failure { code: None, text: format!("no answer within {limit:?}") })
            }
        }
    }

    /// Leaves a connection on which a call got no answer: its other end may be gone without a word.
    fn replace(&self, silent: &Arc<Qdrant>) {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&client, silent)
            && let Ok(new) = self.config.clone().build()
        {
            *client = Arc::new(new);
        }
    }

    fn failure(&self, error: &QdrantError) -> Failure {
        let (code, text) = match error {
            QdrantError::ResponseError { status } | QdrantError::ResourceExhaustedError { status, .. } => {
                // Without its metadata: whatever a proxy puts there.
                (Some(i32::from(status.code())), format!("{}: {}", status.code(), status.message()))
            }
            other => (None, other.to_string()),
        };
        let text = match &self.config.api_key {
            Some(key) => text.replace(key, "***"),
            None => text,
        };
        Failure { code, text: text.chars().take(MAX_TEXT).collect() }
    }
}

impl Failure {
    /// A failure that no call reported.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { code: None, text: text.into() }
    }

    /// The collection does not exist.
    pub(super) fn is_missing(&self) -> bool {
        self.code == Some(NOT_FOUND)
    }

    /// The collection exists, although it was to be created.
    pub(super) fn is_there_already(&self) -> bool {
        self.code == Some(ALREADY_EXISTS)
    }

    /// The server could not do what it should be able to do.
    pub(super) fn is_internal(&self) -> bool {
        self.code == Some(INTERNAL)
    }

    /// What callers of the index are told.
    pub(super) fn during(self, operation: &'static str) -> IndexError {
        IndexError::Unavailable { operation, source: anyhow::anyhow!(self.text) }
    }
}
