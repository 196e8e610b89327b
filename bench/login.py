#!/usr/bin/python3
"""login.py [--logins=100] [--kms-ms=50]: what a user waits for in a login whose certificate a KMS signs.

Logins one after another over new TLS connections, in turns with calls that check the same password and sign nothing; the KMS is
the tests' stand-in, which takes --kms-ms for each signature. Milliseconds at the client. Bar: p99 of 150 with a KMS of 50."""
import argparse
import statistics
import subprocess
import sys
import time

from measure import ROOT, Rows

sys.path.insert(0, str(ROOT / "tests"))
from harness.cluster import Cluster  # noqa: E402
from harness.kms import KmsStandIn  # noqa: E402

BAR_MS = 150


def p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--logins", type=int, default=100)
    arguments.add_argument("--kms-ms", type=float, default=50)
    chosen = arguments.parse_args()
    kms = KmsStandIn()
    cluster = Cluster(config={"ca": kms.config()}, env=kms.env())
    try:
        cluster.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]})
        cluster.user("alice", "developer")
        cluster.login_as("alice")
        key = subprocess.run(["ssh-keygen", "-y", "-f", cluster.dir / "id-alice"], check=True, capture_output=True, text=True).stdout
        password = {"user": "alice", "password": "a good long password"}
        calls = {"login": ("/v1/webapi/login", {**password, "ssh_public_key": key}), "password": ("/v1/webapi/session", password)}
        times: dict[str, list[float]] = {name: [] for name in calls}
        kms.delay = chosen.kms_ms / 1000
        for _ in range(chosen.logins):
            for name, (path, body) in calls.items():
                began = time.monotonic()
                status, answer = cluster.post(path, body)
                times[name].append((time.monotonic() - began) * 1000)
                assert status == 200, answer
    finally:
        kms.delay = 0
        cluster.close()
        kms.close()
    rows = Rows()
    for name, taken in times.items():
        rows.note(name, "mezite", p50_ms=statistics.median(taken), p99_ms=p99(taken))
    rows.bar(f"login with a KMS of {chosen.kms_ms:.0f} ms: p99 {p99(times['login']):.0f} <= {BAR_MS} ms", p99(times["login"]) <= BAR_MS)
    return rows.missed > 0


if __name__ == "__main__":
    sys.exit(main())
