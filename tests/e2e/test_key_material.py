"""CA keys at rest and in memory: the passphrase is changed under a running hub, and no dump or log has a key in it."""
import base64
import os
import random
import re
import sqlite3
import threading
import time

import pytest

from harness.cluster import BIN, PASSPHRASE, SANITIZED, Cluster
from harness.process import Process
from harness.wait import until

NEW = "a quite different passphrase"


def rotate(cluster: Cluster, old: str, new: str, **options):
    return cluster.mezctl("cluster", "rotate-passphrase", "--stdin", stdin=f"{old}\n{new}\n", **options)


def refused_start(cluster: Cluster) -> str:
    cluster.hub = Process("mezhub", [BIN / "mezhub", f"--config={cluster.config_file}"], cluster.dir / "mezhub.log",
                          cluster.hub_env)
    until(lambda: not cluster.hub.running(), "the hub to refuse")
    return cluster.hub.output()


def test_the_passphrase_is_changed_under_a_running_hub(fresh):
    cluster = fresh()
    cluster.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]})
    cluster.user("alice", "developer")
    pin = cluster.pin()
    wrong = rotate(cluster, "not the passphrase", NEW, check=False)
    assert wrong.returncode != 0 and b"the old passphrase is not right; nothing was changed" in wrong.stderr
    short = rotate(cluster, PASSPHRASE, "short", check=False)
    assert short.returncode != 0 and b"shorter than 12 characters" in short.stderr
    said = rotate(cluster, PASSPHRASE, NEW)
    assert "MEZITE_CA_KEY_PASSPHRASE" in said
    cluster.login_as("alice")  # the hub that runs signs on
    events = cluster.audit("--type=ca.passphrase.changed")
    assert sorted(e["success"] for e in events) == [False, False, True], events
    assert all(e["event_code"] == "T6003I" and e["user_name"] for e in events)
    log = cluster.hub.output()
    cluster.hub.stop()
    # The old one opens the database no more, and says so; the new one does.
    assert "wrong ca_key_passphrase" in refused_start(cluster)
    cluster.hub_env["MEZITE_CA_KEY_PASSPHRASE"] = NEW
    cluster.start_hub()
    assert cluster.pin() == pin
    cluster.login_as("alice")
    for text in (log, cluster.hub.output(), "".join(str(e) for e in events)):
        assert NEW not in text and PASSPHRASE not in text
    cluster.mezctl("audit", "verify")


def test_a_change_of_the_passphrase_survives_a_crash_at_any_time(fresh):
    """Killed at random moments of the change: the database opens with exactly one of the two, and a change that happened is in
    the audit log exactly once."""
    cluster = fresh()
    rng = random.Random(4)
    now, other, changes = PASSPHRASE, NEW, 0
    for _ in range(4):
        started = time.monotonic()
        worker = threading.Thread(target=rotate, args=(cluster, now, other), kwargs={"check": False})
        worker.start()
        time.sleep(rng.uniform(0.0, 1.2))
        cluster.hub.kill()
        worker.join()
        assert time.monotonic() - started < 60
        opened = []
        for passphrase in (now, other):
            cluster.hub_env["MEZITE_CA_KEY_PASSPHRASE"] = passphrase
            try:
                cluster.start_hub()
            except AssertionError as refusal:
                assert "wrong ca_key_passphrase" in str(refusal)
                continue
            opened.append(passphrase)
            break
        assert opened, "one of the two opens it"
        if opened[0] == other:
            now, other, changes = other, now, changes + 1
        recorded = cluster.audit("--type=ca.passphrase.changed")
        assert sum(e["success"] for e in recorded) == changes, recorded


# What a core file, or gcore, would hold: every mapping that can be read and is not left out of dumps ("dd" in VmFlags).
def dumped(pid: int, everything: bool = False):
    mappings, current = [], None
    for line in open(f"/proc/{pid}/smaps"):
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) ", line):
            current = [int(found[1], 16), int(found[2], 16), found[3], ""]
            mappings.append(current)
        elif line.startswith("VmFlags:"):
            current[3] = line.split(":", 1)[1].split()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end, access, flags in mappings:
            if "r" not in access or "io" in flags or "dd" in flags and not everything:
                continue
            at = start
            while at < end:  # in pieces that overlap by more than what is looked for
                try:
                    memory.seek(at)
                    yield memory.read(min(end - at, (8 << 20) + 256))
                except (OSError, ValueError):
                    pass
                at += 8 << 20


def found_in_memory(pid: int, secrets: dict[str, bytes], everything: bool = False) -> set[str]:
    found = set()
    for piece in dumped(pid, everything):
        found |= {name for name, secret in secrets.items() if secret in piece}
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="reads the memory of a process that forbids it to its own user")
@pytest.mark.skipif(SANITIZED, reason="sanitizers set the limits of core files, and keep copies of freed memory")
def test_no_key_is_in_a_core_dump_or_a_log(fresh):
    cluster = fresh(start=False)
    cluster.write_config({"log": {"level": "debug"}})
    del cluster.hub_env["MEZITE_CA_KEY_PASSPHRASE"]
    cluster.start_hub()  # the keys are in clear for once, so that the test knows them
    cluster.hub.stop()
    with sqlite3.connect(cluster.data / "mezhub.db") as db:
        rows = db.execute("SELECT type, private_key FROM certificate_authorities").fetchall()
    # The end of an Ed25519 PKCS #8 is its 32-byte seed (RFC 8410 section 7).
    seeds = {ca: bytes(blob[-32:]) for ca, blob in rows}
    assert len(set(seeds.values())) == 3
    cluster.hub_env["MEZITE_CA_KEY_PASSPHRASE"] = PASSPHRASE
    cluster.start_hub()
    cluster.hub.stop()
    cluster.start_hub()  # from a database in which they are sealed
    cluster.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]})
    cluster.user("alice", "developer")
    cluster.start_agent("web-01")
    cluster.login_as("alice")
    assert cluster.ssh("alice", "web-01", "echo in").strip() == "in"
    pid = cluster.hub.pid
    limits = open(f"/proc/{pid}/limits").read()
    assert re.search(r"Max core file size\s+0\s+0", limits), limits
    locked = int(re.search(r"VmLck:\s+(\d+) kB", open(f"/proc/{pid}/status").read())[1])
    assert locked >= 256, "the memory of keys is locked"
    assert found_in_memory(pid, seeds, everything=True) == set(seeds), "this test finds what is there"
    assert found_in_memory(pid, seeds) == set()
    log = (cluster.dir / "mezhub.log").read_text(errors="replace")
    for secret in seeds.values():
        for form in (secret.hex(), secret.hex().upper(), base64.b64encode(secret).decode()[:40]):
            assert form not in log
    assert PASSPHRASE not in log
