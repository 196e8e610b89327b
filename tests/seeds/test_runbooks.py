"""The operations runbooks' commands, as written there."""
import json
import os
import re
import subprocess

from harness.clocks import faked, needs_faketime
from harness.cluster import BIN
from harness.receivers import Webhook, make_tls
from harness.wait import patience, until

from .acceptance import check
from .test_troubleshooting import on_hub, run


@check("R1")
def test_agent_logs_one_json_line_per_event(cluster):
    agent = cluster.start_agent("seed-r1", wait=False, MEZITE_PROXY_ADDR="127.0.0.1:1")
    line = until(lambda: [e for e in agent.events() if e.get("level") in ("warn", "error") and "127.0.0.1" in json.dumps(e)],
                 "a connection error in the log")[0]
    text = json.dumps(line)
    assert "127.0.0.1:1" in text and "refused" in text
    for raw in agent.output().splitlines():
        assert json.loads(raw)["msg"]


@check("R2")
def test_agent_certificate_dates(cluster):
    shown = run(f"openssl x509 -in {cluster.dir}/web-01/agent/x509.pem -noout -dates")
    assert shown.returncode == 0 and "notBefore=" in shown.stdout and "notAfter=" in shown.stdout, shown


@check("R3")
def test_tunnel_port_answers_curl(cluster):
    probe = subprocess.Popen(["curl", "-v", f"telnet://127.0.0.1:{cluster.tunnel}"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
    try:
        said = ""
        while "Connected to" not in said:
            line = probe.stderr.readline()
            assert line, said
            said += line
    finally:
        probe.terminate()
        probe.communicate()


@check("R13")
def test_roles_restrict_logins_by_label(cluster):
    cluster.start_agent("seed-prod", labels="env=prod")
    cluster.role("both", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]})
    cluster.user("rita", "both")
    cluster.login_as("rita")
    assert cluster.ssh("rita", "web-01", "echo in").strip() == "in"
    assert cluster.ssh("rita", "seed-prod", "true", check=False).returncode == 255
    assert cluster.ssh("rita", "web-01", "true", login="root", check=False).returncode == 255


@check("R15")
def test_hub_without_passphrase_warns_at_every_start(fresh):
    cluster = fresh(start=False)
    del cluster.hub_env["MEZITE_CA_KEY_PASSPHRASE"]
    cluster.start_hub()
    warning = lambda: [e for e in cluster.hub.events() if e["level"] == "warn" and "ca_key_passphrase" in json.dumps(e)]  # noqa: E731
    assert len(warning()) == 1 and re.search("(?i)plain|clear", json.dumps(warning()[0]))
    cluster.restart_hub()
    assert len(warning()) == 2


@check("R16")
def test_healthz(cluster):
    shown = run(f"curl -sfk https://127.0.0.1:{cluster.web}/healthz")
    assert shown.returncode == 0
    # With the Host CA as the one trusted root, no -k is needed.
    ca = cluster.dir / "host-ca.pem"
    ca.write_text(cluster.mezctl("ca", "export", "--type=host", "--format=x509"))
    assert run(f"curl -sf --cacert {ca} https://127.0.0.1:{cluster.web}/healthz").returncode == 0


@check("R5")
def test_sqlite_backup_and_restore(fresh):
    cluster = fresh()
    cluster.user("alice", "access")
    copy = cluster.dir / "copy.db"
    assert run(f"sqlite3 {cluster.data}/mezhub.db \".backup '{copy}'\"").returncode == 0
    cluster.mezctl("users", "delete", "alice")
    cluster.hub.stop()
    for name in ("mezhub.db-wal", "mezhub.db-shm"):
        (cluster.data / name).unlink(missing_ok=True)
    assert run(f"cp {copy} {cluster.data}/mezhub.db").returncode == 0
    cluster.hub.start()
    cluster.wait_healthy()
    assert "alice" in cluster.mezctl("users", "list")
    assert run("mezctl audit verify", **on_hub(cluster)).returncode == 0


@needs_faketime
@check("R14")
def test_audit_sinks_by_their_variables_and_nothing_is_pruned(fresh, tmp_path):
    tls = make_tls(tmp_path / "tls")
    receiver, path = Webhook(tls), tmp_path / "audit.jsonl"
    try:
        cluster = fresh(config={"recording": {"backend": "local"}},
                        env={"MEZITE_AUDIT_SINK_WEBHOOK_URL": receiver.url, "MEZITE_AUDIT_SINK_FILE_PATH": str(path),
                             "MEZITE_AUDIT_SINK_WEBHOOK_CA_FILE": str(tls / "ca.pem"), "MEZITE_AUDIT_SINK_WEBHOOK_ALLOW_PRIVATE": "true"})
        cluster.user("somebody", "access")
        wanted = {e["id"] for e in cluster.audit("--limit=1000")}
        until(lambda: wanted <= {e["id"] for e in receiver.events()}, "every event at the webhook")
        until(lambda: wanted <= {json.loads(line)["id"] for line in path.read_text().splitlines()}, "every event in the file")
        # A year on, nothing has gone by itself.
        cluster.hub.stop()
        cluster.hub.env |= faked("+365d")
        cluster.hub.start()
        cluster.wait_healthy()
        assert wanted <= {e["id"] for e in cluster.audit("--limit=1000")}
        assert cluster.mezctl("audit", "verify").startswith("ok")
    finally:
        receiver.close()
