//! Servers that tests start for themselves: on free ports, in temporary directories, gone when the test is over.
//!
//! A variable names a server to use instead: `DOCENT_TEST_POSTGRES_URL`, whose user must be allowed to create databases,
//! and `DOCENT_TEST_RABBITMQ_URL`, whose user must be allowed to create queues and exchanges that begin with `docent-test-`.

mod postgres;
mod rabbitmq;

use std::net::TcpListener;

pub use postgres::{Database, PostgresServer};
pub use rabbitmq::{Lanes, RabbitServer};

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
