//! One server, every call to it bounded in time.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use qdrant_client::config::QdrantConfig;
use qdrant_client::{Qdrant, QdrantError};

use super::diagnosis;
use super::fault::{Failure, of_code};
use super::options::{QdrantOptions, Target};

/// How long a server that stumbles is left alone before it is asked again, in milliseconds. A collection that is being
/// made, or dropped by somebody else, exists and cannot be used for about this long.
const STUMBLES: [u64; 5] = [50, 100, 200, 400, 800];

/// The version of the client in this program, major and minor.
pub const CLIENT_VERSION: (u32, u32) = (1, 20);

/// A connection that is made when it is first needed, and made again after it was lost.
pub(super) struct Connection {
    config: QdrantConfig,
    client: Mutex<Arc<Qdrant>>,
    /// The version of the server that answers was looked at.
    compared: AtomicBool,
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
        Ok(Self { config, client: Mutex::new(Arc::new(client)), compared: AtomicBool::new(false) })
    }

    /// Where the server is, without credentials.
    pub(super) fn endpoint(&self) -> &str {
        &self.config.uri
    }

    /// Asks the server, for at most the time that the options give; again where it stumbles, so what is asked must be
    /// the same when it is asked twice.
    pub(super) async fn call<T, A>(&self, ask: impl Fn(Arc<Qdrant>) -> A) -> Result<T, Failure>
    where
        A: Future<Output = Result<T, QdrantError>>,
    {
        let deadline = Instant::now() + self.config.timeout;
        let mut waits = STUMBLES.iter().map(|wait| Duration::from_millis(*wait));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match (self.call_within(left, &ask).await, waits.next()) {
                (Err(failure), Some(wait)) if failure.is_stumble() && Instant::now() + wait < deadline => {
                    tokio::time::sleep(wait.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
                }
                (answer, _) => return answer,
            }
        }
    }

    /// A round trip that asks next to nothing, but asks it with the key: anybody may check the server's health.
    pub(super) async fn ping(&self, collection: &str) -> Result<(), Failure> {
        let soon = self.config.connect_timeout;
        let asked =
            self.call_within(soon, |client| async move { client.collection_exists(collection).await }).await;
        match asked {
            Ok(_) => {
                if !self.compared.swap(true, Relaxed) {
                    self.compare().await;
                }
                Ok(())
            }
            Err(failure) => {
                // Another server may come back.
                self.compared.store(false, Relaxed);
                Err(failure)
            }
        }
    }

    /// Warns of a server of another time.
    async fn compare(&self) {
        let soon = self.config.connect_timeout;
        let asked = self.call_within(soon, |client| async move { client.health_check().await }).await;
        let Ok(reply) = asked else { return };
        if !is_near(&reply.version) {
            let (major, minor) = CLIENT_VERSION;
            tracing::warn!(
                server = reply.version,
                client = format!("{major}.{minor}"),
                "Qdrant is more than one minor version away from docent's client; nobody tests that"
            );
        }
    }

    async fn call_within<T, A>(&self, limit: Duration, ask: impl Fn(Arc<Qdrant>) -> A) -> Result<T, Failure>
    where
        A: Future<Output = Result<T, QdrantError>>,
    {
        let client = Arc::clone(&self.client.lock().unwrap_or_else(PoisonError::into_inner));
        match tokio::time::timeout(limit, ask(Arc::clone(&client))).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.failure(&error).await),
            Err(_) => {
                self.replace(&client);
                Err(diagnosis::explain(self.endpoint(), &format!("no answer within {limit:.1?}")).await)
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

    async fn failure(&self, error: &QdrantError) -> Failure {
        let (status, text) = match error {
            QdrantError::ResponseError { status } | QdrantError::ResourceExhaustedError { status, .. } => {
                // Without its metadata: whatever a proxy puts there.
                (Some(status), format!("{}: {}", status.code(), status.message()))
            }
            other => (None, other.to_string()),
        };
        let text = match &self.config.api_key {
            Some(key) => text.replace(key, "***"),
            None => text,
        };
        match status {
            Some(status) if !may_be_of_connection(status.code().into(), status.message()) => {
                Failure::new(of_code(status.code().into(), status.message()), text)
            }
            Some(_) => diagnosis::explain(self.endpoint(), &text).await,
            None => Failure::unavailable(text),
        }
    }
}

/// Whether the client may have made this status because there is no connection, and the server did not speak.
fn may_be_of_connection(code: i32, message: &str) -> bool {
    const MADE_BY_THE_CLIENT: [&str; 4] =
        ["Failed to connect to", "Failed to create TLS config", "transport error", "h2 protocol error"];
    match code {
        // CANCELLED, UNKNOWN, UNAVAILABLE.
        1 | 2 | 14 => true,
        // INTERNAL.
        13 => MADE_BY_THE_CLIENT.iter().any(|made| message.starts_with(made)),
        _ => false,
    }
}

/// Whether a server of `version` is at most one minor version away from the client. One that cannot be read is.
fn is_near(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let (Some(Some(major)), Some(Some(minor))) = (parts.next(), parts.next()) else { return true };
    major == CLIENT_VERSION.0 && minor.abs_diff(CLIENT_VERSION.1) <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_are_near() {
        for (version, near) in [
            ("1.20.0", true),
            ("1.19.2", true),
            ("1.21.0-dev", true),
            ("1.18.3", false),
            ("2.20.0", false),
            ("?", true),
        ] {
            assert_eq!(is_near(version), near, "{version}");
        }
    }
}
