//! Directories, strips and samples of a TIFF in both byte orders, classic and big.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [kind, rest @ ..] = bytes else { return };
    let head: &[u8] = match kind % 4 {
        0 => b"II*\0",
        1 => b"MM\0*",
        2 => b"II+\0",
        _ => b"MM\0+",
    };
    docent_fuzz::decode(&[head, rest].concat());
});
