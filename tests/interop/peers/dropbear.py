"""Dropbear's dbclient and server."""
import os

from .base import Peer, Servers, SpawnedClient, SpawnedServer, package_version

class Dropbear(Peer):
    name = "dropbear"
    rekeys = ()
    no_rekey = {"client": "fixed at 1 GiB or 8 hours", "server": "fixed at 1 GiB or 8 hours"}

    def version(self):
        return package_version("dropbear-bin")

    def _key(self, bench, source):
        return bench.keys.convert(f"dropbear_{source.name}", "dropbearconvert", "openssh", "dropbear", source)

    def client(self, bench):
        home = bench.folder / "dropbear_home"
        (home / ".ssh").mkdir(parents=True, exist_ok=True)
        identity = self._key(bench, bench.keys.user)
        # It has no wildcards in known_hosts and no list of keys on the command line: -y accepts what is new.
        return SpawnedClient(lambda port, _: ["dbclient", "-y", "-y", "-i", identity, "-p", port, "alice@127.0.0.1", "store"],
                             env={**os.environ, "HOME": str(home)})

    def server(self, bench, rekey_bytes):
        # It takes four host keys at most.
        return Servers([Server(bench, [self._key(bench, host) for host in hosts], name) for name, hosts in
                        (("dropbear_small", bench.keys.hosts[:4]), ("dropbear_rsa", bench.keys.hosts[4:]))])


class Server(SpawnedServer):
    def __init__(self, bench, keys, name):
        # Keys are looked for in ~/.ssh of the account, wherever that is: -D came with a later version.
        super().__init__(lambda port: ["dropbear", "-F", "-E", "-s", "-p", f"127.0.0.1:{port}",
                                       *(word for key in keys for word in ("-r", key))], bench, name)
