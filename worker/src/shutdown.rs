//! The way a process is asked to stop.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::telemetry;

/// SIGXFSZ, of the same number on Linux (but for MIPS), macOS and the BSDs.
const FILE_TOO_LARGE: i32 = 25;

/// Saying a last line takes no longer.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A request to stop that everybody can see. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled once somebody has asked.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Asks everybody to stop.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Listens for Ctrl-C and SIGTERM from now on: the first asks everybody to stop and calls `on_first`, the second says so
    /// in one line and ends the process at once with exit code 130.
    pub fn listen(&self, on_first: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        // A file that must not grow is an error of its writer, and no reason to die: it is told by the system's answer as
        // soon as somebody listens for the signal.
        drop(signal(SignalKind::from_raw(FILE_TOO_LARGE))?);
        let token = self.token.clone();
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            };
            next().await;
            token.cancel();
            on_first();
            next().await;
            // Nobody may be reading what this process says: that does not keep it.
            std::thread::spawn(|| {
                telemetry::last_words("stopped at once; what is recorded is safe", || {
                    std::process::exit(130)
                });
            });
            tokio::time::sleep(LAST_WORDS).await;
            std::process::exit(130);
        });
        Ok(())
    }
}
