//! A sidecar of another program: it is read or refused, and what is read is written as it was.
#![no_main]

use docent::export::xmp::{Packet, metadata};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(packet) = Packet::parse(bytes) else { return };
    assert_eq!(packet.to_bytes(), bytes);
    let _ = metadata(&packet);
});
