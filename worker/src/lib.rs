//! docent: AI-assisted ingestion for digital asset archives. All input and output lives in this crate.

#![allow(clippy::duplicate_mod, reason = "both ledgers compile store/sql, each with its dialect")]

pub mod analyze;
pub mod app;
pub mod assets;
pub mod bench;
pub mod cli;
pub mod config;
pub mod consumer;
pub mod disposition;
pub mod events;
pub mod export;
pub mod feeder;
pub mod forget;
pub mod health;
pub mod http;
pub mod jobs;
pub mod process;
pub mod progress;
pub mod queue;
pub mod scanner;
pub mod search;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod terms;
pub mod uploads;
pub mod vectors;
pub mod watch;
