"""Long-living programs that are driven line by line: one line in, one line out."""
import queue
import subprocess
import threading


class LineProgram:
    def __init__(self, argv, env=None, log=None):
        self.name = str(argv[0]).rsplit("/", 1)[-1]
        self.errors = open(log, "ab") if log else subprocess.DEVNULL
        self.child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=self.errors, text=True, env=env, bufsize=1)
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put("")

    def read(self, timeout: float = 60) -> str:
        try:
            line = self.lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"{self.name} said nothing for {timeout:.0f} seconds") from None
        assert line or self.child.poll() is None, f"{self.name} ended with {self.child.wait()}"
        return line

    def ask(self, line: str, timeout: float = 60) -> str:
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        return self.read(timeout)

    def close(self):
        self.child.stdin.close()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        if self.errors != subprocess.DEVNULL:
            self.errors.close()
