//! Where the portal's metadata comes from: the portal itself, or a folder with its saved answers.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use flate2::read::GzDecoder;
use rollcall_adapters::http_portal::{HttpPortal, LIVE_ORIGIN, PortalSettings, parse_origin};
use rollcall_core::metadata::{Metadata, MetadataUnreadable};
use tokio::time::Instant;

use crate::exit::BadInput;
use crate::portal_args::METADATA_TIMEOUT;
use crate::portal_lists::{CachedLists, ListCache};

/// Maximum size of a saved answer in bytes, decompressed. The list of columns has 1.5 MB.
const MAX_BYTES: u64 = 64 << 20;

#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// Folder with saved answers of the portal: api-endpoints.json and api-endpoint-varlist.json, or both as .json.gz
    #[arg(long, value_name = "DIR", conflicts_with = "portal")]
    metadata: Option<PathBuf>,
    /// Scheme, host and port of the portal, without `/api/v1/`
    #[arg(long, value_name = "URL", default_value = LIVE_ORIGIN)]
    portal: String,
}

impl SourceArgs {
    /// Reads the portal's lists of endpoints and of their columns.
    pub(crate) async fn read(&self) -> anyhow::Result<Metadata> {
        let Some(folder) = &self.metadata else {
            let settings = PortalSettings::new(parse_origin(&self.portal)?);
            let portal = HttpPortal::new(settings, None)?.until(Instant::now() + METADATA_TIMEOUT);
            return Ok(Metadata::fetch(&CachedLists::new(&portal, ListCache::default())).await?);
        };
        let endpoints = saved(folder, "api-endpoints")?;
        let variables = saved(folder, "api-endpoint-varlist")?;
        let unusable = |error: MetadataUnreadable| {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            BadInput(format!("read metadata in `{}`: {error}{cause}", folder.display()))
        };
        Ok(Metadata::parse(&endpoints, &variables).map_err(unusable)?)
    }
}

/// Returns the text of a saved answer, with or without compression.
fn saved(folder: &Path, name: &str) -> Result<String, BadInput> {
    let (plain, compressed) = (folder.join(format!("{name}.json")), folder.join(format!("{name}.json.gz")));
    let mut text = String::new();
    let (path, result) = if plain.exists() {
        let file = fs::File::open(&plain);
        (&plain, file.and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text)))
    } else {
        let file = fs::File::open(&compressed);
        (&compressed, file.and_then(|file| GzDecoder::new(file).take(MAX_BYTES).read_to_string(&mut text)))
    };
    match result {
        Ok(_) => Ok(text),
        Err(error) => Err(BadInput(format!("read metadata `{}`: expected a readable file: {error}", path.display()))),
    }
}
