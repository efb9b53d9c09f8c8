//! The root certificates that a function trusts, read once for all its clients.
//!
//! By default, each client reads the system's certificates itself. If the system has both a bundle file and a folder of
//! single certificates, each client reads both, which doubles the time to the first event.

use std::env;
use std::fs;
use std::path::Path;

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Files with all the root certificates that a system trusts. The first is the one in Lambda's image.
const BUNDLES: [&str; 3] =
    ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem"];

/// Variables that override the location of the certificates. Each client reads these itself.
const OVERRIDES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Why a bundle cannot be used. In that case, each client reads the certificates itself, and skips those that it cannot
/// use.
#[derive(Debug, thiserror::Error)]
pub enum BadRoots {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] std::io::Error),
    /// The file is not PEM.
    #[error("expected certificates in PEM")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// One of the certificates cannot be used as a root.
    #[error("certificate {number}: expected a valid root certificate")]
    Certificate {
        /// 1-based position in the file.
        number: usize,
        /// Why it is not valid.
        #[source]
        source: rustls::Error,
    },
    /// The file has no certificates.
    #[error("expected certificates, found none")]
    Empty,
}

/// Root certificates.
pub struct Roots {
    pem: Vec<u8>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// Reads the system's bundle. Returns `None` if there is no bundle, if it cannot be used, or if the environment
    /// overrides its location. In that case, each client reads the certificates itself.
    #[must_use]
    pub fn from_system() -> Option<Self> {
        if OVERRIDES.iter().any(|variable| env::var_os(variable).is_some()) {
            return None;
        }
        let bundle = BUNDLES.iter().map(Path::new).find(|path| path.is_file())?;
        let read = fs::read(bundle).map_err(BadRoots::from).and_then(Self::from_pem);
        read.inspect_err(|error| {
            let cause: &dyn std::error::Error = error;
            tracing::warn!(file = %bundle.display(), cause, "bundle unusable, each client reads certificates itself");
        })
        .ok()
    }

    /// Parses concatenated certificates in PEM, and skips comments between them.
    ///
    /// # Errors
    /// [`BadRoots`] if there are none, or if one is unusable: the AWS client would panic on it.
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

    /// Returns the certificates in the form that the AWS client needs.
    pub(crate) fn tls_context(&self) -> TlsContext {
        let store = TrustStore::empty().with_pem_certificate(self.pem.as_slice());
        // Built from this trust store alone, because the default trusts the system's certificates.
        TlsContext::builder().with_trust_store(store).build().unwrap_or_default()
    }

    /// Returns the certificates in the form needed by [`rollcall_adapters::http_portal::PortalSettings::roots`].
    #[cfg(feature = "portal")]
    pub fn certificates(&self) -> impl Iterator<Item = reqwest::Certificate> {
        // The certificates are not validated again here, because that was done when they were read.
        self.certificates.iter().filter_map(|certificate| reqwest::Certificate::from_der(certificate).ok())
    }
}
