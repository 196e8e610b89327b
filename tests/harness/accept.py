"""The loop that every little server begins with."""
import socket
import threading


def accept_each(listener: socket.socket, serve):
    """Calls serve(peer) for each connection, on one thread, until the listener is closed."""
    def loop():
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            serve(peer)

    threading.Thread(target=loop, daemon=True).start()
