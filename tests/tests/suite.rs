//! The tests of the program, in one binary: it is linked once, and its tests share one PostgreSQL server and one broker.
//!
//! `cargo test -p docent-tests --test suite kill::` runs those of one module.

mod archive;
mod backup;
mod bad_folder;
mod bench;
mod beside;
mod browser;
mod chaos;
mod decode;
mod device;
mod encoding;
mod events;
mod export;
mod faults;
mod help;
mod http_api;
mod identity;
mod ingest;
mod interrupted;
mod kill;
mod kinds;
mod licenses;
mod migrations;
mod openapi;
mod operation;
mod orientation;
mod poison;
mod postgres;
mod qdrant;
mod queue_conformance;
mod review;
mod review_page;
mod setup;
mod signals;
mod spaces;
mod store_conformance;
mod stream;
mod terms;
mod tidy;
mod uploads;
mod vectors_conformance;
mod webhooks;
mod writer;
