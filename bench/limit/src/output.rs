//! What becomes of a partition's rows.

use std::path::Path;

use anyhow::Context;
use rollcall_limit::Columns;

use crate::digester::Digester;
use crate::encoder::Encoder;

/// What is written for each partition.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Format {
    /// A Parquet file with the encodings of `rollcall`.
    Parquet,
    /// One whose ids are encoded as differences.
    Delta,
    /// Only the digest of the rows.
    Digest,
}

/// Where the pages of a partition go, in order.
pub(crate) enum Output {
    Encoder(Box<Encoder>),
    Digester(Digester),
}

impl Output {
    /// Starts the file of a partition, without its extension in `path`, and creates its folder.
    ///
    /// - `n_rows`: the number of rows that will be added.
    pub(crate) fn create(path: &Path, n_rows: usize, format: Format) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path.parent().context("expected a folder")?)?;
        let encoder = |is_delta| Encoder::create(&path.with_extension("parquet"), n_rows, is_delta);
        Ok(match format {
            Format::Parquet => Self::Encoder(encoder(false)?.into()),
            Format::Delta => Self::Encoder(encoder(true)?.into()),
            Format::Digest => Self::Digester(Digester::new(path.with_extension("digest"))),
        })
    }

    /// Adds the rows of a page, and returns its memory for another page.
    pub(crate) fn add(&mut self, page: Columns) -> anyhow::Result<Columns> {
        match self {
            Self::Encoder(encoder) => encoder.write(page),
            Self::Digester(digester) => {
                digester.add(&page);
                Ok(page)
            }
        }
    }

    /// Finishes the file.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Encoder(encoder) => encoder.finish(),
            Self::Digester(digester) => digester.finish(),
        }
    }
}
