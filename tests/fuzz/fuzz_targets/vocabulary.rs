//! A vocabulary file of any format: it is read or refused, and what was read can be planned and written.
#![no_main]

use docent_pipelines::vocabulary::{Change, Format, How, Term, plan, read, write};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let format = Format::ALL[usize::from(*first) % Format::ALL.len()];
    let Ok(draft) = read(format, bytes) else { return };
    let Ok(changes) = plan(&[], &draft, How::Merge) else { return };
    let terms: Vec<Term> = changes
        .into_iter()
        .map(|change| match change {
            Change::Add(term) => term,
            other => panic!("nothing was there: {other:?}"),
        })
        .collect();
    for format in Format::ALL {
        let _ = write(format, &terms);
    }
    // The same file changes nothing a second time.
    assert_eq!(plan(&terms, &draft, How::Merge), Ok(Vec::new()));
});
