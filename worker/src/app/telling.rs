//! Who is told what happens, as the configuration says.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::events::webhooks::Webhook;
use crate::events::{self, EventSink, RABBITMQ, Relay};
use crate::store::Outbox;

impl App {
    /// Tells the configured webhooks, and `exchange` if there is one, what happens, until `done`.
    pub async fn tell(&self, exchange: Option<Arc<dyn EventSink>>, done: &CancellationToken) {
        let outbox = Arc::clone(&self.store) as Arc<dyn Outbox>;
        let mut sinks: Vec<(String, Arc<dyn EventSink>)> = Vec::new();
        sinks.extend(exchange.map(|exchange| (RABBITMQ.to_owned(), exchange)));
        for section in &self.config.webhook {
            match self.webhook(section) {
                Ok(webhook) => sinks.push((section.sink(), Arc::new(webhook))),
                Err(error) => {
                    let cause: &dyn std::error::Error = error.as_ref();
                    tracing::error!(
                        error = cause,
                        "the events of this webhook wait; `docent doctor` checks it"
                    );
                }
            }
        }
        if sinks.is_empty() {
            return;
        }
        let relays: Vec<Relay> = sinks
            .into_iter()
            .map(|(name, sink)| Relay { outbox: Arc::clone(&outbox), name, owner: self.owner.clone(), sink })
            .collect();
        let telling = join_all(relays.iter().map(|relay| relay.run(done)));
        tokio::join!(telling, events::measure(&*outbox, done));
    }

    /// What sends to a webhook. An error says what its configuration lacks.
    pub fn webhook(&self, section: &crate::config::WebhookSection) -> anyhow::Result<Webhook> {
        Ok(Webhook::new(section.options()?)?)
    }
}
