"""docs/hostile-input.md names tests; each must be there, and each line must have one."""
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def names_in_the_tree() -> set[str]:
    names = set()
    for path in (ROOT / "src").rglob("*_test.cc"):
        names |= {f"{suite}.{name}" for suite, name in re.findall(r"^(?:TEST|TEST_F|TEST_P|TYPED_TEST)\((\w+),\s*(\w+)\)", path.read_text(), re.M)}
    for path in (ROOT / "tests").rglob("test_*.py"):
        names |= set(re.findall(r"^def (test_\w+)", path.read_text(), re.M))
    return names


def rows(text: str) -> list[tuple[str, list[str]]]:
    """(what the peer does, the tests) of each row of a table."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [(row[0], re.findall(r"`([^`]+)`", row[-1])) for row in cells if not row[0].startswith("---") and row[-1] != "tests"]


def test_every_line_has_tests_that_are_there():
    there = names_in_the_tree()
    table = rows((ROOT / "docs" / "hostile-input.md").read_text())
    assert len(table) > 30
    assert [what for what, tests in table if not tests] == []
    assert [(what, test) for what, tests in table for test in tests if test not in there] == []


def test_a_test_that_is_gone_is_noticed():
    assert rows("| what | incident | tests |\n|---|---|---|\n| a | CVE | `Suite.Name` `test_x` |\n| b | | |\n") == [("a", ["Suite.Name", "test_x"]), ("b", [])]
    assert "Suite.Name" not in names_in_the_tree()
