//! A look at a broker that leaves it as it is.

use std::time::Duration;

use anyhow::anyhow;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};

use super::super::{Lane, QueueError};
use super::address::Address;
use super::keeper::unavailable;
use super::publishing::failed;
use super::session::{code, not_let_in};
use super::topology::Names;
use super::{RabbitOptions, RabbitQueue};

/// A broker that has not let us in after this time is away.
const CONNECT: Duration = Duration::from_secs(5);
const OPERATION: &str = "connect";

/// AMQP's number for a queue that is not there.
const NOT_FOUND: u16 = 404;

/// The lanes of a broker as they were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    /// Messages that wait in the interactive lane and in the backfill; `None` if there is no such queue yet.
    pub waiting: [Option<u32>; 2],
    /// Dead letters; `None` if there is no such queue yet.
    pub dead: Option<u32>,
}

impl RabbitQueue {
    /// Connects, counts what waits, and disconnects. Makes nothing. A broker that refuses user, password or virtual host is
    /// [`QueueError::Unusable`].
    pub async fn inspect(options: &RabbitOptions) -> Result<Lanes, QueueError> {
        let unusable = |reason| QueueError::Unusable { reason };
        let address = Address::parse(&options.url).map_err(unusable)?;
        let names = Names::new(&options.prefix).map_err(unusable)?;
        let looking = async {
            let properties = ConnectionProperties::default()
                .with_connection_name("docent".into())
                .with_auth_provider(address.login());
            let connection = lapin::Connect::connect(address.uri(), properties).await?;
            let interactive = count(&connection, &names.lane(Lane::Interactive)).await?;
            let backfill = count(&connection, &names.lane(Lane::Backfill)).await?;
            let dead = count(&connection, &names.dead()).await?;
            // The channels are closing, too, and what is known is known.
            drop(connection.close(200, "OK".into()).await);
            Ok(Lanes { waiting: [interactive, backfill], dead })
        };
        match tokio::time::timeout(CONNECT, looking).await {
            Ok(Ok(lanes)) => Ok(lanes),
            Ok(Err(error)) => Err(failed(OPERATION, not_let_in(&error, &address))),
            Err(_) => Err(unavailable(OPERATION, anyhow!("no answer within {} s", CONNECT.as_secs()))),
        }
    }
}

/// Messages in a queue; a no ends the channel it was asked on.
async fn count(connection: &Connection, queue: &str) -> lapin::Result<Option<u32>> {
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions::durable().passive();
    match channel.queue_declare(queue.into(), options, FieldTable::default()).await {
        Ok(queue) => Ok(Some(queue.message_count())),
        Err(error) if code(&error) == Some(NOT_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}
