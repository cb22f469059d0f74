//! Which servers a process works with, told by the schemes of their addresses.

use serde::Deserialize;

use super::Secret;

/// Section `backends`. The addresses may contain passwords, so none of them is ever shown.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backends {
    /// Where jobs wait.
    pub queue: Secret,
    /// Where the ledger is.
    pub store: Secret,
    /// Where vectors are searched.
    pub vectors: Secret,
    /// Qdrant's API key.
    pub vectors_key: Secret,
    /// Jobs that wait in each lane of a shared queue at most.
    pub lane_capacity: usize,
    /// Submissions of other programs that wait for each lane of a shared queue at most.
    pub intake_capacity: usize,
    /// Connections to a shared ledger.
    pub connections: u32,
    /// Whether others are told what happens.
    pub events: bool,
}

/// Where jobs wait.
#[derive(Debug, Clone)]
pub enum QueueBackend {
    /// In this process.
    Memory,
    /// In RabbitMQ, at this address.
    Rabbit(Secret),
}

/// Where the ledger is.
#[derive(Debug, Clone)]
pub enum StoreBackend {
    /// In the data directory.
    Sqlite,
    /// In PostgreSQL, at this address.
    Postgres(Secret),
}

/// Where vectors are searched.
#[derive(Debug, Clone)]
pub enum IndexBackend {
    /// In this process.
    Embedded,
    /// In Qdrant, at this address.
    Qdrant(Secret),
}

/// Where the servers are, without their secrets; `None` for what is in the data directory or in this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Servers {
    /// The queue's.
    pub queue: Option<String>,
    /// The ledger's.
    pub store: Option<String>,
    /// The index's.
    pub vectors: Option<String>,
}

const QUEUE: &str = "\"memory:\" or an address as in amqp://user:password@host:5672";
const STORE: &str = "\"sqlite:\" or an address as in postgres://user:password@host:5432/database";
const VECTORS: &str = "\"embedded:\" or an address as in http://host:6334";

impl Backends {
    /// Where jobs wait.
    pub fn queue(&self) -> QueueBackend {
        match scheme(&self.queue) {
            "amqp" | "amqps" => QueueBackend::Rabbit(self.queue.clone()),
            _ => QueueBackend::Memory,
        }
    }

    /// Where the ledger is.
    pub fn store(&self) -> StoreBackend {
        match scheme(&self.store) {
            "postgres" | "postgresql" => StoreBackend::Postgres(self.store.clone()),
            _ => StoreBackend::Sqlite,
        }
    }

    /// Where vectors are searched.
    pub fn vectors(&self) -> IndexBackend {
        match scheme(&self.vectors) {
            "http" | "https" => IndexBackend::Qdrant(self.vectors.clone()),
            _ => IndexBackend::Embedded,
        }
    }

    /// Whether neither queue nor ledger is shared with other machines.
    pub fn are_here(&self) -> bool {
        matches!(self.queue(), QueueBackend::Memory) && matches!(self.store(), StoreBackend::Sqlite)
    }

    /// Where the servers are, for people.
    pub fn servers(&self) -> Servers {
        let shown = |address: &Secret| address.reveal().and_then(without_secrets);
        Servers { queue: shown(&self.queue), store: shown(&self.store), vectors: shown(&self.vectors) }
    }

    /// The first option that is not usable, and what it must be.
    pub(super) fn out_of_range(&self) -> Option<(&'static str, &'static str)> {
        let is = |address: &Secret, own: &str, known: &[&str]| {
            address.reveal() == Some(own) || known.contains(&scheme(address))
        };
        if !is(&self.queue, "memory:", &["amqp", "amqps"]) {
            return Some(("backends.queue", QUEUE));
        }
        if !is(&self.store, "sqlite:", &["postgres", "postgresql"]) {
            return Some(("backends.store", STORE));
        }
        if !is(&self.vectors, "embedded:", &["http", "https"]) {
            return Some(("backends.vectors", VECTORS));
        }
        let shared = matches!(self.store(), StoreBackend::Postgres(_));
        if matches!(self.queue(), QueueBackend::Rabbit(_)) && !shared {
            return Some((
                "backends.store",
                "an address as in postgres://host/database where the queue is shared",
            ));
        }
        if self.events && !(shared && matches!(self.queue(), QueueBackend::Rabbit(_))) {
            return Some(("backends.events", "false unless queue and store are shared"));
        }
        None
    }
}

/// What stands before `://`; empty where nothing does.
fn scheme(address: &Secret) -> &str {
    address.reveal().and_then(|text| text.split_once("://")).map_or("", |(scheme, _)| scheme)
}

/// An address without user, password and options; `None` for what is no address of a server.
fn without_secrets(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let (place, options) = rest.split_once(['?', '#']).unwrap_or((rest, ""));
    // What comes before the last @ is user and password, whatever characters they have.
    let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
    // PostgreSQL's folder of sockets is an option.
    let socket = options.split('&').find_map(|option| option.strip_prefix("host="));
    Some(match socket {
        Some(folder) => format!("{scheme}://{host} at {folder}"),
        None => format!("{scheme}://{host}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_shown_without_their_secrets() {
        for (address, shown) in [
            ("postgres://ann:hunter2@db:5432/docent?sslmode=disable", Some("postgres://db:5432/docent")),
            ("postgres://ann:hun/ter@2@db/docent", Some("postgres://db/docent")),
            (
                "postgres:///docent?user=ann&host=/run/postgresql",
                Some("postgres:///docent at /run/postgresql"),
            ),
            ("amqp://mq/%2f", Some("amqp://mq/%2f")),
            ("https://user:key@qdrant:6334", Some("https://qdrant:6334")),
            ("memory:", None),
        ] {
            assert_eq!(without_secrets(address).as_deref(), shown, "{address}");
        }
    }
}
