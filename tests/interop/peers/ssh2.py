"""The npm package ssh2."""
import os
import subprocess

from .base import PEERS, DrivenClient, Peer, SpawnedServer, alone

VERSION = "1.17.0"


def install(bench) -> dict[str, str]:
    """The package in the build folder, without its optional compiled parts; the environment to run node with."""
    folder = bench.tools / f"npm-ssh2-{VERSION}"
    with alone(bench):
        if not (folder / "node_modules/ssh2/package.json").exists():
            subprocess.run(["npm", "install", "--silent", "--no-save", "--no-package-lock", "--omit=optional", "--ignore-scripts",
                            "--no-audit", "--no-fund", "--prefix", folder, f"ssh2@{VERSION}"], check=True)
    return {**os.environ, "NODE_PATH": str(folder / "node_modules")}


class Ssh2(Peer):
    name = "ssh2"

    def version(self):
        return VERSION

    def client(self, bench):
        return DrivenClient(["node", PEERS / "programs/ssh2_peer.js", "client", bench.folder], bench, "ssh2_client",
                            env=install(bench))

    def server(self, bench, rekey_bytes):
        return SpawnedServer(lambda port: ["node", PEERS / "programs/ssh2_peer.js", "server", bench.folder, port, rekey_bytes],
                             bench, "ssh2_server", user="alice", env=install(bench))
