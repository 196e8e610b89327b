"""A row of the matrix per test, printed at the end of the run."""
import os
from pathlib import Path

import pytest

from harness.cluster import SANITIZED

from . import matrix

ROWS: list[list[str]] = []


def pytest_collection_modifyitems(items):
    # Minutes under sanitizers, and it is the peers' time mostly: the protocol's own tests run under them.
    if not SANITIZED:
        return
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.fspath).parents and item.path.stem != "test_cells":
            item.add_marker(pytest.mark.skip(reason="run with the release build only"))


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    return matrix.Bench(Path(os.environ["MEZITE_BIN"]), tmp_path_factory.mktemp("interop"))


@pytest.fixture
def run_row(bench, record_property):
    """run_row(peer, role): the row, printed later; fails with the cells that failed."""
    def run(peer, role: str):
        outcome = matrix.run(bench, peer, role)
        record_property("interop", "\n".join([outcome.row(), *(f"    {text}" for text in outcome.reasons())]))
        assert not outcome.failures, "\n".join(f"{cell}: {reason}" for cell, reason in outcome.failures)
        assert outcome.passed > 0
    return run


def pytest_runtest_logreport(report):
    if report.when == "call":
        ROWS.extend([value.split("\n") for name, value in report.user_properties if name == "interop"])


def pytest_terminal_summary(terminalreporter):
    if ROWS:
        terminalreporter.section("interoperability")
        for row in sorted(ROWS):
            for line in row:
                terminalreporter.write_line(line)
