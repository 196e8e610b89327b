"""A program on a real terminal: what a person at a keyboard has."""
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time

from .wait import patience


class Terminal:
    def __init__(self, argv: list, rows: int = 24, columns: int = 80, env: dict | None = None):
        self.seen = b""
        pid, self.fd = pty.fork()
        if pid == 0:
            try:
                os.execvpe(str(argv[0]), [str(a) for a in argv], {**os.environ, "TERM": "xterm", **(env or {})})
            finally:
                os._exit(127)
        self.pid = pid
        self.resize(rows, columns)

    def resize(self, rows: int, columns: int):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str):
        os.write(self.fd, text.encode())

    def _read(self, wait: float) -> bool:
        if not select.select([self.fd], [], [], wait)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.seen += data
        return bool(data)

    def expect(self, pattern: str, timeout: float | None = None) -> re.Match:
        """Waits for the pattern in what has not been matched yet, and takes it."""
        end = time.monotonic() + (timeout or patience())
        while True:
            if match := re.search(pattern.encode(), self.seen):
                self.seen = self.seen[match.end():]
                return match
            assert time.monotonic() < end, f"waited in vain for {pattern!r}; the screen has {self.seen[-2000:]!r}"
            if not self._read(0.2):
                match = re.search(pattern.encode(), self.seen)
                assert match, f"ended without {pattern!r}; the screen has {self.seen[-2000:]!r}"
                return match

    def settle(self, quiet: float = 0.05):
        """Reads until nothing has come for so long: who types looks at the screen first."""
        while select.select([self.fd], [], [], quiet)[0] and self._read(0):
            pass

    def type_and_see(self, text: str, patience_s: float = 1):
        """Types, and reads until it stands there; or until nothing has come for so long, when something else is drawn in between."""
        self.settle()
        before = len(self.seen)
        self.type(text)
        while text.encode() not in re.sub(rb"\x1b(\[[0-9;?]*[ -/]*[@-~]|[()].|[^\[()])", b"", self.seen[before:]):
            if not select.select([self.fd], [], [], patience_s)[0] or not self._read(0):
                break

    def nothing_more(self, seconds: float):
        """Nothing is shown for so long."""
        before = len(self.seen)
        assert self._read(seconds) and len(self.seen) == before, f"shown: {self.seen[before:]!r}"

    def wait(self, timeout: float | None = None) -> int:
        """Reads to the end; the exit status."""
        end = time.monotonic() + (timeout or patience())
        while self._read(0.2):
            assert time.monotonic() < end, f"did not end; the screen has {self.seen[-2000:]!r}"
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self):
        os.close(self.fd)
