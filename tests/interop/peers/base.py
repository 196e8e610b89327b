"""What a peer is to the matrix, and what several of them share."""
import contextlib
import fcntl
import os
import pwd
import socket
import subprocess
import time
from pathlib import Path

from harness.ports import free_port

from ..cells import offer_of_server
from ..drivers import LineProgram

PEERS = Path(__file__).resolve().parent

REKEY_BYTES = 48 * 1024  # less than a peer's data_bytes: keys are exchanged again at least once


def own_name() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def output(*argv) -> str:
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()


def at_home_in(folder: Path) -> list[str]:
    """The start of a command line that runs with an empty folder as the account's home, in a mount namespace of its own: what
    is in the real one (a shell's start-up files, known keys) would be part of the test. Root only; else nothing changes."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.getuid() != 0:
        return []
    return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', str(folder), pwd.getpwuid(0).pw_dir]


@contextlib.contextmanager
def alone(bench):
    """One test process at a time makes what is kept between runs."""
    with open(bench.tools / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def package_version(package: str) -> str:
    return output("dpkg-query", "-W", "-f", "${Version}", package)


class Peer:
    name = ""
    roles = ("client", "server")
    # Roles in which it can be told to begin a key exchange; why not in the others.
    rekeys: tuple[str, ...] = ("client", "server")
    no_rekey: dict[str, str] = {}
    data_bytes = 64 * 1024

    def version(self) -> str:
        raise NotImplementedError

    def at_once(self, role: str) -> int:
        """Connections at the same time: most of a connection is waiting for the other side."""
        return 4

    def excluded(self, role: str, cell) -> str | None:
        """Why a cell that both sides' lists would allow does not apply: a limitation or bug of the peer."""
        return None

    def client(self, bench):
        """An object with run(port, rekey_bytes, data_bytes) → "ok" or what went wrong, and close(). rekey_bytes: 0 or REKEY_BYTES.
        A row has several at once."""
        raise NotImplementedError

    def server(self, bench, rekey_bytes: int):
        """An object with offer(), port_for(cell), user, command (one that sends back its input) and close()."""
        raise NotImplementedError


class DrivenClient:
    """A client that is one long-living program: PORT REKEY_BYTES DATA_BYTES in, "ok" or an error out."""
    def __init__(self, argv, bench, name, env=None):
        self.program = LineProgram(argv, env=env, log=bench.log(name))

    def run(self, port: int, rekey_bytes: int, data_bytes: int) -> str:
        return self.program.ask(f"{port} {rekey_bytes} {data_bytes}")

    def close(self):
        self.program.close()


class SpawnedClient:
    """A client program that is started for each cell with "store" as its command. argv(port, rekey_bytes) is its command line."""
    def __init__(self, argv, env=None):
        self.argv, self.env = argv, env

    def run(self, port: int, rekey_bytes: int, data_bytes: int) -> str:
        data = os.urandom(data_bytes)
        try:
            done = subprocess.run([str(a) for a in self.argv(port, rekey_bytes)], input=data, capture_output=True,
                                  env=self.env, timeout=60)
        except subprocess.TimeoutExpired:
            return "it did not end within a minute"
        if done.returncode != 0:
            return f"exit code {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}"
        return "ok" if done.stdout == data else f"{len(done.stdout)} bytes came back of {len(data)}, or others"

    def close(self):
        pass


class SpawnedServer:
    """A server program that lives as long as the run."""
    command = "cat"

    def __init__(self, argv, bench, name: str, user: str | None = None, env=None):
        self.user = user or own_name()
        self.port = free_port()
        self.log = open(bench.log(name), "ab")
        self.child = subprocess.Popen([str(a) for a in argv(self.port)], stdin=subprocess.PIPE, stdout=self.log,
                                      stderr=self.log, env=env)
        end = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.child.poll() is None and time.monotonic() < end, f"{name} does not listen: {bench.log(name).read_text()[-500:]}"
            time.sleep(0.02)

    def offer(self):
        return offer_of_server(self.port)

    def port_for(self, cell) -> int:
        return self.port

    def close(self):
        self.child.stdin.close()
        self.child.terminate()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.log.close()


class Servers:
    """Several servers of one peer that takes too few host keys; together they are one."""
    def __init__(self, servers):
        self.servers = servers
        self.user, self.command = servers[0].user, servers[0].command
        self.offers = [server.offer() for server in servers]

    def offer(self):
        names = [name for offer in self.offers for name in offer["hostkey"]]
        return {**self.offers[0], "hostkey": list(dict.fromkeys(names))}

    def port_for(self, cell) -> int:
        return next(s.port for s, offer in zip(self.servers, self.offers) if cell.hostkey in offer["hostkey"])

    def close(self):
        for server in self.servers:
            server.close()
