"""paramiko, Debian's python3-paramiko."""
from .base import PEERS, DrivenClient, Peer, SpawnedServer, package_version

PYTHON = ["/usr/bin/python3", "-W", "ignore"]


class Paramiko(Peer):
    name = "paramiko"

    def version(self):
        return package_version("python3-paramiko")

    def client(self, bench):
        return DrivenClient([*PYTHON, PEERS / "programs/paramiko_peer.py", "client", bench.folder], bench, "paramiko_client")

    def server(self, bench, rekey_bytes):
        return SpawnedServer(lambda port: [*PYTHON, PEERS / "programs/paramiko_peer.py", "server", bench.folder, port, rekey_bytes],
                             bench, "paramiko_server", user="alice")
