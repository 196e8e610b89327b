"""How an agent comes in, and how it does not."""
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.cluster import BIN
from harness.process import Process
from harness.wait import patience, until


def join(cluster, name, token, **env):
    return subprocess.run([str(BIN / "mezd")], env={**__import__("os").environ, **cluster.agent_env(name, MEZITE_JOIN_TOKEN=token, **env)},
                          capture_output=True, timeout=patience())


def test_token_works_once(cluster):
    token = cluster.token()
    cluster.start_agent("once", MEZITE_JOIN_TOKEN=token)
    done = join(cluster, "twice", token)
    assert done.returncode != 0 and b"mezctl tokens create" in done.stderr
    assert not any(n["name"] == "twice" for n in cluster.nodes())
    cluster.wait_audit("token.rejected")


def test_token_works_once_even_in_a_race(cluster):
    token = cluster.token()
    names = [f"racer-{i}" for i in range(4)]
    agents = [Process(n, [BIN / "mezd"], cluster.dir / f"{n}.log", cluster.agent_env(n, MEZITE_JOIN_TOKEN=token)) for n in names]
    try:
        until(lambda: sum(not a.running() for a in agents) == 3, "all but one to be refused")
        until(lambda: sum(n["name"] in names and n["connected"] for n in cluster.nodes()) == 1, "the winner to be connected")
        assert sum(n["name"] in names for n in cluster.nodes()) == 1
    finally:
        for agent in agents:
            agent.stop()


def test_expired_token(cluster):
    made = json.loads(cluster.mezctl("tokens", "create", "--roles=node", "--ttl=1s", "--format=json"))

    def gone():
        from datetime import datetime, timezone
        listed = json.loads(cluster.mezctl("tokens", "ls", "--format=json"))
        mine = [t for t in listed if t["id"] == made["id"]]
        return not mine or datetime.fromisoformat(str(mine[0]["expires_at"]).replace("Z", "+00:00")) < datetime.now(timezone.utc)
    until(gone, "the token to expire")
    done = join(cluster, "late", made["token"])
    assert done.returncode != 0 and b"expired" in done.stderr


@pytest.mark.parametrize("token", ["", "rubbish", "x.y.z", "A" * 43 + "." + "0" * 64, "A" * 5000])
def test_worthless_tokens(cluster, token):
    done = join(cluster, "worthless", token)
    assert done.returncode != 0
    assert not any(n["name"] == "worthless" for n in cluster.nodes())
    assert not (cluster.dir / "worthless" / "agent" / "x509.pem").exists()


def test_token_of_another_cluster_is_refused_before_it_is_sent(cluster):
    """The pin inside the token: joining is never trust on first use."""
    secret, _, pin = cluster.token().partition(".")
    done = join(cluster, "pinned", f"{secret}.{'0' * len(pin)}")
    assert done.returncode != 0 and b"pin" in done.stderr
    cluster.start_agent("pinned-again", MEZITE_JOIN_TOKEN=f"{secret}.{pin}")  # the secret was not spent


def test_unreachable_hub_is_named(cluster):
    log = cluster.dir / "lost.log"
    agent = Process("lost", [BIN / "mezd"], log, cluster.agent_env("lost", MEZITE_JOIN_TOKEN=cluster.token(), MEZITE_AUTH_ADDR="127.0.0.1:1"))
    try:
        until(lambda: [e for e in agent.events() if "127.0.0.1:1" in json.dumps(e)], "a log line with the address")
        assert agent.running(), "an agent that cannot reach its hub goes on trying"
    finally:
        agent.stop()


def test_agents_restart_does_not_need_a_token(cluster):
    agent = cluster.start_agent("steady")
    assert agent.stop() == 0
    until(lambda: not any(n["name"] == "steady" and n["connected"] for n in cluster.nodes()), "the node to be seen as gone")
    cluster.start_agent("steady")
    assert cluster.ssh("alice", "steady", "echo back").strip() == "back"


@pytest.mark.parametrize("name", ["test.mezite", "TEST.mezite", "web.test.mezite", "localhost", "127.0.0.1", "a b", "x\x1b[2J", "../x"])
def test_names_that_could_stand_for_the_hub_or_forge_a_line(cluster, name):
    done = join(cluster, "impostor", cluster.token(), MEZITE_NODE_NAME=name)
    assert done.returncode != 0
    assert b"\x1b[2J" not in done.stderr + done.stdout
    assert name not in [n["name"] for n in cluster.nodes()]


@pytest.mark.parametrize("ttl", ["0s", "0", "-1h", "5x", "10000d"])
def test_a_ttl_that_makes_no_sense_makes_no_token(cluster, ttl):
    before = cluster.mezctl("tokens", "ls", "--format=json")
    done = cluster.mezctl("tokens", "create", "--roles=node", f"--ttl={ttl}", check=False)
    said = done.stderr.decode()
    assert done.returncode != 0 and done.stdout == b"" and ("30s, 10m, 12h or 7d" in said or "--ttl=1h" in said), said
    assert cluster.mezctl("tokens", "ls", "--format=json") == before
