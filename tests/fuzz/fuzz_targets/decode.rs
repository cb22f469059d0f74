//! Any file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| docent_fuzz::decode(bytes));
