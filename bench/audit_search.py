#!/usr/bin/python3
"""audit_search.py [ROWS] [--folder=DIR]: how long `audit ls` takes at many rows.

Makes a database of ROWS audit events (10,000,000 unless told; about 1.3 KB each, half an hour) with the schema of a hub
that ran once, fills it by SQL, and asks a hub on it through mezctl. The rows carry no chain: they are for searching."""
import argparse
import json
import os
import sqlite3
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from harness.cluster import Cluster  # noqa: E402

START = 1_700_000_000_000
INDEXES = ("audit_events_by_time", "audit_events_by_type_time", "audit_events_by_user_time", "audit_events_by_user_type",
           "audit_events_by_session_time")

ROWS = """
WITH RECURSIVE numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last),
events AS (
  SELECT n, :start + n * 100 + (n * 7919) % 5000 AS ms,
    CASE WHEN n % 100000 = 0 THEN 'role.deleted' WHEN n % 10 < 4 THEN 'session.command' WHEN n % 10 < 6 THEN 'session.start'
      WHEN n % 10 < 8 THEN 'session.end' WHEN n % 10 = 8 THEN 'user.login' ELSE 'access.denied' END AS type,
    CASE WHEN n % 50000 = 7 THEN 'rare' ELSE 'user' || (n * 31 % 2000) END AS user,
    printf('%08x-0000-4000-8000-%012x', n / 5, n / 5) AS session,
    printf('%012x-aaaa-4000-8000-%08x', n, n) AS id
  FROM numbers)
INSERT INTO audit_events (sequence, id, event_type, timestamp, user_name, session_id, json, key_id, prev_hmac, hmac)
SELECT n, id, type, ms, user, session,
  '{"client_ip":"10.' || (n % 200) || '.' || (n % 250) || '.7","cluster_name":"bench","details":{"command":"ls -la /srv/app' || (n % 5000) ||
  '","exit_code":0,"login":"root"},"error_message":"","event_code":"T2000I","event_type":"' || type || '","id":"' || id ||
  '","impersonator":"","resource_labels":{"env":"prod","team":"db"},"resource_name":"web-' || (n % 300) || '","resource_type":"node",'
  || '"server_hostname":"web-' || (n % 300) || '","server_id":"5d0f6c46-0000-4000-8000-000000000001","session_id":"' || session ||
  '","success":true,"timestamp":"2026-01-01T00:00:00.000Z","user_name":"' || user || '","user_roles":["access","developer"]}',
  'none', zeroblob(32), randomblob(32)
FROM events
"""
WORDS = """
INSERT INTO audit_words (rowid, words)
SELECT (timestamp << 20) | (sequence & 1048575), event_type || ' T2000I ' || user_name || ' 10.' || (sequence % 200) || '.' || (sequence % 250)
  || '.7 web-' || (sequence % 300) || ' web-' || (sequence % 300) || ' access developer env prod team db {"command":"ls -la /srv/app'
  || (sequence % 5000) || '","exit_code":0,"login":"root"}'
FROM audit_events WHERE sequence BETWEEN :first AND :last
"""

SEARCHES = {
    "the newest": (),
    "type": ("--type=user.login",),
    "rare type": ("--type=role.deleted",),
    "prefix of types": ("--type=session.*",),
    "user": ("--user=user31",),
    "rare user": ("--user=rare",),
    "user and type": ("--user=user31", "--type=access.denied"),
    "user and prefix": ("--user=rare", "--type=session.*"),
    "session": ("--session=0001e240-0000-4000-8000-00000001e240",),
    "a day in the middle": ("--since=@0.50", "--until=@0.51"),
    "old type": ("--type=access.denied", "--until=@0.05"),
    "word": ("--text=app4321",),
    "words": ("--text=web-17 app17",),
    "word of an old day": ("--text=denied", "--since=@0.20", "--until=@0.21"),
    "word and rare user": ("--text=root", "--user=rare"),
    "no such word": ("--text=nosuchword",),
}


def fill(path: Path, rows: int):
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; PRAGMA temp_store = MEMORY;"
                     "DELETE FROM audit_events; DELETE FROM audit_head; INSERT INTO audit_words (audit_words) VALUES ('delete-all');")
    indexes = {name: db.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0] for name in INDEXES}
    for name in INDEXES:
        db.execute(f"DROP INDEX {name}")
    step = 500_000
    for first in range(1, rows + 1, step):
        span = {"first": first, "last": min(first + step - 1, rows)}
        db.execute(ROWS, {**span, "start": START})
        db.execute(WORDS, span)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        print(f"{span['last']} rows", flush=True)
    for name, sql in indexes.items():
        db.execute(sql)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("rows", nargs="?", type=int, default=10_000_000)
    arguments.add_argument("--folder", default=str(ROOT / "bench" / "run"))
    arguments.add_argument("--runs", type=int, default=7)
    chosen = arguments.parse_args()
    Path(chosen.folder).mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = chosen.folder
    cluster = Cluster(env={"MEZITE_AUDIT_HMAC_KEY": ""})
    cluster.hub.stop()
    try:
        database = cluster.data / "mezhub.db"
        began = time.monotonic()
        fill(database, chosen.rows)
        for leftover in cluster.data.glob("audit.head"):
            leftover.unlink()
        print(f"made in {time.monotonic() - began:.0f} s, {database.stat().st_size / 2**30:.1f} GiB", flush=True)
        cluster.hub.start()
        cluster.wait_healthy()
        empty = measure(cluster, ("--type=ca.created",), chosen.runs)
        print(f"| search | first, ms | median, ms | rows |\n|---|---|---|---|\n| nothing found (a call's own cost) | {empty[0]:.0f} | {empty[1]:.0f} | {empty[2]} |")
        for name, flags in SEARCHES.items():
            first, median, count = measure(cluster, tuple(at(flag, chosen.rows) for flag in flags), chosen.runs)
            print(f"| {name}: `{' '.join(at(f, chosen.rows) for f in flags) or '–'}` | {first:.0f} | {median:.0f} | {count} |", flush=True)
    finally:
        cluster.close()


def at(flag: str, rows: int) -> str:
    name, _, value = flag.partition("=@")
    if not value:
        return flag
    moment = START / 1000 + float(value) * rows * 0.1
    return f"{name}={time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(moment))}"


def measure(cluster: Cluster, flags: tuple, runs: int) -> tuple[float, float, int]:
    """mezctl's whole run, in milliseconds."""
    times, found = [], []
    for _ in range(runs):
        began = time.monotonic()
        found = json.loads(cluster.mezctl("audit", "ls", "--format=json", *flags))
        times.append(1000 * (time.monotonic() - began))
    return times[0], statistics.median(times), len(found)


if __name__ == "__main__":
    main()
