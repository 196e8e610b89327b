"""The troubleshooting guide's rows about recordings, and copies of them."""
import hashlib
import json
import shutil
import subprocess
import threading

import pytest

from harness.gate import Gate
from harness.s3 import S3StandIn
from harness.terminal import Terminal
from harness.wait import until

from .acceptance import check


@pytest.fixture
def gated(fresh):
    """A cluster whose agent reaches the hub's API through a gate."""
    gates = []

    def make(mode: str):
        cluster = fresh(config={"recording": {"mode": mode}})
        cluster.role("developer", {"node_labels": {"*": "*"}, "logins": [cluster.login]})
        cluster.user("alice", "developer")
        gates.append(Gate(cluster.grpc))
        cluster.start_agent("web-01", MEZITE_AUTH_ADDR=f"127.0.0.1:{gates[-1].port}")
        cluster.login_as("alice")
        cluster.ssh("alice", "web-01", "true")
        return cluster, gates[-1]

    yield make
    for gate in gates:
        gate.close()


def spool(cluster) -> list:
    return list((cluster.dir / "web-01" / "spool").glob("*.mezrec"))


@check("T18")
def test_failed_upload_is_logged_and_the_recording_stays_until_it_succeeds(gated):
    cluster, gate = gated("node")
    until(lambda: not spool(cluster), "an empty spool")
    gate.shut()
    cluster.ssh("alice", "web-01", "echo kept")
    line = cluster.agents["web-01"].wait_logged("uploading session recording")
    assert line["msg"] == "uploading session recording" and line["level"] == "error"
    assert len(spool(cluster)) == 1
    gate.reopen()
    cluster.wait_recording(lambda r: r["session_id"] == line["session"])
    until(lambda: not spool(cluster), "an empty spool")


@check("T19")
def test_stream_that_cannot_open_is_logged_and_the_session_recorded_locally(gated):
    cluster, gate = gated("node-sync")
    gate.shut()
    assert cluster.ssh("alice", "web-01", "echo local-$((1+1))").strip() == "local-2"
    line = cluster.agents["web-01"].wait_logged("opening recording stream (falling back to local-only)")
    assert line["msg"] == "opening recording stream (falling back to local-only)"
    assert [path for path in spool(cluster) if line["session"] in path.name]
    gate.reopen()
    cluster.wait_recording(lambda r: r["session_id"] == line["session"])


@check("T20")
@pytest.mark.parametrize("create", [False, True])
def test_s3_needs_put_object_on_the_prefix_and_makes_a_bucket_only_when_told(fresh, create):
    s3 = S3StandIn(*([] if create else ["bucket"]))
    try:
        s3.allowed = [("PutObject", "bucket/prefix/")] + ([("CreateBucket", "bucket/")] if create else [])
        env = s3.env() | ({"MEZITE_S3_AUTO_CREATE_BUCKET": "true"} if create else {})
        cluster = fresh(config={"recording": s3.config("bucket", prefix="prefix")}, env=env)
        cluster.role("developer", {"node_labels": {"*": "*"}, "logins": [cluster.login]})
        cluster.user("alice", "developer")
        cluster.start_agent("web-01")
        cluster.login_as("alice")
        cluster.ssh("alice", "web-01", "echo stored")
        session = cluster.wait_recording()["session_id"]
        until(lambda: f"prefix/{session}.mezrec" in s3.objects("bucket"), "the object")
        assert s3.actions() == ({"PutObject", "CreateBucket"} if create else {"PutObject"})
    finally:
        s3.close()


@check("T31")
@pytest.mark.parametrize("tool", ["tar", "rsync"])
def test_copy_of_the_recordings_of_a_running_hub_is_complete(fresh, tool):
    cluster = fresh(config={"recording": {"mode": "node-sync"}})
    cluster.role("developer", {"node_labels": {"*": "*"}, "logins": [cluster.login]})
    cluster.user("alice", "developer")
    cluster.start_agent("web-01")
    cluster.login_as("alice")
    for number in range(3):
        cluster.ssh("alice", "web-01", f"echo whole-{number}")
    until(lambda: sum(bool(r.get("complete")) for r in cluster.recordings()) == 3, "three recordings")
    whole = {r["session_id"]: r for r in cluster.recordings()}
    terminal = Terminal(cluster.ssh_argv("alice", "web-01"))  # one that is being written meanwhile, and more that come
    terminal.expect(r"[$#] ")
    terminal.type("echo still-$((1+1)); while :; do date; done\n")
    terminal.expect("still-2")
    stop = threading.Event()

    def more():
        while not stop.is_set():
            cluster.ssh("alice", "web-01", "head -c 300000 /dev/urandom", check=False)

    thread = threading.Thread(target=more)
    thread.start()
    try:
        until(lambda: len(cluster.recordings()) > 4, "recordings that come in")
        folder, copy = cluster.data / "recordings", cluster.dir / "copy"
        before = {path.name: path.read_bytes() for path in folder.glob("*.mezrec")}
        copy.mkdir()
        if tool == "tar":
            subprocess.run(f"tar -C {folder} -cf - . | tar -C {copy} -xf -", shell=True, check=False)
        else:
            subprocess.run(["rsync", "-a", f"{folder}/", f"{copy}/"], check=True)
    finally:
        stop.set()
        thread.join()
        terminal.close()
    for name, content in before.items():
        assert (copy / name).read_bytes()[:len(content)] == content, "files are only appended to"
    for session, recording in whole.items():
        assert hashlib.sha256((copy / f"{session}.mezrec").read_bytes()).hexdigest() == recording["sha256"]
    # The copy serves in place of the original.
    cluster.agents["web-01"].stop()
    cluster.hub.stop()
    shutil.move(folder, cluster.dir / "original")
    shutil.copytree(copy, folder)
    cluster.hub.start()
    cluster.wait_healthy()
    listed = {r["session_id"]: r for r in json.loads(cluster.mezctl("recordings", "ls", "--format=json"))}
    assert set(whole) <= set(listed) and all(listed[session]["complete"] for session in whole)
    for session, recording in listed.items():
        if recording.get("size_bytes", 0) < 4096:  # begun a moment before it was copied
            continue
        done = cluster.mezctl("recordings", "export", session, "--format=text", check=False)
        assert done.returncode == 0, (recording, done.stderr)
