#!/usr/bin/python3
"""kill_rounds.py [--rounds=200] [--seed=N]: hub and agent are killed at random moments; nothing acknowledged may be missing.

Meanwhile one thread makes users (acknowledged when mezctl succeeds: user.created is in the log), another runs sessions
(acknowledged when the command's output came: session.start is with the agent). At the end every one of them must be in
the log, once, the chain must verify, and an exported checkpoint of each tenth round must agree with it."""
import argparse
import collections
import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.cluster import BIN, Cluster  # noqa: E402
from harness.wait import until  # noqa: E402


class Load:
    """What was acknowledged so far."""

    def __init__(self, cluster: Cluster):
        self.cluster, self.stopping = cluster, threading.Event()
        self.users: list[str] = []
        self.sessions: list[str] = []
        self.failed = collections.Counter()
        self.threads = [threading.Thread(target=work) for work in (self.make_users, self.run_sessions)]
        for thread in self.threads:
            thread.start()

    def make_users(self):
        number = 0
        while not self.stopping.is_set():
            number += 1
            done = subprocess.run([str(BIN / "mezctl"), f"--socket={self.cluster.data}/admin.sock", "users", "create", f"u{number}", "--roles=access"],
                                  capture_output=True)
            if done.returncode == 0:
                self.users.append(f"u{number}")
            else:
                self.failed["users"] += 1
                time.sleep(0.02)

    def run_sessions(self):
        number = 0
        while not self.stopping.is_set():
            number += 1
            word = f"session-{number}-of-the-load"
            try:
                done = subprocess.run(self.cluster.ssh_argv("alice", "web-01", f"echo {word}"), stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
            except subprocess.TimeoutExpired:
                self.failed["sessions"] += 1
                continue
            if word.encode() in done.stdout:
                self.sessions.append(f"echo {word}")
            else:
                self.failed["sessions"] += 1
                time.sleep(0.05)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def make_cluster() -> Cluster:
    cluster = Cluster()
    cluster.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]})
    cluster.user("alice", "developer")
    cluster.start_agent("web-01")
    cluster.login_as("alice")
    cluster.ssh("alice", "web-01", "true")  # known_hosts and configuration are there
    return cluster


def all_events(cluster: Cluster, event_type: str) -> list[dict]:
    return json.loads(cluster.mezctl("audit", "ls", "--format=json", "--limit=1000000", f"--type={event_type}", timeout=120))


def run(rounds: int, seed: int, say=lambda text: None) -> dict:
    dice = random.Random(seed)
    cluster = make_cluster()
    began = time.monotonic()
    kills = collections.Counter()
    checkpoints = cluster.dir / "checkpoints.jsonl"
    try:
        load = Load(cluster)
        try:
            for number in range(1, rounds + 1):
                # Any moment: while it starts (a hub is up after a tenth of a second), and while it works.
                if dice.random() < 0.4:
                    cluster.wait_healthy()
                    cluster.wait_connected("web-01")
                time.sleep(dice.choice((0.3, 3)) * dice.random())
                victims = dice.choice((("hub",), ("hub",), ("agent",), ("hub", "agent")))
                for victim in victims:
                    kills[victim] += 1
                    (cluster.hub if victim == "hub" else cluster.agents["web-01"]).kill()
                for victim in victims:
                    (cluster.hub if victim == "hub" else cluster.agents["web-01"]).start()
                if number % 10 == 0:
                    cluster.wait_healthy()
                    # Only the new one: each must hold for ever.
                    line = cluster.mezctl("audit", "checkpoints", "export").splitlines()[-1]
                    with open(checkpoints, "a") as kept:
                        kept.write(line + "\n")
                    say(f"round {number}: {len(load.users)} users, {len(load.sessions)} sessions acknowledged, kills {dict(kills)}")
            cluster.wait_healthy()
            cluster.wait_connected("web-01")
            # However slow the machine was meanwhile, there is something to look for.
            until(lambda: load.users and load.sessions, "a user and a session to be acknowledged")
        finally:
            load.stop()
        created = collections.Counter(e["resource_name"] for e in all_events(cluster, "user.created"))
        assert not (missing := [u for u in load.users if created[u] == 0]), f"lost users: {missing}"
        assert not (twice := [u for u, n in created.items() if n > 1]), f"twice: {twice}"

        def started() -> collections.Counter:
            return collections.Counter(e["details"].get("command", "") for e in all_events(cluster, "session.start"))

        # What the agent still holds comes when it has connected again.
        until(lambda: not [s for s in load.sessions if started()[s] == 0], "every session in the log", 90)
        assert not (twice := [s for s, n in started().items() if n > 1 and s in set(load.sessions)]), f"twice: {twice}"
        assert all_events(cluster, "audit.rolled_back") == []
        verified = cluster.mezctl("audit", "verify", *((f"--checkpoints={checkpoints}",) if rounds >= 10 else ()), timeout=600)
        return {"rounds": rounds, "seed": seed, "kills": dict(kills), "seconds": round(time.monotonic() - began),
                "acknowledged": {"users": len(load.users), "sessions": len(load.sessions)}, "not acknowledged": dict(load.failed),
                "verify": verified.strip()}
    except BaseException:
        print(cluster.hub.output()[-3000:], cluster.agents["web-01"].output()[-3000:], sep="\n", file=sys.stderr)
        raise
    finally:
        cluster.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    chosen = arguments.parse_args()
    print(json.dumps(run(chosen.rounds, chosen.seed, lambda text: print(text, flush=True)), indent=2))


if __name__ == "__main__":
    main()
