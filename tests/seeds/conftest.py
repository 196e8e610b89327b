"""Collects the result of each check and prints the acceptance table at the end of a run."""
import os


import pytest

from .acceptance import CHECKS

RESULTS: dict[str, str] = {}


def pytest_configure(config):
    config.addinivalue_line("markers", "check(id): this test is a row of the acceptance table")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    for mark in item.iter_markers("check"):
        report.user_properties.append(("check", mark.args[0]))


def pytest_runtest_logreport(report):
    for name, value in report.user_properties:
        if name == "check" and (report.when == "call" or report.outcome == "failed"):
            RESULTS[value] = "FAILS" if report.outcome == "failed" or RESULTS.get(value) == "FAILS" else "holds"


def pytest_terminal_summary(terminalreporter):
    if not os.environ.get("MEZITE_ACCEPTANCE_TABLE"):
        return
    terminalreporter.section("acceptance table")
    for name, text in CHECKS.items():
        terminalreporter.write_line(f"{name:4} {RESULTS.get(name, 'not yet'):8} {text[:100]}")
    held = sum(result == "holds" for result in RESULTS.values())
    terminalreporter.write_line(f"{held} of {len(CHECKS)} checks hold, {sum(r == 'FAILS' for r in RESULTS.values())} fail")
