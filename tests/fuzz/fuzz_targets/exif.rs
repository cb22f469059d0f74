//! EXIF in a picture that is whole: it is shown, upright or turned, whatever the block says.
#![no_main]

use docent_pipelines::Image;

const PICTURE: &[u8] = include_bytes!("../../fixtures/kinds/detail-baseline-gray-0.jpg");

libfuzzer_sys::fuzz_target!(|block: &[u8]| {
    let block = &block[..block.len().min(60_000)];
    let length = (block.len() as u16 + 8).to_be_bytes();
    let bytes = [&PICTURE[..2], b"\xff\xe1", &length, b"Exif\0\0", block, &PICTURE[2..]].concat();
    let image = Image::decode(&bytes, &docent_fuzz::limits()).expect("is whole");
    assert!(matches!((image.width(), image.height()), (120, 88) | (88, 120)));
});
