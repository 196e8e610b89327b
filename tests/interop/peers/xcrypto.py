"""golang.org/x/crypto/ssh, Debian's golang-golang-x-crypto-dev."""
import os
import subprocess

from .base import PEERS, DrivenClient, Peer, SpawnedServer, alone, package_version


def build(bench):
    """The peer program, compiled offline from Debian's sources."""
    program = bench.tools / "xcrypto_peer"
    source = PEERS / "programs/xcrypto/peer.go"
    with alone(bench):
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            environment = {**os.environ, "GOPATH": "/usr/share/gocode", "GO111MODULE": "off", "GOFLAGS": "",
                           "GOCACHE": str(bench.tools / "go-cache")}
            subprocess.run(["go", "build", "-o", program, "."], cwd=source.parent, env=environment, check=True)
    return program


class XCrypto(Peer):
    name = "x/crypto"
    data_bytes = 128 * 1024  # it begins a key exchange some packets after its limit

    def version(self):
        return package_version("golang-golang-x-crypto-dev")

    def client(self, bench):
        return DrivenClient([build(bench), "client", bench.folder], bench, "xcrypto_client")

    def server(self, bench, rekey_bytes):
        return SpawnedServer(lambda port: [build(bench), "server", bench.folder, port, rekey_bytes], bench,
                             "xcrypto_server", user="alice")
