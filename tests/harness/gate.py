"""A way between two programs that can be shut."""
import socket
import threading

from .accept import accept_each


class Gate:
    """Relays TCP from a free loopback port to another, until it is shut: then what is open is cut and what comes is refused."""

    def __init__(self, port: int):
        self.target = port
        self.open = True
        self.pairs: set[socket.socket] = set()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        accept_each(self.listener, self._accepted)

    def _accepted(self, peer: socket.socket):
        with self.lock:
            try:
                other = socket.create_connection(("127.0.0.1", self.target)) if self.open else None
            except OSError:
                other = None
            if other is None:
                peer.close()
                return
            self.pairs |= {peer, other}
        for source, sink in ((peer, other), (other, peer)):
            threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket):
        try:
            while part := source.recv(1 << 16):
                sink.sendall(part)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        with self.lock:
            self.pairs -= {source, sink}

    def shut(self):
        with self.lock:
            self.open = False
            for one in self.pairs:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def reopen(self):
        self.open = True

    def close(self):
        self.shut()
        self.listener.close()
