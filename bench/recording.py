#!/usr/bin/python3
"""recording.py [--runs=5] [--mib=1024] [--what=yes,rsync,upload] [--cores=apart,shared]: what recording a session costs its user.

The same bytes through `ssh -J`, in turns, as a user whose sessions are recorded and as one whose are not: the output of
`yes | head -c`, and rsync of one file of random bytes from the node. Each run waits until what the one before it recorded has
been uploaded, and the hub has nothing more to do with it. CPU is that of the agent, in seconds per GiB.

apart: the node (agent, and what sessions run) has one core, the user's programs and the hub another, as on machines of their own:
what is lost is what recording takes from the session's own path. shared: all of them share two cores that this load keeps busy, so
that every second of CPU shows. Bar of both: at most 5 % of the throughput.

upload: what the way of a recording of random bytes from the node to the hub costs both, from the end of its session on: MiB/s until the
hub has given its receipt, and CPU seconds per GiB, with what the hub does afterwards (it looks for commands). On all cores."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from measure import Rows, cpu_seconds

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from harness.cluster import Cluster  # noqa: E402
from harness.wait import until  # noqa: E402

MOST_LOST = 0.05


def make_cluster() -> Cluster:
    cluster = Cluster()
    for user, record in (("recorded", "default"), ("plain", "off")):
        cluster.role(user, {"node_labels": {"*": "*"}, "logins": [cluster.login]}, options={"record_session": record})
        cluster.user(user, user)
    cluster.start_agent("web-01")
    for user in ("recorded", "plain"):
        cluster.login_as(user)
        cluster.ssh(user, "web-01", "true")
    return cluster


def pin(pid: int, cores: set[int]):
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), cores)


def spread(cluster: Cluster, how: str):
    everything = set(range(os.cpu_count()))
    pin(cluster.agents["web-01"].pid, {1} if how == "apart" else everything)
    for pid in (cluster.hub.pid, os.getpid()):
        pin(pid, {0} if how == "apart" else everything)


def quiet(cluster: Cluster):
    spool = cluster.dir / "web-01" / "spool"
    until(lambda: not list(spool.glob("*.mezrec")), "the spool to be empty", 120)


def fetch_yes(cluster: Cluster, user: str, size: int):
    with open(os.devnull, "wb") as sink:
        subprocess.run(cluster.ssh_argv(user, "web-01", f"yes | head -c {size}"), stdin=subprocess.DEVNULL, stdout=sink, check=True)


def fetch_rsync(cluster: Cluster, user: str, size: int):
    source, target = cluster.dir / "bytes", cluster.dir / "copy"
    if not source.exists() or source.stat().st_size != size:
        with open(source, "wb") as out:
            for _ in range(size >> 20):
                out.write(os.urandom(1 << 20))
        source.chmod(0o644)
    target.unlink(missing_ok=True)
    *shell, where = cluster.ssh_argv(user, "web-01")
    wrapper = cluster.dir / f"shell-{user}"
    # rsync gives the host as the first argument.
    wrapper.write_text("#!/bin/sh\nshift\nexec " + " ".join(f"'{word}'" for word in [*shell, where]) + ' "$@"\n')
    wrapper.chmod(0o755)
    subprocess.run(["rsync", "--whole-file", "--rsh", str(wrapper), f"web-01:{source}", str(target)], check=True)


def idle(pid: int):
    """Until it has nothing left to do, as far as its CPU says."""
    seen = [cpu_seconds(pid)]

    def rests() -> bool:
        seen.append(cpu_seconds(pid))
        return len(seen) > 10 and seen[-1] - seen[-10] < 0.02

    until(rests, "the process to be idle", 120)


def upload(cluster: Cluster, agent: int, rows: Rows, runs: int, size: int):
    for _ in range(runs):
        quiet(cluster)
        subprocess.run(cluster.ssh_argv("recorded", "web-01", f"head -c {size} /dev/urandom"), stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, check=True)
        before, began = (cpu_seconds(agent), cpu_seconds(cluster.hub.pid)), time.monotonic()
        quiet(cluster)
        taken, gib = time.monotonic() - began, size / (1 << 30)
        idle(cluster.hub.pid)
        rows.note("upload", "mezite", agent_s_per_gib=(cpu_seconds(agent) - before[0]) / gib,
                  hub_s_per_gib=(cpu_seconds(cluster.hub.pid) - before[1]) / gib, mib_per_s=(size >> 20) / taken)
    print("upload: medians: " + ", ".join(f"{name} {rows.median('upload', 'mezite', name):.2f}"
                                          for name in ("agent_s_per_gib", "hub_s_per_gib", "mib_per_s")))


FETCHES = {"yes": fetch_yes, "rsync": fetch_rsync}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--mib", type=int, default=1024)
    arguments.add_argument("--what", default="yes,rsync,upload")
    arguments.add_argument("--cores", default="apart,shared")
    chosen = arguments.parse_args()
    rows, size = Rows(), chosen.mib << 20
    what = chosen.what.split(",")
    fetches = [one for one in what if one != "upload"]
    cluster = make_cluster()
    try:
        agent = cluster.agents["web-01"].pid
        if "upload" in what:
            upload(cluster, agent, rows, chosen.runs, size)
        for how in chosen.cores.split(",") if fetches else []:
            spread(cluster, how)
            for name in fetches:
                measure(cluster, agent, rows, f"{name}-{how}", chosen.runs, size)
                judge(rows, f"{name}-{how}")
    finally:
        cluster.close()
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / f"recording-{int(time.time())}.json").write_text(json.dumps(rows.rows, indent=1))
    return rows.missed > 0


def measure(cluster: Cluster, agent: int, rows: Rows, name: str, runs: int, size: int):
    fetch = FETCHES[name.split("-")[0]]
    fetch(cluster, "plain", size)  # everything is warm, and the file is there
    for number in range(runs):
        # Who comes first changes, so that a machine that slows down hits both alike.
        for user in ("recorded", "plain")[::1 if number % 2 else -1]:
            quiet(cluster)
            idle(cluster.hub.pid)
            cpu, began = cpu_seconds(agent), time.monotonic()
            fetch(cluster, user, size)
            taken = time.monotonic() - began
            rows.note(name, user, mib_per_s=(size >> 20) / taken, cpu_s_per_gib=(cpu_seconds(agent) - cpu) / size * (1 << 30))


def judge(rows: Rows, name: str):
    recorded, plain = (rows.median(name, user, "mib_per_s") for user in ("recorded", "plain"))
    runs = [row["mib_per_s"] for row in rows.rows if row["what"] == name]
    lost = 1 - recorded / plain
    text = (f"{name}: {recorded:.0f} MiB/s recorded, {plain:.0f} not: {lost:.1%} lost; agent CPU "
            f"{rows.median(name, 'recorded', 'cpu_s_per_gib'):.2f} and {rows.median(name, 'plain', 'cpu_s_per_gib'):.2f} s per GiB; "
            f"spread of all runs {statistics.pstdev(runs):.0f} MiB/s")
    rows.bar(f"{text} (at most {MOST_LOST:.0%})", lost <= MOST_LOST)


if __name__ == "__main__":
    sys.exit(main())
