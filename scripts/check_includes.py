#!/usr/bin/python3
"""check_includes.py [SRC]: fails when a folder of src/ includes one that is above it, when two folders include each other,
or when something outside src/crypto includes OpenSSL. The order is that of src/CMakeLists.txt; within a folder,
sub-folders may not include each other in a circle."""
import re
import sys
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.M)


def layer_order(src: Path) -> list[str]:
    return re.findall(r"add_subdirectory\((\w+)\)", (src / "CMakeLists.txt").read_text())


def find_cycle(edges: dict[str, set[str]]) -> list[str]:
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return path[path.index(node):] + [node]
        if node in done:
            return []
        for after in sorted(edges.get(node, ())):
            if cycle := walk(after, path + [node]):
                return cycle
        done.add(node)
        return []

    for start in sorted(edges):
        if cycle := walk(start, []):
            return cycle
    return []


def check(src: Path) -> list[str]:
    order = layer_order(src)
    rank = {name: i for i, name in enumerate(order)}
    problems: list[str] = []
    edges: dict[str, set[str]] = {}
    for path in sorted(src.rglob("*")):
        if path.suffix not in (".hh", ".cc", ".h"):
            continue
        parts = path.relative_to(src).parts
        layer, folder = parts[0], "/".join(parts[:-1])
        text = path.read_text()
        for target in INCLUDE.findall(text):
            if target.startswith("openssl/") and layer != "crypto":
                problems.append(f"{path}: includes <{target}>; only src/crypto may use OpenSSL")
            above = target.split("/")[0]
            if above not in rank or not (src / target).exists():
                continue
            if rank[above] > rank[layer]:
                problems.append(f"{path}: {layer}/ may not include {target}: {above}/ is above it")
            other = "/".join(target.split("/")[:-1])
            if other != folder and not path.stem.endswith(("_test", "_bench", "testing")):
                edges.setdefault(folder, set()).add(other)
    if cycle := find_cycle(edges):
        problems.append("folders include each other in a circle: " + " -> ".join(cycle))
    return problems


if __name__ == "__main__":
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "src"
    found = check(root)
    print("\n".join(found) or "includes: every arrow points down")
    sys.exit(1 if found else 0)
