//! The command: parses flags, and serves until a signal ends it.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, fs, io};

use crate::config::Config;
use crate::dataset::Dataset;
use crate::datasets::CODE_LISTS;
use crate::fault::Fault;
use crate::server::Simulator;

/// Flags of the simulator.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// Port to listen on; 0 picks a free port
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// Milliseconds to wait before each data page
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub latency_ms: u64,
    /// Rows per page
    #[arg(long, value_name = "ROWS", default_value = "10000")]
    pub page_size: NonZeroUsize,
    /// Rows in each enrollment partition [default: as in the sample]
    #[arg(long)]
    pub rows: Option<u64>,
    /// Rows in each partition of every dataset [default: the sample's enrollment and directory, 300 elsewhere]
    #[arg(long, value_name = "N")]
    pub rows_per_partition: Option<u64>,
    /// Descriptor of a further dataset; may be repeated
    #[arg(long = "dataset", value_name = "FILE.toml")]
    pub datasets: Vec<PathBuf>,
    /// Approximate number of schools in the sample
    #[arg(long, value_name = "N", default_value_t = Config::default().n_schools)]
    pub schools: usize,
    /// Name of a further release, newer than all before; may be repeated
    #[arg(long = "release", value_name = "NAME")]
    pub releases: Vec<String>,
    /// TOML file of fault rules
    #[arg(long, value_name = "FILE.toml")]
    pub faults: Option<PathBuf>,
    /// Folder of recorded bodies to serve instead of the sample
    #[arg(long, value_name = "DIR")]
    pub recorded: Option<PathBuf>,
    /// Do not compress bodies
    #[arg(long)]
    pub no_gzip: bool,
}

/// Why the simulator could not run.
#[derive(Debug)]
pub enum ServeError {
    /// A descriptor cannot be read.
    ReadDataset(PathBuf, io::Error),
    /// A descriptor is invalid.
    ParseDataset(PathBuf, String),
    /// The file of fault rules cannot be read.
    ReadFaults(PathBuf, io::Error),
    /// The file of fault rules is invalid.
    ParseFaults(PathBuf, String),
    /// The path given for recorded bodies is not a folder.
    NoRecording(PathBuf),
    /// Listening on the address failed.
    Listen(SocketAddr, io::Error),
    /// Printing the first line or installing signal handlers failed.
    Run(io::Error),
}

impl ServeError {
    /// Checks whether the flags or files are at fault, rather than the machine.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        matches!(
            self,
            Self::ReadDataset(..)
                | Self::ParseDataset(..)
                | Self::ReadFaults(..)
                | Self::ParseFaults(..)
                | Self::NoRecording(_)
        ) || matches!(self, Self::Listen(_, error) if error.kind() == io::ErrorKind::AddrInUse)
    }
}

/// Serves until Ctrl-C or SIGTERM. Prints `listening on http://<host>:<port>` first.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(args: ServeArgs) -> Result<(), ServeError> {
    let address = SocketAddr::new(args.host, args.port);
    let running = Simulator::start(config(args)?, address).await.map_err(|error| ServeError::Listen(address, error))?;
    let stopped = stop_signal().map_err(ServeError::Run)?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {}", running.origin()).and_then(|()| stdout.flush()).map_err(ServeError::Run)?;
    stopped.await;
    running.stop().await;
    Ok(())
}

fn config(args: ServeArgs) -> Result<Config, ServeError> {
    if let Some(folder) = args.recorded.as_ref().filter(|folder| !folder.is_dir()) {
        return Err(ServeError::NoRecording(folder.clone()));
    }
    let faults = match args.faults {
        Some(path) => {
            let text = fs::read_to_string(&path).map_err(|error| ServeError::ReadFaults(path.clone(), error))?;
            Fault::list_from_toml(&text).map_err(|error| ServeError::ParseFaults(path, in_one_line(&text, &error)))?
        }
        None => Vec::new(),
    };
    let descriptors = args.datasets.into_iter().map(read_descriptor).collect::<Result<_, _>>()?;
    Ok(Config {
        page_size: args.page_size.get(),
        latency: Duration::from_millis(args.latency_ms),
        rows: args.rows,
        rows_per_partition: args.rows_per_partition,
        descriptors,
        gzip: !args.no_gzip,
        faults,
        recorded: args.recorded,
        n_schools: args.schools,
        releases: args.releases,
    })
}

/// Reads a descriptor, and checks that it can be parsed.
fn read_descriptor(path: PathBuf) -> Result<String, ServeError> {
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return Err(ServeError::ReadDataset(path, error)),
    };
    match Dataset::parse(&text, &CODE_LISTS) {
        Ok(_) => Ok(text),
        Err(error) => Err(ServeError::ParseDataset(path, in_one_line(&text, &error))),
    }
}

/// Returns a mistake in TOML with its line.
fn in_one_line(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim().replace('\n', ", ");
    let before = error.span().and_then(|span| text.get(..span.start));
    before.map_or_else(|| message.clone(), |before| format!("line {}: {message}", before.matches('\n').count() + 1))
}

/// Installs signal handlers. The returned future resolves at the first signal.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // If the handler cannot be installed, stop at once.
        let _ = tokio::signal::ctrl_c().await;
    })
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::ReadDataset(path, _) => write!(f, "read descriptor `{}`", path.display()),
            ServeError::ParseDataset(path, error) => write!(f, "parse descriptor `{}`: {error}", path.display()),
            ServeError::ReadFaults(path, _) => write!(f, "read fault rules `{}`", path.display()),
            ServeError::ParseFaults(path, error) => write!(f, "parse fault rules `{}`: {error}", path.display()),
            ServeError::NoRecording(path) => {
                write!(f, "open recording `{}`: expected a folder, found none", path.display())
            }
            ServeError::Listen(address, error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(
                    f,
                    "listen on `{address}`: expected a free port, found one in use\nhint: --port 0 picks a free one"
                )
            }
            ServeError::Listen(address, _) => write!(f, "listen on `{address}`"),
            ServeError::Run(_) => f.write_str("run the simulator"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ServeError::ReadDataset(_, error) | ServeError::ReadFaults(_, error) | ServeError::Run(error) => {
                Some(error)
            }
            ServeError::Listen(_, error) if error.kind() == io::ErrorKind::AddrInUse => None,
            ServeError::Listen(_, error) => Some(error),
            ServeError::ParseDataset(..) | ServeError::ParseFaults(..) | ServeError::NoRecording(_) => None,
        }
    }
}
