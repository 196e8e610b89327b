"""Copying files: stock sftp and scp, msh scp, and what the audit log says of it."""
import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from harness.cluster import BIN
from harness.terminal import Terminal
from harness.wait import patience, until

NAMES = ["plain.txt", "with space", "line\nfeed", "-rf", "grün-日本.txt", "quote'\"$(id)`", "*", "trailing ", ".hidden", "a:b"]


@pytest.fixture(scope="module")
def home(cluster):
    """A folder of the login user's on the "node", which is this machine."""
    path = cluster.dir / "home"
    path.mkdir()
    shutil.chown(path, cluster.login)
    return path


@pytest.fixture(scope="module")
def hundred_mib(tmp_path_factory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("big") / "big.bin"
    block, digest = os.urandom(1 << 20), hashlib.sha256()
    with open(path, "wb") as out:
        for i in range(100):
            out.write(data := i.to_bytes(4, "big") + block[4:])
            digest.update(data)
    path.chmod(0o644)
    return path, digest.hexdigest()


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    (root / "sub" / "deeper").mkdir(parents=True)
    (root / "empty").mkdir()
    for i, name in enumerate(NAMES):
        (root / name).write_bytes(os.urandom(1000 * i))
        (root / "sub" / "deeper" / name).write_text(name)
    (root / "sub" / "script").write_text("#!/bin/sh\n")
    (root / "sub" / "script").chmod(0o755)
    os.utime(root / "plain.txt", (1_000_000_000, 1_100_000_000))
    return root


def content(root: Path) -> dict:
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "folder" for p in root.rglob("*")}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def stock(cluster, program: str, *arguments: str) -> list[str]:
    return [program, "-F", str(cluster.ssh_config("alice", cluster.dir / "id-alice")), "-o", f"ProxyJump=alice@127.0.0.1:{cluster.ssh_port}", *arguments]


@pytest.mark.parametrize("options", [[], ["-O"]], ids=["sftp", "scp"])
def test_stock_scp_both_ways(cluster, home, hundred_mib, tmp_path, options):
    big, digest = hundred_mib
    remote = f"{cluster.login}@web-01:{home}/stock{''.join(options)}"
    cluster.run(stock(cluster, "scp", "-q", *options, str(big), remote))
    assert sha256(home / f"stock{''.join(options)}") == digest
    cluster.run(stock(cluster, "scp", "-q", *options, remote, str(tmp_path / "back")))
    assert sha256(tmp_path / "back") == digest


def test_stock_sftp(cluster, home, tmp_path):
    (tmp_path / "in").write_text("hello\n")
    batch = f"cd {home}\nput {tmp_path}/in a\nrename a b\nmkdir d\nln -s b l\nchmod 600 b\nget b {tmp_path}/out\nls -l\ndf\nrm l\nrmdir d\n"
    done = cluster.run(stock(cluster, "sftp", "-q", "-b", "-", f"{cluster.login}@web-01"), stdin=batch, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_text() == "hello\n"
    assert (home / "b").stat().st_mode & 0o777 == 0o600


def test_msh_scp_of_100_mib_both_ways(cluster, home, hundred_mib, tmp_path):
    big, digest = hundred_mib
    done = cluster.msh("scp", str(big), f"{cluster.login}@web-01:{home}/msh.bin", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")  # no progress where nobody looks
    assert sha256(home / "msh.bin") == digest
    cluster.msh("scp", f"{cluster.login}@web-01:{home}/msh.bin", str(tmp_path))
    assert sha256(tmp_path / "msh.bin") == digest


def test_trees_with_odd_names_go_and_come_back(cluster, home, tree, tmp_path):
    cluster.msh("scp", "-r", "-p", str(tree), f"{cluster.login}@web-01:{home}/odd")
    assert content(home / "odd") == content(tree)
    assert (home / "odd/sub/script").stat().st_mode & 0o777 == 0o755
    assert (home / "odd/plain.txt").stat().st_mtime == 1_100_000_000
    cluster.msh("scp", "-rp", f"{cluster.login}@web-01:{home}/odd", str(tmp_path / "back"))
    assert content(tmp_path / "back") == content(tree)
    assert (tmp_path / "back/plain.txt").stat().st_mtime == 1_100_000_000
    assert (tmp_path / "back/sub").stat().st_mtime == int((home / "odd/sub").stat().st_mtime)


def test_several_sources_patterns_and_homes(cluster, home, tree, tmp_path):
    node = f"{cluster.login}@web-01"
    (home / "into").mkdir()
    shutil.chown(home / "into", cluster.login)
    cluster.msh("scp", str(tree / "plain.txt"), str(tree / "with space"), f"{node}:{home}/into")
    assert sorted(os.listdir(home / "into")) == ["plain.txt", "with space"]
    cluster.msh("scp", f"{node}:{home}/into/*", f"{node}:{home}/in?o/plain.txt", str(tmp_path), check=False)
    assert {"plain.txt", "with space"} <= set(os.listdir(tmp_path))
    cluster.msh("scp", str(tree / "*"), f"{node}:{home}/into/")  # a name, not a pattern
    (tmp_path / "one").mkdir()
    cluster.msh("scp", f"{node}:{home}/into/*", str(tmp_path / "one"))
    assert os.listdir(tmp_path / "one") == ["*"]
    cluster.msh("scp", str(tree / "plain.txt"), f"{node}:")
    cluster.msh("scp", f"{node}:~/plain.txt", str(tmp_path / "from-home"))
    assert sha256(tmp_path / "from-home") == sha256(tree / "plain.txt")
    assert cluster.msh("scp", f"{node}:plain.txt", "/dev/stdout", check=False).stdout == (tree / "plain.txt").read_bytes()
    os.remove(os.path.expanduser(f"~{cluster.login}/plain.txt"))


def test_many_small_files(cluster, home, tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    for i in range(300):
        (many / f"{i}").write_text(str(i))
    cluster.msh("scp", "-r", str(many), f"{cluster.login}@web-01:{home}/many")
    assert content(home / "many") == content(many)


def test_resume_after_a_kill(cluster, home, hundred_mib, tmp_path):
    big, digest = hundred_mib
    env = {**os.environ, "HOME": str(cluster.dir), "MSH_HOME": str(cluster.dir / "msh-alice")}
    node = f"{cluster.login}@web-01"
    for argv, part in (((str(big), f"{node}:{home}/part"), home / "part"),
                       ((f"{node}:{home}/part", str(tmp_path / "part")), tmp_path / "part")):
        child = subprocess.Popen([BIN / "msh", "scp", *argv], env=env)
        until(lambda: part.exists() and part.stat().st_size > 3 << 20 or child.poll() is not None, "some of the file to be there")
        child.send_signal(signal.SIGKILL)
        child.wait()
        if part.parent == home:  # what the server still has in its pipe is written before it ends
            cluster.wait_audit("sftp.close", lambda e: e["details"]["path"] == str(part))
        size = part.stat().st_size
        if size < big.stat().st_size:
            assert part.read_bytes() == big.read_bytes()[:size]
        cluster.msh("scp", "--resume", *argv)
        assert sha256(part) == digest
        before = part.stat().st_mtime_ns
        cluster.msh("scp", "--resume", *argv)  # all of it is there
        assert sha256(part) == digest and part.stat().st_mtime_ns == before
    (tmp_path / "other").write_bytes(b"x" * 1000)
    done = cluster.msh("scp", "--resume", f"{node}:{home}/part", str(tmp_path / "other"), check=False)
    assert done.returncode == 1 and b"not the beginning of the file; copy it without --resume" in done.stderr
    assert (tmp_path / "other").stat().st_size == 1000


def test_from_node_to_node(cluster, home, tree):
    cluster.start_agent("web-02")
    node = f"{cluster.login}@web-0"
    cluster.msh("scp", "-rp", str(tree), f"{node}1:{home}/one")
    cluster.msh("scp", "-rp", f"{node}1:{home}/one", f"{node}2:{home}/two")
    assert content(home / "two") == content(tree)
    assert (home / "two/plain.txt").stat().st_mtime == 1_100_000_000


def test_errors_say_what_to_do(cluster, home, tmp_path):
    node = f"{cluster.login}@web-01"
    (tmp_path / "file").write_text("x")

    def refused(*arguments, status=1) -> str:
        done = cluster.msh("scp", *arguments, check=False)
        assert done.returncode == status, done
        lines = done.stderr.decode().splitlines()
        assert len(lines) == 1 and lines[0].startswith("msh: "), lines
        return lines[0]

    assert "cp for files of this machine" in refused(str(tmp_path / "file"), str(tmp_path / "b"))
    assert "msh scp --help" in refused(str(tmp_path / "file"))
    assert "copy it with -r" in refused(str(tmp_path), f"{node}:{home}/x")
    assert "no such file" in refused(str(tmp_path / "nowhere"), f"{node}:{home}/x")
    assert "no such file" in refused(f"{node}:{home}/nowhere", str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()
    assert "no file matches" in refused(f"{node}:{home}/nowhere*", str(tmp_path))
    assert "permission denied" in refused(str(tmp_path / "file"), f"{node}:/etc/x")
    assert "x/y: there is no such folder" in refused(str(tmp_path / "file"), f"{node}:{home}/x/y")
    assert "make it first" in refused(str(tmp_path / "file"), str(tmp_path / "file"), f"{node}:{home}/nowhere")
    assert "no-such-node" in refused(str(tmp_path / "file"), f"{cluster.login}@no-such-node:x")
    assert "Examples" in cluster.msh("scp", "--help")
    assert cluster.msh("scp", "--no-such-flag", check=False).returncode == 2


def test_progress_on_a_terminal_only(cluster, home, hundred_mib, tmp_path):
    terminal = Terminal([BIN / "msh", "scp", str(hundred_mib[0]), f"{cluster.login}@web-01:{home}/shown"],
                        env={"MSH_HOME": str(cluster.dir / "msh-alice")})
    terminal.expect(r"big\.bin +\d+% .*/s")
    terminal.expect(r"big\.bin +100\.0 MB")
    assert terminal.wait() == 0


def operations(cluster, path: str) -> list[dict]:
    return [e for e in reversed(cluster.audit("--type=sftp.*", "--limit=1000")) if path in e["details"].get("path", "")]


def test_audit_tells_what_was_done_to_files(cluster, home, tmp_path):
    (tmp_path / "audited").write_bytes(b"x" * 70_000)
    node = f"{cluster.login}@web-01"
    cluster.msh("scp", "-p", str(tmp_path / "audited"), f"{node}:{home}/audited")
    cluster.msh("scp", f"{node}:{home}/audited", str(tmp_path / "back"))
    batch = f"rename {home}/audited {home}/audited2\nmkdir {home}/audited-d\n-rm /etc/audited-passwd\nln -s /etc/shadow {home}/audited-l\n" \
            f"chmod 640 {home}/audited2\nrm {home}/audited2\nrmdir {home}/audited-d\n"
    cluster.run(stock(cluster, "sftp", "-q", "-b", "-", f"{cluster.login}@web-01"), stdin=batch, check=False)
    cluster.wait_audit("sftp.rmdir", lambda e: e["details"]["path"] == f"{home}/audited-d")
    told = operations(cluster, "audited")
    by_code = {e["event_code"]: e for e in told}
    opened = [e["details"] for e in told if e["event_code"] == "T2030I"]
    assert [(d["path"], d["mode"]) for d in opened] == [(f"{home}/audited", "write"), (f"{home}/audited", "read")]
    closed = [e["details"] for e in told if e["event_code"] == "T2031I"]
    assert [(d["bytes_written"], d["bytes_read"]) for d in closed] == [(70_000, 0), (0, 70_000)]
    assert by_code["T2032I"]["details"]["new_path"] == f"{home}/audited2"
    assert by_code["T2034I"]["details"]["path"] == f"{home}/audited-d"
    assert by_code["T2037I"]["details"]["target"] == "/etc/shadow"
    assert by_code["T2036I"]["details"]["status"] == "ok"
    refused = by_code["T2033W"]
    assert (refused["details"]["path"], refused["success"], refused["error_message"]) == ("/etc/audited-passwd", False, "no such file")
    assert by_code["T2033I"]["details"]["path"] == f"{home}/audited2"
    event = by_code["T2032I"]
    assert (event["user_name"], event["server_hostname"], event["details"]["login"]) == ("alice", "web-01", cluster.login)
    assert event["session_id"] in {e["session_id"] for e in cluster.audit("--type=session.start")}
    # The recording tells the same in words instead of holding what was copied.
    cluster.wait_recording(lambda r: r["session_id"] == event["session_id"])
    text = cluster.mezctl("recordings", "export", event["session_id"], "--format=text")
    assert f"rename {home}/audited to {home}/audited2: ok" in text


def test_a_stream_that_is_no_sftp_is_told_and_harms_nothing(cluster):
    done = cluster.run(cluster.ssh_argv("alice", "web-01", "sftp", options=("-s",)), stdin=b"\xff\xff\xff\xff this is no sftp", check=False)
    assert done.returncode != 0
    event = cluster.wait_audit("sftp.undecoded")
    assert "the client" in event["error_message"]
    assert cluster.ssh("alice", "web-01", "echo still here") == "still here\n"


def test_a_role_without_file_copy(fresh, tmp_path):
    cluster = fresh()
    cluster.role("viewer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]}, options={"file_copy": False})
    cluster.user("alice", "viewer")
    cluster.start_agent("web-01")
    cluster.login_as("alice")
    (tmp_path / "file").write_text("x")
    done = cluster.msh("scp", str(tmp_path / "file"), f"{cluster.login}@web-01:x", check=False)
    assert done.returncode == 1 and b"copying files is not allowed" in done.stderr and done.stderr.count(b"\n") == 1
    for program in (stock(cluster, "scp", "-q"), stock(cluster, "scp", "-q", "-O")):
        assert cluster.run([*program, str(tmp_path / "file"), f"{cluster.login}@web-01:x"], check=False).returncode != 0
    denied = until(lambda: len(d := [e for e in cluster.audit("--type=access.denied") if e["details"].get("reason") == "file_copy"]) == 3 and d, "three denials")
    assert {e["user_name"] for e in denied} == {"alice"}
    assert cluster.audit("--type=sftp.*") == []
