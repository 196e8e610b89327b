#!/usr/bin/python3
"""A whole cluster and OpenSSH's jump host, in turns, in one run, on loopback; medians and ratios at the end."""
import argparse
import filecmp
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measure import ROOT, RUN, Rows, account, cpu_seconds, settled, tree  # noqa: E402
from harness.cluster import BIN, Cluster  # noqa: E402
from harness.ports import free_port  # noqa: E402
from harness.process import Process  # noqa: E402
from harness.cluster import port_open  # noqa: E402
from harness.wait import until  # noqa: E402


class Sshd:
    """A stock sshd with the options that make it fastest, as a jump host or behind one."""

    def __init__(self, cluster: Cluster, name: str):
        self.port, folder = free_port(), cluster.dir / name
        folder.mkdir()
        os.makedirs("/run/sshd", exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host"], check=True)
        (folder / "user_ca.pub").write_text(cluster.mezctl("ca", "export", "--type=user", "--format=openssh"))
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nTrustedUserCAKeys {folder}/user_ca.pub\n"
            "AuthorizedPrincipalsFile none\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"MaxStartups 2000\nMaxSessions 1000\nPidFile none\nUseDNS no\nPrintMotd no\nLogLevel ERROR\n")
        self.process = Process(name, ["/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd_config"], folder / "log")
        until(lambda: port_open(self.port), f"{name} to listen")


class Bench:
    def __init__(self, arguments):
        self.a, self.rows = arguments, Rows()
        self.cluster = c = Cluster(config={"log": {"level": "warn"}})
        subprocess.run(["usermod", "-p", "*", c.login], check=True)  # sshd without PAM refuses an account that is locked
        c.role("bench", {"node_labels": {"*": "*"}, "logins": [c.login]}, options={"record_session": "off" if arguments.unrecorded else "default"})
        c.user(c.login, "bench")
        c.start_agent("web-01")
        self.identity = c.login_as(c.login)
        self.jump_sshd, self.final_sshd = Sshd(c, "jump"), Sshd(c, "final")
        lines = c.known_hosts().read_text()
        keys = [(s, (c.dir / s.process.name / "host.pub").read_text()) for s in (self.jump_sshd, self.final_sshd)]
        self.known = c.dir / "bench_known_hosts"
        self.known.write_text("".join(f"[127.0.0.1]:{s.port} {key}" for s, key in keys) + lines)
        self.config = c.dir / "bench_ssh_config"
        options = c.ssh_options(self.identity)[1::2]
        options = [o for o in options if not o.startswith("UserKnownHostsFile")] + [f"UserKnownHostsFile={self.known}"]
        self.config.write_text("Host *\n" + "".join(f"  {o.replace('=', ' ', 1)}\n" for o in options) + f"  Ciphers {arguments.cipher}\n")
        # name, pid of the jump host, port of the jump host, where it leads, options for that
        self.ways = [("openssh", self.jump_sshd.process.pid, self.jump_sshd.port, "127.0.0.1", ["-p", str(self.final_sshd.port)]),
                     ("mezite", c.hub.pid, c.ssh_port, "web-01", [])]

        for name, pid, *_ in self.ways:
            account(name, pid)

    def ssh(self, way, *command):
        _, _, port, host, more = way
        user = self.cluster.login
        return ["ssh", "-F", str(self.config), "-J", f"{user}@127.0.0.1:{port}", *more, f"{user}@{host}", *command]

    def handshake(self):
        for name, pid, port, _, _ in self.ways:
            before, processes = cpu_seconds(pid), len(tree(pid))
            argv = [RUN / "goload", "-mode", "hs", "-addr", f"127.0.0.1:{port}", "-user", self.cluster.login, "-key", self.identity, "-cert",
                    f"{self.identity}-cert.pub", "-n", str(self.a.handshakes if name != "openssh" else self.a.handshakes // 4), "-c", "4",
                    "-kex", "curve25519-sha256", "-hostalg", ""]
            done = subprocess.run(list(map(str, argv)), capture_output=True, text=True)
            assert done.returncode == 0, done.stderr + done.stdout
            result = json.loads(done.stdout.splitlines()[0])
            assert result["fail"] == 0, result
            settled(pid, processes)
            self.rows.note("handshake", name, cpu_ms=(cpu_seconds(pid) - before) / result["ok"] * 1000, per_second=float(result["rate"]))

    def transfer(self, what, name, pid, argv, size, stdin=None):
        before, processes, start = cpu_seconds(pid), len(tree(pid)), time.monotonic()
        subprocess.run(argv, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, env={**os.environ, "PUMP_LOG": "/dev/null"})
        seconds = time.monotonic() - start
        settled(pid, processes)
        self.rows.note(what, name, mib_per_s=size / seconds / (1 << 20), cpu_s_per_gib=(cpu_seconds(pid) - before) / (size / (1 << 30)))

    def source(self, size):
        return subprocess.Popen([RUN / "pump", "src", str(size)], stdout=subprocess.PIPE, env={**os.environ, "PUMP_LOG": "/dev/null"})

    def jump(self):
        size = self.a.mib << 20
        for way in self.ways:
            self.transfer("jump-down", way[0], way[1], self.ssh(way, f"{self.pump} src {size}"), size)
            feed = self.source(size)
            self.transfer("jump-up", way[0], way[1], self.ssh(way, f"{self.pump} sink"), size, feed.stdout)
            feed.wait()

    def express(self):
        size = self.a.mib << 20
        msh = [BIN / "msh", "ssh", f"{self.cluster.login}@web-01"]
        os.environ["MSH_HOME"] = str(self.cluster.dir / f"msh-{self.cluster.login}")
        self.transfer("express-down", "mezite", self.cluster.hub.pid, [*msh, f"{self.pump} src {size}"], size)

    def scp(self):
        """Stock scp and msh scp, the same file, to and from the same node; CPU is the agent's."""
        size = self.a.mib << 20
        folder = self.cluster.dir / "copied"
        if not folder.exists():
            folder.mkdir()
            shutil.chown(folder, self.cluster.login)
            subprocess.run(["dd", "if=/dev/urandom", f"of={folder}/file", "bs=1M", f"count={self.a.mib}", "status=none"], check=True)
            (folder / "file").chmod(0o644)
        os.environ["MSH_HOME"] = str(self.cluster.dir / f"msh-{self.cluster.login}")
        remote = f"{self.cluster.login}@web-01:{folder}"
        programs = [("openssh", ["scp", "-q", "-F", self.config, "-J", f"{self.cluster.login}@127.0.0.1:{self.cluster.ssh_port}"]),
                    ("msh", [BIN / "msh", "scp", "-q"])]
        agent = self.cluster.agents["web-01"].pid
        for name, program in programs:
            self.transfer("scp-up", name, agent, list(map(str, [*program, folder / "file", f"{remote}/up"])), size)
            self.transfer("scp-down", name, agent, list(map(str, [*program, f"{remote}/file", folder / "down"])), size)
            for copy in ("up", "down"):
                assert filecmp.cmp(folder / "file", folder / copy, shallow=False), f"{name} {copy}"
                (folder / copy).unlink()

    def true(self):
        for way in self.ways:
            times = []
            for _ in range(self.a.sequence):
                start = time.monotonic()
                subprocess.run(self.ssh(way, "true"), stdin=subprocess.DEVNULL, check=True)
                times.append((time.monotonic() - start) * 1000)
            self.rows.note("true", way[0], p50_ms=statistics.median(times))

    def run(self):
        # The remote command, where the login user can reach it.
        self.pump = self.cluster.dir / "pump"
        self.pump.write_bytes((RUN / "pump").read_bytes())
        self.pump.chmod(0o755)
        for _ in range(self.a.runs):
            for what in self.a.what.split(","):
                getattr(self, what)()

    def report(self) -> bool:
        rows = self.rows
        rows.report()
        if "handshake" in self.a.what:
            rows.bar("server CPU per certificate handshake <= 1.3 ms", rows.median("handshake", "mezite", "cpu_ms") <= 1.3)
        for way in ("up", "down"):
            if "scp" in self.a.what:
                rows.bar(f"scp {way}: msh scp >= 1.0 x stock scp", rows.median(f"scp-{way}", "msh", "mib_per_s") >= rows.median(f"scp-{way}", "openssh", "mib_per_s"))
            if "jump" in self.a.what:
                rows.bar(f"jump {way} >= 1.0 x OpenSSH's jump host", rows.median(f"jump-{way}", "mezite", "mib_per_s") >= rows.median(f"jump-{way}", "openssh", "mib_per_s"))
        return rows.missed == 0

    def close(self):
        for sshd in (self.jump_sshd, self.final_sshd):
            sshd.process.stop()
        self.cluster.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", default="handshake,jump,express,scp,true")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--mib", type=int, default=384)
    parser.add_argument("--handshakes", type=int, default=400)
    parser.add_argument("--sequence", type=int, default=10, help="sessions per run of 'true'")
    parser.add_argument("--cipher", default="aes128-gcm@openssh.com")
    parser.add_argument("--unrecorded", action="store_true", help="the node records nothing")
    bench = Bench(parser.parse_args())
    try:
        bench.run()
        met = bench.report()
        out = ROOT / "bench" / "results" / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-cluster.json"
        out.write_text(json.dumps({"arguments": vars(bench.a), "rows": bench.rows.rows}, indent=1))
        print(f"every run: {out.relative_to(ROOT)}")
    finally:
        bench.close()
    sys.exit(0 if met else 1)
