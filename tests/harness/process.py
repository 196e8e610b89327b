"""A real process with its output in a file, ended by pid."""
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from .wait import patience, until

REPORTS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:")


def terminate(child: subprocess.Popen) -> int:
    """Ends a program that others wrote by SIGTERM; the exit status. More than one signal, because OpenSSH 9.2's client looks
    at its flag and then calls poll(): a signal between the two is noticed with the next event, minutes later."""
    end = time.monotonic() + patience()
    while True:
        child.terminate()
        try:
            return child.wait(0.5)
        except subprocess.TimeoutExpired:
            if time.monotonic() > end:
                child.kill()
                child.wait()
                raise


class Process:
    def __init__(self, name: str, argv: list[str], log: Path, env: dict[str, str] | None = None):
        self.name, self.argv, self.log = name, [str(a) for a in argv], log
        self.env = {**os.environ, **(env or {})}
        self.child: subprocess.Popen | None = None
        self.start()

    def start(self):
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env,
                                          start_new_session=True)

    @property
    def pid(self) -> int:
        return self.child.pid

    def running(self) -> bool:
        return self.child.poll() is None

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def events(self) -> list[dict]:
        """The JSON lines of its log."""
        found = []
        for line in self.output().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                pass
        return found

    def logged(self, message: str) -> list[dict]:
        return [e for e in self.events() if message in e.get("msg", "")]

    def wait_logged(self, message: str, timeout: float | None = None) -> dict:
        return until(lambda: self.logged(message) or (not self.running() and self._died(message)),
                     f"'{message}' in the log of {self.name}", timeout)[-1]

    def _died(self, message: str):
        raise AssertionError(f"{self.name} ended with {self.child.returncode} before it logged '{message}':\n{self.output()[-3000:]}")

    def kill(self):
        """The way of an accident: SIGKILL."""
        if self.running():
            self.child.kill()
        self.child.wait()

    def stop(self) -> int:
        """The way of an operator: SIGTERM; the exit status."""
        if self.running():
            self.child.terminate()
        try:
            self.child.wait(patience())
        except subprocess.TimeoutExpired:
            self.child.send_signal(signal.SIGABRT)
            self.child.wait()
            raise AssertionError(f"{self.name} did not end on SIGTERM:\n{self.output()[-3000:]}")
        self.check_sanitizers()
        return self.child.returncode

    def check_sanitizers(self):
        text = self.output()
        found = [text.index(report) for report in REPORTS if report in text]
        assert not found, f"{self.name}:\n{text[max(0, min(found) - 200):][:20000]}"
