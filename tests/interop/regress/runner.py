"""Runs scripts of OpenSSH's regress suite (Debian's openssh-tests) with regress_sshd as their sshd."""
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.ports import free_port

from ..peers.base import at_home_in

SUITE = Path("/usr/lib/openssh/regress")
HERE = Path(__file__).resolve().parent
LIMIT_SECONDS = 600


@dataclass
class Script:
    name: str
    status: str  # run, full, skip
    reason: str
    edit: str    # a sed expression, when the script is not run as it is


def scripts() -> list[Script]:
    """The rows of scripts.txt."""
    found = []
    for line in (HERE / "scripts.txt").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, status, reason = (line.split(None, 2) + [""])[:3]
        edit = ""
        if reason.startswith("sed:"):
            edit, _, reason = reason.removeprefix("sed:").partition(" ;; ")
        found.append(Script(name, status, reason, edit))
    return found


def own_loopback() -> list[str]:
    """The start of a command line that runs with a loopback of its own: several scripts listen on ports 3301 and up whoever else
    may. Root only; else nothing changes."""
    return ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"] if os.getuid() == 0 else []


class Suite:
    """A writable copy of the suite, as run-tests of the package makes it."""
    def __init__(self, binaries: Path, folder: Path):
        self.folder = folder / "regress"
        assert (binaries / "regress_sshd").exists(), f"there is no regress_sshd in {binaries}: ninja -C build regress_sshd"
        shutil.copytree(SUITE, self.folder, symlinks=True)
        self.enter = [*own_loopback(), *at_home_in(folder / "home")]
        lists = folder / "lists"
        lists.write_text(subprocess.run([binaries / "ssh_probe_server", "--list"], check=True, capture_output=True, text=True).stdout)
        Path("/run/sshd").mkdir(exist_ok=True)  # for sshd -t
        self.environment = {
            **os.environ, "USER": subprocess.run(["id", "-un"], capture_output=True, text=True).stdout.strip(),
            "BUILDDIR": str(self.folder), "OBJ": str(self.folder), "TEST_SHELL": "sh", "SUDO": "",
            "TEST_SSH_SSH": str(HERE / "ssh"), "TEST_SSH_SSHD": str(binaries / "regress_sshd"),
            "TEST_SSH_SFTPSERVER": "/usr/lib/openssh/sftp-server", "TEST_SSH_SCP": "/usr/bin/scp", "TEST_SSH_SFTP": "/usr/bin/sftp",
            "TEST_SSH_PLINK": "plink", "TEST_SSH_PUTTYGEN": "puttygen", "TEST_SSH_CONCH": "none", "TEST_SSH_IPV6": "no",
            "TEST_SSH_ECC": "yes", "TEST_SSH_UNSAFE_PERMISSIONS": "1", "MEZITE_REGRESS_LISTS": str(lists),
        }
        self.environment.pop("SSH_AUTH_SOCK", None)

    def run(self, script: Script) -> tuple[int, str]:
        """Exit code and what it printed, with the ends of its logs when it failed."""
        path = self.folder / f"{script.name}.sh"
        if script.edit:
            subprocess.run(["sed", "-i", script.edit, path], check=True)
        for log in ("failed-regress.log", "failed-ssh.log", "failed-sshd.log"):
            (self.folder / log).unlink(missing_ok=True)
        try:
            done = subprocess.run([*self.enter, "sh", "test-exec.sh", str(self.folder), str(path)], cwd=self.folder, stdin=subprocess.DEVNULL,
                                  env={**self.environment, "TEST_SSH_PORT": str(free_port())}, text=True, errors="replace",
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired as late:
            return 124, f"no end within {LIMIT_SECONDS} s\n{late.output or ''}"
        text = done.stdout
        if done.returncode != 0:
            for log in ("failed-ssh.log", "failed-sshd.log"):
                if (self.folder / log).exists():
                    text += f"\n-- {log}\n" + (self.folder / log).read_text(errors="replace")[-3000:]
        return done.returncode, text
