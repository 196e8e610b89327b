"""The checks by id, and the mark that makes a test a row of the table."""
from pathlib import Path

import pytest

CHECKS = dict(line.split("\t", 1) for line in (Path(__file__).parent / "checks.txt").read_text().splitlines()
              if line and not line.startswith("#"))


def check(name: str):
    assert name in CHECKS, name
    return pytest.mark.check(name)
