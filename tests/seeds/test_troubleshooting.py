"""The troubleshooting guide's commands, as written there."""
import json
import os
import re
import sqlite3
import subprocess
from datetime import datetime, timezone

from harness.cluster import BIN, PASSPHRASE
from harness.process import Process
from harness.wait import patience, until

from .acceptance import check


def run(command: str, **env) -> subprocess.CompletedProcess:
    return subprocess.run(command, shell=True, capture_output=True, text=True, timeout=patience(), env={**os.environ, **env})


def on_hub(cluster) -> dict[str, str]:
    """A shell on the hub's machine: the binaries on PATH, the local socket where this cluster has it."""
    return {"PATH": f"{BIN}:{os.environ['PATH']}", "MEZITE_ADMIN_SOCKET": f"{cluster.data}/admin.sock"}


@check("T1")
def test_tokens_are_listed_and_made(cluster):
    env = on_hub(cluster)
    made = run("mezctl tokens create --roles=node --ttl=1h", **env)
    assert made.returncode == 0, made.stderr
    for listing in ("mezctl tokens list", "mezctl tokens ls"):
        shown = run(listing, **env)
        assert shown.returncode == 0 and "node" in shown.stdout and re.search(r"(?i)expires", shown.stdout), shown
    # What was printed, not the JSON form, makes an agent join: once.
    token = re.search(r"[A-Za-z0-9_-]{43}\.[0-9a-f]{64}", made.stdout)[0]
    cluster.start_agent("seed-t1", MEZITE_JOIN_TOKEN=token)
    again = subprocess.run([str(BIN / "mezd")], capture_output=True, timeout=patience(),
                           env={**os.environ, **cluster.agent_env("seed-t1b", MEZITE_JOIN_TOKEN=token)})
    assert again.returncode != 0 and b"token" in again.stderr


@check("T1")
def test_token_works_within_its_ttl_only(cluster):
    made = json.loads(cluster.mezctl("tokens", "create", "--roles=node", "--ttl=1s", "--format=json"))
    expires = datetime.fromisoformat(made["expires_at"].replace("Z", "+00:00"))
    until(lambda: datetime.now(timezone.utc) > expires, "the token to expire")
    late = subprocess.run([str(BIN / "mezd")], capture_output=True, timeout=patience(),
                          env={**os.environ, **cluster.agent_env("seed-late", MEZITE_JOIN_TOKEN=made["token"])})
    assert late.returncode != 0 and b"expired" in late.stderr


@check("T2")
def test_ports_that_agents_need_are_open(cluster):
    for port in (cluster.grpc, cluster.tunnel):
        assert run(f"nc -zv 127.0.0.1 {port}").returncode == 0


@check("T5")
def test_status_shows_expiry_and_an_expired_certificate_names_the_cure(cluster):
    status = json.loads(cluster.msh("status", "--format=json"))
    left = datetime.fromisoformat(status["expires_at"].replace("Z", "+00:00")) - datetime.now(timezone.utc)
    assert 0 < left.total_seconds() <= 12 * 3600
    cluster.role("blink", {"node_labels": {"*": "*"}, "logins": [cluster.login]}, options={"max_session_ttl": "1s"})
    cluster.user("bea", "blink")
    cluster.login_as("bea")
    until(lambda: json.loads(cluster.msh("status", "--format=json", user="bea", check=False).stdout).get("expired"), "the certificate to expire")
    refused = cluster.msh("ssh", f"{cluster.login}@web-01", "true", user="bea", check=False)
    assert refused.returncode == 255 and b"msh login" in refused.stderr


@check("T6")
def test_a_denial_can_be_explained(cluster):
    done = cluster.ssh("alice", "web-01", "true", login="root", check=False)
    assert done.returncode == 255
    cluster.wait_audit("access.denied")
    env = on_hub(cluster)
    events = run("mezctl audit ls --type=access.denied --since=10m", **env)
    assert "alice" in events.stdout and "web-01" in events.stdout and "root" in events.stdout, events
    role = run("mezctl roles get developer", **env)
    assert "node_labels" in role.stdout and cluster.login in role.stdout, role
    node = run("mezctl nodes get web-01", **env)
    assert "env" in node.stdout and "dev" in node.stdout, node


@check("T26")
def test_database_variables_and_the_boot_log(fresh):
    cluster = fresh(env={"MEZITE_DB_DRIVER": "sqlite"})
    assert any(str(cluster.data / "mezhub.db") in json.dumps(e) for e in cluster.hub.events()), cluster.hub.output()
    assert PASSPHRASE not in cluster.hub.output()
    assert run(f"sqlite3 {cluster.data}/mezhub.db 'SELECT 1;'").stdout == "1\n"


@check("T28")
def test_database_file_is_made_at_first_start_and_a_bad_parent_is_named(fresh, tmp_path):
    cluster = fresh(start=False)
    assert not (cluster.data / "mezhub.db").exists()
    cluster.start_hub()
    assert (cluster.data / "mezhub.db").exists()
    (tmp_path / "file").write_text("")
    other = fresh(start=False, config={"data_dir": str(tmp_path / "file" / "data")})
    done = subprocess.run([str(BIN / "mezhub"), f"--config={other.config_file}"], capture_output=True, text=True, timeout=patience())
    assert done.returncode != 0 and "unable to open database file" in done.stderr


@check("T32")
def test_ca_keys_are_encrypted_and_need_the_passphrase(fresh):
    cluster = fresh()
    cluster.hub.stop()
    content = b"".join(path.read_bytes() for path in cluster.data.glob("mezhub.db*"))
    for clear in (b"PRIVATE KEY", b"openssh-key-v1", bytes.fromhex("302e020100300506032b6570")):  # the last: PKCS#8 of Ed25519
        assert clear not in content
    backup = cluster.dir / "restored"
    backup.mkdir()
    with sqlite3.connect(cluster.data / "mezhub.db") as db:
        db.execute(f"VACUUM INTO '{backup}/mezhub.db'")
    restored = fresh(start=False, config={"data_dir": str(backup)})
    env = {k: v for k, v in os.environ.items() if k != "MEZITE_CA_KEY_PASSPHRASE"}
    for passphrase in ({}, {"MEZITE_CA_KEY_PASSPHRASE": "another one"}):
        done = subprocess.run([str(BIN / "mezhub"), f"--config={restored.config_file}"], capture_output=True, text=True,
                              env={**env, **passphrase}, timeout=patience())
        assert done.returncode != 0 and "ca_key_passphrase" in done.stderr, done
    restored.start_hub()  # with the right one


@check("T35")
def test_log_level_of_the_hub(fresh):
    quiet = fresh(config={"log": {"level": "error"}})
    assert not [e for e in quiet.hub.events() if e["level"] in ("debug", "info")]
    loud = fresh(config={"log": {"level": "error"}}, env={"MEZITE_LOG_LEVEL": "debug"})
    loud.get("/healthz")
    until(lambda: [e for e in loud.hub.events() if e["level"] == "debug"], "a debug line")
    refused = run(f"{BIN}/mezhub --config={loud.config_file} --log-level=debug")
    assert refused.returncode == 2
    for level in ("debug", "info", "warn", "error"):
        assert level in run(f"MEZITE_LOG_LEVEL=zzz {BIN}/mezhub --config={loud.config_file}").stderr


@check("T36")
def test_agent_ignores_the_log_level(cluster):
    agent = cluster.start_agent("seed-t36", MEZITE_LOG_LEVEL="error")
    assert [e for e in agent.events() if e["level"] == "info"]
    other = cluster.start_agent("seed-t36b", MEZITE_LOG_LEVEL="debug")
    assert not [e for e in other.events() if e["level"] == "debug"]


@check("T34")
def test_audit_key_rotates_and_the_chain_verifies_across(fresh):
    cluster = fresh()
    cluster.user("before", "access")
    old, new = cluster.hub_env["MEZITE_AUDIT_HMAC_KEY"], "6e" * 32
    kept = cluster.mezctl("audit", "checkpoints", "export")
    (cluster.dir / "kept.jsonl").write_text(kept)

    def restart_with(**env):
        cluster.hub.stop()
        cluster.hub_env |= env
        cluster.start_hub()

    restart_with(MEZITE_AUDIT_HMAC_KEY=new, MEZITE_AUDIT_PREVIOUS_HMAC_KEYS=old)
    cluster.user("after", "access")
    verified = run(f"mezctl audit verify --checkpoints={cluster.dir}/kept.jsonl", **on_hub(cluster))
    assert verified.returncode == 0 and verified.stdout.startswith("ok"), verified
    ids = {e["hmac_key_id"] for e in cluster.audit("--limit=1000")}
    assert len(ids) == 2, "events say which key they were chained with"
    # Without the old key the hub can't tell, and says which one it needs.
    restart_with(MEZITE_AUDIT_PREVIOUS_HMAC_KEYS="")
    verified = run("mezctl audit verify", **on_hub(cluster))
    assert verified.returncode != 0 and "audit.previous_hmac_keys" in verified.stderr
    restart_with(MEZITE_AUDIT_PREVIOUS_HMAC_KEYS=old)
    assert run("mezctl audit verify", **on_hub(cluster)).returncode == 0
