"""What the benchmarks share: CPU of a process tree, rows of figures, medians and bars."""
import os
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "bench" / "run"
sys.path.insert(0, str(ROOT / "tests"))
from harness.wait import until  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> list[int]:
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                pass
    found, todo = [], [root]
    while todo:
        found.append(todo.pop())
        todo += [pid for pid, parent in parents.items() if parent == found[-1]]
    return found


GROUPS: dict[int, Path] = {}


def account(name: str, root: int):
    """Puts a process into a cpuacct group of its own, where that exists: children that nobody waits for count too."""
    group = Path(f"/sys/fs/cgroup/cpuacct/mezite-bench-{name}-{root}")
    try:
        group.mkdir()
        for pid in tree(root):
            (group / "cgroup.procs").write_text(str(pid))
        GROUPS[root] = group / "cpuacct.usage"
    except OSError as error:
        print(f"no cpuacct group for {name} ({error}): CPU from /proc, which misses some children of sshd")


def cpu_seconds(root: int) -> float:
    """CPU of a process and its descendants."""
    if root in GROUPS:
        return int(GROUPS[root].read_text()) / 1e9
    total = 0.0
    for pid in tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[13 - 2:17 - 2])) / TICK
        except OSError:
            pass
    return total


def settled(root: int, processes: int):
    """Until the processes of a connection are gone and their CPU is counted by their parent."""
    try:
        until(lambda: len(tree(root)) <= processes, "connections to be gone", 5)
    except AssertionError:
        pass


class Rows:
    """Every figure of every run; the report has the medians."""

    def __init__(self):
        self.rows, self.missed = [], 0

    def note(self, what: str, name: str, **values: float):
        self.rows.append({"what": what, "name": name, **values})
        print(f"{what:20} {name:8} " + " ".join(f"{k}={v:.3f}" for k, v in values.items()), flush=True)

    def median(self, what: str, name: str, measure: str) -> float | None:
        values = [row[measure] for row in self.rows if row["what"] == what and row["name"] == name and measure in row]
        return statistics.median(values) if values else None

    def report(self):
        print("\nmedians (ratio to OpenSSH in the same run)")
        for what in dict.fromkeys(row["what"] for row in self.rows):
            own = [row for row in self.rows if row["what"] == what]
            for measure in [key for key in own[0] if key not in ("what", "name")]:
                base = self.median(what, "openssh", measure)
                columns = []
                for name in dict.fromkeys(row["name"] for row in own):
                    value = self.median(what, name, measure)
                    if value is not None:
                        columns.append(f"{name} {value:.2f}" + (f" ({value / base:.2f}x)" if base and name != "openssh" else ""))
                print(f"  {what:20} {measure:14} " + "  ".join(columns))

    def bar(self, text: str, met: bool):
        self.missed += not met
        print(f"  {'met   ' if met else 'MISSED'} {text}")
