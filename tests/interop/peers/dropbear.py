"""Dropbear's dbclient and server."""
import os

from .base import Peer, Servers, SpawnedClient, SpawnedServer, at_home_in, package_version


class Dropbear(Peer):
    name = "dropbear"
    roles = ("client", "server") if os.getuid() == 0 else ("client",)  # see Server
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
        # It takes four host keys at most. First the one with the RSA key: the other offers rsa-sha2-256 without having it.
        return Servers([Server(bench, [self._key(bench, host) for host in hosts], name) for name, hosts in
                        (("dropbear_rsa", bench.keys.hosts[4:]), ("dropbear_others", bench.keys.hosts[:4]))])


class Server(SpawnedServer):
    """It reads ~/.ssh/authorized_keys of the account and can't be told otherwise."""
    def __init__(self, bench, keys, name):
        home = bench.folder / "dropbear_account"
        enter = at_home_in(home)
        (home / ".ssh").mkdir(exist_ok=True, mode=0o700)
        (home / ".ssh/authorized_keys").write_text(bench.keys.authorized.read_text())
        super().__init__(lambda port: [*enter, "dropbear", "-F", "-E", "-s", "-p", f"127.0.0.1:{port}",
                                       *(word for key in keys for word in ("-r", key))], bench, name)
