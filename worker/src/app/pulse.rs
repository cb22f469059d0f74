//! Reports regularly that this process lives.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::Ledger;

/// Time between two reports …
const BEAT: Duration = Duration::from_secs(2);
/// … and the silence after which a process counts as dead. It allows for a slow ledger, which delays several reports. Until then
/// nobody takes over a dead process's work.
const LIVES: Duration = Duration::from_secs(8);

/// Until `done`. A ledger that is away hears nothing, from nobody; that is no reason to call anybody gone.
pub(super) async fn beat(ledger: &dyn Ledger, owner: &str, done: &CancellationToken) {
    let mut heard = true;
    loop {
        let beat = tokio::time::timeout(LIVES, ledger.beat(owner, LIVES)).await;
        match beat {
            Ok(Ok(())) => heard = true,
            Ok(Err(error)) if std::mem::take(&mut heard) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the ledger does not hear that this process lives");
            }
            Err(_) if std::mem::take(&mut heard) => {
                tracing::warn!("the ledger does not hear that this process lives: no answer");
            }
            _ => {}
        }
        tokio::select! {
            () = done.cancelled() => return,
            () = tokio::time::sleep(BEAT) => {}
        }
    }
}
