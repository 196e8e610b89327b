"""Free loopback ports, each given to one test process only."""
import fcntl
import os
import socket
import tempfile

FIRST, LAST = 12000, 30000
_held = []


def free_port() -> int:
    """A port nobody listens on, locked for this process, below the range the kernel hands out to clients."""
    folder = os.path.join(tempfile.gettempdir(), f"mezite-ports-{os.getuid()}")
    os.makedirs(folder, exist_ok=True)
    start = FIRST + int.from_bytes(os.urandom(2), "big") % (LAST - FIRST)
    for port in [*range(start, LAST), *range(FIRST, start)]:
        lock = open(os.path.join(folder, str(port)), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        return port
    raise RuntimeError("no free port between 12000 and 30000")
