"""A user reaches a node with stock OpenSSH and with msh; what goes in comes out, unchanged."""
import hashlib
import os
import subprocess

import pytest

from harness.terminal import Terminal
from harness.wait import patience, until


def test_jump_host_with_verified_host_certificates_and_no_prompt(cluster):
    assert cluster.ssh("alice", "web-01", "id -un").strip() == cluster.login


def test_exit_codes_are_the_remote_ones(cluster):
    for code in (0, 1, 42, 255):
        assert cluster.ssh("alice", "web-01", f"exit {code}", check=False).returncode == code
        assert cluster.msh("ssh", f"{cluster.login}@web-01", f"exit {code}", check=False).returncode == code


def test_stdout_and_stderr_stay_apart(cluster):
    done = cluster.ssh("alice", "web-01", "echo out; echo err >&2", check=False)
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
    done = cluster.msh("ssh", f"{cluster.login}@web-01", "echo out; echo err >&2", check=False)
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


@pytest.fixture(scope="module")
def hundred_mib() -> tuple[bytes, str]:
    block = os.urandom(1 << 20)
    data = b"".join(i.to_bytes(4, "big") + block[4:] for i in range(100))
    return data, hashlib.sha256(data).hexdigest()


def test_stdin_of_100_mib_arrives_intact(cluster, hundred_mib):
    data, digest = hundred_mib
    assert cluster.ssh("alice", "web-01", "sha256sum", stdin=data).split()[0] == digest


def test_100_mib_come_back_intact_through_msh(cluster, hundred_mib):
    data, digest = hundred_mib
    done = cluster.msh("ssh", f"{cluster.login}@web-01", "cat", stdin=data, check=False)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).hexdigest() == digest


def test_rekeying_in_the_middle_of_bulk_data(cluster, hundred_mib):
    data, digest = hundred_mib
    options = ("-o", "RekeyLimit=3M")
    assert cluster.ssh("alice", "web-01", "sha256sum", stdin=data, options=options).split()[0] == digest


@pytest.mark.parametrize("cipher", ["aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"])
def test_every_cipher(cluster, cipher):
    assert cluster.ssh("alice", "web-01", "echo fine", options=("-c", cipher)) == "fine\n"


def test_terminal_follows_the_window(cluster):
    terminal = Terminal(cluster.ssh_argv("alice", "web-01"), rows=31, columns=97)
    terminal.expect(r"[$#] ")
    terminal.type("stty size\n")
    terminal.expect(r"31 97")
    terminal.resize(40, 120)
    terminal.type('until [ "$(stty size)" = "40 120" ]; do :; done; echo now-$(stty size)\n')
    terminal.expect(r"now-40 120")
    terminal.type("exit 7\n")
    assert terminal.wait() == 7


def test_terminal_of_msh(cluster):
    terminal = Terminal([cluster_bin("msh"), "ssh", f"{cluster.login}@web-01"], rows=33, columns=99,
                        env={"MSH_HOME": str(cluster.dir / "msh-alice")})
    terminal.expect(r"[$#] ")
    terminal.type("stty size; tty\n")
    terminal.expect(r"33 99")
    terminal.expect(r"/dev/pts/\d+")
    terminal.resize(20, 70)
    terminal.type('until [ "$(stty size)" = "20 70" ]; do :; done; echo now-$(stty size)\n')
    terminal.expect(r"now-20 70")
    terminal.type("exit 9\n")
    assert terminal.wait() == 9


def test_interrupt_ends_the_foreground_command(cluster):
    terminal = Terminal(cluster.ssh_argv("alice", "web-01"))
    terminal.expect(r"[$#] ")
    terminal.type("trap 'echo caught' INT; sleep 1000; echo after=$?\n")
    terminal.expect(r"sleep 1000")
    # The shell has to have started the command before the key can reach it.
    until(lambda: subprocess.run(["pgrep", "-u", cluster.login, "-f", "^sleep 1000"], capture_output=True).stdout, "sleep to run")
    terminal.type("\x03")
    terminal.expect(r"after=130|caught")
    terminal.type("exit\n")
    terminal.wait()


def test_command_killed_by_a_signal_is_told(cluster):
    done = cluster.ssh("alice", "web-01", "kill -TERM $$", check=False)
    assert done.returncode != 0


def test_environment_is_clean(cluster):
    env = dict(line.split("=", 1) for line in cluster.ssh("alice", "web-01", "env").splitlines() if "=" in line)
    assert env["USER"] == env["LOGNAME"] == cluster.login
    assert env["HOME"] and env["SHELL"] and env["PATH"]
    assert not [name for name in env if name.startswith("MEZITE_") and name != "MEZITE_SESSION_ID"]
    assert env["SSH_CONNECTION"].split()[0] == "127.0.0.1"


def test_many_sessions_at_once(cluster):
    running = [subprocess.Popen(cluster.ssh_argv("alice", "web-01", f"echo {i}; cat >/dev/null; exit {i}"), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE) for i in range(8)]
    for i, child in enumerate(running):
        out, _ = child.communicate(b"x" * 100000, timeout=patience())
        assert (out, child.returncode) == (f"{i}\n".encode(), i)


def test_port_forwarding_through_the_node(cluster):
    """ssh -W ends at a port of the node's own network: a whole second SSH hop, as -J chains do."""
    import socket
    import threading
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def answer():
        peer, _ = listener.accept()
        with peer:
            peer.sendall(b"hello " + peer.recv(100))
    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    argv = cluster.ssh_argv("alice", "web-01", options=("-W", f"127.0.0.1:{port}"))
    done = subprocess.run(argv, input=b"there", capture_output=True, timeout=patience())
    assert done.stdout == b"hello there", done.stderr


def cluster_bin(name: str):
    from harness.cluster import BIN
    return BIN / name
