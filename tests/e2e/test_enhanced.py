"""What sessions run and whom they connect to, as the kernel tells it."""
import base64
import json
import os
import socket
import threading
from contextlib import contextmanager

import pytest
from harness.cluster import BIN
from harness.process import Process
from harness.wait import until


@contextmanager
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def traced(cluster):
    """A node with enhanced recording on; skips where the kernel has not got what it takes."""
    cluster.start_agent("traced", MEZITE_ENHANCED_RECORDING="auto")
    state = until(lambda: node(cluster, "traced").get("enhanced_recording"), "what the node says")
    if not state.startswith("on: "):
        pytest.skip(state)
    return cluster


def node(cluster, name: str) -> dict:
    return json.loads(cluster.mezctl("nodes", "get", name, "--format=json"))


def details(event: dict) -> dict:
    return event["details"] if isinstance(event["details"], dict) else json.loads(event["details"])


def programs(cluster, *filters) -> list[dict]:
    return [e for e in cluster.audit("--type=session.command", "--limit=5000", *filters) if e["event_code"] == "T2004I"]


def test_nodes_say_whether_they_have_it(cluster, traced):
    assert "eBPF" in traced.mezctl("nodes", "get", "traced")
    assert node(cluster, "web-01")["enhanced_recording"] == "off"


def test_what_a_script_hides_is_told(traced):
    script = base64.b64encode(b"/bin/ls -d /etc/hos*; exec /usr/bin/env printf 'from %s\\n' inside").decode()
    traced.msh("ssh", f"{traced.login}@traced", f"echo {script} | base64 -d | sh; /bin/false; true")
    event = until(lambda: [e for e in programs(traced) if details(e)["arguments"][:1] == ["/bin/ls"]], "ls, which nobody typed")[0]
    seen = details(event)
    assert seen["path"] == "/bin/ls" and seen["arguments"][1] == "-d" and "/etc/hosts" in seen["arguments"]
    assert seen["exit_code"] == 0 and seen["login"] == traced.login and seen["pid"] > 0 and seen["ppid"] > 0
    assert (event["user_name"], event["server_hostname"], event["success"]) == ("alice", "traced", True)
    session = event["session_id"]
    start = next(e for e in traced.audit("--type=session.start", f"--session={session}"))
    assert start["user_name"] == "alice"
    mine = until(lambda: [details(e) for e in programs(traced, f"--session={session}") if details(e)["path"].endswith("/false")], "false")[0]
    assert mine["exit_code"] == 1
    names = [details(e)["arguments"] for e in programs(traced, f"--session={session}")]
    assert ["printf", "from %s\\n", "inside"] in names and ["base64", "-d"] in names


def test_descent_counts_not_parent_or_process_group(traced):
    traced.msh("ssh", f"{traced.login}@traced", "setsid sh -c 'sleep 0.5; /bin/echo orphaned-needle' >/dev/null 2>&1 </dev/null & exit 0")
    event = until(lambda: [e for e in programs(traced) if "orphaned-needle" in details(e)["arguments"] and details(e)["path"] == "/bin/echo"], "what the orphan ran")[0]
    assert event["user_name"] == "alice"


def test_connections_are_told(traced):
    with listener() as port:
        traced.msh("ssh", f"{traced.login}@traced", f"bash -c 'for i in 1 2 3; do exec 3<>/dev/tcp/127.0.0.1/{port}; done'")
        event = traced.wait_audit("session.network", lambda e: details(e)["port"] == port)
    seen = details(event)
    assert (seen["address"], seen["protocol"], seen["program"], seen["times"]) == ("127.0.0.1", "tcp", "bash", 3)
    assert event["user_name"] == "alice" and event["session_id"]


def test_nothing_of_others_is_told(traced):
    """Programs of another node's session, of the agent itself and of the machine are not the session's."""
    traced.msh("ssh", f"{traced.login}@web-01", "/bin/echo not-traced-needle")
    traced.msh("ssh", f"{traced.login}@traced", "/bin/echo traced-needle")
    until(lambda: [e for e in programs(traced) if "traced-needle" in details(e)["arguments"]], "the traced one")
    assert not [e for e in programs(traced) if "not-traced-needle" in details(e)["arguments"]]
    assert {e["server_hostname"] for e in programs(traced)} == {"traced"}


def test_floods_are_counted(traced):
    traced.msh("ssh", f"{traced.login}@traced", "i=0; while [ $i -lt 1500 ]; do /bin/true; i=$((i+1)); done")
    lost = traced.wait_audit("session.tracing.lost")
    session = lost["session_id"]
    def all_told():
        told = [e for e in programs(traced, f"--session={session}") if details(e)["path"] == "/bin/true"]
        missing = sum(details(e)["commands"] for e in traced.audit("--type=session.tracing.lost", f"--session={session}"))
        return missing > 0 and len(told) + missing >= 1500
    until(all_told, "each run to be told of or counted")


def test_long_arguments_are_cut(traced):
    traced.msh("ssh", f"{traced.login}@traced", "/bin/echo cut-needle " + "a" * 5000)
    seen = details(until(lambda: [e for e in programs(traced) if "cut-needle" in details(e)["arguments"] and details(e)["path"] == "/bin/echo"], "the long one")[0])
    assert seen["arguments_cut"] is True and sum(map(len, seen["arguments"])) <= 2048


def test_wrong_values_are_refused(cluster):
    agent = cluster.start_agent("wrong", wait=False, MEZITE_ENHANCED_RECORDING="sometimes")
    until(lambda: "off, auto or require" in agent.output(), "the accepted values")


@contextmanager
def in_a_container(cluster, name: str, wish: str):
    """An agent in a PID namespace of its own, as in a container: the kernel's programs can't follow its sessions."""
    env = cluster.agent_env(name, MEZITE_ENHANCED_RECORDING=wish, MEZITE_JOIN_TOKEN=cluster.token())
    agent = Process(f"mezd {name}", ["unshare", "--pid", "--fork", "--kill-child", BIN / "mezd"], cluster.dir / f"{name}.log", env)
    try:
        yield agent
    finally:
        agent.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a PID namespace")
def test_where_it_cant_be_had_that_is_said(cluster):
    with in_a_container(cluster, "contained", "auto") as agent:
        cluster.wait_connected("contained")
        until(lambda: "enhanced recording can't be had" in agent.output(), "the line in the log")
        state = until(lambda: node(cluster, "contained").get("enhanced_recording"), "what the node says")
        assert state.startswith("unavailable: ") and "PID namespace" in state
        assert "still-works" in cluster.msh("ssh", f"{cluster.login}@contained", "echo still-works")
        event = cluster.wait_audit("session.tracing.failed")
        assert event["user_name"] == "alice" and "PID namespace" in event["error_message"] and details(event)["wish"] == "auto"


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a PID namespace")
def test_require_does_not_start_without_it(cluster):
    with in_a_container(cluster, "demanding", "require") as agent:
        until(lambda: agent.child.poll() is not None, "the agent to end")
        assert agent.child.returncode == 1 and "MEZITE_ENHANCED_RECORDING is require" in agent.output()
