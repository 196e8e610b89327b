"""Forwarding, with stock ssh through -J, stock ssh through `msh proxy ssh`, and `msh ssh`: real data, compared by hash."""
import os
import pwd
import signal
import socket
import struct
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.cluster import BIN
from harness.mirror import BULK, Mirror, answers, connect, digest, refuses, through
from harness.ports import free_port
from harness.process import terminate
from harness.wait import patience, until

WAYS = ["jump", "proxy-command", "msh"]


def argv(cluster, way: str, flags: list[str], *command: str, user: str = "alice") -> list[str]:
    flags = [str(flag) for flag in flags]
    if way == "msh":
        return [str(BIN / "msh"), "ssh", *flags, f"{cluster.login}@web-01", *command]
    if way == "jump":
        return cluster.ssh_argv(user, "web-01", *command, options=tuple(flags))
    proxy = f"{BIN}/msh proxy ssh {cluster.login}@web-01"
    return ["ssh", "-F", str(cluster.ssh_config(user, cluster.dir / f"id-{user}")), "-o", f"ProxyCommand={proxy}", *flags,
            f"{cluster.login}@web-01", *command]


def environment(cluster, user: str = "alice", **more) -> dict:
    return {**os.environ, "HOME": str(cluster.dir), "MSH_HOME": str(cluster.dir / f"msh-{user}"), **more}


@contextmanager
def running(cluster, way: str, flags: list[str], *command: str, user: str = "alice", ready=None, **env):
    """A client that runs in the background; its standard error is in .log."""
    log = tempfile.NamedTemporaryFile(suffix=".log")
    child = subprocess.Popen(argv(cluster, way, flags, *command, user=user), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=log, env=environment(cluster, user, **env), start_new_session=True)
    child.log = lambda: Path(log.name).read_text(errors="replace")
    try:
        if ready is not None:
            def there():
                assert child.poll() is None, f"the client ended with {child.returncode}: {child.log()}"
                return ready()
            until(there, "the forward to be there")
        yield child
    finally:
        terminate(child)
        log.close()


def holding(cluster, way: str, flags: list[str], where):
    """A client without a session (-N) whose forward answers at `where`."""
    return running(cluster, way, ["-N", *flags], ready=lambda: answers(where))


def asking_for(cluster, remote: str):
    """What comes of stock ssh that insists on this -R."""
    return cluster.ssh("alice", "web-01", "true", options=("-o", "ExitOnForwardFailure=yes", "-R", remote), check=False)


@pytest.fixture
def scratch():
    """A folder in which the login user may make sockets."""
    with tempfile.TemporaryDirectory(prefix="mezf-") as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


@pytest.mark.parametrize("way", WAYS)
def test_local_port(cluster, way):
    with Mirror() as mirror:
        port = free_port()
        with holding(cluster, way, ["-L", f"{port}:127.0.0.1:{mirror.port}"], port):
            assert through(port) == digest(BULK)
            # Several at once, one of them idle.
            idle = connect(port)
            for _ in range(5):
                assert through(port, b"short") == digest(b"short")
            idle.close()
    event = cluster.wait_audit("port_forward", lambda e: e["details"].get("target") == f"127.0.0.1:{mirror.port}")
    assert event["event_code"] == "T2010I" and event["user_name"] == "alice" and event["details"]["kind"] == "local"


@pytest.mark.parametrize("way", WAYS)
def test_local_socket(cluster, way, scratch):
    """A Unix socket on both sides. The node's side connects as the login user: its peer sees that user's id."""
    there, here = str(scratch / "there"), str(scratch / "here")
    with Mirror(there) as mirror:
        os.chmod(there, 0o777)
        with running(cluster, way, ["-N", "-L", f"{here}:{there}"], ready=lambda: os.path.exists(here) and answers(here)):
            assert through(here) == digest(BULK)
            assert os.stat(here).st_mode & 0o777 == 0o600
        uid = pwd.getpwnam(cluster.login).pw_uid
        assert {peer[1] for peer in mirror.peers} == {uid}


def test_socket_that_the_login_user_may_not_use(cluster, scratch):
    """Permissions are the login user's, not those of the agent, which is root."""
    there, port = str(scratch / "private"), free_port()
    with Mirror(there) as mirror:
        os.chmod(there, 0o600)
        with holding(cluster, "jump", ["-L", f"{port}:{there}"], port):
            assert refuses(port)
        event = cluster.wait_audit("port_forward", lambda e: e["details"].get("target") == there)
        assert event["event_code"] == "T2010W" and "ermission" in event["error_message"]
        assert mirror.peers == []


@pytest.mark.parametrize("way", WAYS)
def test_remote_port(cluster, way):
    with Mirror() as mirror:
        port = free_port()
        with holding(cluster, way, ["-R", f"{port}:127.0.0.1:{mirror.port}"], port):
            assert through(port) == digest(BULK)
            assert through(("::1", port), b"six") == digest(b"six")
            assert not listens_beyond_loopback(port)
            # The listener belongs to the login user, as /proc/net/tcp and packet filters see it.
            assert owner_of_port(port) == pwd.getpwnam(cluster.login).pw_uid
        until(lambda: not answers(port), "the port to be closed with its connection")
    opened = cluster.wait_audit("port_forward", lambda e: e["details"].get("listen") == f"localhost:{port}" and e["event_code"] == "T2011I")
    assert opened["user_name"] == "alice"
    closed = cluster.wait_audit("port_forward", lambda e: e["details"].get("listen") == f"localhost:{port}" and e["event_code"] == "T2012I")
    assert closed["details"]["bytes"] >= 2 * len(BULK)


@pytest.mark.parametrize("address", ["", "*", "0.0.0.0", "::", "localhost"])
def test_remote_port_is_on_loopback_whatever_is_asked_for(cluster, address):
    with Mirror() as mirror:
        port = free_port()
        bind = f"[{address}]" if ":" in address else address
        with holding(cluster, "jump", ["-R", f"{bind}:{port}:127.0.0.1:{mirror.port}"], port):
            assert through(port, b"data") == digest(b"data")
            assert not listens_beyond_loopback(port)


@pytest.mark.parametrize("way", WAYS)
def test_remote_port_of_the_nodes_choice(cluster, way):
    with Mirror() as mirror:
        with running(cluster, way, ["-N", "-R", f"0:127.0.0.1:{mirror.port}", "-o", "LogLevel=INFO"]) as client:
            text = until(lambda: "Allocated port" in client.log() and client.log(), "the port to be told")
            port = int(text.split("Allocated port ")[1].split()[0])
            assert through(port) == digest(BULK)


@pytest.mark.parametrize("way", WAYS)
def test_remote_socket(cluster, way, scratch):
    there = str(scratch / "there")
    with Mirror() as mirror:
        with running(cluster, way, ["-N", "-R", f"{there}:127.0.0.1:{mirror.port}"], ready=lambda: os.path.exists(there) and answers(there)):
            info = os.stat(there)
            assert (info.st_uid, info.st_mode & 0o777) == (pwd.getpwnam(cluster.login).pw_uid, 0o600)
            assert through(there) == digest(BULK)
        until(lambda: not os.path.exists(there), "the socket to be removed")


def test_remote_socket_where_the_login_user_may_not_make_one(cluster):
    if os.getuid() != 0:
        pytest.skip("needs a login user who is not us")
    with tempfile.TemporaryDirectory() as folder:  # 0700, ours
        done = asking_for(cluster, f"{folder}/s:127.0.0.1:1")
        assert done.returncode == 255 and not os.path.exists(f"{folder}/s")


@pytest.mark.parametrize("what", ["file", "link", "dangling"])
def test_remote_socket_replaces_nothing(cluster, scratch, what):
    there = scratch / "taken"
    if what == "file":
        there.write_text("precious")
    else:
        there.symlink_to(scratch / ("precious" if what == "link" else "nowhere"))
        if what == "link":
            (scratch / "precious").write_text("precious")
    done = asking_for(cluster, f"{there}:127.0.0.1:1")
    assert done.returncode == 255
    assert not (scratch / "nowhere").exists()
    if what != "dangling":
        assert there.read_text() == "precious"


def test_paths_that_climb(cluster, scratch):
    """No path with a `..` in it is used, in either direction."""
    (scratch / "sub").mkdir(mode=0o777)
    climbing = f"{scratch}/sub/../up"
    done = asking_for(cluster, f"{climbing}:127.0.0.1:1")
    assert done.returncode == 255 and not (scratch / "up").exists()
    with Mirror(str(scratch / "up")) as mirror:
        os.chmod(scratch / "up", 0o777)
        port = free_port()
        with holding(cluster, "jump", ["-L", f"{port}:{climbing}"], port):
            assert refuses(port)
        assert mirror.peers == []


def test_sockets_go_with_a_killed_agent(fresh, scratch):
    """The process of the login user sees the agent's end, however it comes, and leaves nothing behind."""
    cluster = fresh()
    cluster.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]})
    cluster.user("alice", "developer")
    agent = cluster.start_agent("web-01")
    cluster.login_as("alice")
    there = str(scratch / "there")
    with Mirror() as mirror:
        with running(cluster, "jump", ["-N", "-A", "-R", f"{there}:127.0.0.1:{mirror.port}"], ready=lambda: os.path.exists(there)):
            os.kill(agent.pid, signal.SIGKILL)
            agent.child.wait()
            until(lambda: not os.path.exists(there), "the socket to be removed")
    agent.start()
    cluster.wait_connected("web-01")


def test_privileged_port_is_not_for_everybody(cluster):
    if pwd.getpwnam(cluster.login).pw_uid == 0:
        pytest.skip("the login user is root")
    done = asking_for(cluster, "1023:127.0.0.1:1")
    assert done.returncode == 255
    done = cluster.ssh("alice", "web-01", "echo in", options=("-R", "1023:127.0.0.1:1"), check=False)
    assert done.stdout == b"in\n" and b"ports under 1024 are for root" in done.stderr


def test_port_that_is_taken(cluster):
    with Mirror() as taken:
        done = asking_for(cluster, f"{taken.port}:127.0.0.1:1")
        assert done.returncode == 255
        done = cluster.msh("ssh", "-o", "ExitOnForwardFailure=yes", "-R", f"{taken.port}:127.0.0.1:1", f"{cluster.login}@web-01", "true", check=False)
        assert done.returncode == 255 and b"the node refused it" in done.stderr
        assert through(taken.port, b"still there") == digest(b"still there")


def socks5(port: int, host: str, to: int) -> socket.socket:
    peer = connect(port)
    peer.sendall(b"\x05\x01\x00")
    assert peer.recv(2) == b"\x05\x00"
    peer.sendall(b"\x05\x01\x00\x03" + bytes([len(host)]) + host.encode() + struct.pack(">H", to))
    answer = peer.recv(10)
    assert answer[:2] == b"\x05\x00", answer
    return peer


def socks4a(port: int, host: str, to: int) -> socket.socket:
    peer = connect(port)
    peer.sendall(b"\x04\x01" + struct.pack(">H", to) + b"\x00\x00\x00\x01me\x00" + host.encode() + b"\x00")
    answer = peer.recv(8)
    assert answer[:2] == b"\x00\x5a", answer
    return peer


@pytest.mark.parametrize("way", WAYS)
def test_dynamic(cluster, way):
    with Mirror() as mirror:
        port = free_port()
        with holding(cluster, way, ["-D", f"{port}"], port):
            assert through(socks5(port, "localhost", mirror.port)) == digest(BULK)
            assert through(socks4a(port, "127.0.0.1", mirror.port), b"four") == digest(b"four")


def test_dynamic_refuses_in_socks(cluster):
    port = free_port()
    with holding(cluster, "msh", ["-D", f"{port}"], port):
        peer = connect(port)
        peer.sendall(b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01" + struct.pack(">H", free_port()))
        reply = b""
        while part := peer.recv(100):
            reply += part
        assert reply[:2] == b"\x05\x00" and reply[2:4] == b"\x05\x04", reply


def test_dynamic_with_curl(cluster):
    """A program that people use with it."""
    port, web = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "file").write_bytes(BULK)
        server = subprocess.Popen(["python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", folder, str(web)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: answers(web), "the web server")
            with holding(cluster, "msh", ["-D", f"{port}"], port):
                got = subprocess.run(["curl", "-s", "--fail", "--socks5-hostname", f"127.0.0.1:{port}", f"http://localhost:{web}/file"],
                                     capture_output=True, timeout=patience(), env={})
                assert got.returncode == 0 and digest(got.stdout) == digest(BULK)
        finally:
            server.terminate()
            server.wait()


@pytest.mark.parametrize("way", WAYS)
def test_remote_dynamic(cluster, way):
    """-R PORT: programs on the node reach what the client can."""
    with Mirror() as mirror:
        port = free_port()
        with holding(cluster, way, ["-R", f"{port}"], port):
            assert through(socks5(port, "127.0.0.1", mirror.port)) == digest(BULK)


@pytest.mark.parametrize("way", WAYS)
def test_standard_streams(cluster, way):
    with Mirror() as mirror:
        done = subprocess.run(argv(cluster, way, ["-W", f"127.0.0.1:{mirror.port}"]), input=BULK, capture_output=True,
                              env=environment(cluster), timeout=2 * patience())
        assert digest(done.stdout) == digest(BULK), done.stderr


def test_several_at_once_beside_a_command(cluster, scratch):
    """-L twice, -R, -D and a socket on one connection, and a command whose output is unharmed."""
    with Mirror() as mirror:
        one, two, back, socks = (free_port() for _ in range(4))
        flags = ["-L", f"{one}:127.0.0.1:{mirror.port}", "-L", f"127.0.0.1:{two}:localhost:{mirror.port}", "-R", f"{back}:127.0.0.1:{mirror.port}",
                 "-D", f"{socks}", "-L", f"{scratch}/here:127.0.0.1:{mirror.port}", "-T"]
        child = subprocess.Popen(argv(cluster, "msh", flags, "cat; echo end"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 env=environment(cluster))
        until(lambda: answers(back) and answers(one), "the forwards")
        for where in (one, two, back, str(scratch / "here"), socks5(socks, "localhost", mirror.port)):
            assert through(where, BULK[:300000]) == digest(BULK[:300000])
        out, _ = child.communicate(b"typed\n", timeout=patience())
        assert out == b"typed\nend\n" and child.returncode == 0
        until(lambda: not answers(back), "the node's port to be closed")
        assert not (scratch / "here").exists()


def test_open_connections_outlive_the_command(cluster):
    """As with ssh: the connection ends when the program has and the last forwarded connection is closed."""
    with Mirror() as mirror:
        port = free_port()
        child = subprocess.Popen(argv(cluster, "msh", ["-L", f"{port}:127.0.0.1:{mirror.port}"], "read line"), stdin=subprocess.PIPE,
                                 env=environment(cluster))
        until(lambda: answers(port), "the forward")
        peer = connect(port)
        peer.sendall(b"first ")
        child.stdin.write(b"\n")
        child.stdin.close()
        until(lambda: not answers(port), "the listener to be closed")
        assert child.poll() is None
        assert through(peer, b"second") == digest(b"first second")
        assert child.wait(patience()) == 0


def test_background(cluster):
    with Mirror() as mirror:
        port = free_port()
        done = cluster.msh("ssh", "-f", "-N", "-L", f"{port}:127.0.0.1:{mirror.port}", f"{cluster.login}@web-01", check=False)
        assert done.returncode == 0, done.stderr
        assert through(port) == digest(BULK)
        pids = subprocess.run(["pgrep", "-f", f"msh ssh -f -N -L {port}:"], capture_output=True, text=True).stdout.split()
        assert len(pids) == 1
        os.kill(int(pids[0]), signal.SIGTERM)
        until(lambda: not answers(port), "the background process to end")


def test_background_tells_what_failed(cluster):
    with Mirror() as taken:
        done = cluster.msh("ssh", "-f", "-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{taken.port}:127.0.0.1:1", f"{cluster.login}@web-01", check=False)
        assert done.returncode == 255 and b"in use" in done.stderr


@pytest.mark.parametrize("option", ["LocalForward={port} 127.0.0.1:{to}", "LocalForward={port}:127.0.0.1:{to}"])
def test_forwards_as_options(cluster, option):
    with Mirror() as mirror:
        port = free_port()
        with holding(cluster, "msh", ["-o", option.format(port=port, to=mirror.port)], port):
            assert through(port, b"data") == digest(b"data")


@pytest.mark.parametrize("flags", [["-L", "nonsense"], ["-R", "99999:a:1"], ["-D", "a:b:c"], ["-W", "nohost"], ["-f"]])
def test_flags_that_mean_nothing_are_refused(cluster, flags):
    done = cluster.msh("ssh", *flags, f"{cluster.login}@web-01", check=False)
    assert done.returncode == 255 and flags[0].encode() in done.stderr, done.stderr


def test_help_has_the_flags_and_examples(cluster):
    text = cluster.msh("ssh", "--help")
    for flag in ("-L", "-R", "-D", "-W", "-A", "-X", "-N", "-f", "-t", "-T", "-o", "-p"):
        assert f"  {flag}" in text, flag
    assert "msh ssh -N -L 5432:" in text


def listens_beyond_loopback(port: int) -> bool:
    out = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    addresses = {line.split()[3].rsplit(":", 1)[0] for line in out.splitlines()}
    assert addresses, "nobody listens"
    return bool(addresses - {"127.0.0.1", "[::1]"})


def owner_of_port(port: int) -> int:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].split(":")[1], 16) == port:
            return int(fields[7])
    raise AssertionError(f"nobody listens on {port}")
