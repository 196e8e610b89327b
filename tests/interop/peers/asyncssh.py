"""asyncssh, Debian's python3-asyncssh."""
from .base import PEERS, DrivenClient, Peer, SpawnedServer, package_version
from .paramiko import PYTHON


class AsyncSSH(Peer):
    name = "asyncssh"

    def version(self):
        return package_version("python3-asyncssh")

    def at_once(self, role):
        # Connections of one server share what a key is to sign with: a key exchange in one changes it under the others.
        return 1 if role == "server" else super().at_once(role)

    def excluded(self, role, cell):
        if cell.kex == "diffie-hellman-group18-sha512":
            return "its exponentiations in pure Python take longer than a handshake may"
        once = cell.hostkey == "ssh-ed25519" and cell.cipher.startswith("aes256-gcm")
        if cell.kex == "diffie-hellman-group16-sha512" and not once:
            return "its exponentiations in pure Python take a second, so this group is run with one host key and cipher"
        return None

    def client(self, bench):
        return DrivenClient([*PYTHON, PEERS / "programs/asyncssh_peer.py", "client", bench.folder], bench, "asyncssh_client")

    def server(self, bench, rekey_bytes):
        return SpawnedServer(lambda port: [*PYTHON, PEERS / "programs/asyncssh_peer.py", "server", bench.folder, port, rekey_bytes],
                             bench, "asyncssh_server", user="alice")
