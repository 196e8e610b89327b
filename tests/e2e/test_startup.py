"""What goes wrong at start is one clear sentence with the next step, a non-zero exit, and nothing half-written."""
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from harness.cluster import BIN, PASSPHRASE
from harness.ports import free_port
from harness.wait import patience


def mezhub(config: Path, env: dict | None = None, *arguments):
    return subprocess.run([str(BIN / "mezhub"), f"--config={config}", *arguments], capture_output=True, text=True, timeout=patience(),
                          env={**os.environ, "MEZITE_CA_KEY_PASSPHRASE": PASSPHRASE, **(env or {})})


def config(tmp_path: Path, **more) -> Path:
    path = tmp_path / "mezite.yaml"
    ports = [free_port() for _ in range(4)]
    path.write_text(json.dumps({
        "cluster_name": "start", "data_dir": str(tmp_path / "data"), "auth": {"listen_addr": f"127.0.0.1:{ports[0]}"},
        "proxy": {"listen_addr": f"127.0.0.1:{ports[1]}", "ssh_listen_addr": f"127.0.0.1:{ports[2]}", "tunnel_listen_addr": f"127.0.0.1:{ports[3]}"},
        **more}))
    return path


def complaint(done) -> str:
    """The one line that a person has to read; log lines below error do not count."""
    assert done.returncode not in (0, -6, -11), (done.returncode, done.stderr)
    lines = []
    for line in done.stderr.splitlines():
        try:
            event = json.loads(line)
            if event.get("level") == "error":
                lines.append(line)
        except ValueError:
            lines.append(line)
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize("text, names", [
    ("log:\n  levle: debug\n", ["levle", ":2"]),
    ("log:\n  level: loud\n", ["log.level", "debug", "info", "warn", "error", ":2"]),
    ("auth:\n  enabled: maybe\n", ["auth.enabled", ":2", "true"]),
    ("data_dir: [a, b]\n", ["data_dir", ":1"]),
    ("a: b: c\n", [":1"]),
])
def test_bad_configuration(tmp_path, text, names):
    path = tmp_path / "mezite.yaml"
    path.write_text(text)
    said = complaint(mezhub(path))
    assert str(path) in said
    for name in names:
        assert name in said


def test_missing_configuration(tmp_path):
    assert "none.yaml" in complaint(mezhub(tmp_path / "none.yaml"))


def test_bad_environment(tmp_path):
    assert "MEZITE_LOG_LEVEL" in complaint(mezhub(config(tmp_path), {"MEZITE_LOG_LEVEL": "loud"}))


def test_no_log_level_flag(tmp_path):
    done = mezhub(config(tmp_path), None, "--log-level=debug")
    assert done.returncode == 2 and "log.level" in done.stderr


@pytest.mark.parametrize("key", ["auth.listen_addr", "proxy.listen_addr", "proxy.ssh_listen_addr", "proxy.tunnel_listen_addr"])
def test_port_in_use(tmp_path, key):
    path = config(tmp_path)
    settings = json.loads(path.read_text())
    section, name = key.split(".")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(settings[section][name].rsplit(":", 1)[1])))
        taken.listen()
        said = complaint(mezhub(path))
    assert key in said and settings[section][name].rsplit(":", 1)[1] in said


def test_unwritable_directory(tmp_path):
    """T28: the words that operators grep for. A file in the folder's place stops root too."""
    (tmp_path / "blocker").write_text("")
    said = complaint(mezhub(config(tmp_path, data_dir=str(tmp_path / "blocker" / "data"))))
    assert "unable to open database file" in said


def test_wrong_passphrase(fresh, tmp_path):
    cluster = fresh()
    cluster.hub.stop()
    before = (cluster.data / "mezhub.db").read_bytes()
    said = complaint(mezhub(cluster.config_file, {"MEZITE_CA_KEY_PASSPHRASE": "not it"}))
    assert "ca_key_passphrase" in said and "wrong" in said
    env = {k: v for k, v in os.environ.items() if k != "MEZITE_CA_KEY_PASSPHRASE"}
    done = subprocess.run([str(BIN / "mezhub"), f"--config={cluster.config_file}"], capture_output=True, text=True, env=env, timeout=patience())
    assert "ca_key_passphrase" in complaint(done)
    assert (cluster.data / "mezhub.db").read_bytes() == before
    cluster.hub.start()
    cluster.wait_healthy()


def test_second_hub_on_the_same_data(fresh, tmp_path):
    """R17: SQLite is for one instance; a second one refuses."""
    cluster = fresh()
    other = config(tmp_path, data_dir=str(cluster.data))
    assert str(cluster.hub.pid) in complaint(mezhub(other))
    assert cluster.get("/healthz")[0] == 200


def test_clean_shutdown(fresh):
    cluster = fresh()
    assert cluster.hub.stop() == 0
    assert not (cluster.data / "admin.sock").exists()
    cluster.hub.start()
    cluster.wait_healthy()


def test_no_flags_lead_to_migrate():
    done = subprocess.run([str(BIN / "mezhub"), "migrate"], capture_output=True, text=True, timeout=patience())
    assert done.returncode == 2


WRONG_CALLS = {
    "mezctl recordings play": ("ID is missing", "mezctl recordings play f81d4fae-7dec-41d0-a765-00a0c91e6bf6"),
    "mezctl recordings rm": ("ID is missing", "mezctl recordings rm f81d4fae-7dec-41d0-a765-00a0c91e6bf6 --yes"),
    "mezctl recordings export --format=text": ("ID is missing", "mezctl recordings export"),
    "mezctl recordings search --user=alice": ("TEXT is missing", "mezctl recordings search 'rm -rf' --since=7d;"),
    "mezctl recordings reindex it": ("'it' is one argument too many", "mezctl recordings reindex"),
    "mezctl recordings play a --fast": ("no option '--fast'",),
    "mezctl users get": ("NAME is missing: which user", "mezctl users get NAME"),
    "mezctl nodes rm": ("NAME is missing", "mezctl nodes rm"),
    "mezctl ca unrevoke": ("ID is missing", "mezctl ca unrevoke"),
    "mezctl login": ("USERNAME is missing", "--username=alice"),
    "mezctl roles explain --user=alice": ("--node is missing", "--node=web-01"),
    "mezctl roles create": ("--from-file is missing", "--from-file=developer.yaml"),
    "mezctl recordings": ("one of these commands is missing: ls, play",),
    "mezctl recordings paly": ("'paly' is none of these commands",),
    "msh play": ("SESSION is missing", "msh play "),
    "msh proxy ssh": ("TARGET is missing", "ProxyCommand"),
    "msh completion": ("SHELL is missing", "msh completion bash"),
    "msh status now": ("'now' is one argument too many", "msh status"),
}


@pytest.mark.parametrize("call", WRONG_CALLS)
def test_wrong_calls_say_what_is_missing_with_an_example(call):
    program, *arguments = call.split()
    done = subprocess.run([BIN / program, *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and not done.stdout, done
    assert done.stderr.count("\n") == 1 and "is required" not in done.stderr, done.stderr
    for text in WRONG_CALLS[call]:
        assert text in done.stderr, done.stderr


@pytest.mark.parametrize("program", ["mezhub", "mezd", "mezctl", "msh"])
def test_help_and_version(program):
    shown = subprocess.run([str(BIN / program), "--help"], capture_output=True, text=True, timeout=patience())
    assert shown.returncode == 0 and "xample" in shown.stdout, shown.stdout
    version = subprocess.run([str(BIN / program), "--version"], capture_output=True, text=True, timeout=patience())
    assert version.returncode == 0 and program in version.stdout
    wrong = subprocess.run([str(BIN / program), "--no-such-flag"], capture_output=True, text=True, timeout=patience())
    assert wrong.returncode in (2, 255) and "--help" in wrong.stderr


class TestAdminErrors:
    def test_unreachable(self, cluster):
        done = cluster.run([BIN / "mezctl", "--auth-server=127.0.0.1:1", "--token=x", "--insecure", "users", "ls"], check=False)
        assert done.returncode == 1 and b"127.0.0.1:1" in done.stderr

    def test_no_socket_and_no_token(self, cluster):
        done = cluster.run([BIN / "mezctl", f"--socket={cluster.dir}/none.sock", "users", "ls"], check=False)
        assert done.returncode == 1 and b"mezctl login" in done.stderr

    def test_unknown_things_are_named(self, cluster):
        for what in ("users", "roles", "nodes"):
            done = cluster.mezctl(what, "get", "no-such-thing", check=False)
            assert done.returncode == 1 and b"no-such-thing" in done.stderr and done.stdout == b""

    def test_login_prints_the_token_only(self, cluster):
        cluster.user("adele", "admin")
        where = [BIN / "mezctl", f"--auth-server=127.0.0.1:{cluster.grpc}", f"--ca-pin={cluster.pin()}"]
        token = cluster.run([*where, "login", "--username=adele", "--password=a good long password"])
        assert len(token.split()) == 1 and token.endswith("\n")
        listed = json.loads(cluster.run([*where, f"--token={token.strip()}", "users", "ls", "--format=json"]))
        assert "adele" in [u["name"] for u in listed]
        wrong = cluster.run([*where, "login", "--username=adele", "--password=no"], check=False)
        assert wrong.returncode == 1 and wrong.stdout == b""

    def test_a_user_without_the_right_is_refused_and_it_is_audited(self, cluster):
        where = [BIN / "mezctl", f"--auth-server=127.0.0.1:{cluster.grpc}", f"--ca-pin={cluster.pin()}"]
        token = cluster.run([*where, "login", "--username=alice", "--password=a good long password"]).strip()
        done = cluster.run([*where, f"--token={token}", "users", "create", "mallory", "--roles=admin"], check=False)
        assert done.returncode == 1 and b"mallory" not in cluster.mezctl("users", "ls").encode()
        cluster.wait_audit("authz.denied", lambda e: e["user_name"] == "alice")


class TestAgentConfiguration:
    def mezd(self, tmp_path, text=None, **env):
        arguments = []
        if text is not None:
            path = tmp_path / "mezd.yaml"
            path.write_text(text)
            arguments = [f"--config={path}"]
        return subprocess.run([str(BIN / "mezd"), *arguments], capture_output=True, text=True, timeout=patience(),
                              env={**os.environ, "MEZITE_DATA_DIR": str(tmp_path / "agent"), **env})

    def test_unknown_key(self, tmp_path):
        said = complaint(self.mezd(tmp_path, "auth_addr: localhost:3025\nlables: {a: b}\n"))
        assert "lables" in said and ":2" in said

    def test_bad_labels(self, tmp_path):
        assert "MEZITE_LABELS" in complaint(self.mezd(tmp_path, MEZITE_LABELS="novalue"))

    def test_no_token(self, tmp_path):
        said = complaint(self.mezd(tmp_path))
        assert "MEZITE_JOIN_TOKEN" in said and "mezctl tokens create" in said
