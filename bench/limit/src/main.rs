//! `rollcall-limit`: how little a program can use that downloads partitions of enrollment, scans them and encodes them
//! as Parquet, or only digests their rows, and does nothing else. The benchmark compares `rollcall` with it.
//!
//! It checks nothing: there are no retries, keys, digests, records or catalogs, and anything unexpected ends it.

mod client;
mod digester;
mod encoder;
mod output;
mod schedule;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;

use crate::client::Client;
use crate::output::Format;
use crate::schedule::{Limits, Partition, Schedule};

/// Fetch partitions of enrollment, and encode or digest them, as fast as possible and without any check
#[derive(Parser)]
struct Cli {
    /// Scheme, host and port: http://127.0.0.1:8080
    #[arg(long, value_name = "ORIGIN")]
    portal: String,
    /// 2000-2009 or 2004
    #[arg(long, value_parser = parse_years)]
    years: Years,
    /// Grades as in the portal's paths: grade-1,grade-2
    #[arg(long, value_delimiter = ',', required = true)]
    grades: Vec<String>,
    /// Folder to write year=YEAR/grade=GRADE.parquet to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Maximum number of requests at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = parse_count)]
    in_flight: usize,
    /// Maximum number of partitions at once [default: as many as requests]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    open: Option<usize>,
    /// Maximum number of bodies received at once [default: a quarter of the requests, but at least two per processor]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    bodies: Option<usize>,
    /// Encode ids as differences, which makes the files smaller than those of rollcall
    #[arg(long)]
    delta: bool,
    /// Write the digest of each partition's rows to year=YEAR/grade=GRADE.digest, instead of Parquet files
    #[arg(long, conflicts_with = "delta")]
    digest: bool,
}

#[derive(Clone)]
struct Years(std::ops::RangeInclusive<u16>);

fn parse_years(text: &str) -> Result<Years, std::num::ParseIntError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Ok(Years(first.parse()?..=last.parse()?))
}

fn parse_count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected 1 or more".to_owned())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let grades: Vec<Arc<str>> = cli.grades.iter().map(|grade| grade.as_str().into()).collect();
    let of_year = |year| grades.iter().map(move |grade| (year, grade.clone()));
    let partitions: Vec<Partition> = cli.years.0.flat_map(of_year).collect();
    let limits = Limits { in_flight: cli.in_flight, open: cli.open.unwrap_or(cli.in_flight) };
    // Enough to keep the processors busy, few enough to stay in their cache.
    let n_processors: usize = std::thread::available_parallelism()?.into();
    let n_bodies = cli.bodies.unwrap_or((cli.in_flight / 4).max(2 * n_processors));
    let format = match (cli.digest, cli.delta) {
        (true, _) => Format::Digest,
        (false, true) => Format::Delta,
        (false, false) => Format::Parquet,
    };
    Schedule::new(Client::new(&cli.portal, n_bodies)?, limits, format).fetch(partitions, &cli.out).await
}
