"""Logging in and out with msh."""
import json
import os
import stat
import subprocess

from harness.cluster import BIN
from harness.terminal import Terminal


def login(cluster, user, password, *more, **options):
    return cluster.msh("login", f"--proxy=127.0.0.1:{cluster.web}", f"--user={user}", f"--password={password}", *more,
                       user="scratch", check=False, **options)


def test_status_shows_who_and_until_when(cluster):
    text = cluster.msh("status")
    assert "alice" in text and "test.mezite" in text and "developer" in text
    status = json.loads(cluster.msh("status", "--format=json"))
    assert status["user"] == "alice" and cluster.login in status["logins"]


def test_written_identity_is_what_openssh_expects(cluster):
    identity = cluster.dir / "id-alice"
    listing = subprocess.run(["ssh-keygen", "-L", "-f", f"{identity}-cert.pub"], capture_output=True, text=True, check=True).stdout
    assert 'Key ID: "alice"' in listing and cluster.login in listing and "user certificate" in listing
    assert stat.S_IMODE(os.stat(identity).st_mode) == 0o600
    derived = subprocess.run(["ssh-keygen", "-y", "-f", identity], capture_output=True, text=True, check=True).stdout.split()[:2]
    assert derived == identity.with_suffix(".pub").read_text().split()[:2] if identity.suffix else True
    assert derived == (cluster.dir / "id-alice.pub").read_text().split()[:2]


def test_profile_is_private(cluster):
    home = cluster.dir / "msh-alice"
    assert stat.S_IMODE(os.stat(home).st_mode) == 0o700
    for path in home.rglob("*"):
        mode = stat.S_IMODE(os.stat(path).st_mode)
        assert mode == (0o700 if path.is_dir() else mode & 0o600 | mode & 0o044 if path.suffix == ".pub" else 0o600), path


def test_wrong_password_and_unknown_user_look_the_same(cluster):
    wrong = login(cluster, "alice", "not the password", f"--ca-pin={cluster.pin()}")
    unknown = login(cluster, "nobody-here", "not the password", f"--ca-pin={cluster.pin()}")
    assert wrong.returncode != 0 and wrong.stdout == b""
    assert wrong.stderr.replace(b"alice", b"X") == unknown.stderr.replace(b"nobody-here", b"X")
    assert unknown.returncode == wrong.returncode
    event = cluster.wait_audit("user.login.failed", lambda e: e["user_name"] == "alice")
    assert not event["success"]


def test_hub_is_never_trusted_silently(cluster):
    done = login(cluster, "alice", "a good long password")
    assert done.returncode != 0 and b"--ca-pin" in done.stderr
    done = login(cluster, "alice", "a good long password", "--ca-pin=sha256:" + "0" * 64)
    assert done.returncode != 0 and b"pin" in done.stderr
    done = login(cluster, "alice", "a good long password", "--insecure")
    assert done.returncode == 0 and b"warning" in done.stderr.lower()


def test_password_prompt_does_not_echo(cluster):
    home = cluster.dir / "msh-prompt"
    terminal = Terminal([BIN / "msh", "login", f"--proxy=127.0.0.1:{cluster.web}", "--user=alice"], env={"MSH_HOME": str(home)})
    terminal.expect(r"(?i)sha256:[0-9a-f]{64}")
    terminal.expect(r"(?i)\(?y(es)?/n")
    terminal.type("yes\n")
    terminal.expect(r"(?i)password")
    terminal.type("a good long password\n")
    screen = terminal.wait(), terminal.seen
    assert screen[0] == 0 and b"a good long password" not in screen[1]
    # The fingerprint is kept: the second login does not ask for it again.
    done = cluster.msh("login", f"--proxy=127.0.0.1:{cluster.web}", "--user=alice", "--password=a good long password", user="prompt", check=False)
    assert done.returncode == 0, done.stderr


def test_unreachable_hub_is_one_sentence(cluster):
    done = cluster.msh("login", "--proxy=127.0.0.1:1", "--user=alice", "--password=x", "--insecure", user="scratch", check=False)
    assert done.returncode not in (0, 2)
    lines = [line for line in done.stderr.decode().splitlines() if "warning" not in line.lower()]
    assert len(lines) == 1 and "127.0.0.1:1" in lines[0]


def test_logout_forgets(cluster):
    cluster.login_as("alice")
    cluster.msh("login", f"--proxy=127.0.0.1:{cluster.web}", "--user=alice", "--password=a good long password", f"--ca-pin={cluster.pin()}", user="leaver")
    cluster.msh("logout", user="leaver")
    done = cluster.msh("ssh", f"{cluster.login}@web-01", "true", user="leaver", check=False)
    assert done.returncode == 255 and b"msh login" in done.stderr


def test_ttl_is_bounded(cluster):
    from datetime import datetime
    identity = cluster.dir / "id-ttl"
    cluster.role("week", {"node_labels": {"*": "*"}, "logins": [cluster.login]}, options={"max_session_ttl": "7d"})
    cluster.user("walt", "week")
    for user, ttl, hours in (("walt", "30m", 0.5), ("walt", "100h", 24), ("alice", "100h", 12)):
        cluster.msh("login", f"--proxy=127.0.0.1:{cluster.web}", f"--user={user}", "--password=a good long password",
                    f"--ca-pin={cluster.pin()}", f"--out={identity}", f"--ttl={ttl}", user="ttl")
        listing = subprocess.run(["ssh-keygen", "-L", "-f", f"{identity}-cert.pub"], capture_output=True, text=True, check=True,
                                 env={**os.environ, "TZ": "UTC"}).stdout
        valid = next(line.split() for line in listing.splitlines() if "Valid:" in line)
        length = datetime.fromisoformat(valid[4]) - datetime.fromisoformat(valid[2])
        assert hours * 3600 <= length.total_seconds() <= min(hours, 24) * 3600 + 130


def test_ls_lists_what_i_may_reach(cluster):
    nodes = json.loads(cluster.msh("ls", "--format=json"))
    assert [n["name"] for n in nodes] == ["web-01"]
    assert cluster.login in nodes[0]["logins"]
    assert "web-01" in cluster.msh("ls") and "web-01" in cluster.msh("ls", "--label", "env=dev")
    assert json.loads(cluster.msh("ls", "--label", "env=prod", "--format=json")) == []
