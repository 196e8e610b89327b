"""A load balancer that ends TLS in front of a hub: HAProxy, with a certificate of a CA of its own."""
import datetime
import ipaddress
import shutil
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .ports import free_port
from .process import Process
from .wait import until

PEM = serialization.Encoding.PEM


def make_ca(folder: Path, name: str) -> tuple[Path, Path]:
    """A CA's certificate, and key and certificate of a server at 127.0.0.1 below it, as HAProxy reads them."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def build(subject, issuer, key, ca: bool):
        usage = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                               "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False)
        usage["key_cert_sign" if ca else "digital_signature"] = True
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                .not_valid_after(now + datetime.timedelta(days=1))
                .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
                .add_extension(x509.KeyUsage(**usage), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False))

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    ca = build(ca_name, ca_name, ca_key, True).sign(ca_key, hashes.SHA256())
    leaf = (build(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "balancer")]), ca_name, key, False)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
            .sign(ca_key, hashes.SHA256()))
    ca_file, server_file = folder / f"{name}-ca.pem", folder / f"{name}-server.pem"
    ca_file.write_bytes(ca.public_bytes(PEM))
    server_file.write_bytes(leaf.public_bytes(PEM) + key.private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return ca_file, server_file


class Balancer:
    def __init__(self, cluster, name: str = "balancer"):
        self.grpc, self.tunnel = free_port(), free_port()
        self.ca_file, server_file = make_ca(cluster.dir, name)
        config = cluster.dir / f"{name}.cfg"
        config.write_text(f"""
global
    maxconn 1000
defaults
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend grpc
    mode http
    bind 127.0.0.1:{self.grpc} ssl crt {server_file} alpn h2
    default_backend hub
backend hub
    mode http
    server hub 127.0.0.1:{cluster.grpc} proto h2
frontend tunnel
    mode tcp
    bind 127.0.0.1:{self.tunnel} ssl crt {server_file}
    default_backend tunnel
backend tunnel
    mode tcp
    server hub 127.0.0.1:{cluster.tunnel}
""")
        haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/sbin:/bin")
        subprocess.run([haproxy, "-c", "-q", "-f", str(config)], check=True)
        self.process = Process(name, [haproxy, "-db", "-f", str(config)], cluster.dir / f"{name}.log")
        until(self.answers, "HAProxy to listen")

    def answers(self) -> bool:
        import socket
        assert self.process.running(), self.process.output()
        try:
            socket.create_connection(("127.0.0.1", self.grpc), 1).close()
            return True
        except OSError:
            return False

    def env(self, ca: bool = True) -> dict[str, str]:
        return {"MEZITE_AUTH_ADDR": f"127.0.0.1:{self.grpc}", "MEZITE_PROXY_ADDR": f"127.0.0.1:{self.tunnel}",
                "MEZITE_TLS_WRAP": "true", **({"MEZITE_TLS_CA_FILE": str(self.ca_file)} if ca else {})}

    def close(self):
        self.process.child.kill()
        self.process.child.wait()
