//! Messages that other programs publish.
#![no_main]

use docent::queue::{Lane, message};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = message::decode(bytes, Lane::Interactive);
});
