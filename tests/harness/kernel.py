"""What of the kernel enhanced recording uses: cgroup v2 and the audit subsystem, looked at from beside the agent."""
import os
import socket
import struct
import subprocess
from pathlib import Path

AUDIT_GET, AUDIT_SET, AUDIT_LIST_RULES = 1000, 1001, 1013
NLMSG_ERROR, NLMSG_DONE = 2, 3


def own_cgroup() -> Path:
    """The folder of this process in cgroup v2, which is that of the agents it starts."""
    mount = next(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup2 " in line)
    path = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    return Path(mount + path.rstrip("/"))


def session_cgroups() -> set[str]:
    groups = own_cgroup() / "mezite"
    return {entry.name for entry in groups.iterdir() if entry.is_dir()} if groups.is_dir() else set()


def in_cgroup(session: str, argv: list[str]):
    """Runs a program that nobody in the session started in the session's cgroup."""
    procs = own_cgroup() / "mezite" / session / "cgroup.procs"
    subprocess.run(["sh", "-c", f'echo $$ > {procs} && exec "$@"', "sh", *argv], check=True, capture_output=True)


def _audit(kind: int, body: bytes = b"") -> list[bytes]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) as link:
        link.settimeout(5)
        link.bind((0, 0))
        link.send(struct.pack("=IHHII", 16 + len(body), kind, 1 | 4, 1, 0) + body)
        answers, acknowledged, ended = [], False, kind == AUDIT_SET
        while not (acknowledged and ended):
            got = link.recv(65536)
            answer = struct.unpack("=IHHII", got[:16])[1]
            if answer == NLMSG_ERROR:
                error = struct.unpack("=i", got[16:20])[0]
                if error:
                    raise OSError(-error, os.strerror(-error))
                acknowledged = True
            elif answer == NLMSG_DONE:
                ended = True
            else:
                answers.append(got[16:])
                ended = ended or kind == AUDIT_GET
        return answers


def audit_state() -> dict:
    """Whether it is on, its backlog limit and its rules, which a test leaves as they were; {} where nobody may ask."""
    try:
        _, enabled, _, _, _, backlog = struct.unpack("=6I", _audit(AUDIT_GET)[0][:24])
        return {"enabled": enabled, "backlog": backlog, "rules": sorted(_audit(AUDIT_LIST_RULES))}
    except OSError:
        return {}


def restore_audit(before: dict):
    """After an agent that could not do it itself."""
    _audit(AUDIT_SET, struct.pack("=10I", 1 | 16, before["enabled"], 0, 0, 0, before["backlog"], 0, 0, 0, 0))
    assert audit_state() == before
