"""The process mezhub with the auth service alone: readiness, reload, warnings, what is refused."""
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest

from harness.cluster import BIN, HMAC_KEY, PASSPHRASE
from harness.ports import free_port
from harness.process import Process
from harness.wait import until

SECRETS = {"MEZITE_CA_KEY_PASSPHRASE": PASSPHRASE, "MEZITE_AUDIT_HMAC_KEY": HMAC_KEY}


class Hub:
    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        self.file = folder / "mezite.yaml"
        self.data = folder / "data"
        self.write()
        self.process = None
        self.starts = 0

    def write(self, **more):
        self.file.write_text(json.dumps({
            "cluster_name": "solo", "data_dir": str(self.data), "auth": {"listen_addr": f"127.0.0.1:{self.port}"},
            "proxy": {"enabled": False}, **more}))

    def start(self, **env):
        self.starts += 1
        log = self.folder / f"log-{self.starts}"
        self.process = Process("mezhub", [BIN / "mezhub", f"--config={self.file}"], log, {**SECRETS, **env})
        self.process.wait_logged("mezhub started")
        return self.process


@pytest.fixture
def hub(tmp_path):
    made = Hub(tmp_path)
    yield made
    if made.process:
        made.process.stop()


def test_ready_and_stopping_are_told_to_the_supervisor(hub, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(30)
        process = hub.start(NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert supervisor.recv(100) == b"READY=1"
        assert process.stop() == 0
        assert supervisor.recv(100) == b"STOPPING=1"


def test_files_are_the_hubs_own(hub):
    hub.start()
    for name, kind in (("mezhub.db", stat.S_ISREG), ("admin.sock", stat.S_ISSOCK)):
        mode = (hub.data / name).stat().st_mode
        assert kind(mode) and stat.S_IMODE(mode) == 0o600, (name, oct(mode))
    assert stat.S_IMODE(hub.data.stat().st_mode) == 0o700


def test_boot_log_has_the_redacted_dsn_and_no_secret(hub):
    process = hub.start(MEZITE_LOG_LEVEL="debug")
    assert process.logged("mezhub started")[0]["database"] == f"sqlite:{hub.data}/mezhub.db"
    assert PASSPHRASE not in process.output() and HMAC_KEY not in process.output()


def test_warnings_without_secrets_at_every_start(hub):
    """R15"""
    for _ in range(2):
        process = hub.start(MEZITE_CA_KEY_PASSPHRASE="", MEZITE_AUDIT_HMAC_KEY="")
        warnings = [e["msg"] for e in process.events() if e["level"] == "warn"]
        assert sum("ca_key_passphrase" in w for w in warnings) == 1
        assert sum("audit.hmac_key" in w for w in warnings) == 1
        assert process.stop() == 0


def test_no_warnings_with_secrets(hub):
    process = hub.start()
    assert [e for e in process.events() if e["level"] in ("warn", "error")] == []


def test_reload_on_sighup(hub):
    process = hub.start()
    hub.write(log={"level": "debug", "format": "json"}, recording={"mode": "off"})
    os.kill(process.pid, signal.SIGHUP)
    assert process.wait_logged("configuration reloaded")["needs_restart"] == "recording.mode"
    hub.write(log={"level": "loud"})
    os.kill(process.pid, signal.SIGHUP)
    assert "log.level" in process.wait_logged("was not reloaded")["error"]
    assert process.stop() == 0


def test_a_mistyped_variable_is_pointed_out(hub):
    process = hub.start(MEZITE_LOG_LEVLE="debug")
    assert process.logged("looks like ours")[0]["variable"] == "MEZITE_LOG_LEVLE"


def test_start_and_stop_are_audited(hub):
    assert hub.start().stop() == 0
    with sqlite3.connect(f"file:{hub.data}/mezhub.db?mode=ro", uri=True) as database:
        everything = [row[0] for row in database.execute("SELECT event_type FROM audit_events")]
    assert "hub.started" in everything and "hub.stopped" in everything and "ca.created" in everything


def test_a_crash_leaves_nothing_in_the_way(hub):
    hub.start()
    hub.process.kill()
    hub.start()
    assert hub.process.running()


def test_port_in_use_makes_nothing(hub):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", hub.port))
        taken.listen()
        done = subprocess.run([BIN / "mezhub", f"--config={hub.file}"], capture_output=True, text=True, env={**os.environ, **SECRETS})
    assert done.returncode == 1 and "auth.listen_addr" in done.stderr and str(hub.port) in done.stderr
    assert not hub.data.exists()


@pytest.mark.parametrize("settings, words", [
    ({"database": {"driver": "postgres"}}, "database.driver: postgres is not supported by this version; use sqlite"),
    ({"recording": {"backend": "s3"}}, "recording.backend is s3, but recording.s3.bucket is not set"),
    ({"auth": {"enabled": False}}, "auth.enabled: false is not supported"),
])
def test_what_is_not_supported_is_refused(hub, settings, words):
    hub.write(**settings)
    done = subprocess.run([BIN / "mezhub", f"--config={hub.file}"], capture_output=True, text=True, env={**os.environ, **SECRETS})
    assert done.returncode == 1 and words in done.stderr and not hub.data.exists()


def test_flags(hub):
    def mezhub(*arguments):
        return subprocess.run([BIN / "mezhub", *arguments], capture_output=True, text=True)

    good = mezhub("--check-config", f"--config={hub.file}")
    assert good.returncode == 0 and not hub.data.exists()
    for wrong in (["--log-level=debug"], ["migrate"], ["--nonsense"], ["--config"]):
        done = mezhub(*wrong)
        assert done.returncode == 2 and "--help" in done.stderr and done.stdout == "", wrong
    assert "log.level" in mezhub("--log-level=debug").stderr
    reference = mezhub("--config-reference").stdout
    assert reference == (Path(__file__).resolve().parents[2] / "docs/configuration.md").read_text()


def test_many_restarts_keep_the_authorities(hub):
    keys = set()
    for _ in range(3):
        hub.start()
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{hub.port}", "-alpn", "h2", "-showcerts"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        chain = done.stdout.split("-----BEGIN CERTIFICATE-----")
        assert len(chain) == 3, done.stdout
        keys.add(chain[2].split("-----END")[0])
        assert hub.process.stop() == 0
    assert len(keys) == 1
    until(lambda: not (hub.data / "admin.sock").exists(), "the admin socket to be gone")
