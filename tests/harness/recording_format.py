"""Recordings by docs/recording-format.md alone: taken apart, verified with and without the key of their chain, and put together
again as somebody can who may write to a node's disk."""
import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass, field

import xxhash
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MAGIC = b"MEZREC2\n"
EVENTS, INDEX, FOOTER = 1, 2, 3


@dataclass
class Segment:
    kind: int
    raw_bytes: int
    start_ms: int
    block: bytes
    tag: bytes
    offset: int = 0


def fields(segment: Segment) -> bytes:
    return struct.pack(">BxxxIIQ", segment.kind, len(segment.block), segment.raw_bytes, segment.start_ms)


def frame(segment: Segment, before: bytes) -> bytes:
    return fields(segment) + xxhash.xxh3_64_digest(before + fields(segment))


@dataclass
class Recording:
    header: bytes
    header_tag: bytes
    segments: list[Segment] = field(default_factory=list)

    @classmethod
    def parse(cls, data: bytes) -> "Recording":
        assert data[:8] == MAGIC
        (size,) = struct.unpack_from(">I", data, 8)
        at = 12 + size
        recording = cls(data[12:at], data[at:at + 16])
        before = data[at + 16:at + 32]
        assert before == xxhash.xxh3_128_digest(data[:at + 16])
        at += 32
        while at < len(data):
            kind, length, raw_bytes, start_ms = struct.unpack_from(">BxxxIIQ", data, at)
            end = at + 28 + length + 32
            segment = Segment(kind, raw_bytes, start_ms, data[at + 28:end - 32], data[end - 32:end - 16], at)
            assert data[at:at + 28] == frame(segment, before), at
            assert data[end - 16:end] == xxhash.xxh3_128_digest(before + data[at:end - 16]), at
            before = data[end - 16:end]
            recording.segments.append(segment)
            at = end
        return recording

    def put_together(self, key: bytes | None = None) -> bytes:
        """With all sums made anew, and the tags too when there is the key."""
        data = MAGIC + struct.pack(">I", len(self.header)) + self.header
        made = Tags(key) if key else None
        data += made.next(data) if made else self.header_tag
        before = xxhash.xxh3_128_digest(data)
        data += before
        index = (0, 0)
        for number, segment in enumerate(self.segments, 1):
            if segment.kind == INDEX:
                index = (len(data), number)
            elif segment.kind == FOOTER:
                segment.block = struct.pack(">QQ", *index)
            body = frame(segment, before) + segment.block
            body += made.next(body) if made else segment.tag
            before = xxhash.xxh3_128_digest(before + body)
            data += body + before
        return data

    def verify(self, key: bytes) -> None:
        """Every tag."""
        whole, tags = self.put_together(), Tags(key)
        assert tags.next(whole[:12 + len(self.header)]) == self.header_tag, "the header's tag"
        for segment in self.segments:
            end = segment.offset + 28 + len(segment.block)
            assert tags.next(whole[segment.offset:end]) == segment.tag, f"the tag of the segment at byte {segment.offset}"


def chain_key(header: dict, hub_private_key: bytes) -> bytes:
    chain = header["chain"]
    ephemeral = base64.b64decode(chain["ephemeral"])
    hub = X25519PrivateKey.from_private_bytes(hub_private_key)
    public = hub.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert chain["recipient"] == "x25519:" + base64.urlsafe_b64encode(public).decode().rstrip("=")
    shared = hub.exchange(X25519PublicKey.from_public_bytes(ephemeral))
    wrap = HKDF(SHA256(), 32, ephemeral + public, b"mezite recording chain key 1").derive(shared)
    sealed = base64.b64decode(chain["key"])
    return AESGCM(wrap).decrypt(sealed[:12], sealed[12:], header["session_id"].encode())


class Tags:
    def __init__(self, key: bytes):
        self.key, self.last = key, bytes(16)

    def next(self, text: bytes) -> bytes:
        self.last = AESGCM(self.key).encrypt(bytes(12), b"", self.last + text)
        self.key = hmac.new(self.key, b"mezite recording chain step 1", hashlib.sha256).digest()
        return self.last
