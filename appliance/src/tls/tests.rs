//! With certificates that rcgen makes on the spot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection, pki_types::ServerName};
use tempfile::TempDir;

use super::*;

/// 2026-01-01.
const NEW_YEAR: Millis = 1_767_225_600_000;

struct Files {
    _folder: TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

/// Writes a self-signed certificate that is good in 2026.
fn write(files: &Files, names: &[&str]) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    let pair = KeyPair::generate().unwrap();
    let made = params.self_signed(&pair).unwrap();
    fs::write(&files.certificate, made.pem()).unwrap();
    fs::write(&files.key, pair.serialize_pem()).unwrap();
    made.der().clone()
}

fn files() -> Files {
    let folder = TempDir::new().unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    Files { _folder: folder, certificate, key }
}

/// Hands the bytes of both sides over until both are done. Answers the protocol and the certificate that was shown.
fn shake_hands(config: ServerConfig, root: CertificateDer<'static>) -> Result<(Vec<u8>, Vec<u8>), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let name = ServerName::try_from("room501.school.example").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok((client.alpn_protocol().unwrap().to_vec(), client.peer_certificates().unwrap()[0].to_vec()))
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    let files = files();
    let first = write(&files, &["room501.school.example"]);
    let certificate = Certificate::load(&files.certificate, &files.key).unwrap();
    assert_eq!(certificate.reload(), Ok(false));
    let serve = |root: &CertificateDer<'static>| shake_hands(server_config(certificate.clone()).unwrap(), root.clone());
    // The certificate is its own authority; webpki calls that "CA used as end entity" unless it is not a CA.
    assert_eq!(serve(&first).unwrap(), (b"h2".to_vec(), first.to_vec()));

    let second = write(&files, &["room501.school.example", "second.example"]);
    assert_eq!(certificate.reload(), Ok(true));
    assert_eq!(serve(&second).unwrap().1, second.to_vec());
    assert_eq!(certificate.facts().names, ["room501.school.example", "second.example"]);

    fs::write(&files.certificate, "half of it").unwrap();
    assert!(matches!(certificate.reload(), Err(TlsError::NoCertificate(..))));
    assert_eq!(serve(&second).unwrap().1, second.to_vec(), "the good one stays");
}

#[test]
fn what_is_wrong_is_told_by_its_name() {
    let (files, other) = (files(), files());
    write(&files, &["room501.school.example"]);
    write(&other, &["room501.school.example"]);
    let error = |certificate: &Path, key: &Path| Certificate::load(certificate, key).unwrap_err();
    assert!(matches!(error(&files.certificate, &other.key), TlsError::Mismatch(..)));
    assert!(matches!(error(Path::new("/nowhere"), &files.key), TlsError::Unreadable(..)));
    assert!(matches!(error(&files.certificate, Path::new("/nowhere")), TlsError::Unreadable(..)));
    assert!(matches!(error(&files.key, &files.key), TlsError::NoCertificate(..)));
    let no_key = error(&files.certificate, &files.certificate);
    assert!(matches!(no_key, TlsError::NoKey(..)));
    assert!(no_key.to_string().contains("certificate.pem: no usable key (none in the file); it must be PEM"));
    let mut broken = fs::read_to_string(&files.certificate).unwrap();
    broken.insert_str(60, "AAAA");
    fs::write(&other.certificate, broken).unwrap();
    assert!(matches!(error(&other.certificate, &other.key), TlsError::NoCertificate(..)));
}

#[test]
fn time_and_name_are_checked() {
    let files = files();
    write(&files, &["room501.school.example", "*.lab.school.example", "192.0.2.7", "2001:db8::7"]);
    let facts = Certificate::load(&files.certificate, &files.key).unwrap().facts();
    assert_eq!((facts.not_before, facts.not_after), (NEW_YEAR, NEW_YEAR + 365 * 86_400_000 + 1000));
    let check = |name: Option<&str>, now| facts.check(&files.certificate, name, now);
    for good in
        ["room501.school.example", "ROOM501.School.example.", "a.lab.school.example", "192.0.2.7", "2001:db8::7"]
    {
        assert_eq!(check(Some(good), NEW_YEAR), Ok(()), "{good}");
    }
    for bad in ["school.example", "a.b.lab.school.example", "lab.school.example", ".lab.school.example", "192.0.2.8"] {
        assert!(matches!(check(Some(bad), NEW_YEAR), Err(TlsError::WrongName(..))), "{bad}");
    }
    assert!(matches!(check(None, NEW_YEAR - 1), Err(TlsError::NotYet(_))));
    assert!(matches!(check(None, facts.not_after), Err(TlsError::Expired(_))));
    assert_eq!(check(None, facts.not_after - 1), Ok(()));
}

#[test]
fn the_rooms_pages_are_at_their_own_names_and_no_others() {
    let files = files();
    write(&files, &["room501.school.example", "*.live.school.example", "10.0.0.1"]);
    let certificate = Certificate::load(&files.certificate, &files.key).unwrap();
    let own = |name: &str| is_own(name, &certificate, &["Room.School.example".to_owned()]);
    for name in ["room501.school.example", "Room501.School.Example.", "a.live.school.example", "room.school.example"] {
        assert!(own(name), "{name}");
    }
    for name in ["classroom", "classroom-12ab.local", "localhost"] {
        assert!(own(name), "the local network's: {name}");
    }
    for name in ["krunker.io", "school.example", "live.school.example", "a.b.live.school.example", "evil-local.com"] {
        assert!(!own(name), "{name}");
    }
}
