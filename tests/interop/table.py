#!/usr/bin/python3
"""table.py BUILD [--pairs] [PEER…]: runs the interop matrix and prints it, peer × role: cells passed, combinations of
algorithms, what does not apply and why. --pairs: every pair of algorithms instead of every combination; a minute."""
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from interop import matrix, peers  # noqa: E402


SHOWN = 8  # failures of a row


def main(arguments: list[str]) -> int:
    full = "--pairs" not in arguments
    build, *wanted = [a for a in arguments if a != "--pairs"]
    rows = [(peer, role) for peer, role in peers.rows() if not wanted or f"{peer.name}" in wanted or f"{peer.name}-{role}" in wanted]
    with tempfile.TemporaryDirectory(prefix="mezite-interop-") as folder:
        bench = matrix.Bench(Path(build).resolve() / "bin", Path(folder))
        with ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(matrix.run, bench, peer, role, full) for peer, role in rows]
            outcomes = []
            for future in futures:
                outcomes.append(future.result())
                print(outcomes[-1].row(), flush=True)
                for text in outcomes[-1].reasons():
                    print(f"    {text}")
                for cell, reason in outcomes[-1].failures[:SHOWN]:
                    print(f"    FAILED {cell}: {reason}")
    passed, failed = sum(o.passed for o in outcomes), sum(len(o.failures) for o in outcomes)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
