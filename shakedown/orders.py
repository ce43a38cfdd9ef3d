"""What a run says to a load generator that it can't hand files to: whole parts of an order, and single moments."""

import hashlib
import os
import struct

HEAD = struct.Struct("!Q32s")  # how many bytes follow, and their SHA-256
MOMENT = struct.Struct("!d")  # on the ledger's clock of who reads it
ASK, GO = b"?", b"!"  # what time is it; that was the last question


class CutShort(Exception):
    """Less came than was sent, or something else."""


def framed(content: bytes) -> bytes:
    """One part of an order as it is sent."""
    return HEAD.pack(len(content), hashlib.sha256(content).digest()) + content


def unframed(stream: int) -> bytes:
    """One part of an order from a descriptor. Raises CutShort where it isn't what was sent."""
    length, digest = HEAD.unpack(whole(stream, HEAD.size))
    content = whole(stream, length)
    if hashlib.sha256(content).digest() != digest:
        raise CutShort(f"{length} bytes of an order came, and they are not those that were sent")
    return content


def whole(stream: int, length: int) -> bytes:
    """So many bytes from a descriptor. Raises CutShort where the other end closes it before."""
    pieces, missing = [], length
    while missing:
        piece = os.read(stream, min(missing, 1 << 20))
        if not piece:
            raise CutShort(f"{length - missing} of {length} bytes came")
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)
