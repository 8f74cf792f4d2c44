"""Writes the seed files of fuzz_gguf into the folder gguf beside this script.

Each seed is a tiny sound file: one with every type of key, one with a tensor of every format
of the table, one with choices that are odd but allowed (version 2, another alignment).
"""
import os
import struct

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gguf")
# type, weights, bytes, row header
TENSORS = [(158, 256, 56, 4), (153, 256, 68, 4), (154, 256, 100, 4), (155, 256, 128, 4),
           (145, 256, 70, 2), (157, 256, 86, 2), (156, 256, 102, 2), (146, 256, 128, 4),
           (144, 256, 136, 4), (152, 256, 168, 4), (137, 256, 76, 0), (138, 256, 110, 0),
           (139, 256, 144, 0), (140, 256, 176, 0), (141, 256, 212, 0), (8, 32, 34, 0),
           (14, 256, 210, 0), (13, 256, 176, 0), (1, 3, 6, 0), (30, 3, 6, 0), (0, 3, 12, 0),
           (344, 256, 136, 4), (28, 2, 16, 0)]


def text(value):
    return struct.pack("<Q", len(value)) + value


def key(name, kind, value):
    return text(name) + struct.pack("<I", kind) + value


def array(item, count, body):
    return struct.pack("<IQ", item, count) + body


def align(value, alignment):
    return (value + alignment - 1) // alignment * alignment


def table(tensors, alignment):
    """The tensor table, and the bytes of data that it asks for."""
    entries, offset = b"", 0
    for number, (kind, weights, size, head) in enumerate(tensors):
        shape = [weights, 1 + number % 2]
        entries += text(b"blk.%d.w" % number) + struct.pack("<I", len(shape))
        entries += struct.pack("<%dQ" % len(shape), *shape) + struct.pack("<IQ", kind, offset)
        offset = align(offset + (size + head) * shape[1], alignment)
    return entries, offset


def write(name, version, keys, tensors, alignment=32):
    entries, size = table(tensors, alignment)
    data = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys)) + b"".join(keys)
    data += entries
    data = data.ljust(align(len(data), alignment), b"\0")
    data += bytes(n * 37 % 113 for n in range(size))  # finite in every format
    with open(os.path.join(HERE, name), "wb") as out:
        out.write(data)


KEYS = [key(b"k%d" % kind, kind, bytes(size)) for kind, size in
        [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (6, 4), (7, 1), (10, 8), (11, 8), (12, 8)]]
KEYS += [key(b"general.architecture", 8, text(b"llama")),
         key(b"words", 9, array(8, 2, text(b"a") + text(b"\xc4\xa0b"))),
         key(b"numbers", 9, array(5, 3, bytes(12))),
         key(b"nested", 9, array(9, 2, array(0, 1, b"\1") + array(9, 1, array(8, 0, b""))))]

os.makedirs(HERE, exist_ok=True)
write("keys.gguf", 3, KEYS, [])
write("formats.gguf", 3, [], TENSORS)
write("odd.gguf", 2, [key(b"general.alignment", 4, struct.pack("<I", 8)),
                      key(b"split.count", 2, b"\1\0"), key(b"split.no", 2, b"\0\0")],
      TENSORS[9:11] + TENSORS[18:], 8)
