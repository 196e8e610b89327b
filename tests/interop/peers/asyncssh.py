"""asyncssh, Debian's python3-asyncssh."""
from .base import PEERS, DrivenClient, Peer, SpawnedServer, package_version
from .paramiko import PYTHON


class AsyncSSH(Peer):
    name = "asyncssh"

    def version(self):
        return package_version("python3-asyncssh")

    def client(self, bench):
        return DrivenClient([*PYTHON, PEERS / "programs/asyncssh_peer.py", "client", bench.folder], bench, "asyncssh_client")

    def server(self, bench, rekey_bytes):
        return SpawnedServer(lambda port: [*PYTHON, PEERS / "programs/asyncssh_peer.py", "server", bench.folder, port, rekey_bytes],
                             bench, "asyncssh_server", user="alice")
