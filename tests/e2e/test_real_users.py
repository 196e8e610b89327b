"""What people run over ssh, unchanged: rsync, git, Ansible, sshfs, scp in both protocols, sftp, multiplexing."""
import hashlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from harness.wait import patience, until
from test_forwarding import environment, running


@pytest.fixture(scope="module")
def config(cluster) -> Path:
    """What `msh config` prints, after which plain ssh works: every program here is pointed at it and nothing else."""
    path = cluster.dir / "config"
    path.write_text(cluster.msh("config") + f"\nHost *\n  BatchMode yes\n  LogLevel ERROR\n  IdentityAgent none\n  User {cluster.login}\n")
    return path


@pytest.fixture
def tree(tmp_path) -> Path:
    """Files of every kind that copies get wrong."""
    root = tmp_path / "tree"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "big").write_bytes(os.urandom(1 << 20) * 9 + b"tail")
    (root / "empty").write_bytes(b"")
    (root / "deep" / "name with spaces 'and' \"quotes\" $x").write_bytes(b"odd")
    (root / "deep" / "er" / "ünïcödé").write_bytes(os.urandom(100000))
    (root / "program").write_text("#!/bin/sh\necho ran\n")
    (root / "program").chmod(0o755)
    os.utime(root / "big", (1_000_000_000, 1_000_000_000))
    return root


@pytest.fixture
def there(cluster):
    """A folder of the login user's on the node."""
    path = cluster.ssh("alice", "web-01", "mktemp -d").strip()
    yield Path(path)
    cluster.ssh("alice", "web-01", f"rm -rf {path}")


def contents(root: Path) -> dict:
    return {str(p.relative_to(root)): (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mode & 0o777) for p in sorted(root.rglob("*")) if p.is_file()}


def run(cluster, argv, **options):
    done = subprocess.run([str(a) for a in argv], capture_output=True, stdin=options.pop("stdin", subprocess.DEVNULL), timeout=3 * patience(),
                          env=environment(cluster, **options.pop("env", {})), **options)
    assert done.returncode == 0, (argv, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
    return done.stdout.decode(errors="replace")


HOST = "web-01.test.mezite"


def test_rsync_both_ways(cluster, config, tree, there, tmp_path):
    run(cluster, ["rsync", "-a", "-e", f"ssh -F {config}", f"{tree}/", f"{HOST}:{there}/"])
    assert contents(there) == contents(tree) if os.getuid() == 0 else True
    assert run(cluster, ["ssh", "-F", config, HOST, f"cd {there} && sha256sum big && stat -c %Y big"]).split()[::2] == [
        hashlib.sha256((tree / "big").read_bytes()).hexdigest(), "1000000000"]
    back = tmp_path / "back"
    run(cluster, ["rsync", "-a", "-z", "-e", f"ssh -F {config}", f"{HOST}:{there}/", f"{back}/"])
    assert contents(back) == contents(tree)
    # A second run moves nothing.
    assert "Number of regular files transferred: 0" in run(cluster, ["rsync", "-a", "--stats", "-e", f"ssh -F {config}", f"{tree}/", f"{HOST}:{there}/"])


@pytest.mark.parametrize("protocol", ["-O", "-s"])
def test_scp_both_protocols(cluster, config, tree, there, tmp_path, protocol):
    """-O is the old protocol (scp -t and -f on the node), -s is SFTP."""
    run(cluster, ["scp", protocol, "-F", config, "-r", "-p", "-q", tree, f"{HOST}:{there}/"])
    assert run(cluster, ["ssh", "-F", config, HOST, f"stat -c %Y {there}/tree/big"]).strip() == "1000000000"
    run(cluster, ["scp", protocol, "-F", config, "-r", "-p", "-q", f"{HOST}:{there}/tree", tmp_path / "back"])
    assert contents(tmp_path / "back") == contents(tree)


def test_sftp(cluster, config, tree, there, tmp_path):
    batch = tmp_path / "batch"
    batch.write_text(f"mkdir {there}/sub\nput -p {tree}/big {there}/sub/big\nrename {there}/sub/big {there}/sub/renamed\n"
                     f"get {there}/sub/renamed {tmp_path}/got\nls -l {there}/sub\nchmod 600 {there}/sub/renamed\nsymlink renamed {there}/sub/link\n"
                     f"rm {there}/sub/link\n")
    listing = run(cluster, ["sftp", "-F", config, "-b", batch, HOST])
    assert "renamed" in listing
    assert (tmp_path / "got").read_bytes() == (tree / "big").read_bytes()
    assert run(cluster, ["ssh", "-F", config, HOST, f"stat -c %a {there}/sub/renamed; ls {there}/sub"]).split() == ["600", "renamed"]


def test_git(cluster, config, tree, there, tmp_path):
    env = {"GIT_SSH_COMMAND": f"ssh -F {config}", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
           **{f"GIT_{who}_{what}": f"{what}@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}}
    git = lambda *arguments, cwd=tree: run(cluster, ["git", *arguments], cwd=cwd, env=env)  # noqa: E731
    run(cluster, ["ssh", "-F", config, HOST, f"git init -q --bare {there}/repo.git"])
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-q", "-m", "all of it")
    git("push", "-q", f"ssh://{HOST}{there}/repo.git", "main")
    git("clone", "-q", "-b", "main", f"{HOST}:{there}/repo.git", tmp_path / "clone", cwd=tmp_path)
    assert git("rev-parse", "HEAD", cwd=tmp_path / "clone") == git("rev-parse", "HEAD")
    assert (tmp_path / "clone" / "big").read_bytes() == (tree / "big").read_bytes()
    (tmp_path / "clone" / "more").write_text("more")
    git("add", "more", cwd=tmp_path / "clone")
    git("commit", "-q", "-m", "more", cwd=tmp_path / "clone")
    git("push", "-q", cwd=tmp_path / "clone")
    git("fetch", "-q", f"{HOST}:{there}/repo.git", "main")
    assert git("rev-parse", "FETCH_HEAD") == git("rev-parse", "HEAD", cwd=tmp_path / "clone")


def test_multiplexing(cluster, config, tree, there):
    """ssh -M: one connection, many sessions at once, each with its own bytes and exit status; scp over it too."""
    control = cluster.dir / "mux.ctl"
    shared = ["-F", str(config), "-o", f"ControlPath={control}"]
    master = subprocess.Popen(["ssh", *shared, "-M", "-N", HOST], env=environment(cluster), stdin=subprocess.DEVNULL)
    until(control.exists, "the control socket")
    try:
        before = len(cluster.audit("--type=session.start"))
        data = [os.urandom(200000) + bytes([i]) for i in range(24)]
        children = [subprocess.Popen(["ssh", *shared, HOST, f"sha256sum; exit {i}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(cluster))
                    for i in range(24)]
        for child, sent in zip(children, data):
            child.stdin.write(sent)
            child.stdin.close()
        for i, (child, sent) in enumerate(zip(children, data)):
            assert child.stdout.read().split()[0].decode() == hashlib.sha256(sent).hexdigest()
            assert child.wait(patience()) == i
        run(cluster, ["scp", *shared, "-q", tree / "big", f"{HOST}:{there}/big"])
        assert run(cluster, ["ssh", *shared, HOST, f"sha256sum {there}/big"]).split()[0] == hashlib.sha256((tree / "big").read_bytes()).hexdigest()
        until(lambda: len(cluster.audit("--type=session.start")) == before + 26, "an event for each session")
        # A forward that is added to and taken from the running connection.
        run(cluster, ["ssh", *shared, "-O", "forward", "-R", "0:127.0.0.1:1", HOST])
    finally:
        subprocess.run(["ssh", *shared, "-O", "exit", HOST], env=environment(cluster), capture_output=True)
        assert master.wait(patience()) in (0, 255)


@pytest.mark.parametrize("pipelining", [False, True])
def test_ansible(cluster, config, there, tmp_path, pipelining):
    """ansible-core with its own ssh connection plugin: sftp, multiplexing, terminals, and all."""
    (tmp_path / "inventory").write_text(f"{HOST} ansible_python_interpreter=/usr/bin/python3\n")
    (tmp_path / "data").write_bytes(os.urandom(300000))
    (tmp_path / "play.yml").write_text(json.dumps([{
        "hosts": "all", "gather_facts": True, "tasks": [
            {"copy": {"src": str(tmp_path / "data"), "dest": f"{there}/data", "mode": "0640"}},
            {"command": "id -un", "register": "who"},
            {"assert": {"that": [f"who.stdout == '{cluster.login}'", "ansible_facts.system == 'Linux'"]}},
            {"lineinfile": {"path": f"{there}/lines", "line": "one", "create": True}},
            {"fetch": {"src": f"{there}/data", "dest": f"{tmp_path}/back", "flat": True}},
            {"shell": "exit 3", "register": "failed", "failed_when": "failed.rc != 3"},
        ]}]))
    env = {"ANSIBLE_SSH_ARGS": f"-F {config} -o ControlMaster=auto -o ControlPersist=30s", "ANSIBLE_PIPELINING": str(pipelining),
           "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"), "ANSIBLE_SSH_CONTROL_PATH_DIR": str(tmp_path / "cp"), "ANSIBLE_NOCOLOR": "1",
           "LC_ALL": "C.UTF-8"}
    out = run(cluster, ["ansible-playbook", "-i", tmp_path / "inventory", tmp_path / "play.yml"], env=env)
    assert "failed=0" in out and "unreachable=0" in out and "changed=" in out
    assert (tmp_path / "back").read_bytes() == (tmp_path / "data").read_bytes()
    assert run(cluster, ["ssh", "-F", config, HOST, f"stat -c %a {there}/data; cat {there}/lines"]).split() == ["640", "one"]


def can_mount() -> str:
    if not os.path.exists("/dev/fuse"):
        return "needs /dev/fuse"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse: {error}"
    return ""


@pytest.mark.skipif(bool(can_mount()), reason=can_mount() or "-")
def test_sshfs(cluster, config, tree, there, tmp_path):
    mount = tmp_path / "mount"
    mount.mkdir()
    child = subprocess.Popen(["sshfs", "-f", "-F", str(config), f"{HOST}:{there}", str(mount)], env=environment(cluster), stdin=subprocess.DEVNULL,
                             stderr=subprocess.PIPE)
    try:
        def mounted():
            if child.poll() is not None:
                error = child.stderr.read().decode()
                if "Operation not permitted" in error or "fusermount" in error:
                    pytest.skip(f"nothing can be mounted here: {error}")
                raise AssertionError(error)
            return os.path.ismount(mount)
        until(mounted, "the mount")
        shutil.copytree(tree, mount / "tree", copy_function=shutil.copyfile)
        got = {name: value[0] for name, value in contents(mount / "tree").items()}
        assert got == {name: value[0] for name, value in contents(tree).items()}
        with open(mount / "tree" / "big", "r+b") as file:
            file.seek(5_000_000)
            file.write(b"in the middle")
        os.rename(mount / "tree" / "empty", mount / "moved")
    finally:
        subprocess.run(["fusermount3", "-u", str(mount)], capture_output=True)
        try:
            child.wait(patience())
        except subprocess.TimeoutExpired:
            child.kill()
    assert run(cluster, ["ssh", "-F", config, HOST, f"dd if={there}/tree/big bs=1 skip=5000000 count=13 2>/dev/null; ls {there}"]).split("\n")[0].startswith("in the middle")
    assert (there / "moved").exists()


def test_mosh_gets_its_server(cluster, config):
    """mosh's own part runs over UDP, straight to the node; over ssh it starts mosh-server and reads its key."""
    env = {"LC_ALL": "C.UTF-8"}
    out = run(cluster, ["ssh", "-F", config, "-tt", HOST, "LC_ALL=C.UTF-8 mosh-server new -s -c 256 -l LC_ALL=C.UTF-8 -- sleep 60"], env=env)
    line = next(line for line in out.splitlines() if line.startswith("MOSH CONNECT "))
    port, key = line.split()[2:4]
    assert 60000 <= int(port) <= 61000 and len(key) == 22
    # It has let go of the session and lives on.
    pids = until(lambda: subprocess.run(["pgrep", "-u", cluster.login, "mosh-server"], capture_output=True, text=True).stdout.split(), "mosh-server to run")
    for pid in pids:
        os.kill(int(pid), signal.SIGTERM)


def test_file_copy_that_the_roles_forbid(cluster, tree, there):
    cluster.role("no-files", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]}, options={"file_copy": False})
    cluster.user("fiona", "no-files")
    identity = cluster.login_as("fiona")
    config = cluster.ssh_config("fiona", identity)
    jump = ["-o", f"ProxyJump=fiona@127.0.0.1:{cluster.ssh_port}"]
    for program in (["scp", "-O"], ["scp", "-s"]):
        done = cluster.run([*program, "-F", config, *jump, tree / "big", f"{cluster.login}@web-01:{there}/big"], check=False)
        assert done.returncode != 0 and b"copying files is not allowed (event " in done.stderr, done.stderr
    done = cluster.run(["sftp", "-F", config, *jump, f"{cluster.login}@web-01"], check=False)
    assert done.returncode != 0
    assert not (there / "big").exists()
    event = cluster.wait_audit("access.denied", lambda e: e["user_name"] == "fiona")
    assert event["details"]["reason"] == "file_copy"
    assert cluster.ssh("fiona", "web-01", "echo commands are another matter").startswith("commands")
