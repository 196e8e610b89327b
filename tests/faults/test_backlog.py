"""A webhook that is away for as long as a day's events take, and comes back: Teleport issue 65895 for events on their way out.

MEZITE_BACKLOG_EVENTS=86400 is an event a second for a day; without it there are fewer, so that the test stays short."""
import hashlib
import hmac
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

from harness.cluster import Cluster
from harness.ports import free_port
from harness.receivers import Webhook, make_tls
from harness.wait import until

SECRET = "a secret of the webhook, long enough"
THREADS = 16


def make_events(socket, count: int):
    """Each call at the local socket is an event, durable before its answer."""

    def some(calls: int):
        with grpc.insecure_channel(f"unix:{socket}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            ask = channel.unary_unary("/mezite.v1.AdminService/ListRoles")
            for _ in range(calls):
                ask(b"", timeout=60)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(some, [count // THREADS + (i < count % THREADS) for i in range(THREADS)]))


def is_signed(headers: dict, body: bytes) -> bool:
    fields = dict(part.split("=") for part in headers["X-Mezite-Signature"].split(","))
    return hmac.compare_digest(fields["v1"], hmac.new(SECRET.encode(), f"{fields['t']}.".encode() + body, hashlib.sha256).hexdigest())


def test_teleport_65895_webhook_that_was_away_for_a_day_gets_all_of_it(tmp_path):
    count = int(os.environ.get("MEZITE_BACKLOG_EVENTS", "3000"))
    tls, port = make_tls(tmp_path / "tls"), free_port()
    cluster = Cluster(config={"audit": {"sink": {"webhook_url": f"https://127.0.0.1:{port}/hook", "webhook_secret": SECRET,
                                                 "webhook_ca_file": str(tls / "ca.pem"), "webhook_allow_private": True}}})
    receiver = None
    try:
        began = time.monotonic()
        make_events(cluster.data / "admin.sock", count)
        made = time.monotonic() - began
        cluster.wait_audit("audit.sink.failed", lambda event: event["resource_name"] == "webhook")
        receiver = Webhook(tls, port=port)
        until(lambda: receiver.calls, "the first delivery, after a pause of five minutes at most", 330)
        first = time.monotonic()
        until(lambda: json.loads(receiver.calls[-1][1])["events"][-1]["sequence"] >= count, "the last of the events", 600)
        taken = time.monotonic() - first
        cluster.wait_audit("audit.sink.recovered")
        assert cluster.mezctl("audit", "verify").startswith("ok")
        log = {event["id"] for event in cluster.audit("--limit=100000")}
        until(lambda: len(receiver.events()) >= len(log), "the events since then")
        assert all(is_signed(headers, body) for headers, body in receiver.calls)
        events = receiver.events()
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1)), "in order, none lost, each once"
        assert {event["id"] for event in events[:len(log)]} == log, "what came is what is in the log"
        assert sum(event["event_type"] == "admin.call" for event in events) >= count
        print(f"\n{count} events made in {made:.1f} s; delivered in {taken:.1f} s, {len(receiver.calls)} deliveries")
    finally:
        cluster.close()
        if receiver:
            receiver.close()
