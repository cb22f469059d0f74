//! What docent's tests share.

pub mod cluster;
pub mod conformance;
pub mod corpus;
pub mod fixtures;
pub mod program;
pub mod proxy;
pub mod qdrant;
pub mod random;
pub mod rows;
pub mod servers;
pub mod source;
