"""Audit events on their way to somebody outside: each receiver gets each event, in order, whatever goes wrong between."""
import hashlib
import hmac
import http.server
import json
import threading
import time
from pathlib import Path

import pytest

from harness.receivers import Rsyslog, Webhook, make_tls, wait_port
from harness.wait import until

SECRET = "a secret of the webhook, long enough"


def webhook_config(receiver: Webhook, tls: Path, **more) -> dict:
    return {"audit": {"sink": {"webhook_url": receiver.url, "webhook_secret": SECRET, "webhook_ca_file": str(tls / "ca.pem"),
                               "webhook_allow_private": True, **more}}}


def sink(cluster, name: str) -> dict:
    return next(s for s in json.loads(cluster.mezctl("audit", "sinks", "--format=json")) if s["name"] == name)


def make_events(cluster, count: int):
    for i in range(count):
        cluster.mezctl("users", "create", f"user{time.monotonic_ns()}x{i}", "--roles=access")


def whole_log(cluster) -> dict[str, int]:
    """The ids in the log. Each of these calls adds one (admin.call)."""
    return {event["id"] for event in cluster.audit("--limit=100000")}


def wait_for(cluster, receiver_events, timeout: float | None = None) -> list[dict]:
    wanted = whole_log(cluster)
    until(lambda: wanted <= {e["id"] for e in receiver_events()}, "every event at the receiver", timeout)
    return receiver_events()


def assert_ordered(events: list[dict], may_repeat: bool = False):
    """From 1 on, without a gap. A batch may come again after an error, then from a number that was there."""
    seen = 0
    for event in events:
        assert event["sequence"] <= seen + 1, f"{event['sequence']} after {seen}"
        assert may_repeat or event["sequence"] == seen + 1
        seen = max(seen, event["sequence"])


@pytest.fixture
def tls(tmp_path):
    return make_tls(tmp_path / "tls")


@pytest.fixture
def webhook(tls):
    receiver = Webhook(tls)
    yield receiver
    receiver.close()


def test_webhook_gets_every_event_in_order_and_signed(fresh, webhook, tls):
    cluster = fresh(config=webhook_config(webhook, tls))
    make_events(cluster, 3)
    events = wait_for(cluster, webhook.events)
    assert_ordered(events)
    for headers, body in webhook.calls:
        assert headers["Content-Type"] == "application/json"
        fields = dict(part.split("=") for part in headers["X-Mezite-Signature"].split(","))
        assert abs(int(fields["t"]) - time.time()) < 60
        assert fields["v1"] == hmac.new(SECRET.encode(), f"{fields['t']}.".encode() + body, hashlib.sha256).hexdigest()
        batch = json.loads(body)
        assert batch["cluster_name"] == "test.mezite"
        assert headers["X-Mezite-Delivery"] == f"{batch['events'][0]['sequence']}-{batch['events'][-1]['sequence']}"
    # What came is what is stored, hmac and all.
    stored = {e["id"]: e for e in cluster.audit("--limit=1000")}
    for event in events:
        if event["id"] in stored:
            assert {k: v for k, v in event.items() if k != "sequence"} == stored[event["id"]]
    # After a restart: from where it was. What was under way as it stopped may come again.
    cluster.restart_hub()
    make_events(cluster, 1)
    assert_ordered(wait_for(cluster, webhook.events), may_repeat=True)
    assert len(webhook.events()) < 2 * len({e["id"] for e in webhook.events()})


@pytest.mark.parametrize("mode", ["500", "403", "cut", "redirect"])
def test_teleport_65895_webhook_that_fails_catches_up_and_loses_nothing(fresh, webhook, tls, mode):
    reached = []

    class Inside(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            reached.append(self.path)

        do_GET = do_POST

    inside = http.server.HTTPServer(("127.0.0.1", 0), Inside)
    threading.Thread(target=inside.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        webhook.mode, webhook.redirect_to = mode, f"http://127.0.0.1:{inside.server_address[1]}/metadata"
        cluster = fresh(config=webhook_config(webhook, tls))
        make_events(cluster, 3)
        until(lambda: sink(cluster, "webhook").get("failures"), "a failure to be seen")
        state = sink(cluster, "webhook")
        assert state.get("delivered_sequence", 0) == 0 and state["lag_ms"] > 0 and state["last_error"]
        if mode == "redirect":
            assert "redirects are not followed" in state["last_error"]
        metrics = dict(line.rsplit(" ", 1) for line in cluster.get("/metrics")[1].splitlines() if not line.startswith("#"))
        assert float(metrics['mezite_audit_sink_waiting{sink="webhook"}']) >= 3
        assert float(metrics['mezite_audit_sink_lag_seconds{sink="webhook"}']) > 0
        assert float(metrics['mezite_audit_sink_failures{sink="webhook"}']) >= 1
        failed = cluster.wait_audit("audit.sink.failed")
        assert failed["resource_name"] == "webhook" and failed["error_message"]
        assert not webhook.calls
        webhook.mode = "ok"
        assert_ordered(wait_for(cluster, webhook.events, 60), may_repeat=True)
        cluster.wait_audit("audit.sink.recovered")
        assert not reached, "a redirect was followed"
    finally:
        inside.shutdown()
        inside.server_close()


def test_webhook_whose_certificate_is_not_trusted_gets_nothing(fresh, webhook, tls, tmp_path):
    other = make_tls(tmp_path / "other")
    cluster = fresh(config=webhook_config(webhook, other))
    until(lambda: sink(cluster, "webhook").get("failures"), "a failure to be seen")
    assert "certificate" in sink(cluster, "webhook")["last_error"]
    assert not webhook.calls
    cluster.hub.stop()
    cluster.write_config(webhook_config(webhook, tls))
    cluster.start_hub()
    assert_ordered(wait_for(cluster, webhook.events))


def test_webhook_with_another_name_gets_nothing(fresh, tmp_path):
    tls = make_tls(tmp_path / "elsewhere", address="127.0.0.2")
    receiver = Webhook(tls)
    try:
        cluster = fresh(config=webhook_config(receiver, tls))
        until(lambda: sink(cluster, "webhook").get("failures"), "a failure to be seen")
        assert not receiver.calls
    finally:
        receiver.close()


def test_webhook_at_a_private_address_is_not_even_connected_to(fresh, webhook, tls):
    cluster = fresh(config=webhook_config(webhook, tls, webhook_allow_private=False))
    until(lambda: sink(cluster, "webhook").get("failures"), "a failure to be seen")
    assert "private address" in sink(cluster, "webhook")["last_error"]
    assert webhook.tries == 0


def test_webhook_that_never_answers_does_not_hold_up_the_hub(fresh, webhook, tls):
    webhook.mode = "slow"
    cluster = fresh(config=webhook_config(webhook, tls))
    until(lambda: webhook.tries, "a delivery to hang")
    began = time.monotonic()
    make_events(cluster, 2)
    cluster.hub.stop()
    assert time.monotonic() - began < 15
    webhook.mode = "ok"
    webhook.released.set()
    cluster.start_hub()
    assert_ordered(wait_for(cluster, webhook.events))


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_file_has_one_object_a_line_across_rotation_and_kill(fresh, tmp_path):
    path = tmp_path / "audit.jsonl"
    cluster = fresh(config={"audit": {"sink": {"file_path": str(path)}}})
    make_events(cluster, 2)
    assert_ordered(wait_for(cluster, lambda: lines_of(path)))
    path.rename(tmp_path / "audit.jsonl.1")
    make_events(cluster, 2)
    both = lambda: lines_of(tmp_path / "audit.jsonl.1") + (lines_of(path) if path.exists() else [])  # noqa: E731
    assert_ordered(wait_for(cluster, both))
    assert path.exists()
    for _ in range(3):
        cluster.hub.kill()
        with open(path, "a") as torn:
            torn.write('{"torn')
        cluster.start_hub()
        make_events(cluster, 1)
    until(lambda: '{"torn' not in path.read_text(), "the torn line to go")
    assert_ordered(wait_for(cluster, both), may_repeat=True)


def test_rsyslog_gets_every_event_over_tls(fresh, tmp_path, tls):
    server = Rsyslog(tmp_path / "rsyslog", tls)
    cluster = fresh(config={"audit": {"sink": {"syslog_addr": f"127.0.0.1:{server.port}", "syslog_ca_file": str(tls / "ca.pem")}}})
    make_events(cluster, 2)
    until(lambda: sink(cluster, "syslog").get("failures"), "the failure of a server that is down")
    server.start()
    try:
        wait_port(server.port)
        events = lambda: [event for _, event in server.messages()]  # noqa: E731
        assert_ordered(wait_for(cluster, events, 60), may_repeat=True)
        server.stop()
        make_events(cluster, 2)
        server.start()
        wait_port(server.port)
        assert_ordered(wait_for(cluster, events, 60), may_repeat=True)
        for (priority, _, application, _, code), event in server.messages():
            assert application == "mezhub" and code == event["event_code"]
            assert int(priority) == 13 * 8 + {"I": 6, "W": 4, "E": 3}[code[-1]]
    finally:
        server.stop()


@pytest.mark.parametrize("key, value, says", [
    ("webhook_url", "http://siem.example/hook", "in clear"),
    ("webhook_url", "siem.example", "https://"),
    ("webhook_url", "https://user:password@siem.example/", "user"),
    ("webhook_secret", "short", "16 characters"),
    ("webhook_allow_private", "perhaps", "true or false"),
    ("file_path", "audit.jsonl", "absolute path"),
    ("syslog_addr", ":6514", "host"),
    ("syslog_ca_file", "ca.pem", "absolute path"),
])
def test_wrong_settings_are_refused_in_words(fresh, key, value, says):
    cluster = fresh(start=False)
    cluster.write_config({"audit": {"sink": {key: value}}})
    with pytest.raises(AssertionError) as refused:
        cluster.start_hub()
    assert f"audit.sink.{key}" in str(refused.value) and says in str(refused.value)
    assert "user:password" not in str(refused.value).split("mezhub ended")[-1] or key != "webhook_url"


def test_a_ca_file_without_certificates_is_refused(fresh, webhook, tls, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    cluster = fresh(start=False)
    cluster.write_config(webhook_config(webhook, tls, webhook_ca_file=str(empty)))
    with pytest.raises(AssertionError) as refused:
        cluster.start_hub()
    assert "webhook_ca_file" in str(refused.value) and "no certificate" in str(refused.value)
