//! Measures each stage from page bytes to file bytes: with criterion, or, with `--once`, by running a
//! single stage for an instruction counter.
//!
//! Times are CPU time of the working thread, so they are valid even on a machine that is not idle. The pages come from
//! the simulator, have 10,000 rows each, and are in memory before anything is measured.

use std::error::Error;
use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use clap::Parser as _;
use cpu_time::ThreadTime;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkId, Criterion, Throughput};
use rollcall_core::dataset::Dataset;
use rollcall_core::file::TableWriter;
use rollcall_core::page::{Page, PageDecoder, bench};
use rollcall_core::partition::{AxisValue, PartitionKey};
use rollcall_simulator::{Config, Simulator};

/// CPU time of the measuring thread, which does all the work of every stage.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = ThreadTime;
    type Value = Duration;

    fn start(&self) -> ThreadTime {
        ThreadTime::now()
    }

    fn end(&self, start: ThreadTime) -> Duration {
        start.elapsed()
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, time: &Duration) -> f64 {
        WallTime.to_f64(time)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Number of pages in a partition of 100,000 rows.
const PAGES: u32 = 10;

/// Runs one stage repeatedly, without measuring.
#[derive(clap::Parser)]
struct Once {
    /// Stage to run
    #[arg(long, value_enum)]
    once: Stage,
    /// Number of rows to process, rounded up to whole partitions: 100,000 rows of enrollment, 10,000 of the directory
    #[arg(long, default_value_t = 100_000)]
    rows: usize,
    /// Dataset of the pages
    #[arg(long, value_enum, default_value_t = Source::Enrollment)]
    of: Source,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Stage {
    /// Decoding as in production: by the scanner, and by serde for what the scanner rejects.
    DecodeScanner,
    DecodeSerde,
    Digest,
    KeyCheck,
    /// Encoding rows into a file; includes the digest, because the writer also computes it.
    Encode,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Source {
    Enrollment,
    Directory,
}

/// Response bodies of one partition, as the portal sends them.
struct Bodies {
    dataset: Dataset,
    partition: PartitionKey,
    bodies: Vec<Vec<u8>>,
}

impl Bodies {
    fn fetch(source: Source, n_pages: u32) -> Result<Self> {
        let year = ("year".to_owned(), AxisValue::Int(2021));
        let grade = ("grade".to_owned(), AxisValue::Text("grade-1".to_owned()));
        let (name, axes) = match source {
            Source::Enrollment => ("ccd_enrollment", vec![year, grade]),
            Source::Directory => ("ccd_directory", vec![year]),
        };
        let (dataset, partition) = (Dataset::built_in(name)?, PartitionKey::new(axes));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        // More schools than rows, because not all schools are open in one year.
        let n_rows = n_pages as usize * Config::default().page_size;
        let config = Config { rows: Some(n_rows as u64), n_schools: 2 * n_rows, ..Config::default() };
        let portal = runtime.block_on(Simulator::start(config, (Ipv4Addr::LOCALHOST, 0).into()))?;
        let path = dataset.portal_path(&partition);
        let bodies: io::Result<Vec<_>> = (1..=n_pages)
            .map(|page| get(portal.address(), &format!("/api/v1/{}/?page={page}", path.trim_matches('/'))))
            .collect();
        runtime.block_on(portal.stop());
        Ok(Self { dataset, partition, bodies: bodies? })
    }

    fn decoder(&self) -> PageDecoder {
        PageDecoder::new(&self.dataset, &self.partition)
    }

    fn decode(&self) -> Result<Vec<Page>> {
        let decoder = self.decoder();
        Ok(self
            .bodies
            .iter()
            .zip(1..)
            .map(|(body, page)| decoder.decode(page, body))
            .collect::<std::result::Result<_, _>>()?)
    }
}

/// Returns a response body after checking only the status.
fn get(address: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    match response.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
        Some(end) if response.starts_with(b"HTTP/1.1 200 ") => Ok(response.split_off(end + 4)),
        _ => Err(io::Error::other(format!("get {path}: expected HTTP 200 with a body, found another response"))),
    }
}

/// Runs one stage on all pages.
fn run(stage: Stage, source: &Bodies, decoder: &PageDecoder, pages: &[Page]) -> Result<()> {
    match stage {
        Stage::DecodeScanner => {
            for body in &source.bodies {
                black_box(decoder.decode(1, black_box(body))?);
            }
        }
        Stage::DecodeSerde => {
            for body in &source.bodies {
                black_box(bench::decode_by_serde(decoder, black_box(body))?);
            }
        }
        Stage::Digest => {
            black_box(bench::digest(black_box(pages)));
        }
        Stage::KeyCheck => {
            if !bench::has_each_key_once(&source.dataset, black_box(pages)) {
                return Err("check keys: expected each key once, found one missing or repeated".into());
            }
        }
        Stage::Encode => {
            let mut writer = TableWriter::new(&source.dataset, &source.partition, n_rows(pages) as u64)?;
            for page in pages {
                // The portal serves these rows in key order.
                writer.append(black_box(page.batch.clone()), true)?;
            }
            black_box(writer.finish()?);
        }
    }
    Ok(())
}

fn n_rows(pages: &[Page]) -> usize {
    pages.iter().map(|page| page.batch.num_rows()).sum()
}

fn once(args: &Once) -> Result<()> {
    let n_pages = match args.of {
        Source::Enrollment => PAGES,
        Source::Directory => 1,
    };
    let source = Bodies::fetch(args.of, n_pages)?;
    let (decoder, pages) = (source.decoder(), source.decode()?);
    let n_rounds = args.rows.div_ceil(n_rows(&pages));
    for _ in 0..n_rounds {
        run(args.once, &source, &decoder, &pages)?;
    }
    writeln!(io::stdout(), "{} rows", n_rounds * n_rows(&pages))?;
    Ok(())
}

/// Measures stages on the pages of one source, as `<group>/<stage>/<source>`.
fn measure(
    criterion: &mut Criterion<CpuTime>,
    group: &str,
    stages: &[(&str, Stage)],
    name: &str,
    source: &Bodies,
) -> Result<()> {
    let (decoder, pages) = (source.decoder(), source.decode()?);
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(n_rows(&pages) as u64));
    for (stage_name, stage) in stages {
        // If the stage fails, it fails here and not during the measurement.
        run(*stage, source, &decoder, &pages)?;
        let id =
            if stage_name.is_empty() { BenchmarkId::from_parameter(name) } else { BenchmarkId::new(*stage_name, name) };
        group.bench_function(id, |bencher| bencher.iter(|| run(*stage, source, &decoder, &pages)));
    }
    group.finish();
    Ok(())
}

fn main() -> Result<()> {
    if std::env::args().any(|arg| arg == "--once") {
        return once(&Once::parse());
    }
    let mut criterion = Criterion::default().with_measurement(CpuTime).configure_from_args();
    for (name, source) in [("enrollment", Source::Enrollment), ("directory", Source::Directory)] {
        let page = Bodies::fetch(source, 1)?;
        if !page.bodies.iter().all(|body| bench::is_scanned(&page.decoder(), body)) {
            writeln!(io::stderr(), "note: the scanner rejects pages of {name}; serde decodes them")?;
        }
        let stages = [("scanner", Stage::DecodeScanner), ("serde", Stage::DecodeSerde)];
        measure(&mut criterion, "decode", &stages, name, &page)?;
    }
    let partition = Bodies::fetch(Source::Enrollment, PAGES)?;
    for (group, stage) in [("digest", Stage::Digest), ("key_check", Stage::KeyCheck), ("encode", Stage::Encode)] {
        measure(&mut criterion, group, &[("", stage)], "enrollment", &partition)?;
    }
    criterion.final_summary();
    Ok(())
}
