"""Recordings in S3: signed as AWS wants it, with no right but s3:PutObject to write, and nothing lost when the store fails."""
import json
import os
import re
import subprocess

import pytest

from harness.cluster import BIN, Cluster
from harness.ports import free_port
from harness.process import Process
from harness.recorded import add_alice, run, storage_of, text_of, wait_stored
from harness.s3 import Fault, S3StandIn
from harness.wait import until

BUCKET = "mezite-recordings"
UPLOAD = "uploading session recording"


@pytest.fixture
def s3():
    made = S3StandIn(BUCKET)
    yield made
    made.close()


@pytest.fixture
def site(fresh):
    def make(recording: dict, env: dict) -> Cluster:
        return add_alice(fresh(config={"recording": recording}, env=env))

    return make


def local(cluster, session: str):
    return cluster.data / "recordings" / f"{session}.mezrec"


def test_recording_goes_to_s3_and_plays_from_there(s3, site):
    cluster = site(s3.config(BUCKET, prefix="a prefix/äöü+", encryption="aws:kms", kms_key_id="key-1"), s3.env())
    session = run(cluster, "echo in-the-store")
    wait_stored(cluster, session)
    assert not local(cluster, session).exists()
    key = f"a prefix/äöü+/{session}.mezrec"
    assert list(s3.objects(BUCKET)) == [key]
    headers = s3.buckets[BUCKET].headers[key]
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"
    assert "in-the-store" in text_of(cluster, session)
    cluster.restart_hub()
    assert "in-the-store" in text_of(cluster, session), "the index knows where it is"
    assert re.search(r"^mezite_recording_archive_waiting 0$", cluster.get("/metrics")[1], re.M)
    cluster.mezctl("recordings", "rm", "--yes", session)
    assert s3.objects(BUCKET) == {}


def test_writing_needs_put_object_on_the_prefix_only(s3, site):
    s3.allowed = [("PutObject", f"{BUCKET}/rec/")]
    cluster = site(s3.config(BUCKET, prefix="rec"), s3.env())
    session = run(cluster, "echo small")
    big = run(cluster, "head -c 20000000 /dev/urandom")
    wait_stored(cluster, session)
    wait_stored(cluster, big)
    assert s3.actions() == {"PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"}
    assert set(s3.objects(BUCKET)) == {f"rec/{session}.mezrec", f"rec/{big}.mezrec"}
    # Reading needs a right more, and says which.
    refused = cluster.mezctl("recordings", "export", session, "--format=text", check=False)
    assert refused.returncode != 0 and b"s3:GetObject" in refused.stderr, refused.stderr
    s3.allowed.append(("GetObject", f"{BUCKET}/rec/"))
    assert "small" in text_of(cluster, session)


@pytest.mark.parametrize("allowed", [True, False])
def test_bucket_is_made_only_when_told(s3, site, allowed):
    recording = s3.config("not-there-yet")
    env = s3.env() | ({"MEZITE_S3_AUTO_CREATE_BUCKET": "true"} if allowed else {})
    cluster = site(recording, env)
    session = run(cluster, "echo one")
    if allowed:
        wait_stored(cluster, session)
        assert s3.locations == {"not-there-yet": s3.region}
    else:
        line = cluster.hub.wait_logged(UPLOAD)
        assert "NoSuchBucket" in line["error"] and "MEZITE_S3_AUTO_CREATE_BUCKET" in line["error"], line
        assert "not-there-yet" not in s3.buckets and "CreateBucket" not in s3.actions()
        assert local(cluster, session).exists() and "one" in text_of(cluster, session)


FAULTS = {
    "403": Fault(code="AccessDenied", status=403),
    "500": Fault(code="InternalError", status=500),
    "disk full": Fault(code="InsufficientStorage", status=507),
    "slow": Fault(slow=60),
    "cut": Fault(cut_at=200),
    "answer lost": Fault(lost=True),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_teleport_65895_store_that_fails_loses_nothing(s3, site, kind):
    cluster = site(s3.config(BUCKET), s3.env())
    s3.faults["*"] = FAULTS[kind]
    session = run(cluster, f"echo survives-{len(kind)}")
    line = cluster.hub.wait_logged(UPLOAD, timeout=60)
    assert line["session"] == session and line["error"], line
    assert local(cluster, session).exists()
    assert f"survives-{len(kind)}" in text_of(cluster, session), "until then it is read from the hub's disk"
    failed = cluster.wait_audit("session.recording.failed", lambda e: e["session_id"] == session)
    assert failed["details"]["while"] == "storing in S3"
    metrics = cluster.get("/metrics")[1]
    assert re.search(r"^mezite_recording_archive_failures_total [1-9]", metrics, re.M), metrics
    assert re.search(r"^mezite_recording_archive_waiting 1$", metrics, re.M), metrics
    s3.faults.clear()
    s3.released.set()
    wait_stored(cluster, session)
    assert f"survives-{len(kind)}" in text_of(cluster, session)
    assert not local(cluster, session).exists()


def test_upload_in_parts_goes_on_after_a_kill(s3, site):
    cluster = site(s3.config(BUCKET), s3.env())
    s3.faults["UploadPart"] = Fault(code="InternalError", status=500)
    session = run(cluster, "head -c 40000000 /dev/urandom")
    cluster.hub.wait_logged(UPLOAD)
    s3.faults.clear()
    until(lambda: [a for a, _ in s3.calls].count("UploadPart") > 4, "a part to be stored")
    s3.faults["UploadPart"] = Fault(code="InternalError", status=500)
    cluster.hub.kill()
    uploads = len(s3.buckets[BUCKET].uploads)
    s3.faults.clear()
    cluster.hub.start()
    cluster.wait_healthy()
    wait_stored(cluster, session)
    stored = s3.objects(BUCKET)[f"{session}.mezrec"]
    done = next(r for r in cluster.recordings() if r["session_id"] == session)
    import hashlib
    assert hashlib.sha256(stored).hexdigest() == done["sha256"]
    assert uploads <= 1 and not s3.buckets[BUCKET].uploads, "no second upload was begun beside the first"
    event = cluster.wait_audit("session.recording.uploaded", lambda e: e["session_id"] == session)
    assert event["details"]["sha256"] == done["sha256"] and event["details"]["storage"] == "s3"


def test_altered_object_is_refused_by_who_reads_it(s3, site):
    cluster = site(s3.config(BUCKET), s3.env())
    session = run(cluster, "echo the truth")
    wait_stored(cluster, session)
    key = f"{session}.mezrec"
    content = bytearray(s3.objects(BUCKET)[key])
    content[-200] ^= 4
    s3.buckets[BUCKET].objects[key] = bytes(content)
    refused = cluster.mezctl("recordings", "export", session, "--format=text", check=False)
    assert refused.returncode != 0 and re.search(rb"altered.*at byte \d+", refused.stderr), refused.stderr


def test_recordings_in_s3_are_read_with_backend_local_again(s3, site):
    cluster = site(s3.config(BUCKET), s3.env())
    session = run(cluster, "echo before the change")
    wait_stored(cluster, session)
    config = json.loads(cluster.config_file.read_text())
    config["recording"]["backend"] = "local"
    cluster.config_file.write_text(json.dumps(config))
    cluster.restart_hub()
    assert "before the change" in text_of(cluster, session)
    cluster.wait_connected("web-01")
    later = run(cluster, "echo after it")
    assert local(cluster, later).exists() and storage_of(cluster, later) == "local"
    config["recording"] = {"backend": "local"}
    cluster.config_file.write_text(json.dumps(config))
    cluster.restart_hub()
    refused = cluster.mezctl("recordings", "export", session, "--format=text", check=False)
    assert refused.returncode != 0 and b"recording.s3.bucket" in refused.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="a hosts file of one's own needs root")
def test_virtual_host_style(s3, fresh):
    s3.buckets["recs"] = s3.buckets.pop(BUCKET)
    config = s3.config("recs", addressing="virtual-host", endpoint=f"http://s3.localhost:{s3.port}")
    cluster = fresh(start=False, config={"recording": config}, env=s3.env())
    hosts = cluster.dir / "hosts"
    hosts.write_text("127.0.0.1 localhost recs.s3.localhost\n")
    script = f"mount --bind {hosts} /etc/hosts && exec {BIN}/mezhub --config={cluster.config_file}"
    cluster.hub = Process("mezhub", ["unshare", "--mount", "sh", "-c", script], cluster.dir / "mezhub.log", cluster.hub_env)
    cluster.wait_healthy()
    add_alice(cluster)
    session = run(cluster, "echo by host")
    wait_stored(cluster, session)
    assert "by host" in text_of(cluster, session)


@pytest.fixture(scope="module")
def s3rver(tmp_path_factory):
    """The npm package s3rver: another reading of S3's documents than ours."""
    folder = tmp_path_factory.mktemp("s3rver")
    tools = folder / "tools"
    done = subprocess.run(["npm", "install", "--silent", "--no-save", "--no-package-lock", "--prefix", str(tools), "s3rver@3.7.1"],
                          capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-300:]
    port = free_port()
    server = Process("s3rver", ["node", tools / "node_modules/s3rver/bin/s3rver.js", "--directory", folder / "data", "--address", "127.0.0.1",
                                "--port", str(port), "--no-vhost-buckets"], folder / "s3rver.log")
    try:
        until(lambda: subprocess.run(["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{port}/"]).returncode == 0, "s3rver to answer")
        yield f"http://127.0.0.1:{port}", folder / "data"
    finally:
        server.kill()


def test_s3rver_takes_small_and_large_recordings(s3rver, site):
    url, data = s3rver
    env = {"AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER", "AWS_SESSION_TOKEN": "", "MEZITE_S3_AUTO_CREATE_BUCKET": "true"}
    (data).mkdir(exist_ok=True)
    cluster = site({"backend": "s3", "s3": {"bucket": "made-by-the-hub", "region": "us-east-1", "endpoint": url, "prefix": "x/y"}}, env)
    small, big = run(cluster, "echo to s3rver"), run(cluster, "head -c 20000000 /dev/urandom")
    wait_stored(cluster, small)
    wait_stored(cluster, big)
    assert "to s3rver" in text_of(cluster, small)
    assert cluster.mezctl("recordings", "export", big, "--format=text")
    listed = cluster.recordings()
    cluster.hub.stop()
    (cluster.data / "recordings" / "index.jsonl").unlink()
    cluster.hub.start()
    cluster.wait_healthy()
    found = json.loads(cluster.mezctl("recordings", "reindex", "--format=json"))
    assert found["taken"] == 2 and all(r["vouched"] and not r.get("reason") for r in found["recordings"]), found
    assert cluster.recordings() == listed, "all that was known is known again"
    cluster.mezctl("recordings", "rm", "--yes", small)
    gone = cluster.mezctl("recordings", "export", small, "--format=text", check=False)
    assert gone.returncode != 0
