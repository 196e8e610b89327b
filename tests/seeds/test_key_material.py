"""What the two documents promise of CA keys: where they are, and what a restore needs."""
import json
import sqlite3
import subprocess
from pathlib import Path

import pytest

from harness.cluster import BIN
from harness.kms import Fault, KmsStandIn
from harness.wait import patience, until

from .acceptance import check

PIN = "sha256:2ebdaebb981241e45b27b6b6aeb4307f0f0f6c42301cd34067fa4410a03cac05"  # of database_v4.sql


@pytest.fixture
def kms():
    made = KmsStandIn()
    yield made
    made.close()


@check("T30")
def test_an_older_database_is_migrated_at_its_first_start(fresh):
    cluster = fresh(start=False)
    cluster.data.mkdir(mode=0o700)
    with sqlite3.connect(cluster.data / "mezhub.db") as db:
        db.executescript((Path(__file__).parent / "database_v4.sql").read_text())
    cluster.start_hub()
    assert cluster.pin() == PIN, "the same CA"
    assert [u["name"] for u in json.loads(cluster.mezctl("users", "list", "--format=json"))] == ["alice"]
    assert cluster.mezctl("audit", "verify")
    with sqlite3.connect(f"file:{cluster.data}/mezhub.db?mode=ro", uri=True) as db:
        versions = [row[0] for row in db.execute("SELECT version FROM schema_migrations ORDER BY version")]
    assert versions == list(range(1, len(versions) + 1)) and versions[-1] > 4
    cluster.restart_hub()  # and they are not run twice
    assert cluster.pin() == PIN


@check("T33")
def test_with_kms_the_database_holds_aliases_and_a_restore_needs_the_keys(fresh, kms):
    cluster = fresh(config={"ca": kms.config()}, env=kms.env())
    cluster.hub.stop()
    with sqlite3.connect(cluster.data / "mezhub.db") as db:
        aliases = [row[0] for row in db.execute("SELECT kms_alias FROM certificate_authorities")]
        backup = cluster.dir / "restored"
        backup.mkdir()
        db.execute(f"VACUUM INTO '{backup}/mezhub.db'")
    assert len(aliases) == 3 and all(kms.aliases[alias] in kms.keys for alias in aliases)
    content = (backup / "mezhub.db").read_bytes()
    for key in kms.keys.values():
        assert key.private.private_numbers().private_value.to_bytes(32, "big") not in content

    restored = fresh(start=False, config={"data_dir": str(backup), "ca": kms.config()}, env=kms.env())
    for key in kms.keys.values():
        key.state = "PendingDeletion"
    done = subprocess.run([str(BIN / "mezhub"), f"--config={restored.config_file}"], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", **restored.hub_env}, timeout=patience())
    assert done.returncode != 0 and "can't sign" in done.stderr and "PendingDeletion" in done.stderr, done
    for key in kms.keys.values():
        key.state = "Enabled"
    restored.data = backup
    restored.start_hub()
    assert json.loads(restored.mezctl("ca", "status", "--format=json"))


def ca(cluster, ca_type: str) -> dict:
    return next(a for a in json.loads(cluster.mezctl("ca", "status", "--format=json")) if a["type"] == ca_type)


@check("T13")
@pytest.mark.parametrize("operation", ["CreateKey", "CreateAlias"])
def test_a_kms_rotation_without_permission_stays_at_init_on_the_old_key(fresh, kms, operation):
    kms.required_tags = {"team": "security"}
    cluster = fresh(config={"ca": kms.config(key_tags={"team": "security"})}, env=kms.env())
    cluster.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]})
    cluster.user("alice", "developer")
    old = ca(cluster, "user")["active_fingerprint"]
    if operation == "CreateKey":
        kms.required_tags = {"team": "security", "cost-center": "7"}  # the IAM policy's condition on aws:RequestTag
    else:
        kms.faults["CreateAlias"] = Fault("AccessDeniedException")
    refused = cluster.mezctl("ca", "rotate", "--type=user", check=False)
    assert refused.returncode != 0 and f"kms:{operation}".encode() in refused.stderr, refused
    status = ca(cluster, "user")
    assert (status["rotation_phase"], status["active_fingerprint"]) == ("init", old), status
    assert not status.get("standby_fingerprint")
    cluster.login_as("alice")  # the old key signs on
    cluster.restart_hub()
    assert (ca(cluster, "user")["rotation_phase"], ca(cluster, "user")["active_fingerprint"]) == ("init", old)
    # With the permission the rotation goes on; what was made and not named is used.
    kms.required_tags, kms.faults = {"team": "security"}, {}
    made = len(kms.keys)
    cluster.mezctl("ca", "rotate", "--type=user")
    assert len(kms.keys) == (4 if operation == "CreateKey" else made) == 4
    cluster.mezctl("ca", "advance", "--type=user", "--force")
    cluster.mezctl("ca", "advance", "--type=user", "--force")
    done = ca(cluster, "user")
    assert done["rotation_phase"] == "complete" and done["active_fingerprint"] != old


@check("T13")
def test_moving_from_software_keys_to_kms_is_a_rotation(fresh, kms):
    cluster = fresh()
    cluster.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]})
    cluster.user("alice", "developer")
    cluster.start_agent("web-01")
    cluster.login_as("alice")
    cluster.hub.stop()
    cluster.write_config({"ca": kms.config()})
    cluster.hub_env |= kms.env()
    cluster.start_hub()
    cluster.wait_connected("web-01")
    assert not kms.keys, "what is there stays where it is"
    for ca_type in ("user", "host", "spiffe"):
        cluster.mezctl("ca", "rotate", f"--type={ca_type}")
        for _ in range(2):
            until(lambda: not ca(cluster, ca_type).get("lagging_nodes"), "the agent to follow")  # noqa: B023
            cluster.mezctl("ca", "advance", f"--type={ca_type}")
        with sqlite3.connect(f"file:{cluster.data}/mezhub.db?mode=ro", uri=True) as db:
            rows = db.execute("SELECT kms_alias FROM certificate_authorities WHERE type = ?", (ca_type,)).fetchall()
        assert len(rows) == 1 and kms.aliases[rows[0][0]] in kms.keys
    (cluster.dir / "known_hosts").unlink(missing_ok=True)
    cluster.login_as("alice")
    assert cluster.ssh("alice", "web-01", "echo signed by kms").strip() == "signed by kms"
    cluster.restart_hub()
    cluster.wait_connected("web-01")
