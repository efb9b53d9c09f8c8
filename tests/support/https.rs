//! HTTPS in front of a server on loopback, with a certificate that is trusted only where a test says so.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::server::Server;

/// Terminates TLS and forwards the bytes to a server without it. Dropping it closes its connections.
pub struct HttpsFront {
    /// The self-signed certificate, in PEM.
    pub certificate_pem: String,
    server: Server,
}

impl HttpsFront {
    /// Listens on a free port in front of the server at `target`.
    #[must_use]
    pub fn before(target: SocketAddr) -> Self {
        Self::named("localhost", target)
    }

    /// Same as [`Self::before`], but with a certificate for the host `name`.
    ///
    /// # Panics
    /// If `name` is not a host name.
    #[must_use]
    pub fn named(name: &str, target: SocketAddr) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([name.to_owned()]).expect("a certificate needs only a name");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("the key is valid DER");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider supports them")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("the key belongs to the certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let server = Server::start(move |connection| {
            let acceptor = acceptor.clone();
            async move {
                // A client hangs up when it rejects the certificate, and when it has its response.
                if let (Ok(mut client), Ok(mut server)) =
                    (acceptor.accept(connection).await, TcpStream::connect(target).await)
                {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            }
        });
        Self { certificate_pem: cert.pem(), server }
    }

    /// Returns its origin, such as `https://localhost:40123`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.server.address().port())
    }
}
