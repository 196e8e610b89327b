"""The key material of a run: host keys of each type with certificates, a user key in each tool's form."""
import subprocess
from pathlib import Path

HOST_KEYS = {  # plain algorithm names → arguments of ssh-keygen
    "ssh-ed25519": ["-t", "ed25519"],
    "ecdsa-sha2-nistp256": ["-t", "ecdsa", "-b", "256"],
    "ecdsa-sha2-nistp384": ["-t", "ecdsa", "-b", "384"],
    "ecdsa-sha2-nistp521": ["-t", "ecdsa", "-b", "521"],
    "ssh-rsa": ["-t", "rsa", "-b", "2048"],
}


class Keys:
    def __init__(self, folder: Path):
        self.folder = folder
        self.host_ca = self._make("host_ca", HOST_KEYS["ssh-ed25519"])
        self.hosts = [self._make(f"host_{name}", how) for name, how in HOST_KEYS.items()]
        self._run("ssh-keygen", "-q", "-s", self.host_ca, "-I", "interop", "-h", "-n", "127.0.0.1", "-V", "-5m:+1d",
                  *(f"{host}.pub" for host in self.hosts))
        self.user = self._make("user", HOST_KEYS["ssh-ed25519"])
        self.user_public = self.user.with_suffix(".pub")
        self.authorized = folder / "authorized_keys"
        self.authorized.write_text(self.user_public.read_text())
        # Wildcards: the ports of a run are many.
        self.known_hosts = folder / "known_hosts"
        lines = [f"* {self._two_words(f'{host}.pub')}" for host in self.hosts]
        lines.append(f"@cert-authority * {self._two_words(f'{self.host_ca}.pub')}")
        self.known_hosts.write_text("\n".join(lines) + "\n")

    def convert(self, name: str, *command) -> Path:
        """The user key in another tool's form, made by command with the path of the result as its last word."""
        path = self.folder / name
        if not path.exists():
            self._run(*command, path)
        return path

    @staticmethod
    def _two_words(path) -> str:
        return " ".join(Path(path).read_text().split()[:2])

    def _make(self, name: str, how: list[str]) -> Path:
        path = self.folder / name
        self._run("ssh-keygen", "-q", "-N", "", "-C", name, *how, "-f", path)
        return path

    @staticmethod
    def _run(*command):
        subprocess.run([str(c) for c in command], check=True, capture_output=True)
