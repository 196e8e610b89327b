"""One peer in one role: every cell that both sides know, and what came of each."""
import contextlib
import queue
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from . import cells
from .drivers import LineProgram
from .keys import Keys
from .peers.base import REKEY_BYTES

MOST_FAILURES = 20  # then a row is given up: each may take half a minute


@dataclass
class Outcome:
    peer: str
    role: str
    version: str = ""
    passed: int = 0
    rekeyed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    product: int = 0
    missing: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)  # guards passed and failures

    def row(self) -> str:
        state = f"{self.passed} passed" + (f", {len(self.failures)} FAILED" if self.failures else "")
        return (f"{self.peer:10} {self.role:7} {self.version:28} {state:24} for {self.product:5} combinations, {self.rekeyed:4} re-keyed "
                f"{self.seconds:6.1f} s")

    def reasons(self) -> list[str]:
        lacking = [f"{kind}: {' '.join(names)}" for kind, names in self.missing.items()]
        return ([f"not known to it: {'; '.join(lacking)}"] if lacking else []) + self.notes


class Bench:
    """The binaries and keys that all rows use."""
    def __init__(self, binaries: Path, folder: Path):
        self.binaries, self.folder = binaries, folder
        self.tools = binaries.parent / "interop"  # what peers have to compile or install, kept between runs
        self.tools.mkdir(exist_ok=True)
        self.keys = Keys(folder)

    def our_lists(self, side: str) -> dict[str, list[str]]:
        text = subprocess.run([self.binaries / f"ssh_probe_{side}", "--list"], check=True, capture_output=True, text=True)
        return cells.read_lists(text.stdout)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def check(cell: cells.Cell, words: list[str]) -> str:
    """What our side says of the connection against what was meant; the reason when it is something else."""
    if len(words) != 9:
        return " ".join(words)
    outcome, kex, hostkey, cipher_in, cipher_out, mac_in, mac_out, exchanges, _ = words
    if outcome != "ok":
        return outcome.replace("_", " ")
    want = cell.words()
    if (kex, hostkey, cipher_in, mac_in) != want or (cipher_out, mac_out) != want[2:]:
        return f"negotiated {' '.join(words[1:7])}"
    if cell.rekey == "nobody":
        return "" if int(exchanges) == 1 else f"{exchanges} key exchanges where one was meant"
    return "" if int(exchanges) >= 2 else f"{exchanges} key exchange: nobody re-keyed"


def run(bench: Bench, peer, role: str, full: bool = True) -> Outcome:
    """role is the peer's: as a client of our server, or as a server for our client."""
    started = time.monotonic()
    outcome = Outcome(peer.name, role, peer.version())
    (_run_client if role == "client" else _run_server)(bench, peer, full, outcome)
    outcome.seconds = time.monotonic() - started
    return outcome


def _plan(bench, peer, role, ours, theirs, full, outcome):
    excluded_for: dict[str, int] = {}

    def excluded(cell):
        reason = peer.excluded(role, cell)
        if reason:
            excluded_for[reason] = excluded_for.get(reason, 0) + 1
        return reason

    rekey_by = ["us", "peer"] if role in peer.rekeys else ["us"]
    made = cells.plan(ours, theirs, rekey_by, full, excluded)
    outcome.product, outcome.rekeyed, outcome.missing = made.product, made.rekeyed, made.missing
    outcome.notes = [f"{count} combinations not applicable: {reason}" for reason, count in excluded_for.items()]
    if role not in peer.rekeys:
        outcome.notes.append(f"key exchanges begun by it are not run: {peer.no_rekey[role]}")
    assert made.cells, f"nothing in common with {peer.name}: {theirs}"
    return made


def _each(cells_to_run: list[cells.Cell], outcome: Outcome, workers: list):
    """Runs cells, each worker one at a time: worker(cell) gives the reason why it failed, or nothing."""
    waiting = queue.SimpleQueue()
    for cell in cells_to_run:
        waiting.put(cell)

    def work(worker):
        while len(outcome.failures) <= MOST_FAILURES:
            try:
                cell = waiting.get_nowait()
            except queue.Empty:
                return
            _count(outcome, cell, worker(cell))

    with ThreadPoolExecutor(len(workers)) as pool:
        for done in [pool.submit(work, worker) for worker in workers]:
            done.result()


def _run_client(bench: Bench, peer, full: bool, outcome: Outcome):
    keys = bench.keys
    with contextlib.ExitStack() as open_programs:
        def worker():
            ours = open_programs.enter_context(contextlib.closing(LineProgram(
                [bench.binaries / "ssh_probe_server", "--authorized", keys.user_public,
                 *(word for host in keys.hosts for word in ("--host-key", host))], log=bench.log("probe_server"))))
            client = open_programs.enter_context(contextlib.closing(peer.client(bench)))

            def run_cell(cell):
                limit = REKEY_BYTES if cell.rekey == "us" else 0
                answer = ours.ask(f"listen {' '.join(cell.words())} {limit}")
                assert answer.startswith("port "), answer
                port = int(answer.split()[1])
                said = client.run(port, REKEY_BYTES if cell.rekey == "peer" else 0, peer.data_bytes)
                report = ours.ask(f"report {port}")
                return check(cell, report.split()[1:]) if said == "ok" else f"{said}; our side: {report}"
            return run_cell

        with contextlib.closing(peer.client(bench)) as client:
            theirs = cells.offer_of_client(lambda port: client.run(port, 0, 0))
        made = _plan(bench, peer, "client", bench.our_lists("server"), theirs, full, outcome)
        _each(made.cells, outcome, [worker() for _ in range(peer.at_once("client"))])


def _run_server(bench: Bench, peer, full: bool, outcome: Outcome):
    keys = bench.keys
    with contextlib.ExitStack() as open_programs:
        plain = open_programs.enter_context(contextlib.closing(peer.server(bench, 0)))
        rekeying = plain
        if "server" in peer.rekeys:
            rekeying = open_programs.enter_context(contextlib.closing(peer.server(bench, REKEY_BYTES)))

        def worker():
            ours = open_programs.enter_context(contextlib.closing(LineProgram(
                [bench.binaries / "ssh_probe_client", "--user", plain.user, "--identity", keys.user,
                 "--host-ca", f"{keys.host_ca}.pub", "--command", plain.command,
                 *(word for host in keys.hosts for word in ("--host-key", f"{host}.pub"))], log=bench.log("probe_client"))))

            def run_cell(cell):
                limit = REKEY_BYTES if cell.rekey == "us" else 0
                server = rekeying if cell.rekey == "peer" else plain
                report = ours.ask(f"{server.port_for(cell)} {' '.join(cell.words())} {limit} {peer.data_bytes}")
                return check(cell, report.split())
            return run_cell

        made = _plan(bench, peer, "server", bench.our_lists("client"), plain.offer(), full, outcome)
        _each(made.cells, outcome, [worker() for _ in range(peer.at_once("server"))])


def _count(outcome: Outcome, cell: cells.Cell, reason: str):
    with outcome.lock:
        if reason:
            outcome.failures.append((str(cell), reason))
        else:
            outcome.passed += 1
