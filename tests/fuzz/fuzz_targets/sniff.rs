//! What a file is, by its first bytes.
#![no_main]

use docent_pipelines::image::{SNIFF_BYTES, is_candidate, sniff};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = sniff(bytes);
    let head = &bytes[..bytes.len().min(SNIFF_BYTES)];
    let _ = (sniff(head), is_candidate(head, None), is_candidate(head, Some("jpg")));
});
