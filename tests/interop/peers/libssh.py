"""libssh, Debian's libssh-dev, with a client and a server in C."""
import subprocess

from .base import PEERS, DrivenClient, Peer, Servers, SpawnedServer, alone, package_version


def build(bench, role: str):
    program = bench.tools / f"libssh_{role}"
    source = PEERS / f"programs/libssh_{role}.c"
    with alone(bench):
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-deprecated-declarations", "-o", program, source, "-lssh"],
                           check=True)
    return program


class LibSSH(Peer):
    name = "libssh"
    rekeys = ("client",)
    no_rekey = {"server": "at its own limit this version's server ends the connection, with OpenSSH's client too"}

    def version(self):
        return package_version("libssh-dev")

    def client(self, bench):
        return DrivenClient([build(bench, "client"), bench.folder, *candidates(bench, "server")], bench, "libssh_client")

    def server(self, bench, rekey_bytes):
        return Servers([SpawnedServer(lambda port: [build(bench, "server"), bench.folder, port, rekey_bytes, *candidates(bench, "client"), *hosts],
                                      bench, f"libssh_server_{i}", user="alice")
                        for i, hosts in enumerate((["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"], ["ecdsa-sha2-nistp384"],
                                                   ["ecdsa-sha2-nistp521"]))])


def candidates(bench, our_side: str) -> list[str]:
    """Kex, ciphers, MACs and host keys of ours: it has no list of what it knows, but takes of such a list what it knows."""
    lists = bench.our_lists(our_side)
    return [",".join(lists[kind]) for kind in ("kex", "cipher", "mac", "hostkey")]
