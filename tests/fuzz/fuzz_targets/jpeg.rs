//! Markers and scans of a JPEG, in full and at a quarter of its size.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| docent_fuzz::decode(&[b"\xff\xd8", bytes].concat()));
