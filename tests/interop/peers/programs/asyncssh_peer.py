"""asyncssh as a client ("client FOLDER": rows on stdin) or as a server ("server FOLDER PORT REKEY_BYTES")."""
import asyncio
import os
import sys

import asyncssh
from asyncssh.connection import SSHConnection
from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs
from asyncssh.public_key import get_certificate_algs, get_public_key_algs

HOSTS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


MSG_KEX_LAST = 49
send_at_once = SSHConnection.send_packet


def send_packet(self, pkttype, *args, **named):
    """RFC 4253 §7.1: nothing but the key exchange between KEXINIT and NEWKEYS. Debian's patch for CVE-2023-46446 lost the
    lines of send_packet() that kept to that; here they are again."""
    if self._auth_complete and self._kex_complete and self._rekey_bytes_sent >= self._rekey_bytes:
        self._send_kexinit()
        self._kexinit_sent = True
    if pkttype > MSG_KEX_LAST and not self._kex_complete and self._auth_complete:
        self._deferred_packets.append((pkttype, args))
    else:
        send_at_once(self, pkttype, *args, **named)


SSHConnection.send_packet = send_packet


def names(algorithms):
    return [name.decode() for name in algorithms]


def everything():
    kex = [name for name in names(get_kex_algs()) if not name.startswith("gss-")]
    return {"kex_algs": kex, "encryption_algs": names(get_encryption_algs()), "mac_algs": names(get_mac_algs()),
            "compression_algs": ["none"]}


async def one_client(folder, port, rekey, size):
    options = everything()
    if rekey:
        options["rekey_bytes"] = rekey
    async with asyncssh.connect(
            "127.0.0.1", port, username="alice", client_keys=[f"{folder}/user"], agent_path=None, config=None,
            known_hosts=f"{folder}/known_hosts",
            server_host_key_algs=names(get_certificate_algs()) + names(get_public_key_algs()), **options) as connection:
        data = os.urandom(size)
        done = await connection.run("store", input=data, encoding=None, timeout=30)
        if done.stdout != data:
            return f"{len(done.stdout)} bytes came back of {size}, or others"
        return "ok" if done.exit_status == 0 else f"exit status {done.exit_status}"


async def client(folder):
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            print(await one_client(folder, *map(int, line.split())), flush=True)
        except Exception as error:
            print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)


async def echo(process):
    # By blocks as they come: the client writes and reads at the same time.
    while data := await process.stdin.read(32768):
        process.stdout.write(data)
        await process.stdout.drain()
    process.exit(0)


async def server(folder, port, rekey):
    options = everything()
    if rekey:
        options["rekey_bytes"] = rekey
    await asyncssh.create_server(
        asyncssh.SSHServer, "127.0.0.1", port, config=None,
        server_host_keys=[f"{folder}/host_{kind}" for kind in HOSTS], authorized_client_keys=f"{folder}/authorized_keys",
        process_factory=echo, encoding=None, **options)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    if sys.argv[1] == "client":
        asyncio.run(client(sys.argv[2]))
    else:
        asyncio.run(server(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
