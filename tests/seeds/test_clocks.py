"""Clocks that are off by more than the minute of back-dating: both sides say so in the contract's words."""
import json
from datetime import datetime, timezone

import pytest

from harness.clocks import faked, needs_faketime
from harness.cluster import BIN
from harness.process import Process

from .acceptance import check

pytestmark = needs_faketime


@pytest.fixture
def skewed(fresh):
    cluster = fresh()
    cluster.role("dev", {"node_labels": {"*": "*"}, "logins": [cluster.login]})
    cluster.user("alice", "dev")
    cluster.start_agent("web-01")
    cluster.login_as("alice")
    assert cluster.ssh("alice", "web-01", "echo", "in") == "in\n"

    def at(offset: str):
        cluster.agents["web-01"].stop()
        cluster.agents["web-01"] = Process("mezd skewed", [BIN / "mezd"], cluster.dir / "skewed.log",
                                           {**cluster.agent_env("web-01"), **faked(offset)})
        cluster.wait_connected("web-01")
    cluster.node_clock = at
    return cluster


def denied(cluster, code: str) -> dict:
    return cluster.wait_audit("access.denied", lambda e: e["event_code"] == code)


@check("T17")
def test_a_node_that_is_behind(skewed):
    skewed.node_clock("-150")
    skewed.login_as("alice")
    for refused in (skewed.ssh("alice", "web-01", "true", check=False),
                    skewed.msh("ssh", f"{skewed.login}@web-01", "true", check=False)):
        assert refused.returncode == 255
        assert b"ssh: certificate not yet valid" in refused.stderr, refused
    assert "ssh: certificate not yet valid" in denied(skewed, "T4003W")["error_message"]
    # What msh knows is fine: it is the node's clock that is wrong.
    status = json.loads(skewed.msh("status", "--format=json"))
    assert not status["expired"]
    # Within the minute nobody notices.
    skewed.node_clock("-45")
    skewed.login_as("alice")
    assert skewed.ssh("alice", "web-01", "echo", "in") == "in\n"


@check("T17")
def test_a_node_that_is_ahead(skewed):
    skewed.node_clock("+45m")
    skewed.login_as("alice", "a good long password", "--ttl=30m")
    for refused in (skewed.ssh("alice", "web-01", "true", check=False),
                    skewed.msh("ssh", f"{skewed.login}@web-01", "true", check=False)):
        assert refused.returncode == 255
        assert b"ssh: certificate expired" in refused.stderr, refused
    assert "ssh: certificate expired" in denied(skewed, "T4002W")["error_message"]
    left = datetime.fromisoformat(json.loads(skewed.msh("status", "--format=json"))["expires_at"].replace("Z", "+00:00"))
    assert left > datetime.now(timezone.utc)


@check("T17")
def test_a_workstation_that_is_behind(skewed):
    refused = skewed.msh("ssh", f"{skewed.login}@web-01", "true", check=False, env=faked("-150"))
    assert refused.returncode == 255
    assert b"ssh: certificate not yet valid" in refused.stderr and b"clock" in refused.stderr, refused
