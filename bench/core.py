#!/usr/bin/python3
"""The agent's SSH server alone (node_sshd), sshd and a server on libssh, in turns, on loopback: server CPU, latency, memory.
Beside them the floor (load/floor.cc): what system calls and cipher alone take.

The client is OpenSSH's ssh for bytes and latency, x/crypto/ssh (goload) for handshakes and crowds. Nothing is recorded."""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measure import ROOT, RUN, Rows, account, cpu_seconds, settled, tree  # noqa: E402
from harness.cluster import BIN, login_user, port_open  # noqa: E402
from harness.ports import free_port  # noqa: E402
from harness.process import Process  # noqa: E402
from harness.wait import until  # noqa: E402

CIPHERS = {"gcm": "aes256-gcm@openssh.com", "chacha": "chacha20-poly1305@openssh.com"}
ABSOLUTE = {"gcm": 1.4, "chacha": 1.7}  # seconds per GiB


class Server:
    def __init__(self, name: str, argv: list, port: int, folder: Path):
        self.name, self.port = name, port
        self.process = Process(name, argv, folder / f"{name}.log")
        until(lambda: port_open(port), f"{name} to listen")
        self.pid = self.process.pid


class Core:
    def __init__(self, arguments):
        self.a, self.rows = arguments, Rows()
        self.dir = Path(tempfile.mkdtemp(prefix="mezite-bench-"))
        self.dir.chmod(0o755)
        self.login = login_user()
        subprocess.run(["usermod", "-p", "*", self.login], check=True)  # sshd without PAM refuses an account that is locked
        for key in ("host", "ca", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.dir / key], check=True)
        subprocess.run(["ssh-keygen", "-q", "-s", self.dir / "ca", "-I", "bench", "-n", self.login, "-V", "-1m:+1d",
                        "-O", 'extension:roles@mezite.com=["bench"]', "-O", "extension:traits@mezite.com={}", self.dir / "user.pub"], check=True)
        host = (self.dir / "host.pub").read_text()
        (self.dir / "known_hosts").write_text(f"[127.0.0.1]:* {host}")
        self.pump = self.dir / "pump"
        shutil.copy(RUN / "pump", self.pump)
        self.pump.chmod(0o755)
        self.servers = [self.start(name) for name in ("openssh", "libssh", "mezite")]
        for server in self.servers:
            account(server.name, server.pid)

    def start(self, name: str) -> Server:
        port = free_port()
        if name == "mezite":
            argv = [BIN / "node_sshd", str(port), self.dir / "host", self.dir / "ca.pub", self.login]
        elif name == "libssh":
            argv = [RUN / "libssh_server", "127.0.0.1", str(port), self.dir / "host"]
        else:
            os.makedirs("/run/sshd", exist_ok=True)
            config = self.dir / "sshd_config"
            config.write_text(
                f"Port {port}\nListenAddress 127.0.0.1\nHostKey {self.dir}/host\nTrustedUserCAKeys {self.dir}/ca.pub\n"
                "AuthorizedPrincipalsFile none\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
                "MaxStartups 2000\nMaxSessions 1000\nPidFile none\nUseDNS no\nPrintMotd no\nLogLevel ERROR\n")
            argv = ["/usr/sbin/sshd", "-D", "-e", "-f", config]
        return Server(name, argv, port, self.dir)

    def ssh(self, server: Server, cipher: str, *more: str) -> list:
        options = ["IdentitiesOnly=yes", "IdentityAgent=none", f"UserKnownHostsFile={self.dir}/known_hosts", "GlobalKnownHostsFile=none",
                   "BatchMode=yes", "LogLevel=ERROR", "KexAlgorithms=curve25519-sha256"]
        argv = ["ssh", "-F", "none", "-i", self.dir / "user", "-c", cipher, "-p", str(server.port), "-l", self.login]
        return [*argv, *(word for option in options for word in ("-o", option)), *more]

    def load(self, server: Server, mode: str, count: int, clients: int, *more: str) -> list:
        return list(map(str, [RUN / "goload", "-mode", mode, "-addr", f"127.0.0.1:{server.port}", "-user", self.login, "-key", self.dir / "user",
                              "-cert", f"{self.dir}/user-cert.pub", "-n", count, "-c", clients, "-kex", "curve25519-sha256", *more]))

    def bytes(self, what: str, server: Server, argv: list, stdin=None):
        """Server CPU per GiB, without what the remote command itself used."""
        size, used = self.a.mib << 20, self.dir / "used"
        used.write_text("")
        used.chmod(0o666)
        before, processes, start = cpu_seconds(server.pid), len(tree(server.pid)), time.monotonic()
        subprocess.run(argv, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=120)
        seconds = time.monotonic() - start
        settled(server.pid, processes)
        remote = sum(int(line.split()[0]) + int(line.split()[1]) for line in used.read_text().splitlines()) / 1e6
        self.rows.note(what, server.name, cpu_s_per_gib=(cpu_seconds(server.pid) - before - remote) / (size / (1 << 30)), mib_per_s=size / seconds / (1 << 20))

    def floor(self, way: str, cipher: str):
        """The least there could be: the system calls and the cipher, without SSH."""
        done = subprocess.run([RUN / "floor", way, cipher, str(self.a.mib)], capture_output=True, text=True, check=True, timeout=120)
        self.rows.note(f"{way}-{cipher}", "floor", cpu_s_per_gib=float(done.stdout))

    def source(self):
        return subprocess.Popen([RUN / "pump", "src", str(self.a.mib << 20)], stdout=subprocess.PIPE, env={**os.environ, "PUMP_LOG": "/dev/null"})

    def exec(self):
        for name, cipher in CIPHERS.items():
            for server in self.servers:
                remote = f"PUMP_LOG={self.dir}/used {self.pump}"
                self.bytes(f"exec-down-{name}", server, self.ssh(server, cipher, "127.0.0.1", f"{remote} src {self.a.mib << 20}"))
                with self.source() as feed:
                    self.bytes(f"exec-up-{name}", server, self.ssh(server, cipher, "127.0.0.1", f"{remote} sink"), feed.stdout)
            for way in ("exec-down", "exec-up"):
                self.floor(way, name)

    def forward(self):
        """direct-tcpip alone, by ssh -W."""
        source, sink = free_port(), free_port()
        pumps = [Process("source", [RUN / "pump", "tcpsrc", str(source), str(self.a.mib << 20)], self.dir / "source.log"),
                 Process("sink", [RUN / "pump", "tcpsink", str(sink)], self.dir / "sink.log")]
        try:
            for port in (source, sink):
                until(lambda: port_open(port), "the ends of the forward")
            for name, cipher in CIPHERS.items():
                for server in self.servers:
                    self.bytes(f"forward-down-{name}", server, self.ssh(server, cipher, "-W", f"127.0.0.1:{source}", "127.0.0.1"))
                    with self.source() as feed:
                        self.bytes(f"forward-up-{name}", server, self.ssh(server, cipher, "-W", f"127.0.0.1:{sink}", "127.0.0.1"), feed.stdout)
                for way in ("forward-down", "forward-up"):
                    self.floor(way, name)
        finally:
            for pump in pumps:
                pump.stop()

    def handshake(self):
        for server in self.servers:
            before, processes = cpu_seconds(server.pid), len(tree(server.pid))
            count = self.a.handshakes if server.name != "openssh" else self.a.handshakes // 4
            result = self.goload(self.load(server, "hs", count, 4))
            settled(server.pid, processes)
            self.rows.note("handshake", server.name, cpu_ms=(cpu_seconds(server.pid) - before) / result["ok"] * 1000, per_second=result["rate"])

    def goload(self, argv: list) -> dict:
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + done.stdout
        result = json.loads(done.stdout.splitlines()[0])
        assert result["fail"] == 0, result
        return result

    def true(self):
        for server in self.servers:
            argv, times = self.ssh(server, CIPHERS["gcm"], "127.0.0.1", "true"), []
            for _ in range(self.a.sequence):
                start = time.monotonic()
                subprocess.run(argv, stdin=subprocess.DEVNULL, check=True)
                times.append((time.monotonic() - start) * 1000)
            self.rows.note("true", server.name, p50_ms=statistics.median(times))

    def memory_kib(self, server: Server) -> int:
        total = 0
        for pid in tree(server.pid):
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        return total

    def idle(self):
        """A crowd that holds authenticated connections with an open session each, on a server of its own."""
        for name in ("libssh", "mezite"):
            server = self.start(name)
            self.goload(self.load(server, "hs", 20, 4))
            before = self.memory_kib(server)
            crowd = subprocess.Popen(self.load(server, "idle", self.a.idle, 8, "-hold", "3s"), stdout=subprocess.PIPE, text=True)
            assert json.loads(crowd.stdout.readline())["fail"] == 0
            assert crowd.stdout.readline().strip() == "READY"
            self.rows.note("idle", name, kib_per_connection=(self.memory_kib(server) - before) / self.a.idle)
            crowd.stdout.close()
            crowd.wait()
            server.process.stop()

    def flat(self):
        """Memory after many connections that have come and gone, and after many refused opens: once, on a server of its own."""
        server = self.start("mezite")
        self.goload(self.load(server, "hs", 2000, 8, "-limit", "1h"))
        settled(server.pid, 1)
        steps = [self.memory_kib(server)]
        for _ in range(4):
            self.goload(self.load(server, "hs", self.a.connections // 4, 8, "-limit", "1h"))
            steps.append(self.memory_kib(server))
        for _ in range(2):
            self.goload(self.load(server, "opens", self.a.opens // 2, 2, "-limit", "1h"))
            steps.append(self.memory_kib(server))
        server.process.stop()
        for at, kib in zip(("start", "connections 1/4", "2/4", "3/4", "4/4", "opens 1/2", "2/2"), steps):
            self.rows.note(f"flat {at}", "mezite", memory_mib=kib / 1024)
        self.steps = steps

    def instructions(self):
        """Callgrind's count of the server's share of a login: the same however busy the machine is."""
        done = subprocess.run(["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self.dir}/callgrind", BIN / "login_bench",
                               "--benchmark_filter=counted/curve25519", "--benchmark_format=json"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        runs = json.loads(done.stdout[done.stdout.index("{"):])["benchmarks"]
        collected = next(int(line.split(":")[-1].split()[0]) for line in done.stderr.splitlines() if "Collected" in line)
        self.rows.note("instructions", "mezite", millions_per_login=collected / runs[0]["iterations"] / 1e6)

    def run(self):
        parts = self.a.what.split(",")
        for once in ("flat", "instructions"):
            if once in parts:
                getattr(self, once)()
        for _ in range(self.a.runs):
            for what in parts:
                if what not in ("flat", "instructions"):
                    getattr(self, what)()

    def report(self) -> bool:
        rows, parts = self.rows, self.a.what.split(",")
        rows.report()
        for part in ("exec", "forward"):
            if part not in parts:
                continue
            for way in ("down", "up"):
                for cipher in CIPHERS:
                    what = f"{part}-{way}-{cipher}"
                    own, openssh, libssh, floor = (rows.median(what, name, "cpu_s_per_gib") for name in ("mezite", "openssh", "libssh", "floor"))
                    rows.bar(f"{what}: CPU <= {ABSOLUTE[cipher]} s/GiB", own <= ABSOLUTE[cipher])
                    rows.bar(f"{what}: CPU {own / openssh:.2f} <= 0.5 x OpenSSH (the floor is {floor / openssh:.2f})", own <= 0.5 * openssh)
                    rows.bar(f"{what}: CPU {own / libssh:.2f} <= 0.8 x libssh (the floor is {floor / libssh:.2f})", own <= 0.8 * libssh)
        if "handshake" in parts:
            rows.bar("server CPU per certificate handshake <= 0.8 ms", rows.median("handshake", "mezite", "cpu_ms") <= 0.8)
        if "true" in parts:
            rows.bar("ssh host true: no slower than libssh", rows.median("true", "mezite", "p50_ms") <= rows.median("true", "libssh", "p50_ms"))
        if "idle" in parts:
            rows.bar(f"<= 24 KiB per idle connection at {self.a.idle}", rows.median("idle", "mezite", "kib_per_connection") <= 24)
        if "flat" in parts:
            rows.bar(f"flat over {self.a.connections} connections and {self.a.opens} refused opens (2 MiB of noise)", max(self.steps[1:]) - self.steps[1] <= 2048)
        return rows.missed == 0

    def close(self):
        for server in self.servers:
            server.process.stop()
        shutil.rmtree(self.dir)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", default="exec,forward,handshake,true,idle,flat,instructions")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--handshakes", type=int, default=400)
    parser.add_argument("--sequence", type=int, default=20, help="sessions per run of 'true'")
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--opens", type=int, default=1_000_000)
    core = Core(parser.parse_args())
    try:
        core.run()
        met = core.report()
        out = ROOT / "bench" / "results" / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-core.json"
        out.write_text(json.dumps({"arguments": vars(core.a), "rows": core.rows.rows}, indent=1))
        print(f"every run: {out.relative_to(ROOT)}")
    finally:
        core.close()
    sys.exit(0 if met else 1)
