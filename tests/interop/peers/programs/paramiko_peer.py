"""paramiko as a client ("client FOLDER": rows on stdin) or as a server ("server FOLDER PORT REKEY_BYTES")."""
import os
import socket
import sys
import threading

import paramiko
from paramiko import Transport


def load_key(path):
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key_file(path)
        except paramiko.SSHException:
            pass
    raise ValueError(path)


def offer_everything(transport):
    options = transport.get_security_options()
    options.kex = [name for name in Transport._kex_info if not name.startswith("gss-")]
    options.ciphers = list(Transport._cipher_info)
    options.digests = list(Transport._mac_info)
    options.key_types = list(Transport._key_info)


def client(folder):
    key = load_key(f"{folder}/user")
    known = {line.split()[2] for line in open(f"{folder}/known_hosts") if line.startswith("* ")}
    for line in sys.stdin:
        port, rekey, size = map(int, line.split())
        try:
            print(one_client(key, known, port, rekey, size), flush=True)
        except Exception as error:
            print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)


def one_client(key, known, port, rekey, size):
    transport = Transport(socket.create_connection(("127.0.0.1", port)))
    try:
        offer_everything(transport)
        transport.start_client(timeout=30)
        if transport.get_remote_server_key().get_base64() not in known:
            return "that is not the server's host key"
        transport.auth_publickey("alice", key)
        channel = transport.open_session(timeout=30)
        channel.settimeout(30)
        channel.exec_command("store")
        data = os.urandom(size)
        channel.sendall(data[:size // 2])
        if rekey:  # by itself it notices too late that a limit was passed
            transport.renegotiate_keys()
        channel.sendall(data[size // 2:])
        channel.shutdown_write()
        back = b""
        while part := channel.recv(65536):
            back += part
        if back != data:
            return f"{len(back)} bytes came back of {size}, or others"
        return "ok" if channel.recv_exit_status() == 0 else "exit status"
    finally:
        transport.close()


class Server(paramiko.ServerInterface):
    def __init__(self, authorized):
        self.authorized = authorized

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        good = username == "alice" and key.get_base64() == self.authorized
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        threading.Thread(target=echo, args=(channel,), daemon=True).start()
        return True


def echo(channel):
    while data := channel.recv(32768):
        channel.sendall(data)
    channel.send_exit_status(0)
    channel.close()


def serve_one(sock, keys, authorized, rekey):
    transport = Transport(sock)
    try:
        offer_everything(transport)
        if rekey:
            transport.packetizer.REKEY_BYTES = rekey
        for key in keys:
            transport.add_server_key(key)
        transport.start_server(server=Server(authorized))
        transport.join()
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    finally:
        transport.close()


def server(folder, port, rekey):
    keys = [load_key(path) for path in (f"{folder}/host_{kind}" for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256",
            "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"))]
    authorized = open(f"{folder}/user.pub").read().split()[1]
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve_one, args=(sock, keys, authorized, rekey), daemon=True).start()


if __name__ == "__main__":
    if sys.argv[1] == "client":
        client(sys.argv[2])
    else:
        server(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
