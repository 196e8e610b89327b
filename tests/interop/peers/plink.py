"""PuTTY's plink."""
import os

from .base import REKEY_BYTES, Peer, SpawnedClient, output, package_version

SESSION = """Protocol=ssh
HostName=127.0.0.1
UserName=alice
PublicKeyFile={key}
Cipher=aesgcm,chacha20,aes,WARN,3des,des,blowfish,arcfour
KEX=ntru-curve25519,ecdh,dh-group18-sha512,dh-group17-sha512,dh-group16-sha512,dh-group15-sha512,dh-group14-sha1,dh-gex-sha1,WARN,rsa,dh-group1-sha1
HostKey=ed25519,ecdsa,rsa,WARN,ed448,dsa
RekeyBytes={rekey}
"""


class Plink(Peer):
    name = "plink"
    roles = ("client",)

    def version(self):
        return package_version("putty-tools")

    def client(self, bench):
        folder = bench.folder / "putty"
        (folder / "sessions").mkdir(parents=True, exist_ok=True)
        key = bench.keys.convert("user.ppk", "puttygen", bench.keys.user, "-O", "private", "-o")
        for rekey_bytes in (0, REKEY_BYTES):
            (folder / "sessions" / f"rekey_{rekey_bytes}").write_text(SESSION.format(key=key, rekey=rekey_bytes))
        trusted = []
        for host in bench.keys.hosts:
            fingerprint = output("ssh-keygen", "-l", "-f", f"{host}.pub").split()[1]
            trusted += ["-hostkey", fingerprint]

        def argv(port, rekey_bytes):
            return ["plink", "-load", f"rekey_{rekey_bytes}", "-batch", "-ssh", "-P", port, *trusted, "store"]
        return SpawnedClient(argv, env={**os.environ, "PUTTYDIR": str(folder), "HOME": str(folder)})
