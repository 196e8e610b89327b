"""Hostile SSH peers against the real programs. docs/hostile-input.md says which incident each stands for."""
import socket
import statistics
import threading
import time

import paramiko
import pytest

from harness import raw_ssh
from harness.cluster import SANITIZED
from harness.wait import until


def login_seconds(cluster) -> float:
    start = time.monotonic()
    assert cluster.ssh("alice", "web-01", "echo in").strip() == "in"
    return time.monotonic() - start


class Flood:
    """Threads that each call attack(source address) over and over; no source is used by two."""

    def __init__(self, attack, threads: int = 4, sources: int = 50):
        self.stop, self.attack, self.count, self.answered = threading.Event(), attack, 0, 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(n, sources)) for n in range(threads)]

    def run(self, number: int, sources: int):
        turn = 0
        while not self.stop.is_set():
            turn += 1
            try:
                got = self.attack(f"127.{10 + number}.0.{1 + turn % sources}")
            except OSError:
                got = False
            with self.lock:
                self.count += 1
                self.answered += bool(got)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def assert_login_is_quick(cluster, flood: Flood, least: int):
    """Under two seconds, or ten of an instrumented hub, which is as many times slower; on a machine so busy that a login in peace
    takes longer than that, no more than thrice as long."""
    quiet = min(login_seconds(cluster) for _ in range(3))
    with flood:
        until(lambda: flood.count >= least, f"{least} attacks")
        times = [login_seconds(cluster) for _ in range(5)]
        during = flood.count
    assert during > least, "the flood went on while the logins were timed"
    assert statistics.median(times) < max(10.0 if SANITIZED else 2.0, 3 * quiet), (times, quiet)
    assert cluster.hub.running()


def test_dheat_key_exchange_flood(cluster):
    """DHeat, CVE-2002-20001: the server computes, the client only sends."""
    def attack(source: str) -> bool:
        with raw_ssh.connect(cluster.ssh_port, source) as client:
            client.sendall(raw_ssh.KEX_FLOOD)
            data = b""
            while raw_ssh.NEWKEYS not in data:
                piece = client.recv(65536)
                if not piece:
                    return False
                data += piece
            return True

    flood = Flood(attack)
    assert_login_is_quick(cluster, flood, least=200)
    assert flood.answered > 100, "the server did its part of the key exchanges"


def test_half_open_connections_without_end(cluster):
    """More connections that say nothing than the hub keeps half-open: sources that have many make room for who has one."""
    held: list[socket.socket] = []
    try:
        def attack(source: str) -> bool:
            client = raw_ssh.connect(cluster.ssh_port, source)
            client.sendall(b"SSH-2.0-sl")
            with flood.lock:
                held.append(client)
                while len(held) > 3000:
                    held.pop(0).close()
            return True

        flood = Flood(attack)
        assert_login_is_quick(cluster, flood, least=1500)
    finally:
        for client in held:
            client.close()


HOSTILE = {
    "russh CVE-2026-48108: an identification that never ends": b"SSH-2.0-" + b"A" * 100_000,
    "russh CVE-2026-48108: NUL in the identification": b"SSH-2.0-\x00\r\n",
    "russh CVE-2024-43410: padding over the packet": b"SSH-2.0-x\r\n" + b"\x00\x00\x00\x0c\xff" + bytes(11),
    "a packet of four gigabytes": b"SSH-2.0-x\r\n" + b"\xff\xff\xff\xff\x04" + bytes(100),
    "Erlang CVE-2025-32433: a channel before any key": b"SSH-2.0-x\r\n" + raw_ssh.packet(b"\x5a" + raw_ssh.string(b"session") + bytes(12)),
    "libssh CVE-2018-10933: success said by the client": b"SSH-2.0-x\r\n" + raw_ssh.packet(raw_ssh.kexinit()) + raw_ssh.packet(b"\x34"),
    "a low-order point": b"SSH-2.0-x\r\n" + raw_ssh.packet(raw_ssh.kexinit()) + raw_ssh.packet(b"\x1e" + raw_ssh.string(bytes(32))),
}


@pytest.mark.parametrize("which", ["ssh_port", "tunnel"])
@pytest.mark.parametrize("name", HOSTILE)
def test_is_disconnected_and_the_hub_lives(cluster, which, name):
    with raw_ssh.connect(getattr(cluster, which), "127.20.0.1") as client:
        try:
            client.sendall(HOSTILE[name])
        except ConnectionError:
            pass
        answer = raw_ssh.read_to_end(client)
    assert b"assert" not in answer and b".cc" not in answer, "nothing of ours leaks"
    assert cluster.hub.running()


def failure_seconds(port: int, user: str, key: paramiko.PKey, source: str) -> tuple[float, list[str]]:
    """How long the refusal of a key takes, and what the server says may be tried next."""
    with raw_ssh.connect(port, source) as client:
        transport = paramiko.Transport(client)
        transport.start_client(timeout=20)
        try:
            start = time.perf_counter()
            with pytest.raises(paramiko.AuthenticationException) as refused:
                transport.auth_publickey(user, key)
            took = time.perf_counter() - start
        finally:
            transport.close()
    return took, getattr(refused.value, "allowed_types", [])


def test_existing_and_unknown_users_are_refused_alike(cluster):
    key = paramiko.ECDSAKey.generate()
    took = {"alice": [], "nobody-here": [], "root": []}
    said = {user: set() for user in took}
    for turn in range(24):
        for user in took:
            seconds, methods = failure_seconds(cluster.ssh_port, user, key, f"127.21.0.{1 + turn}")
            took[user].append(seconds)
            said[user].add(tuple(methods))
    assert said["alice"] == said["nobody-here"] == said["root"]
    middle = {user: statistics.median(times) for user, times in took.items()}
    # What this machine does between two runs of the same is the measure of a difference.
    spread = max(statistics.quantiles(times, n=4)[2] - statistics.quantiles(times, n=4)[0] for times in took.values())
    assert max(middle.values()) - min(middle.values()) < max(0.005, spread), middle
