//! What every backend of a port must do: the same cases for all of them.

pub mod queue;
pub mod store;
pub mod vectors;
