//! TLS for checks: made when the first check needs it.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::stream::Stream;
use crate::agent::lease_link::chain;

/// Names a file of certificate authorities, as for OpenSSL and most that came after it.
const AUTHORITIES: &str = "SSL_CERT_FILE";

/// Connectors, each made once.
#[derive(Default)]
pub(super) struct Tls {
    strict: OnceLock<Result<TlsConnector, String>>,
    lax: OnceLock<Result<TlsConnector, String>>,
}

impl Tls {
    /// Refuses a server whose certificate is not signed by a known authority for its name.
    pub(super) fn strict(&self) -> Result<TlsConnector, String> {
        self.strict.get_or_init(|| make(Some(authorities()?))).clone()
    }

    /// Takes any certificate: for a database whose address says `sslmode=require`, which asks for no more.
    pub(super) fn lax(&self) -> Result<TlsConnector, String> {
        self.lax.get_or_init(|| make(None)).clone()
    }

    /// A connection to a server that has to show who it is.
    pub(super) async fn connect(&self, host: &str, stream: Stream) -> Result<TlsStream<Stream>, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host} is no name of a server."))?;
        self.strict()?.connect(name, stream).await.map_err(|cause| format!("No TLS with {host}: {}.", chain(&cause)))
    }
}

fn make(authorities: Option<RootCertStore>) -> Result<TlsConnector, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|cause| format!("TLS cannot be set up: {cause}."))?;
    let mut config = match authorities {
        Some(authorities) => builder.with_root_certificates(authorities).with_no_client_auth(),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Any(provider))).with_no_client_auth(),
    };
    // A connection a run, and none is taken up again: what would be kept for that is memory for nothing.
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Those that browsers know, and the file's.
fn authorities() -> Result<RootCertStore, String> {
    let mut all = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(file) = std::env::var_os(AUTHORITIES) {
        let refused = |cause: &dyn std::fmt::Display| {
            format!("{}, which {AUTHORITIES} names, cannot be used: {cause}.", file.to_string_lossy())
        };
        for certificate in CertificateDer::pem_file_iter(Path::new(&file)).map_err(|cause| refused(&cause))? {
            // Some files have authorities in them that no verifier reads any more.
            let _ = all.add(certificate.map_err(|cause| refused(&cause))?);
        }
    }
    Ok(all)
}

/// Takes every certificate, and makes sure that the server has its key.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
