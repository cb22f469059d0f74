//! How much a vocabulary file may hold. A person's file stays far below; a made-up one must not cost the memory.

/// Bytes of a file.
pub const MAX_BYTES: usize = 64 << 20;
/// Terms of a vocabulary.
pub const MAX_TERMS: usize = 200_000;
/// Broader terms of one term.
pub const MAX_PARENTS: usize = 64;
/// Labels of one term.
pub const MAX_LABELS: usize = 200;
/// Scope notes of one term.
pub const MAX_NOTES: usize = 100;
/// Characters of a scope note.
pub const MAX_NOTE_CHARS: usize = 10_000;
/// Prompts of one term.
pub const MAX_PROMPTS: usize = 8;
/// Characters of a prompt.
pub const MAX_PROMPT_CHARS: usize = 300;
/// Characters of an address.
pub const MAX_URI_CHARS: usize = 2_000;
/// Characters of a notation.
pub const MAX_NOTATION_CHARS: usize = 200;
/// Terms from a top term down to the deepest, both counted.
pub const MAX_DEPTH: usize = 64;
