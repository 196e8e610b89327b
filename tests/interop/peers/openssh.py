"""OpenSSH's ssh and sshd."""
import os
from pathlib import Path

from .base import Peer, SpawnedClient, SpawnedServer, at_home_in, output


def everything(kind: str) -> str:
    return ",".join(output("ssh", "-Q", kind).split())


def algorithm_lines() -> list[str]:
    return [f"KexAlgorithms {everything('kex')}", f"Ciphers {everything('cipher')}", f"MACs {everything('mac')}",
            f"HostKeyAlgorithms {everything('HostKeyAlgorithms')}"]


class OpenSSH(Peer):
    name = "OpenSSH"

    def version(self):
        return output("ssh", "-V").split(",")[0].removeprefix("OpenSSH_")

    def client(self, bench):
        config = bench.folder / "openssh_client_config"
        config.write_text("\n".join(["Host *", *algorithm_lines(), f"IdentityFile {bench.keys.user}",
                                     f"UserKnownHostsFile {bench.keys.known_hosts}", "GlobalKnownHostsFile /dev/null",
                                     "StrictHostKeyChecking yes", "BatchMode yes", "IdentitiesOnly yes",
                                     "LogLevel ERROR", "IdentityAgent none"]) + "\n")

        def argv(port, rekey_bytes):
            limit = ["-o", f"RekeyLimit={rekey_bytes}"] if rekey_bytes else []
            return ["ssh", "-F", config, *limit, "-p", port, "alice@127.0.0.1", "store"]
        return SpawnedClient(argv)

    def server(self, bench, rekey_bytes):
        config = bench.folder / f"sshd_config_{rekey_bytes}"
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        lines = [*algorithm_lines(), f"AuthorizedKeysFile {bench.keys.authorized}", "StrictModes no", "UsePAM no",
                 "PidFile none", "PermitRootLogin yes", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
                 "MaxStartups 1000", "LogLevel ERROR",
                 *(f"HostKey {host}\nHostCertificate {host}-cert.pub" for host in bench.keys.hosts)]
        if rekey_bytes:
            lines.append(f"RekeyLimit {rekey_bytes}")
        config.write_text("\n".join(lines) + "\n")
        return SpawnedServer(lambda port: [*at_home_in(bench.folder / "empty_home"), "/usr/sbin/sshd", "-D", "-e", "-f", config, "-o", f"ListenAddress=127.0.0.1:{port}"],
                             bench, f"sshd_{rekey_bytes}")
