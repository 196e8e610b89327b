"""What sessions run and whom they connect to, as the kernel tells it."""
import base64
import json
import os
import socket
import subprocess
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness.accept import accept_each
from harness.cluster import BIN
from harness.kernel import audit_state, in_cgroup, own_cgroup, restore_audit, session_cgroups
from harness.process import Process
from harness.wait import until


@contextmanager
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        accept_each(server, socket.socket.close)
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


BACKENDS = {"bpf": "eBPF", "audit": "audit subsystem"}


@pytest.fixture(scope="module", params=BACKENDS)
def traced(cluster, request):
    """A node with enhanced recording, once in each of its ways; skips where the kernel has not got what that takes."""
    name = f"traced-{request.param}"
    if os.geteuid() == 0 and not (cluster.dir / "msh-roots").exists():
        cluster.role("as-root", {"node_labels": {"*": "*"}, "logins": ["root"]})
        cluster.user("roots", "as-root")
        cluster.login_as("roots")
    before = audit_state()
    cluster.start_agent(name, wait=False, MEZITE_ENHANCED_RECORDING=request.param)
    agent = cluster.agents[name]
    until(lambda: "enhanced recording" in agent.output() or agent.child.poll() is not None, "what the agent says")
    if "it can't be had" in agent.output():
        pytest.skip(agent.output().strip().splitlines()[-1])
    cluster.wait_connected(name)
    yield Traced(cluster, name, request.param)
    cluster.agents.pop(name).stop()
    assert audit_state() == before, "the kernel's audit subsystem is left as it was"


class Traced:
    """The cluster, with the name of its node that is looked at."""
    def __init__(self, cluster, node: str, backend: str):
        self.cluster, self.node, self.backend = cluster, node, backend

    def __getattr__(self, name):
        return getattr(self.cluster, name)

    def do(self, command: str) -> str:
        return self.cluster.msh("ssh", f"{self.cluster.login}@{self.node}", command)


def node(cluster, name: str) -> dict:
    return json.loads(cluster.mezctl("nodes", "get", name, "--format=json"))


def details(event: dict) -> dict:
    return event["details"] if isinstance(event["details"], dict) else json.loads(event["details"])


def programs(cluster, *filters) -> list[dict]:
    return [e for e in cluster.audit("--type=session.command", "--limit=5000", *filters)
            if e["event_code"] == "T2004I" and e["server_hostname"] == cluster.node]


def ran(traced, needle: str, path: str = "/bin/echo") -> dict:
    """The event of a program with that among its arguments."""
    return until(lambda: [e for e in programs(traced) if needle in details(e)["arguments"] and details(e)["path"] == path],
                 f"{path} with {needle}")[0]


@contextmanager
def waiting_session(traced, command: str):
    """A session of alice's that runs the shell command when its process is known: (pid, stdin)."""
    argv = [BIN / "msh", "ssh", f"{traced.login}@{traced.node}", f"echo $$; {command}"]
    env = {**os.environ, "MSH_HOME": str(traced.dir / "msh-alice")}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as session:
        try:
            yield int(session.stdout.readline()), session.stdin
        finally:
            session.stdin.close()
    assert session.returncode == 0


def own_group_of(pid: int) -> str:
    return next(line for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if line.startswith("0::")).rpartition("/")[2]


def test_nodes_say_whether_they_have_it(cluster, traced):
    says = node(cluster, traced.node)["enhanced_recording"]
    assert says.startswith("on: ") and BACKENDS[traced.backend] in says
    assert says.removeprefix("on: ") in cluster.agents[traced.node].output()
    assert node(cluster, "web-01")["enhanced_recording"] == "off"


def test_what_a_script_hides_is_told(traced):
    script = base64.b64encode(b"/bin/ls -d /etc/hos*; exec /usr/bin/env printf 'from %s\\n' inside").decode()
    traced.do(f"echo {script} | base64 -d | sh; /bin/false; true")
    event = until(lambda: [e for e in programs(traced) if details(e)["arguments"][:1] == ["/bin/ls"]], "ls, which nobody typed")[0]
    seen = details(event)
    assert seen["path"] == "/bin/ls" and seen["arguments"][1] == "-d" and "/etc/hosts" in seen["arguments"]
    assert seen["exit_code"] == 0 and seen["login"] == traced.login and seen["pid"] > 0 and seen["ppid"] > 0
    assert (event["user_name"], event["server_hostname"], event["success"]) == ("alice", traced.node, True)
    session = event["session_id"]
    start = next(e for e in traced.audit("--type=session.start", f"--session={session}"))
    assert start["user_name"] == "alice"
    mine = until(lambda: [details(e) for e in programs(traced, f"--session={session}") if details(e)["path"].endswith("/false")], "false")[0]
    assert mine["exit_code"] == 1
    names = [details(e)["arguments"] for e in programs(traced, f"--session={session}")]
    assert ["printf", "from %s\\n", "inside"] in names and ["base64", "-d"] in names


def test_arguments_that_a_record_could_confuse(traced):
    """Blanks, quotes, line ends, what looks like a field, and bytes that are no text."""
    traced.do("/bin/echo odd-needle 'a b' '\"' 'x\ny' 'ses=1 pid=2' '' $(printf 'caf\\303\\251')")
    assert details(ran(traced, "odd-needle"))["arguments"] == ["/bin/echo", "odd-needle", "a b", '"', "x\ny", "ses=1 pid=2", "", "café"]


def test_descent_counts_not_parent_or_process_group(traced):
    traced.do("setsid sh -c 'sleep 0.5; /bin/echo orphaned-needle' >/dev/null 2>&1 </dev/null & exit 0")
    assert ran(traced, "orphaned-needle")["user_name"] == "alice"


def test_connections_are_told(traced):
    with listener() as port:
        traced.do(f"bash -c 'for i in 1 2 3; do exec 3<>/dev/tcp/127.0.0.1/{port}; done'")
        event = traced.wait_audit("session.network", lambda e: details(e)["port"] == port)
    seen = details(event)
    assert (seen["address"], seen["protocol"], seen["program"], seen["times"]) == ("127.0.0.1", "tcp", "bash", 3)
    assert event["user_name"] == "alice" and event["session_id"]


def test_datagrams_are_told(traced):
    send = "import socket; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.sendto(b'x', ('::1', 4711)); s.sendto(b'x', ('::1', 4711))"
    traced.do(f"/usr/bin/python3 -c \"{send}\"")
    seen = details(traced.wait_audit("session.network", lambda e: details(e)["port"] == 4711 and e["server_hostname"] == traced.node))
    assert (seen["address"], seen["protocol"], seen["times"]) == ("::1", "udp", 2)


def test_nothing_of_others_is_told(traced):
    """Programs of another node's session, of the agent itself and of the machine are not the session's."""
    traced.msh("ssh", f"{traced.login}@web-01", "/bin/echo not-traced-needle")
    traced.do("/bin/echo traced-needle")
    ran(traced, "traced-needle")
    everything = traced.audit("--type=session.command", "--limit=5000")
    assert not [e for e in everything if e["event_code"] == "T2004I" and "not-traced-needle" in details(e)["arguments"]]
    assert "web-01" not in {e["server_hostname"] for e in everything if e["event_code"] == "T2004I"}


def test_floods_are_counted(traced):
    traced.do("i=0; while [ $i -lt 1500 ]; do /bin/true; i=$((i+1)); done")
    lost = traced.wait_audit("session.tracing.lost", lambda e: e["server_hostname"] == traced.node)
    session = lost["session_id"]
    def all_told():
        told = [e for e in programs(traced, f"--session={session}") if details(e)["path"] == "/bin/true"]
        missing = sum(details(e)["commands"] for e in traced.audit("--type=session.tracing.lost", f"--session={session}"))
        return missing > 0 and len(told) + missing >= 1500
    until(all_told, "each run to be told of or counted")


def test_long_arguments_are_cut(traced):
    traced.do("/bin/echo cut-needle " + "a" * 20000)
    seen = details(ran(traced, "cut-needle"))
    assert seen["arguments_cut"] is True and sum(map(len, seen["arguments"])) <= 2048


def test_each_session_has_a_cgroup_of_its_own(traced):
    """Made at its start, gone at its end, and who comes into it counts as of the session: eBPF."""
    if traced.backend != "bpf":
        pytest.skip("the audit subsystem tells sessions apart by its own numbers")
    if "by descent alone" in node(traced.cluster, traced.node)["enhanced_recording"]:
        pytest.skip("no cgroups for sessions here: " + node(traced.cluster, traced.node)["enhanced_recording"])
    with waiting_session(traced, "cat") as (pid, stdin):
        session = own_group_of(pid)
        assert session in session_cgroups()
        in_cgroup(session, ["/bin/echo", "came-by-cgroup"])
        assert ran(traced, "came-by-cgroup")["session_id"] == session
        assert [e["user_name"] for e in traced.audit("--type=session.start", f"--session={session}")] == ["alice"]
        stdin.close()
        until(lambda: session not in session_cgroups(), "its cgroup to be gone")


@pytest.mark.skipif(os.geteuid() != 0, reason="root moves processes between cgroups")
def test_who_leaves_the_cgroup_stays_of_the_session(traced):
    """su with pam_systemd moves what it starts to another cgroup."""
    elsewhere = own_cgroup() / f"elsewhere-{uuid.uuid4()}"
    elsewhere.mkdir()
    try:
        with waiting_session(traced, "read line; /bin/echo $line") as (pid, stdin):
            (elsewhere / "cgroup.procs").write_text(str(pid))
            stdin.write(b"left-the-cgroup\n")
            stdin.close()
            assert ran(traced, "left-the-cgroup")["user_name"] == "alice"
    finally:
        until(lambda: not (elsewhere / "cgroup.procs").read_text(), "the cgroup to be empty")
        elsewhere.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a cgroup")
def test_left_over_cgroups_are_removed_at_start(cluster):
    left = own_cgroup() / "mezite" / str(uuid.uuid4())
    left.mkdir(parents=True)
    (left / "below").mkdir()
    cluster.start_agent("after-a-crash", MEZITE_ENHANCED_RECORDING="auto")
    try:
        says = until(lambda: node(cluster, "after-a-crash").get("enhanced_recording"), "what the node says")
        if "sessions by cgroup" not in says:
            pytest.skip("no cgroups for sessions here: " + says)
        assert not left.exists()
    finally:
        for folder in (left / "below", left):
            if folder.exists():
                folder.rmdir()
        cluster.agents.pop("after-a-crash").stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a session of root")
def test_a_login_inside_the_session_stays_of_it(traced):
    """pam_loginuid (of login, cron) gives what it starts another audit session: of whom that came is known."""
    command = "echo 4294967295 > /proc/self/loginuid && echo 12345 > /proc/self/loginuid && /bin/echo anew-needle-$(cat /proc/self/loginuid)"
    traced.msh("ssh", f"root@{traced.node}", command, user="roots")
    assert ran(traced, "anew-needle-12345")["user_name"] == "roots"


def test_rules_of_an_agent_that_was_killed_are_removed(cluster):
    """kill -9 leaves its audit rules in the kernel; the next start takes them away."""
    before = audit_state()
    if not before or before["enabled"] == 2:
        pytest.skip("the audit rules of this machine can't be changed")
    cluster.start_agent("killed", MEZITE_ENHANCED_RECORDING="audit").kill()
    try:
        assert audit_state()["rules"] != before["rules"]
        cluster.start_agent("killed", MEZITE_ENHANCED_RECORDING="audit")
        cluster.agents.pop("killed").stop()
        assert audit_state()["rules"] == before["rules"]
    finally:
        restore_audit(before)


def test_wrong_values_are_refused(cluster):
    agent = cluster.start_agent("wrong", wait=False, MEZITE_ENHANCED_RECORDING="sometimes")
    until(lambda: "off, auto, require, bpf or audit" in agent.output(), "the accepted values")


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
        assert agent.child.returncode == 1 and "MEZITE_ENHANCED_RECORDING requires it" in agent.output()
