"""Receivers of audit events for tests: an HTTPS server that behaves as told, and rsyslog over TLS."""
import datetime
import http.server
import ipaddress
import json
import ssl
import subprocess
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .ports import free_port
from .process import Process
from .wait import until


def make_tls(folder: Path, address: str = "127.0.0.1") -> Path:
    """ca.pem, server.pem and server.key in the folder; the server's certificate is for the address."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ca of {folder.name}")])

    def certificate(subject, public, issuer_key, extensions):
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(ca_name).public_key(public)
        made = made.serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=2))
        for extension, critical in extensions:
            made = made.add_extension(extension, critical)
        return made.sign(issuer_key, hashes.SHA256())

    ca = certificate(ca_name, ca_key.public_key(), ca_key, [(x509.BasicConstraints(True, None), True)])
    leaf = certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")]), key.public_key(), ca_key,
                       [(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False),
                        (x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), False)])
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "server.pem").write_bytes(leaf.public_bytes(pem))
    (folder / "server.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return folder


class Webhook:
    """An HTTPS server. mode: "ok", a status as text, "redirect", "slow", "cut"."""

    def __init__(self, tls: Path, mode: str = "ok", redirect_to: str = "", port: int = 0):
        self.mode, self.redirect_to = mode, redirect_to
        self.calls: list[tuple[dict, bytes]] = []  # those that were answered with 200
        self.tries = 0
        self.released = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                receiver.tries += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.mode == "slow":
                    receiver.released.wait(60)
                    return
                if receiver.mode == "cut":
                    self.connection.close()
                    return
                if receiver.mode == "redirect":
                    self.send_response(307)
                    self.send_header("Location", receiver.redirect_to)
                elif receiver.mode == "ok":
                    receiver.calls.append((dict(self.headers), body))
                    self.send_response(204)
                else:
                    self.send_response(int(receiver.mode))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # handshakes that clients end
                receiver.tries += 1

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "server.pem", tls / "server.key")
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.url = f"https://127.0.0.1:{self.port}/hook?source=mezite"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def events(self) -> list[dict]:
        return [event for _, body in list(self.calls) for event in json.loads(body)["events"]]

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


class Rsyslog:
    """Debian's rsyslog with TLS; each message's text is a line of `file`."""

    def __init__(self, folder: Path, tls: Path):
        self.port, self.file = free_port(), folder / "messages"
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "rsyslog.conf"
        self.config.write_text(f"""
global(workDirectory="{folder}" DefaultNetstreamDriver="ossl" DefaultNetstreamDriverCAFile="{tls}/ca.pem"
       DefaultNetstreamDriverCertFile="{tls}/server.pem" DefaultNetstreamDriverKeyFile="{tls}/server.key" maxMessageSize="128k")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.Authmode="anon")
input(type="imtcp" port="{self.port}" address="127.0.0.1")
template(name="whole" type="string" string="%pri% %hostname% %app-name% %procid% %msgid% %msg%\\n")
*.* action(type="omfile" file="{self.file}" template="whole")
""")
        self.folder, self.process = folder, None

    def start(self):
        argv = ["rsyslogd", "-n", "-f", str(self.config), "-i", str(self.folder / "pid")]
        self.process = Process("rsyslogd", argv, self.folder / "rsyslogd.log")
        return self

    def messages(self) -> list[tuple[list[str], dict]]:
        """(priority, host, application, process, code) and the event."""
        out = []
        for line in self.file.read_text().splitlines() if self.file.exists() else []:
            head, brace, rest = line.partition("{")
            out.append((head.replace("\ufeff", "").split(), json.loads(brace + rest)))
        return out

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None


def port_is_open(port: int) -> bool:
    return subprocess.run(["nc", "-z", "127.0.0.1", str(port)], capture_output=True).returncode == 0


def wait_port(port: int):
    until(lambda: port_is_open(port), f"port {port}")
