"""A scripted SSH client: the bytes that the test says, in the clear, up to the first key exchange."""
import os
import socket
import struct

CURVES = b"curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256"
HOST_KEYS = b",".join((b"ssh-ed25519-cert-v01@openssh.com", b"ssh-ed25519", b"ecdsa-sha2-nistp256-cert-v01@openssh.com",
                       b"ecdsa-sha2-nistp256", b"rsa-sha2-512"))
CIPHERS = b"aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr"
MACS = b"hmac-sha2-256-etm@openssh.com,hmac-sha2-256"


def string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def packet(payload: bytes) -> bytes:
    padding = 8 - (len(payload) + 5) % 8
    if padding < 4:
        padding += 8
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


def kexinit(kex: bytes = CURVES) -> bytes:
    lists = (kex, HOST_KEYS, CIPHERS, CIPHERS, MACS, MACS, b"none", b"none", b"", b"")
    return b"\x14" + os.urandom(16) + b"".join(string(one) for one in lists) + bytes(5)


# What makes a server do its part of a key exchange, and costs its sender nothing: the same bytes for every connection.
KEX_FLOOD = b"SSH-2.0-flood\r\n" + packet(kexinit()) + packet(b"\x1e" + string(b"\x09" + bytes(31)))

NEWKEYS = packet(b"\x15")[:6]  # the last of what a server says in the clear


def connect(port: int, source: str = "127.0.0.1", timeout: float = 10) -> socket.socket:
    """From another loopback address the peer is another source."""
    client = socket.socket()
    client.settimeout(timeout)
    client.bind((source, 0))
    client.connect(("127.0.0.1", port))
    return client


def read_to_end(client: socket.socket) -> bytes:
    """All that comes until the other end closes; what closes without reading is an end as well."""
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except ConnectionError:
        pass
    return data
