"""Writes the seed files of fuzz_packed into the folder packed beside this script: an ordinary matrix, experts, and one
whose size is beyond 64 bits. The sums are 0: the target puts them right."""
import os
import struct

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "packed")
HEAD, TAIL = 4096, 64


def packed(rows, *numbers):
    head = b"IQTPACK\n" + struct.pack("<Q%dQ" % len(numbers), 1, *numbers)
    return head.ljust(HEAD, b"\0") + rows + bytes(TAIL)


os.makedirs(HERE, exist_ok=True)
for name, raw in ("matrix.iqtp", packed(bytes(range(144)) * 5, 1, 5, 256, 144, 1, 139, 0, 7, 8)), \
        ("experts.iqtp", packed(bytes(range(96)) * 8, 2, 3, 256, 96, 4, 144, 2, 7, 8)), \
        ("large.iqtp", packed(bytes(64), 2, 2**63 + 1, 256, 64, 1, 139, 0, 7, 8)):
    with open(os.path.join(HERE, name), "wb") as out:
        out.write(raw)
