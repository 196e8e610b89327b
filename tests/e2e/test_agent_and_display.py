"""The user's ssh-agent and X11 display on the node, with real programs at both ends."""
import os
import signal
import subprocess
from pathlib import Path

import pytest

from harness.ports import free_port
from harness.wait import patience, until
from test_forwarding import WAYS, argv, environment, running


@pytest.fixture(scope="module")
def ssh_agent(cluster):
    """A real ssh-agent with one key that is nobody's; its socket."""
    socket = cluster.dir / "agent.sock"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    key = cluster.dir / "agent-key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "forwarded-key", "-f", key], check=True)
    until(socket.exists, "the agent")
    subprocess.run(["ssh-add", "-q", key], env={**os.environ, "SSH_AUTH_SOCK": str(socket)}, check=True, capture_output=True)
    yield str(socket)
    agent.terminate()
    agent.wait()


def run_with_agent(cluster, way, flags, command, socket, **options):
    return subprocess.run(argv(cluster, way, flags, command), capture_output=True, stdin=subprocess.DEVNULL, timeout=patience(),
                          env=environment(cluster, SSH_AUTH_SOCK=socket), **options)


def agent_flags(way, socket):
    """The tests' configuration says IdentityAgent=none, after which ssh forwards none either."""
    return ["-A"] if way == "msh" else ["-A", "-o", f"IdentityAgent={socket}"]


@pytest.mark.parametrize("way", WAYS)
def test_agent_is_there_and_signs(cluster, ssh_agent, way):
    script = ("ssh-add -l; stat -c '%U %a' $SSH_AUTH_SOCK; stat -c '%U %a' $(dirname $SSH_AUTH_SOCK); cd $(mktemp -d); ssh-add -L > key.pub; echo data > f;"
              "ssh-keygen -q -Y sign -f key.pub -n file f && echo \"me $(cat key.pub)\" > allowed &&"
              "ssh-keygen -Y verify -f allowed -I me -n file -s f.sig < f; echo $SSH_AUTH_SOCK")
    done = run_with_agent(cluster, way, agent_flags(way, ssh_agent), script, ssh_agent)
    out = done.stdout.decode()
    assert done.returncode == 0 and "forwarded-key" in out, (out, done.stderr)
    assert f"{cluster.login} 600" in out and f"{cluster.login} 700" in out
    assert 'Good "file" signature' in out
    path = Path(out.splitlines()[-1])
    assert path.parent.name.startswith("ssh-")
    until(lambda: not path.parent.exists(), "the agent's socket and folder to be removed")
    assert cluster.wait_audit("agent_forward")["event_code"] == "T2013I"


def test_no_agent_without_asking(cluster, ssh_agent):
    for way in WAYS:
        done = run_with_agent(cluster, way, [], "echo socket=$SSH_AUTH_SOCK", ssh_agent)
        assert done.stdout == b"socket=\n", (way, done.stderr)


def test_many_clients_of_one_agent(cluster, ssh_agent):
    script = "for i in $(seq 20); do ssh-add -l > /dev/null & p=\"$p $!\"; done; for i in $p; do wait $i || exit 1; done; echo all"
    done = run_with_agent(cluster, "msh", ["-A"], script, ssh_agent)
    assert done.stdout == b"all\n", done.stderr


def test_sessions_of_one_connection_share_it(cluster, ssh_agent):
    control = cluster.dir / "agent.ctl"
    options = ("-o", f"ControlPath={control}", *agent_flags("jump", ssh_agent))
    with running(cluster, "jump", ["-M", "-N", *options], ready=control.exists):
        seen = {cluster.ssh("alice", "web-01", "ssh-add -l >&2; echo $SSH_AUTH_SOCK", options=options) for _ in range(3)}
        assert len(seen) == 1
        path = Path(seen.pop().strip())
        assert path.exists()
    until(lambda: not path.parent.exists(), "the socket to be removed with its connection")


def test_the_hub_is_not_offered_the_agent(cluster, ssh_agent):
    """ssh -A -J: the hub ends the outer hop, and sees no agent. `msh config` says so for those who set ForwardAgent for all hosts."""
    done = cluster.run(["ssh", "-v", "-F", str(cluster.ssh_config("alice", cluster.dir / "id-alice")), *agent_flags("jump", ssh_agent),
                        "-J", f"alice@127.0.0.1:{cluster.ssh_port}", f"{cluster.login}@web-01", "ssh-add -l"], check=False)
    assert done.returncode == 0 and b"forwarded-key" in done.stdout
    text = cluster.msh("config")
    hub = text.split("Host *.")[0]
    assert "ForwardAgent no" in hub and "ForwardX11 no" in hub
    # Even a client that asks gets no session there to forward it to.
    done = cluster.run(["ssh", "-F", str(cluster.ssh_config("alice", cluster.dir / "id-alice")), *agent_flags("jump", ssh_agent), "-p", str(cluster.ssh_port),
                        "alice@127.0.0.1", "true"], check=False)
    assert done.returncode == 255


def test_agent_that_the_roles_forbid(cluster, ssh_agent):
    cluster.role("no-agent", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]}, options={"agent_forwarding": False, "x11_forwarding": False})
    cluster.user("nora", "no-agent")
    cluster.login_as("nora")
    done = cluster.run(argv(cluster, "jump", agent_flags("jump", ssh_agent), "echo socket=$SSH_AUTH_SOCK", user="nora"), check=False)
    assert done.stdout == b"socket=\n" and b"agent forwarding is not allowed (event " in done.stderr
    event = cluster.wait_audit("access.denied", lambda e: e["user_name"] == "nora")
    assert event["event_code"] == "T4013W" and event["details"]["reason"] == "agent_forwarding"
    assert event["id"] in done.stderr.decode()


def test_agent_goes_with_a_killed_client(cluster, ssh_agent):
    child = subprocess.Popen(argv(cluster, "msh", ["-A", "-n"], "echo $SSH_AUTH_SOCK; sleep 1000"), stdout=subprocess.PIPE,
                             env=environment(cluster, SSH_AUTH_SOCK=ssh_agent))
    path = Path(child.stdout.readline().decode().strip())
    assert path.exists()
    child.kill()
    child.wait()
    until(lambda: not path.parent.exists(), "the socket to be removed")


@pytest.fixture(scope="module")
def display(cluster):
    """A real X server with a cookie; the environment that has it. Without -noreset it would forget the cookies that it made whenever
    its last program has gone, with SECURITY on it can make restricted ones. TCP displays above 6010 are for the node to choose."""
    number = next(n for n in range(50, 99) if not Path(f"/tmp/.X11-unix/X{n}").exists() and not Path(f"/tmp/.X{n}-lock").exists())
    authority = cluster.dir / "Xauthority"
    cookie = os.urandom(16).hex()
    subprocess.run(["xauth", "-q", "-f", authority, "add", f":{number}", "MIT-MAGIC-COOKIE-1", cookie], check=True, capture_output=True)
    server = subprocess.Popen(["Xvfb", f":{number}", "-auth", str(authority), "-nolisten", "tcp", "+extension", "SECURITY", "-noreset",
                               "-screen", "0", "321x123x24"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    env = {"DISPLAY": f":{number}", "XAUTHORITY": str(authority)}
    until(lambda: subprocess.run(["xdpyinfo"], env={**os.environ, **env}, capture_output=True).returncode == 0, "the X server")
    yield {**env, "COOKIE": cookie}
    server.terminate()
    server.wait()


@pytest.mark.parametrize("way", ["jump", "proxy-command", "msh"])
def test_display(cluster, display, way):
    """-Y: a program on the node has all of the display."""
    script = "echo display=$DISPLAY; xauth list; xdpyinfo"
    done = subprocess.run(argv(cluster, way, ["-Y"], script), capture_output=True, stdin=subprocess.DEVNULL, timeout=patience(),
                          env=environment(cluster, **display))
    out = done.stdout.decode()
    assert done.returncode == 0 and "321x123 pixels" in out, (out, done.stderr)
    name = out.split("display=")[1].split()[0]
    assert name.startswith("localhost:") and "XTEST" in out
    number = int(name.split(":")[1].split(".")[0])
    assert 10 <= number < 1010
    assert display["COOKIE"] not in out, "the display's own cookie stays with the client"
    event = cluster.wait_audit("x11_forward", lambda e: e["details"]["display"] == name)
    assert event["event_code"] == "T2014I"
    until(lambda: not listening(6000 + number), "the display's port to be closed")


@pytest.mark.parametrize("way", ["jump", "proxy-command", "msh"])
def test_restricted_display(cluster, display, way):
    """-X: with a cookie of its own, for which the display hides what reads and types for other programs (XTEST, RECORD)."""
    flags = ["-X"] if way == "msh" else ["-X", "-o", "ForwardX11Trusted=no"]  # Debian's ssh means -Y by -X
    done = subprocess.run(argv(cluster, way, flags, "echo display=$DISPLAY; xauth list; xdpyinfo"), capture_output=True, stdin=subprocess.DEVNULL,
                          timeout=patience(), env=environment(cluster, **display))
    out = done.stdout.decode()
    assert done.returncode == 0 and "321x123 pixels" in out, (out, done.stderr)
    assert "BIG-REQUESTS" in out and "XTEST" not in out and "RECORD" not in out, out
    assert display["COOKIE"] not in out


def test_display_without_restricted_access(cluster, display):
    """A display without the SECURITY extension: msh says so and what there is instead."""
    env = environment(cluster, **{**display, "DISPLAY": ":49"})
    done = subprocess.run(argv(cluster, "msh", ["-X"], "echo in"), capture_output=True, stdin=subprocess.DEVNULL, timeout=patience(), env=env)
    assert b"gives no restricted access" in done.stderr and b"-Y trusts the node" in done.stderr, (done.stdout, done.stderr)


def test_display_is_for_who_has_the_cookie(cluster, display):
    """A program on the node without the cookie reaches the client, which keeps it from the display."""
    script = "DISPLAY=$DISPLAY XAUTHORITY=/dev/null xdpyinfo; echo code=$?"
    done = subprocess.run(argv(cluster, "msh", ["-Y"], script), capture_output=True, stdin=subprocess.DEVNULL, timeout=patience(),
                          env=environment(cluster, **display))
    assert b"code=1" in done.stdout and b"wrong X11 cookie" in done.stderr, (done.stdout, done.stderr)


def test_display_that_the_roles_forbid(cluster, display):
    cluster.role("no-display", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]}, options={"x11_forwarding": False})
    cluster.user("xenia", "no-display")
    cluster.login_as("xenia")
    done = subprocess.run(argv(cluster, "jump", ["-Y"], "echo display=$DISPLAY", user="xenia"), capture_output=True, stdin=subprocess.DEVNULL,
                          timeout=patience(), env=environment(cluster, **display))
    assert done.stdout == b"display=\n" and b"X11 forwarding is not allowed (event " in done.stderr
    event = cluster.wait_audit("access.denied", lambda e: e["user_name"] == "xenia")
    assert event["details"]["reason"] == "x11_forwarding"


def listening(port: int) -> bool:
    return bool(subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout.strip())
