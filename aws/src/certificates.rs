//! The certificates that a function trusts, read once for all of its clients.
//!
//! Each client would look for them itself, and where a system keeps a folder of single certificates beside the file that
//! has them all, it would read that too: twice the time to the first event.

use std::env;
use std::fs;
use std::path::Path;

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Files in which systems keep all certificates that they trust. The first is that of Lambda's image.
const BUNDLES: [&str; 3] =
    ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem"];

/// Variables by which a user says where certificates are. Clients know them and are left to read them.
const OVERRIDES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Why a file's certificates are left to each client to read, which passes over those that it cannot use.
#[derive(Debug, thiserror::Error)]
pub enum BadRoots {
    /// It could not be read.
    #[error(transparent)]
    Unreadable(#[from] std::io::Error),
    /// It is not PEM.
    #[error("expected certificates in PEM")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// One could be no root.
    #[error("certificate {number}: expected one that can be a root")]
    Certificate {
        /// Its place in the file, from 1.
        number: usize,
        /// What stands against it.
        #[source]
        source: rustls::Error,
    },
    /// It has none.
    #[error("expected certificates, found none")]
    Empty,
}

/// Certificates that may sign a server's.
pub struct Roots {
    pem: Vec<u8>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// The system's, from the one file that has them all. `None` where there is no such file, where it cannot be used, or
    /// where the environment says where they are: then each client reads the system's for itself.
    #[must_use]
    pub fn of_system() -> Option<Self> {
        if OVERRIDES.iter().any(|variable| env::var_os(variable).is_some()) {
            return None;
        }
        let bundle = BUNDLES.iter().map(Path::new).find(|path| path.is_file())?;
        let read = fs::read(bundle).map_err(BadRoots::from).and_then(Self::from_pem);
        read.inspect_err(|error| {
            let cause: &dyn std::error::Error = error;
            tracing::warn!(file = %bundle.display(), cause, "certificates are read by each client");
        })
        .ok()
    }

    /// Certificates in PEM, one after another; comments between them are passed over.
    ///
    /// # Errors
    /// [`BadRoots`] when there is none, or when one cannot be used: AWS's client would panic on it.
    pub fn from_pem(pem: Vec<u8>) -> Result<Self, BadRoots> {
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(BadRoots::Pem)?;
        if certificates.is_empty() {
            return Err(BadRoots::Empty);
        }
        let mut store = RootCertStore::empty();
        for (number, certificate) in (1..).zip(&certificates) {
            store.add(certificate.clone()).map_err(|source| BadRoots::Certificate { number, source })?;
        }
        Ok(Self { pem, certificates })
    }

    /// For AWS's client.
    pub(crate) fn tls_context(&self) -> TlsContext {
        let store = TrustStore::empty().with_pem_certificate(self.pem.as_slice());
        // A store of roots is all that it is built from; the default has those of the system.
        TlsContext::builder().with_trust_store(store).build().unwrap_or_default()
    }

    /// For the portal's client, see [`rollcall_adapters::http_portal::PortalSettings::roots`].
    #[cfg(feature = "portal")]
    pub fn certificates(&self) -> impl Iterator<Item = reqwest::Certificate> {
        // Nothing is parsed here; they were when they were read.
        self.certificates.iter().filter_map(|certificate| reqwest::Certificate::from_der(certificate).ok())
    }
}
