#!/usr/bin/python3
"""tidy.py FILE…: clang-tidy on each file, as many at once as there are cores. A file whose text, included headers of the
project and configuration are what they were when it was last found clean is not looked at again (build/tidy/)."""
import concurrent.futures
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLEAN = ROOT / "build" / "tidy"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def reachable(path: Path, seen: dict[Path, bytes]) -> dict[Path, bytes]:
    if path not in seen and path.exists():
        seen[path] = path.read_bytes()
        for name in INCLUDE.findall(seen[path].decode()):
            reachable(ROOT / "src" / name, seen)
    return seen


def stamp(path: Path) -> Path:
    digest = hashlib.sha256((ROOT / ".clang-tidy").read_bytes())
    for name, text in sorted(reachable(path, {}).items()):
        digest.update(str(name.relative_to(ROOT)).encode() + b"\0" + text)
    return CLEAN / digest.hexdigest()


def tidy(name: str) -> tuple[str, int, str]:
    mark = stamp(ROOT / name)
    if mark.exists():
        return name, 0, ""
    run = subprocess.run(["clang-tidy-19", "--quiet", "-p", str(ROOT / "build"),
                          "--extra-arg=-Wno-unknown-warning-option", "--extra-arg=-Wno-error", str(ROOT / name)],
                         capture_output=True, text=True)
    if run.returncode == 0:
        mark.touch()
    return name, run.returncode, run.stdout + (run.stderr if run.returncode else "")


if __name__ == "__main__":
    CLEAN.mkdir(parents=True, exist_ok=True)
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for file, code, output in pool.map(tidy, sys.argv[1:]):
            if code:
                bad += 1
                print(f"{file}:\n{output}")
    print(f"clang-tidy: {len(sys.argv) - 1} files, {bad} with findings")
    sys.exit(1 if bad else 0)
