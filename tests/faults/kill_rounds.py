#!/usr/bin/python3
"""kill_rounds.py [--rounds=200] [--seed=N]: hub and agent are killed at random moments; nothing acknowledged may be missing.

Meanwhile one thread makes users (acknowledged when mezctl succeeds: user.created is in the log), another runs sessions
(acknowledged when the command's output came: session.start is with the agent), a third sessions that print a numbered line
twenty times a second. At the end every user and session must be in the log, once, the chain must verify, an exported
checkpoint of each tenth round must agree with it, and each recording of the third kind must hold every line that its user
saw: all of them when the agent lived on, those up to FLUSHED seconds before the kill when it did not."""
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


# A recording is written at least every second; how long the busy machine takes to see the second is added.
FLUSHED = 2.5
TALK = "i=0; while :; do echo {tag}-$i; i=$((i+1)); sleep 0.05; done"


class Talk:
    """A session that prints numbered lines, and what its user saw of them."""

    def __init__(self, cluster: Cluster, tag: str):
        self.tag, self.lines, self.started = tag, [], time.monotonic()
        self.child = subprocess.Popen(cluster.ssh_argv("alice", "web-01", TALK.format(tag=tag)), stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def listen(self, seconds: float):
        timer = threading.Timer(seconds, self.child.kill)
        timer.start()
        for line in self.child.stdout:
            if line.strip() == f"{self.tag}-{len(self.lines)}":
                self.lines.append(time.monotonic())
        timer.cancel()
        self.child.kill()
        self.child.wait()
        self.ended = time.monotonic()

    def must_hold(self, agent_kills: list[float]) -> int:
        """So many lines must be in the recording."""
        # Also by a kill right after the user's end: what was printed last may not have been written by then.
        killed = min((at for at in agent_kills if self.started <= at <= self.ended + FLUSHED), default=None)
        return len(self.lines) if killed is None else sum(at < killed - FLUSHED for at in self.lines)


class Load:
    """What was acknowledged so far."""

    def __init__(self, cluster: Cluster):
        self.cluster, self.stopping = cluster, threading.Event()
        self.users: list[str] = []
        self.sessions: list[str] = []
        self.failed = collections.Counter()
        self.talks: list[Talk] = []
        self.threads = [threading.Thread(target=work) for work in (self.make_users, self.run_sessions, self.run_talks, self.run_talks)]
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
                self.stopping.wait(0.02)

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
                self.stopping.wait(0.05)

    def run_talks(self):
        dice = random.Random()
        while not self.stopping.is_set():
            talk = Talk(self.cluster, f"talk{dice.randrange(10**9)}")
            talk.listen(dice.uniform(2, 8))
            if talk.lines:
                self.talks.append(talk)
            else:
                self.failed["talks"] += 1
                self.stopping.wait(0.05)

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


def check_recordings(cluster: Cluster, talks: list[Talk], agent_kills: list[float]) -> dict:
    """Each recording is there, has no gap, verifies, and holds what it must."""
    wanted = {TALK.format(tag=talk.tag): talk for talk in talks}

    def all_there():
        held = {r.get("command"): r for r in json.loads(cluster.mezctl("recordings", "ls", "--format=json", "--limit=1000", timeout=120))
                if r.get("complete")}
        return held if all(command in held for command in wanted) else None

    held = until(all_there, "every recording at the hub", 90)
    spool = cluster.dir / "web-01" / "spool"
    lines, cut, lost = 0, 0, 0
    for command, talk in wanted.items():
        recording = held[command]
        assert not recording.get("problem"), recording
        text = cluster.mezctl("recordings", "export", recording["session_id"], "--format=text").splitlines()
        numbers = [int(line.rpartition("-")[2]) for line in text if line.startswith(f"{talk.tag}-")]
        assert numbers == list(range(len(numbers))), f"{talk.tag}: a gap in {numbers}"
        must = talk.must_hold(agent_kills)
        assert len(numbers) >= must, f"{talk.tag}: {len(numbers)} lines are recorded, {must} must be, {len(talk.lines)} were seen"
        lines += len(numbers)
        cut += must < len(talk.lines)
        lost += max(0, len(talk.lines) - len(numbers))
    assert not list((spool / "aside").glob("*")), "nothing was set aside"
    return {"sessions": len(talks), "of these cut by a kill of the agent": cut, "lines": lines, "lines of the last moment lost": lost}


def run(rounds: int, seed: int, say=lambda text: None) -> dict:
    dice = random.Random(seed)
    cluster = make_cluster()
    began = time.monotonic()
    kills = collections.Counter()
    agent_kills: list[float] = []
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
                    if victim == "agent":
                        agent_kills.append(time.monotonic())
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
        recordings = check_recordings(cluster, load.talks, agent_kills)
        verified = cluster.mezctl("audit", "verify", *((f"--checkpoints={checkpoints}",) if rounds >= 10 else ()), timeout=600)
        return {"rounds": rounds, "seed": seed, "kills": dict(kills), "seconds": round(time.monotonic() - began),
                "acknowledged": {"users": len(load.users), "sessions": len(load.sessions)}, "not acknowledged": dict(load.failed),
                "recordings": recordings, "verify": verified.strip()}
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
