"""Many agents under live sessions while all three CAs are rotated: none is dropped, none is left behind. More of them:
MEZITE_SOAK_AGENTS=50 MEZITE_SOAK_ROUNDS=1 scripts/e2e.sh build tests/e2e/test_rotation_soak.py"""
import os
import threading
import time

from harness.wait import until
from test_rotation import Session, status, step

AGENTS = int(os.environ.get("MEZITE_SOAK_AGENTS", "10"))
ROUNDS = int(os.environ.get("MEZITE_SOAK_ROUNDS", "1"))


def test_all_three_cas_are_rotated_under_live_sessions(fresh):
    cluster = fresh()
    cluster.role("dev", {"node_labels": {"*": "*"}, "logins": [cluster.login]})
    cluster.user("alice", "dev")
    names = [f"soak-{i:02}" for i in range(AGENTS)]
    for name in names:
        cluster.start_agent(name, wait=False)
    until(lambda: sum(bool(n.get("connected")) for n in cluster.nodes()) == AGENTS, "every agent to connect", 300)
    cluster.login_as("alice")
    sessions = [Session(cluster, node=name) for name in names]
    stop, broken = threading.Event(), []

    def keep_talking():
        while not stop.is_set():
            for session in sessions:
                try:
                    session.works()
                except (AssertionError, OSError, ValueError) as error:
                    broken.append(repr(error))
                    return
            stop.wait(0.2)
    talker = threading.Thread(target=keep_talking)
    talker.start()
    took = {}
    try:
        for _ in range(ROUNDS):
            for ca in ("user", "host", "spiffe"):
                for what in ("rotate", "advance", "advance"):
                    step(cluster, what, ca)
                    began = time.monotonic()
                    until(lambda: not status(cluster, ca).get("lagging_nodes"), f"all agents to catch up with {ca} {what}", 300)
                    took[f"{ca} {what}"] = round(time.monotonic() - began, 2)
                    assert not broken, broken
                    cluster.msh("ls")  # msh follows the keys with its calls
                # A restart of some, and a login, under the new key.
                for name in names[:: max(1, AGENTS // 3)]:
                    assert cluster.msh("ssh", f"{cluster.login}@{name}", "echo", "in") == "in\n"
    finally:
        stop.set()
        talker.join()
    print(f"{AGENTS} agents, {sum(s.lines for s in sessions)} lines echoed, caught up in seconds: {took}")
    assert not broken, broken
    for session in sessions:
        session.close()
    assert not [e for e in cluster.audit("--type=node.left")]
    assert not [e for e in cluster.audit("--type=access.denied")]
