"""What the two documents promise of CA keys: where they are, and what a restore needs."""
import json
import sqlite3
import subprocess
from pathlib import Path

import pytest

from harness.cluster import BIN
from harness.kms import KmsStandIn
from harness.wait import patience

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
