"""Programs whose wall clock is off, by libfaketime."""
from pathlib import Path

import pytest

from .cluster import SANITIZED

LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), "libfaketime is not installed")

needs_faketime = pytest.mark.skipif(
    SANITIZED, reason="needs a build without sanitizers, whose runtime must come first")


def faked(offset: str) -> dict[str, str]:
    """The environment for it. The wall clock only: time-outs go by the monotonic one."""
    return {"LD_PRELOAD": str(LIBRARY), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
