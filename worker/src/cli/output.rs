//! Data goes to stdout, talk goes to stderr.

use std::io::{self, BufWriter, Stdout, Write};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::table::Table;

/// How a listing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text and aligned columns, for people.
    Table,
    /// One JSON object per line, for programs.
    Json,
}

/// The flag of every listing.
#[derive(Debug, Clone, Copy, Args)]
pub struct FormatArg {
    /// How to write what was found.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    pub format: Format,
}

/// Standard output did not take what was written.
#[derive(Debug, thiserror::Error)]
#[error("write to standard output")]
pub struct OutputError(#[from] io::Error);

impl OutputError {
    /// Whether the reader has gone away, as `head` does; it has what it wanted.
    pub fn is_closed(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Standard output, buffered.
pub struct Out {
    writer: BufWriter<Stdout>,
    width: Option<usize>,
}

impl Out {
    /// Standard output, and how wide it is if it is a terminal.
    pub fn new() -> Self {
        let terminal = console::Term::stdout();
        let width = terminal.is_term().then(|| terminal.size_checked()).flatten();
        Self { writer: BufWriter::new(io::stdout()), width: width.map(|(_, columns)| usize::from(columns)) }
    }

    /// Writes a line.
    pub fn line(&mut self, text: impl AsRef<str>) -> Result<(), OutputError> {
        self.writer.write_all(text.as_ref().as_bytes())?;
        Ok(self.writer.write_all(b"\n")?)
    }

    /// Writes text as it is.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        Ok(self.writer.write_all(bytes)?)
    }

    /// Writes one JSON object and the end of the line.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), OutputError> {
        serde_json::to_writer(&mut self.writer, value).map_err(io::Error::from)?;
        Ok(self.writer.write_all(b"\n")?)
    }

    /// Writes the rows that the table has gathered.
    pub fn table(&mut self, table: &mut Table) -> Result<(), OutputError> {
        let text = table.take(self.width);
        Ok(self.writer.write_all(text.as_bytes())?)
    }

    /// Hands everything over to the reader.
    pub fn flush(&mut self) -> Result<(), OutputError> {
        Ok(self.writer.flush()?)
    }
}

/// Says something to the person at the terminal. If nobody can hear it, so be it.
pub fn say(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr(), "{}", text.as_ref());
}
