"""Where and when a session is recorded: streamed to the hub, at the node alone, or not without it; full spools; encryption."""
import json
import re
import sqlite3
import stat

import pytest

from harness.gate import Gate
from harness.recording_format import Recording, chain_key
from harness.terminal import Terminal
from harness.wait import until

STREAM = "opening recording stream (falling back to local-only)"
UPLOAD = "uploading session recording"


@pytest.fixture
def site(fresh):
    """A cluster whose agent reaches the hub's API through a gate."""
    made = []

    def make(config: dict | None = None, options: dict | None = None, **agent):
        cluster = fresh(config=config or {})
        cluster.role("developer", {"node_labels": {"*": "*"}, "logins": [cluster.login]}, options=options)
        cluster.user("alice", "developer")
        gate = Gate(cluster.grpc)
        made.append(gate)
        cluster.start_agent("web-01", MEZITE_AUTH_ADDR=f"127.0.0.1:{gate.port}", **agent)
        cluster.login_as("alice")
        cluster.ssh("alice", "web-01", "true")  # what it needs is fetched
        until(lambda: not spooled(cluster), "its recording to be uploaded")
        return cluster, gate

    yield make
    for gate in made:
        gate.close()


def spooled(cluster) -> list:
    return sorted((cluster.dir / "web-01" / "spool").glob("*.mezrec"))


def text_of(cluster, session: str, *more: str) -> str:
    done = cluster.mezctl("recordings", "export", session, "--format=text", *more, check=False)
    return done.stdout.decode(errors="replace")


def test_node_sync_is_at_the_hub_while_the_session_runs(site):
    cluster, _ = site({"recording": {"mode": "node-sync"}})
    terminal = Terminal(cluster.ssh_argv("alice", "web-01"))
    terminal.expect(r"[$#] ")
    terminal.type("echo live-$((6*7))\n")
    terminal.expect("live-42")
    live = until(lambda: [r for r in cluster.recordings() if r["kind"] == "pty"], "the recording of the session that runs")[0]
    assert not live.get("complete")
    until(lambda: "live-42" in text_of(cluster, live["session_id"]), "what was just printed, at the hub")
    terminal.type("exit\n")
    terminal.wait()
    done = cluster.wait_recording(lambda r: r["session_id"] == live["session_id"])
    assert done["sha256"] and not done.get("problem")
    until(lambda: not spooled(cluster), "the spool to be empty")
    assert not cluster.agents["web-01"].logged(STREAM)


def test_node_sync_without_a_stream_goes_on_locally(site):
    cluster, gate = site(options={"record_session": "node-sync"})
    gate.shut()
    assert cluster.ssh("alice", "web-01", "echo at-the-node").strip() == "at-the-node"
    line = cluster.agents["web-01"].wait_logged(STREAM)
    assert line["msg"] == STREAM and line["session"] and line["error"]
    assert spooled(cluster)
    gate.reopen()
    recording = cluster.wait_recording(lambda r: r["session_id"] == line["session"])
    assert "at-the-node" in text_of(cluster, recording["session_id"])


def test_node_sync_survives_a_hub_that_goes_away_and_comes_back(site):
    cluster, gate = site({"recording": {"mode": "node-sync"}})
    terminal = Terminal(cluster.ssh_argv("alice", "web-01"))
    terminal.expect(r"[$#] ")
    gate.shut()
    terminal.type("echo while-$((1+1))-away\n")
    terminal.expect("while-2-away")
    cluster.agents["web-01"].wait_logged("streaming a session's recording was interrupted")
    gate.reopen()
    live = [r for r in cluster.recordings() if r["kind"] == "pty"][0]
    until(lambda: "while-2-away" in text_of(cluster, live["session_id"]), "what was printed meanwhile, at the hub")
    terminal.type("exit\n")
    terminal.wait()
    cluster.wait_recording(lambda r: r["session_id"] == live["session_id"])


def test_strict_refuses_a_session_that_the_hub_does_not_take(site, tmp_path):
    cluster, gate = site(options={"record_session": "strict"})
    gate.shut()
    done = cluster.ssh("alice", "web-01", "echo this-ran > /tmp/mezite-strict-$$", check=False)
    assert done.returncode == 255
    assert b"session refused: it can't be recorded" in done.stderr
    until(lambda: not spooled(cluster), "nothing to be left of a session that was never begun")
    gate.reopen()
    denied = cluster.wait_audit("access.denied", lambda e: e["event_code"] == "T4018W")
    assert re.search("the hub does not take its stream", denied["error_message"]), denied
    assert cluster.ssh("alice", "web-01", "echo again").strip() == "again"


def test_strict_ends_a_session_whose_stream_is_lost(site):
    cluster, gate = site(options={"record_session": "strict"})
    terminal = Terminal(cluster.ssh_argv("alice", "web-01"))
    terminal.expect(r"[$#] ")
    gate.shut()
    terminal.type("echo going-$((40+2))\n")
    terminal.expect("going-42")
    terminal.wait()
    gate.reopen()
    failed = cluster.wait_audit("session.recording.failed", lambda e: e["details"].get("while") == "streaming")
    end = cluster.wait_audit("session.end", lambda e: e["session_id"] == failed["session_id"])
    assert end["details"]["reason"] == "the session can't be recorded any more"
    cluster.wait_recording(lambda r: r["session_id"] == failed["session_id"])
    assert "going-42" in text_of(cluster, failed["session_id"])


def test_failed_upload_is_told_and_tried_until_it_succeeds(site):
    """Teleport issue 65895: a recording whose upload fails stays until it has succeeded."""
    cluster, gate = site()
    until(lambda: not spooled(cluster), "the first recording to be uploaded")
    gate.shut()
    cluster.ssh("alice", "web-01", "echo kept")
    agent = cluster.agents["web-01"]
    line = agent.wait_logged(UPLOAD)
    assert line["msg"] == UPLOAD and line["error"]
    assert [path.name for path in spooled(cluster)] == [f"{line['session']}.mezrec"]
    until(lambda: len(agent.logged(UPLOAD)) >= 2, "a second try")

    def waiting() -> dict:
        return json.loads(cluster.mezctl("nodes", "get", "web-01", "--format=json"))

    until(lambda: waiting().get("recordings_waiting"), "the heartbeat that tells of it")
    assert waiting()["recordings_waiting_bytes"] > 0
    metrics = cluster.get("/metrics")[1]
    assert re.search(r'^mezite_recording_backlog\{node="web-01"\} 1$', metrics, re.M), metrics
    assert re.search(r'^mezite_recording_upload_failures_total\{node="web-01"\} [1-9]', metrics, re.M), metrics
    assert re.search(r'^mezite_recording_backlog_oldest_seconds\{node="web-01"\} [0-9.]+$', metrics, re.M), metrics
    gate.reopen()
    recording = cluster.wait_recording(lambda r: r["session_id"] == line["session"])
    assert "kept" in text_of(cluster, recording["session_id"])
    until(lambda: not spooled(cluster), "the spool to be empty")
    failed = cluster.wait_audit("session.recording.failed", lambda e: e["session_id"] == line["session"])
    assert failed["details"]["while"] == "uploading" and failed["event_code"] == "T2020E"


NOISE = "head -c 300000 /dev/urandom | base64"


def test_full_spool_with_refuse_starts_no_session(site):
    cluster, gate = site(MEZITE_SPOOL_MAX_BYTES="100KiB", MEZITE_ON_RECORDING_FAILURE="refuse")
    gate.shut()
    cluster.ssh("alice", "web-01", NOISE, check=False)
    until(lambda: sum(path.stat().st_size for path in spooled(cluster)) > 100 << 10, "the spool to be full")
    done = cluster.ssh("alice", "web-01", "echo no", check=False)
    assert done.returncode == 255 and b"can't be recorded" in done.stderr and b"no" not in done.stdout
    gate.reopen()
    denied = cluster.wait_audit("access.denied", lambda e: e["event_code"] == "T4018W")
    assert "the recording spool" in denied["error_message"] and "limit" in denied["error_message"], denied
    alarm = cluster.wait_audit("recording.backlog", lambda e: e["event_code"] == "T2024W")
    assert alarm["details"]["policy"] == "refuse" and int(alarm["details"]["bytes"]) > 80 << 10
    cluster.wait_audit("recording.backlog", lambda e: e["event_code"] == "T2024I")
    until(lambda: not spooled(cluster), "the spool to be empty")
    assert cluster.ssh("alice", "web-01", "echo yes").strip() == "yes"


def test_full_spool_with_continue_tells_of_each_session_without_a_recording(site):
    cluster, gate = site(MEZITE_SPOOL_MAX_BYTES="100KiB", MEZITE_ON_RECORDING_FAILURE="continue")
    gate.shut()
    cluster.ssh("alice", "web-01", NOISE)
    until(lambda: sum(path.stat().st_size for path in spooled(cluster)) > 100 << 10, "the spool to be full")
    assert cluster.ssh("alice", "web-01", "echo unrecorded").strip() == "unrecorded"
    gate.reopen()
    failed = cluster.wait_audit("session.recording.failed", lambda e: e["details"].get("while") == "opening")
    assert "the recording spool" in failed["error_message"]
    end = cluster.wait_audit("session.end", lambda e: e["session_id"] == failed["session_id"])
    assert end["details"]["recorded"] is False
    assert cluster.wait_audit("recording.backlog")["details"]["policy"] == "continue"


def test_file_that_cannot_be_uploaded_goes_aside_and_holds_up_nothing(site):
    cluster, gate = site()
    until(lambda: not spooled(cluster), "the first recording to be uploaded")
    gate.shut()
    cluster.ssh("alice", "web-01", "echo poisoned")
    bad = until(lambda: [path for path in spooled(cluster) if ".live." not in path.name], "the whole recording in the spool")[0]
    cluster.agents["web-01"].stop()  # an upload that has begun goes on with what it has verified
    content = bytearray(bad.read_bytes())
    content[len(content) // 2] ^= 1
    bad.write_bytes(content)
    gate.reopen()
    cluster.start_agent("web-01", MEZITE_AUTH_ADDR=f"127.0.0.1:{gate.port}")
    cluster.ssh("alice", "web-01", "echo behind-it")
    cluster.wait_recording(lambda r: "behind-it" in r.get("command", ""))
    assert until(lambda: list((cluster.dir / "web-01" / "spool" / "aside").glob("*.mezrec")), "the file to be set aside")[0].name == bad.name
    failed = cluster.wait_audit("session.recording.failed", lambda e: e["session_id"] == bad.name.removesuffix(".mezrec") and e["details"].get("set_aside"))
    assert "altered" in failed["error_message"], failed
    until(lambda: json.loads(cluster.mezctl("nodes", "get", "web-01", "--format=json")).get("recordings_set_aside") == 1, "nodes get to tell of it")


def test_recording_that_is_rewritten_at_its_node_is_kept_and_told_of(site):
    """Root at the node makes all sums anew while the hub can't be reached: only the tags tell."""
    cluster, gate = site()
    gate.shut()
    cluster.ssh("alice", "web-01", "echo evidence")
    waiting = until(lambda: [path for path in spooled(cluster) if ".live." not in path.name], "the whole recording in the spool")[0]
    cluster.agents["web-01"].stop()
    recording = Recording.parse(waiting.read_bytes())
    written = next(segment for segment in recording.segments if b"evidence" in segment.block)
    written.block = written.block.replace(b"evidence", b"innocent")
    rewritten = recording.put_together()
    waiting.write_bytes(rewritten)
    gate.reopen()
    cluster.start_agent("web-01", MEZITE_AUTH_ADDR=f"127.0.0.1:{gate.port}")

    stored = cluster.wait_recording(lambda r: r["session_id"] == waiting.stem)
    copy = cluster.data / "recordings" / waiting.name
    assert copy.read_bytes() == rewritten, "kept as it came"
    assert f"was rewritten: the tag of the segment (byte {written.offset})" in stored["problem"], stored
    event = cluster.wait_audit("session.recording.altered", lambda e: e["session_id"] == stored["session_id"])
    assert event["error_message"] == stored["problem"] and event["details"]["sha256"] == stored["sha256"], event
    assert re.search(rf"^{stored['session_id']} .* ALTERED ", cluster.mezctl("recordings", "ls"), re.M)
    for played in (cluster.mezctl("recordings", "play", waiting.stem, check=False), cluster.msh("play", waiting.stem, check=False)):
        assert played.returncode == 1 and b"WARNING: this is not what the node recorded" in played.stderr, played
        assert b"rewritten" in played.stderr and b"innocent" not in played.stdout, played
    by_itself = cluster.mezctl("recordings", "play", copy, check=False)
    assert by_itself.returncode == 0 and b"innocent" in by_itself.stdout and b"not against forgery" in by_itself.stderr, by_itself

    # A hub that loses its list finds it again as what it was.
    cluster.hub.stop()
    (cluster.data / "recordings" / "index.jsonl").unlink()
    cluster.hub.start()
    cluster.wait_healthy()
    found = next(r for r in json.loads(cluster.mezctl("recordings", "reindex", "--format=json"))["recordings"]
                 if r["session_id"] == stored["session_id"])
    assert found["taken"] and found["vouched"] and found["reason"] == stored["problem"], found
    assert re.search(rf"^{stored['session_id']} .* ALTERED ", cluster.mezctl("recordings", "ls"), re.M)


def test_tags_are_those_of_the_format(fresh):
    """The format's description is enough to open the key of the chain and to verify every tag."""
    cluster = fresh(env={"MEZITE_CA_KEY_PASSPHRASE": ""})
    cluster.role("developer", {"node_labels": {"*": "*"}, "logins": [cluster.login]})
    cluster.user("alice", "developer")
    cluster.start_agent("web-01")
    cluster.login_as("alice")
    cluster.ssh("alice", "web-01", "head -c 300000 /dev/urandom | base64")
    recording = cluster.wait_recording(lambda r: r["complete"])
    parsed = Recording.parse((cluster.data / "recordings" / f"{recording['session_id']}.mezrec").read_bytes())
    with sqlite3.connect(f"file:{cluster.data}/mezhub.db?mode=ro", uri=True) as db:
        private_key = db.execute("SELECT private_key FROM recording_keys").fetchone()[0][1:]
    key = chain_key(json.loads(parsed.header), private_key)
    assert len(parsed.segments) > 5
    parsed.verify(key)
    parsed.segments[2].block = parsed.segments[3].block
    with pytest.raises(AssertionError, match=str(parsed.segments[2].offset)):
        parsed.verify(key)
    start = cluster.wait_audit("session.start", lambda e: e["session_id"] == recording["session_id"])
    assert start["details"]["chain"] == json.loads(parsed.header)["chain"]["ephemeral"]
    with sqlite3.connect(cluster.data / "mezhub.db") as db:  # as after a loss of the database
        cluster.hub.stop()
        db.execute("DELETE FROM recording_keys")
    cluster.start_hub()
    played = cluster.mezctl("recordings", "export", recording["session_id"], "--format=text", check=False)
    assert played.returncode == 0 and len(played.stdout) > 300000, played.stderr
    assert b"WARNING: the hub has not got the key" in played.stderr


def test_encrypted_recording_is_read_by_its_recipient_only(fresh, tmp_path):
    cluster = fresh()
    key = tmp_path / "key"
    public = cluster.mezctl("recordings", "keygen", f"--output={key}").strip()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and public in key.read_text()
    again = cluster.mezctl("recordings", "keygen", f"--output={key}", check=False)
    assert again.returncode != 0 and b"is there already" in again.stderr
    cluster.hub.stop()
    cluster.hub.env["MEZITE_RECORDING_RECIPIENTS"] = public
    cluster.hub.start()
    cluster.wait_healthy()
    cluster.role("developer", {"node_labels": {"*": "*"}, "logins": [cluster.login]})
    cluster.user("alice", "developer")
    cluster.start_agent("web-01")
    cluster.login_as("alice")
    assert cluster.ssh("alice", "web-01", "echo secret-$((40+2))").strip() == "secret-42"
    recording = cluster.wait_recording()
    assert recording["recipients"] == [public] and not recording.get("problem")
    stored = (cluster.data / "recordings" / f"{recording['session_id']}.mezrec").read_bytes()
    assert b"secret-42" not in stored
    refused = cluster.mezctl("recordings", "export", recording["session_id"], "--format=text", check=False)
    assert refused.returncode != 0 and public.encode() in refused.stderr and b"secret-42" not in refused.stdout, refused
    assert b"--identity=FILE" in refused.stderr

    session = recording["session_id"]
    assert "secret-42" in cluster.mezctl("recordings", "export", session, "--format=text", f"--identity={key}")
    assert "secret-42" in cluster.mezctl("recordings", "play", session, f"--identity={key}")
    assert "secret-42" in cluster.mezctl("recordings", "search", session, "secret-42", f"--identity={key}")
    # The command that a session began with is in the audit log and the header; what was typed and shown is for the recipient.
    assert "echo secret-" in cluster.mezctl("recordings", "search", "echo secret")
    assert session not in cluster.mezctl("recordings", "search", "secret-42", check=False).stdout.decode()
    other = tmp_path / "other"
    cluster.mezctl("recordings", "keygen", f"--output={other}")
    refused = cluster.mezctl("recordings", "export", session, "--format=text", f"--identity={other}", check=False)
    assert refused.returncode != 0 and b"secret-42" not in refused.stdout and public.encode() in refused.stderr, refused


def test_wrong_recipient_stops_the_hub_at_start(fresh):
    cluster = fresh(start=False, env={"MEZITE_RECORDING_RECIPIENTS": "x25519:AAAA"})
    with pytest.raises(AssertionError, match="mezctl recordings keygen"):
        cluster.start_hub()
