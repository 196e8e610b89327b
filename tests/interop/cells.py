"""Rows of the matrix: which algorithms both sides know, and which combinations of them are run."""
import itertools
import socket
import struct
import threading
from dataclasses import dataclass, field, replace

LISTS = ("kex", "hostkey", "cipher", "mac")
MARKERS = ("ext-info-", "kex-strict-")
AEAD = ("-gcm@openssh.com", "-poly1305@openssh.com", "-gcm")


@dataclass(frozen=True)
class Cell:
    kex: str
    hostkey: str
    cipher: str  # "aes128-ctr+hmac-sha2-256", or an AEAD by itself
    rekey: str   # who begins the key exchanges after the first: "us", "peer", or "nobody": there is one only

    def words(self) -> tuple[str, str, str, str]:
        cipher, _, mac = self.cipher.partition("+")
        return self.kex, self.hostkey, cipher, mac or "-"

    def __str__(self):
        return f"{self.kex} {self.hostkey} {self.cipher} re-keyed by {self.rekey}"

    def algorithms(self) -> tuple[str, str, str]:
        return self.kex, self.hostkey, self.cipher


@dataclass
class Plan:
    """What is run against one peer in one role, and what can't be."""
    cells: list[Cell]
    product: int                                           # combinations of algorithms that both know and that apply
    rekeyed: int                                           # cells in which keys are exchanged again
    missing: dict[str, list[str]] = field(default_factory=dict)  # list → names of ours that the peer doesn't know


def ciphers_with_macs(ciphers: list[str], macs: list[str]) -> list[str]:
    out = []
    for cipher in ciphers:
        out += [cipher] if cipher.endswith(AEAD) else [f"{cipher}+{mac}" for mac in macs]
    return out


def plan(ours: dict[str, list[str]], theirs: dict[str, list[str]], rekey_by: list[str], full: bool, excluded) -> Plan:
    """Every pair of values with keys exchanged again, by us and by the peer; full: and each combination of algorithms that is
    then left, with one key exchange. excluded(cell) gives the reason why a combination does not apply, or nothing."""
    both = {name: [a for a in ours[name] if a in theirs[name]] for name in LISTS}
    missing = {name: [a for a in ours[name] if a not in theirs[name]] for name in LISTS}
    axes = [both["kex"], both["hostkey"], ciphers_with_macs(both["cipher"], both["mac"])]
    product = [cell for values in itertools.product(*axes) if not excluded(cell := Cell(*values, "nobody"))]
    rekeyed = pairwise([replace(cell, rekey=side) for cell in product for side in rekey_by])
    done = {cell.algorithms() for cell in rekeyed}
    rest = [cell for cell in product if cell.algorithms() not in done] if full else []
    return Plan(rekeyed + rest, len(product), len(rekeyed), {k: v for k, v in missing.items() if v})


def pairwise(cells: list[Cell]) -> list[Cell]:
    """The first cells, in an order that is always the same, that together hold every pair of values that any cell holds."""
    def pairs(cell):
        values = list(enumerate((cell.kex, cell.hostkey, cell.cipher, cell.rekey)))
        return set(itertools.combinations(values, 2))

    open_pairs = set().union(*(pairs(cell) for cell in cells)) if cells else set()
    chosen = []
    # Greedy in rounds: first what covers six new pairs, then five, …; each cell's gain only ever falls.
    candidates = [cells[(i * 7919) % len(cells)] for i in range(len(cells))] if len(cells) % 7919 else cells
    for least in range(6, 0, -1):
        rest = []
        for cell in candidates:
            new = pairs(cell) & open_pairs
            if len(new) >= least:
                chosen.append(cell)
                open_pairs -= new
            elif new:
                rest.append(cell)
        candidates = rest
    return chosen


def read_lists(text: str) -> dict[str, list[str]]:
    """What `ssh_probe_… --list` prints."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()}


def _kexinit(sock: socket.socket) -> dict[str, list[str]]:
    """Takes the other side's identification and KEXINIT off a fresh connection (RFC 4253 §4.2, §7.1)."""
    sock.settimeout(20)
    sock.sendall(b"SSH-2.0-offer_reader\r\n")
    stream = sock.makefile("rb")
    for line in stream:
        if line.startswith(b"SSH-2.0-"):
            break
    length, padding = struct.unpack(">IB", stream.read(5))
    payload = stream.read(length - 1)[:length - 1 - padding]
    assert payload[0] == 20, f"message {payload[0]} where KEXINIT belongs"
    lists, at = [], 17
    for _ in range(10):
        size = struct.unpack_from(">I", payload, at)[0]
        lists.append(payload[at + 4:at + 4 + size].decode().split(","))
        at += 4 + size
    kex = [name for name in lists[0] if not name.startswith(MARKERS)]
    return {"kex": kex, "hostkey": lists[1], "cipher": [c for c in lists[2] if c in lists[3]],
            "mac": [m for m in lists[4] if m in lists[5]]}


def offer_of_server(port: int) -> dict[str, list[str]]:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        return _kexinit(sock)


def offer_of_client(connect) -> dict[str, list[str]]:
    """connect(port) makes the client try a connection; it fails, once its lists have been read."""

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        thread = threading.Thread(target=connect, args=(listener.getsockname()[1],), daemon=True)
        thread.start()
        sock, _ = listener.accept()
        with sock:
            offer = _kexinit(sock)
        thread.join(30)
    return offer
