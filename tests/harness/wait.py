"""Waiting for conditions, with a bound."""
import os
import time


def patience() -> float:
    """Seconds to wait before a condition counts as missed; instrumented binaries on a loaded machine are slow."""
    return float(os.environ.get("MEZITE_TEST_PATIENCE", "60"))


def until(condition, what: str, timeout: float | None = None):
    """Polls until condition() is true and returns its value; an AssertionError that says what was awaited otherwise."""
    end = time.monotonic() + (timeout or patience())
    while True:
        if value := condition():
            return value
        assert time.monotonic() < end, f"waited in vain for: {what}"
        time.sleep(0.02)
