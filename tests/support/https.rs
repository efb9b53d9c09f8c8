//! HTTPS before a server on loopback, with a certificate that nobody trusts unless told to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Takes connections and hands what they say to a server without TLS. Dropping it closes them.
pub struct HttpsFront {
    /// The certificate, in PEM; it is its own root.
    pub certificate_pem: String,
    port: u16,
    task: JoinHandle<()>,
}

impl HttpsFront {
    /// Listens, on a port that is free, before the server at `behind`.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn before(behind: SocketAddr) -> Self {
        Self::named("localhost", behind).await
    }

    /// The same, with a certificate of another name.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn named(name: &str, behind: SocketAddr) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([name.to_owned()]).expect("a name is enough");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("it is a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("the key is the certificate's");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port can be bound");
        let port = listener.local_addr().expect("it has an address").port();
        let task = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), behind));
        Self { certificate_pem: cert.pem(), port, task }
    }

    /// Such as `https://localhost:40123`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}

impl Drop for HttpsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, behind: SocketAddr) {
    // Its connections end with it.
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            // A client that refuses the certificate hangs up, and so does one that has its answer.
            if let (Ok(mut client), Ok(mut server)) =
                (acceptor.accept(connection).await, TcpStream::connect(behind).await)
            {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}
