"""Rotating the three CAs of a live cluster: logins, joins, restarts and running sessions in every phase."""
import json
import subprocess

import pytest

from harness.cluster import Cluster
from harness.process import Process
from harness.wait import until


@pytest.fixture
def cluster():
    made = Cluster()
    made.role("dev", {"node_labels": {"*": "*"}, "logins": [made.login]})
    made.user("alice", "dev")
    made.start_agent("web-01")
    yield made
    made.close()


def status(cluster: Cluster, ca: str) -> dict:
    return next(a for a in json.loads(cluster.mezctl("ca", "status", "--format=json")) if a["type"] == ca)


def phase(cluster: Cluster, ca: str) -> tuple[str, str]:
    now = status(cluster, ca)
    return now["rotation_phase"], now["rotation_state"]


def wait_caught_up(cluster: Cluster, *cas: str):
    until(lambda: all(not status(cluster, ca).get("lagging_nodes") for ca in cas or ("user", "host", "spiffe")),
          "every node to catch up")


def step(cluster: Cluster, what: str, ca: str, *more: str):
    return cluster.mezctl("ca", what, f"--type={ca}", *more)


class Session:
    """A stock ssh session that echoes lines: it must answer for as long as it runs."""

    def __init__(self, cluster: Cluster, user: str = "alice", node: str = "web-01"):
        self.child = subprocess.Popen(cluster.ssh_argv(user, node, "cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lines = 0
        self.works()

    def works(self):
        self.lines += 1
        line = f"line {self.lines}\n".encode()
        self.child.stdin.write(line)
        self.child.stdin.flush()
        assert self.child.stdout.readline() == line

    def close(self):
        self.child.stdin.close()
        assert self.child.wait(30) == 0


def trust_of_now(cluster: Cluster):
    """known_hosts as msh keeps it: what an msh call brings up to date."""
    cluster.msh("ls", user="alice")
    kept = (cluster.dir / "msh-alice" / "known_hosts").read_text()
    cluster.known_hosts().write_text(kept)


def everything_works(cluster: Cluster, session: Session, new_node: str):
    session.works()
    trust_of_now(cluster)
    assert cluster.msh("ssh", f"{cluster.login}@web-01", "echo", "in", user="alice") == "in\n"
    assert cluster.ssh("alice", "web-01", "echo", "in") == "in\n"
    cluster.start_agent(new_node)
    assert cluster.ssh("alice", new_node, "echo", "new") == "new\n"
    cluster.login_as("alice")
    assert cluster.ssh("alice", "web-01", "echo", "again") == "again\n"
    agent = cluster.agents[new_node]
    agent.stop()
    agent.start()
    cluster.wait_connected(new_node)
    assert cluster.ssh("alice", new_node, "echo", "restarted") == "restarted\n"
    wait_caught_up(cluster)
    session.works()


@pytest.mark.parametrize("ca", ["user", "host", "spiffe"])
def test_every_phase_of_a_rotation_works(cluster, ca):
    cluster.login_as("alice")
    session = Session(cluster)
    old = status(cluster, ca)
    assert phase(cluster, ca) == ("complete", "standby")
    wait_caught_up(cluster)

    step(cluster, "rotate", ca)
    assert phase(cluster, ca) == ("update_clients", "in_progress")
    assert status(cluster, ca)["active_fingerprint"] == old["active_fingerprint"]
    new_key = status(cluster, ca)["standby_fingerprint"]
    everything_works(cluster, session, "n-clients")

    step(cluster, "advance", ca)
    assert phase(cluster, ca) == ("update_servers", "in_progress")
    assert status(cluster, ca)["active_fingerprint"] == new_key
    assert status(cluster, ca)["standby_fingerprint"] == old["active_fingerprint"]
    everything_works(cluster, session, "n-servers")
    if ca == "host":
        assert {n["host_cert_signer_fingerprint"] for n in cluster.nodes()} == {new_key}
    cluster.restart_hub()
    for node in cluster.agents:
        cluster.wait_connected(node)

    session = Session(cluster)
    wait_caught_up(cluster)
    step(cluster, "advance", ca)
    assert phase(cluster, ca) == ("complete", "standby")
    assert status(cluster, ca)["active_fingerprint"] == new_key
    assert not status(cluster, ca).get("standby_fingerprint")
    everything_works(cluster, session, "n-complete")
    session.close()
    events = [e["event_type"] for e in cluster.audit("--type=ca.rotation.*")]
    assert sorted(events) == sorted(["ca.rotation.started", "ca.rotation.advanced", "ca.rotation.advanced", "ca.rotation.completed"])
    refused = cluster.mezctl("ca", "rollback", f"--type={ca}", check=False)
    assert refused.returncode == 1 and b"no rotation is under way" in refused.stderr


@pytest.mark.parametrize("ca", ["user", "host", "spiffe"])
def test_rollback_from_each_phase(cluster, ca):
    cluster.login_as("alice")
    session = Session(cluster)
    old = status(cluster, ca)["active_fingerprint"]

    step(cluster, "rotate", ca)
    wait_caught_up(cluster)
    step(cluster, "rollback", ca)
    assert phase(cluster, ca) == ("complete", "standby")
    everything_works(cluster, session, "n-first")

    step(cluster, "rotate", ca)
    wait_caught_up(cluster)
    step(cluster, "advance", ca)
    everything_works(cluster, session, "n-servers")
    step(cluster, "rollback", ca)
    assert phase(cluster, ca) == ("update_clients", "rollback")
    assert status(cluster, ca)["active_fingerprint"] == old
    # Certificates of the new key are still good, and what comes now is of the old one.
    assert cluster.ssh("alice", "web-01", "echo", "in") == "in\n"
    everything_works(cluster, session, "n-back")
    step(cluster, "advance", ca)
    assert phase(cluster, ca) == ("complete", "standby")
    assert status(cluster, ca)["active_fingerprint"] == old
    everything_works(cluster, session, "n-rest")
    session.close()


def test_an_advance_names_who_would_be_cut_off(cluster):
    cluster.start_agent("away")
    cluster.agents["away"].stop()
    step(cluster, "rotate", "host")
    wait = lambda: status(cluster, "host").get("lagging_nodes") == ["away"]
    until(wait, "only the node that is away to lag")
    refused = cluster.mezctl("ca", "advance", "--type=host", check=False)
    assert refused.returncode == 1
    assert b"1 node has not caught up with the host CA and would be cut off: away" in refused.stderr
    assert phase(cluster, "host") == ("update_clients", "in_progress")
    step(cluster, "advance", "host", "--force")
    assert phase(cluster, "host") == ("update_servers", "in_progress")
    assert cluster.audit("--type=ca.rotation.advanced")[0]["details"]["cut_off"] == ["away"]
    # It missed the new key while it was away; the hub proves it by the old one, and a restart heals.
    cluster.agents["away"].start()
    cluster.wait_connected("away")
    wait_caught_up(cluster)
    step(cluster, "advance", "host")


def test_a_node_that_missed_it_all_needs_a_fresh_token(cluster):
    """T4: the old pin is refused in words; deleting MEZITE_DATA_DIR and a fresh token heals."""
    cluster.start_agent("away")
    old_token = cluster.token()
    cluster.agents["away"].stop()
    step(cluster, "rotate", "host")
    step(cluster, "advance", "host", "--force")
    wait_one = lambda: status(cluster, "host").get("cut_off_nodes") == ["away"]
    until(wait_one, "web-01 to catch up")
    step(cluster, "advance", "host", "--force")
    agent = cluster.agents["away"]
    agent.start()
    until(lambda: "delete MEZITE_DATA_DIR and join again with a fresh token" in agent.output(), "the agent to say what to do")
    agent.stop()
    cluster.run(["rm", "-rf", cluster.dir / "away"])
    # The pin in a token of before is of a key that is gone.
    process = Process("mezd old", [agent.argv[0]], cluster.dir / "old.log", cluster.agent_env("away", MEZITE_JOIN_TOKEN=old_token))
    until(lambda: not process.running(), "the join with the old pin to be refused")
    assert "does not have the pin" in process.output()
    cluster.run(["rm", "-rf", cluster.dir / "away"])
    cluster.start_agent("away")
