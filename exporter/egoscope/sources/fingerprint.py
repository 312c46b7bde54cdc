"""What a file begins with, as a digest: the part of its identity that survives a reused inode."""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import NamedTuple


class Fingerprint(NamedTuple):
    """A digest of a file's first `length` bytes."""

    digest: bytes
    length: int


class Fingerprints:
    """Makes and compares fingerprints of at most `length` bytes.

    With a key the digest that stands in the state file tells nothing about a log's first line, not even to somebody
    who can guess it.
    """

    def __init__(self, length: int, key: bytes = b"") -> None:
        self.length = length
        self._key = key

    def of(self, head: bytes) -> Fingerprint:
        """Return the fingerprint of all of `head`."""
        return Fingerprint(blake2b(head, digest_size=16, key=self._key).digest(), len(head))

    def head(self, fd: int) -> bytes:
        """Return the file's first bytes, as many as a full fingerprint covers (fewer if the file is shorter)."""
        return os.pread(fd, self.length, 0)

    def fits(self, fd: int, fingerprint: Fingerprint, offset: int) -> bool:
        """Whether the file begins as `fingerprint` says and a line ends just before `offset`.

        A position past the end never fits: the byte before it is not there.
        """
        head = os.pread(fd, fingerprint.length, 0)
        return self.of(head) == fingerprint and (not offset or os.pread(fd, 1, offset - 1) == b"\n")
