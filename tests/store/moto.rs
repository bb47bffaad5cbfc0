//! Against moto, which imitates Amazon's S3, and against a server with TLS: both are Python's.

use std::net::TcpStream;
use std::process::{Child, Stdio};

use super::*;
use crate::skipped::skipped;

/// A program of the folder that `.ci/store` prints.
fn program(name: &str) -> Option<Command> {
    match std::env::var_os("FFN_MOTO") {
        Some(folder) => Some(Command::new(Path::new(&folder).join(name))),
        None => {
            skipped("FFN_MOTO is not set: `.ci/store` prints it");
            None
        }
    }
}

/// A server that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn start(mut command: Command, port: u16) -> Running {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("a server", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    Running(child)
}

const UPLOAD: &str = r#"
import sys, os, boto3
endpoint, folder = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="me", aws_secret_access_key="secret")
s3.create_bucket(Bucket="data")
for base, _, names in os.walk(folder):
    for name in names:
        path = os.path.join(base, name)
        s3.upload_file(path, "data", "sets/small pack/" + os.path.relpath(path, folder))
"#;

#[test]
fn a_run_from_s3_has_the_bytes_of_the_local_pack() {
    let Some(mut moto) = program("moto_server") else {
        return;
    };
    let port = free_port();
    moto.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let _moto = start(moto, port);
    let endpoint = format!("http://127.0.0.1:{port}");
    let pack = PACKED.folder.path().join("pack");
    let upload = program("python")
        .unwrap()
        .args(["-c", UPLOAD, &endpoint])
        .arg(&pack)
        .in_time();
    assert!(
        upload.status.success(),
        "{}",
        String::from_utf8_lossy(&upload.stderr)
    );

    let server = Server::start(Backend::Server(([127, 0, 0, 1], port).into()), true);
    let endpoint = format!("http://{}", server.address);
    let credentials = [
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "me"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
    ];
    let root = "s3://data/sets/small pack";
    for (workers, cache_mib) in [("2", 64), ("1", 3)] {
        server.fail("pack.json", 1, Fault::Status(503));
        server.fail("shard-00000", 2, Fault::Status(500));
        server.fail("shard-00001", 1, Fault::Cut(100_000));
        server.fail("shard-00002", 1, Fault::Wrong);
        server.fail("shard-00003", 1, Fault::Stall(2500));
        let folder = tempfile::tempdir().unwrap();
        let settings = format!("cache_mib: {cache_mib}, patience_seconds: 8");
        let place = Place::new(&folder, &settings).with(&credentials);
        let found = place.run(root, "stored", &["--workers", workers]);
        assert!(found == PACKED.expected && server.has_failed());
    }
    // The variable of the data set leads there too.
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(&folder, "").with(&credentials);
    let place = place.with(&[("FFN_DATA_MINIATURE", root)]);
    let said = place.succeed(&["data", "verify", "small.ron", "--full"]);
    assert!(said.contains("are those of the pins"), "{said}");
    let said = place.fails(
        &[
            "data",
            "verify",
            "small.ron",
            "--data-root",
            "s3://data/none",
        ],
        4,
    );
    assert!(
        said.contains("`s3://data/none/pack.json`: it is not there"),
        "{said}"
    );
    let said = place.fails(
        &[
            "data",
            "verify",
            "small.ron",
            "--data-root",
            "s3://none/small",
        ],
        4,
    );
    assert!(said.contains("NoSuchBucket"), "{said}");
}

const TLS: &str = r#"
import sys, ssl, http.server, functools, datetime, ipaddress
from cryptography import x509
from cryptography.x509.oid import NameOID
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
port, folder, cert = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def name(text): return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
def signed(subject, key, issuer, by, extensions):
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30)))
    for extension in extensions: made = made.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return made.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
open(cert, "wb").write(signed("authority", authority, "authority", authority, [x509.BasicConstraints(ca=True, path_length=0)]))
names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
usage = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])
open(cert + ".own", "wb").write(signed("localhost", own, "authority", authority, [x509.BasicConstraints(ca=False, path_length=None), names, usage])
    + own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert + ".own")
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

#[test]
fn https_is_read_from_who_has_a_certificate() {
    let Some(mut python) = program("python") else {
        return;
    };
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let certificate = folder.path().join("authority.pem");
    python.args(["-c", TLS, &port.to_string()]);
    python.arg(PACKED.folder.path()).arg(&certificate);
    let _server = start(python, port);
    let root = format!("https://127.0.0.1:{port}/pack");
    let place = Place::new(&folder, "patience_seconds: 2");
    // A certificate that nobody knows.
    let said = place.fails(&["data", "verify", "small.ron", "--data-root", &root], 8);
    assert!(said.contains("it cannot be fetched"), "{said}");
    let place = place.with(&[("SSL_CERT_FILE", certificate.to_str().unwrap())]);
    assert!(place.run(&root, "stored", &[]) == PACKED.expected);
}
