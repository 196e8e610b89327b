"""A server that sends back what it was sent, once it has all of it, and the client's side of that."""
import hashlib
import os
import socket
import struct
import threading

from .accept import accept_each
from .wait import patience

BULK = os.urandom(1 << 20) * 12 + os.urandom(12345)  # more than a window and a socket buffer


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read_all(peer: socket.socket) -> bytes:
    parts = []
    while part := peer.recv(1 << 18):
        parts.append(part)
    return b"".join(parts)


class Mirror:
    """Listens on a free loopback port, or at a path. Each connection: all of the input until its end, then the same back."""

    def __init__(self, path: str | None = None):
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            self.listener.listen(64)
        else:
            self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
            self.port = self.listener.getsockname()[1]
        self.peers = []  # (uid,) of who connected to a Unix socket
        self.unix = bool(path)
        accept_each(self.listener, self._accepted)

    def _accepted(self, peer):
        if self.unix:
            self.peers.append(struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))
        threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    @staticmethod
    def _serve(peer):
        with peer:
            try:
                peer.sendall(read_all(peer))
            except OSError:
                pass

    def close(self):
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def connect(where) -> socket.socket:
    """where: a port of 127.0.0.1, an (address, port) pair, or a path."""
    if isinstance(where, str):
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(patience())
        peer.connect(where)
        return peer
    return socket.create_connection(("127.0.0.1", where) if isinstance(where, int) else where, timeout=patience())


def through(where, data: bytes = BULK) -> str:
    """Sends data to a mirror behind `where` (or an open socket), half-closes, and gives the digest of what comes back."""
    peer = where if isinstance(where, socket.socket) else connect(where)
    def send():
        try:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
        except OSError:  # what comes back says so too
            pass

    with peer:
        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        back = read_all(peer)
        sender.join(patience())
    return digest(back)


def answers(where) -> bool:
    try:
        connect(where).close()
        return True
    except OSError:
        return False


def refuses(where) -> bool:
    """Whether a connection through a forward ends without a byte."""
    try:
        return through(where, b"x") == digest(b"")
    except ConnectionError:
        return True
