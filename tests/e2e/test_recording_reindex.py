"""A hub that has lost the list of its recordings, or a new one with the bucket of an old one, finds them again."""
import hashlib
import json
import re
import shutil
import threading

import pytest

from harness.recorded import add_alice, run, text_of, wait_stored
from harness.s3 import S3StandIn

BUCKET = "mezite-recordings"


@pytest.fixture
def s3():
    made = S3StandIn(BUCKET)
    yield made
    made.close()


@pytest.fixture
def site(fresh):
    def make(recording: dict, env: dict | None = None):
        return add_alice(fresh(config={"recording": recording}, env=env or {}))

    return make


def lose_index(cluster):
    cluster.hub.stop()
    (cluster.data / "recordings" / "index.jsonl").unlink()
    cluster.hub.start()
    cluster.wait_healthy()


def reindex(cluster) -> dict:
    return json.loads(cluster.mezctl("recordings", "reindex", "--format=json"))


def listed(cluster) -> list[dict]:
    return sorted(cluster.recordings(), key=lambda r: r["session_id"])


def test_files_are_listed_again(site):
    cluster = site({"backend": "local"})
    sessions = [run(cluster, f"echo number {i}") for i in range(3)]
    removed = run(cluster, "echo removed")
    folder = cluster.data / "recordings"
    kept = (folder / f"{removed}.mezrec").read_bytes()
    cluster.mezctl("recordings", "rm", "--yes", removed)
    before = listed(cluster)
    (folder / f"{removed}.mezrec").write_bytes(kept)  # somebody copies the folder from a backup
    altered = bytearray((folder / f"{sessions[0]}.mezrec").read_bytes())
    altered[-200] ^= 1
    (folder / f"{sessions[0]}.mezrec").write_bytes(altered)
    (folder / "00000000-0000-4000-8000-000000000000.mezrec").write_bytes(b"not a recording")
    lose_index(cluster)
    warned = cluster.hub.wait_logged("there are recordings that are not listed")
    assert "mezctl recordings reindex" in warned["msg"] and warned["recordings"] == 5, warned
    assert cluster.recordings() == []

    answer = reindex(cluster)
    assert (answer["taken"], answer["skipped"]) == (3, 2), answer
    by_id = {r["session_id"]: r for r in answer["recordings"]}
    assert all(by_id[s].get("vouched") and not by_id[s].get("reason") for s in sessions[1:]), answer
    assert "says the audit log" in by_id[sessions[0]]["reason"] and not by_id[sessions[0]].get("vouched")
    assert "removed" in by_id[removed]["reason"]
    assert "magic" in by_id["00000000-0000-4000-8000-000000000000"]["reason"]
    after = listed(cluster)
    intact = [r for r in before if r["session_id"] != sessions[0]]
    assert [r for r in after if r["session_id"] != sessions[0]] == intact, "all that was known is known again"
    assert "number 1" in text_of(cluster, sessions[1])
    damaged = next(r for r in after if r["session_id"] == sessions[0])
    assert "says the audit log" in damaged["problem"]
    told = {e["session_id"]: e["details"] for e in cluster.audit("--type=session.recording.reindexed")}
    assert set(told) == set(sessions) and told[sessions[1]]["vouched"] and not told[sessions[0]]["vouched"]

    # Once more changes nothing, and so does a restart; new sessions come in as ever.
    again = reindex(cluster)
    assert (again["taken"], again["skipped"], again["known"]) == (0, 2, 3), again
    cluster.restart_hub()
    cluster.wait_connected("web-01")
    assert listed(cluster) == after
    later = run(cluster, "echo later")
    assert "later" in text_of(cluster, later)
    table = cluster.mezctl("recordings", "reindex")
    assert re.search(r"0 taken, 2 skipped; 4 listed before$", table.strip()), table


def test_file_that_is_short_of_what_came_says_so(site):
    cluster = site({"backend": "local"})
    session = run(cluster, "head -c 3000000 /dev/urandom")
    file = cluster.data / "recordings" / f"{session}.mezrec"
    whole = file.read_bytes()
    cluster.hub.stop()
    (cluster.data / "recordings" / "index.jsonl").unlink()
    file.write_bytes(whole[: len(whole) // 2])
    cluster.hub.start()
    cluster.wait_healthy()
    answer = reindex(cluster)
    assert answer["taken"] == 1 and not answer["recordings"][0].get("complete"), answer
    assert "says the audit log" in answer["recordings"][0]["reason"]
    assert not cluster.recordings()[0].get("complete")


def test_new_hub_finds_what_is_in_the_bucket(s3, site):
    cluster = site(s3.config(BUCKET, prefix="a prefix/ä+"), s3.env())
    s3.page = 2
    sessions = [run(cluster, f"echo object {i}") for i in range(5)]
    big = run(cluster, "head -c 20000000 /dev/urandom")
    wait_stored(cluster, *sessions, big)
    before = listed(cluster)
    headers = s3.buckets[BUCKET].headers
    for name, content in s3.objects(BUCKET).items():
        assert headers[name]["x-amz-meta-sha256"] == hashlib.sha256(content).hexdigest()
    first = f"a prefix/ä+/{sessions[0]}.mezrec"
    del headers[first]["x-amz-meta-sha256"], headers[first]["x-amz-meta-ended-at"]  # as an older hub has stored it
    s3.buckets[BUCKET].objects["a prefix/ä+/notes.txt"] = b"something else"
    s3.buckets[BUCKET].headers["a prefix/ä+/notes.txt"] = {}
    s3.buckets[BUCKET].objects["elsewhere/" + sessions[0] + ".mezrec"] = b"not under the prefix"
    lose_index(cluster)
    warned = cluster.hub.wait_logged("recordings in S3 are not listed")
    assert warned["bucket"] == BUCKET and "mezctl recordings reindex" in warned["msg"]
    assert cluster.recordings() == []

    s3.allowed = [("PutObject", f"{BUCKET}/"), ("GetObject", f"{BUCKET}/")]
    refused = cluster.mezctl("recordings", "reindex", check=False)
    assert refused.returncode != 0 and b"s3:ListBucket" in refused.stderr, refused.stderr
    s3.allowed = None

    s3.calls.clear()
    answer = reindex(cluster)
    assert (answer["taken"], answer["skipped"], answer["others"]) == (6, 0, 1), answer
    assert all(r["vouched"] for r in answer["recordings"])
    assert listed(cluster) == before
    assert [action for action, _ in s3.calls].count("GetObject") == 6, "the first bytes of each, and small ones are whole with them"
    assert [action for action, _ in s3.calls].count("ListBucket") >= 4, "page by page"
    assert "object 3" in text_of(cluster, sessions[3])
    assert reindex(cluster)["taken"] == 0
    cluster.restart_hub()
    assert listed(cluster) == before

    # A hub that is new altogether: nobody vouches, and it says so.
    cluster.hub.stop()
    shutil.rmtree(cluster.data)
    cluster.hub.start()
    cluster.wait_healthy()
    assert "mezctl recordings reindex" in cluster.hub.wait_logged("a new hub lists no recordings")["msg"]
    answer = reindex(cluster)
    assert answer["taken"] == 6 and not any(r.get("vouched") for r in answer["recordings"]), answer
    assert listed(cluster) == before
    assert "object 3" in text_of(cluster, sessions[3])
    assert "the audit log does not know it" not in cluster.mezctl("recordings", "reindex")
    cluster.mezctl("recordings", "rm", "--yes", sessions[0])
    assert first not in s3.objects(BUCKET)


def test_it_takes_the_right_to_and_may_run_while_recordings_come_in(site):
    cluster = site({"backend": "local"})
    run(cluster, "echo before")
    lose_index(cluster)
    cluster.wait_connected("web-01")
    cluster.role("keeper", {"rules": [{"resources": ["recordings"], "verbs": ["list", "read"]}]})
    cluster.user("carol", "keeper")
    where = [f"--auth-server=127.0.0.1:{cluster.grpc}", f"--ca-pin={cluster.pin()}"]
    token = cluster.mezctl("login", "--username=carol", "--password=a good long password", *where).strip()
    refused = cluster.mezctl("recordings", "reindex", f"--token={token}", *where, check=False)
    assert refused.returncode != 0 and b"update" in refused.stderr, refused.stderr
    assert cluster.recordings() == []
    stop = threading.Event()
    failures = []

    def again():
        while not stop.is_set():
            try:
                reindex(cluster)
            except AssertionError as error:
                failures.append(error)

    beside = threading.Thread(target=again)
    beside.start()
    try:
        sessions = [run(cluster, f"echo while it runs {i}") for i in range(6)]
        cluster.mezctl("recordings", "rm", "--yes", sessions[0])
    finally:
        stop.set()
        beside.join()
    assert not failures, failures
    assert {r["session_id"] for r in cluster.recordings() if r.get("complete") and not r.get("problem")} >= set(sessions[1:])
    assert sessions[0] not in {r["session_id"] for r in cluster.recordings()}
    assert len(cluster.recordings()) == 6
