"""Writes the seed files of fuzz_imatrix into the folder imatrix beside this script: one of each kind, and second-order
statistics."""
import os
import struct

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "imatrix")


def text(value):
    return struct.pack("<Q", len(value)) + value


def floats(*values):
    return struct.pack("<%df" % len(values), *values)


def legacy():
    def entry(name, calls, *sums):
        return struct.pack("<i", len(name)) + name + struct.pack("<ii", calls, len(sums)) + floats(*sums)

    return struct.pack("<i", 2) + entry(b"blk.0.ffn_up.weight", 3, 1, 2, 3, 4) + \
        entry(b"blk.0.attn_q.weight", 0, 0, 5) + struct.pack("<ii", 3, 8) + b"text.txt"


def second_order():
    return gguf([(b"b.weight.hessian", (2, 2, 2), floats(4, 1, 1, 2, 9, -3, -3, 2)),
                 (b"b.weight.counts", (1, 2), floats(8, 8))])


def experts():
    tensors = [(b"blk.0.ffn_up_exps.weight.in_sum2", (2, 3), floats(1, 2, 0, 0, 5, 6)),
               (b"blk.0.ffn_up_exps.weight.counts", (1, 3), floats(2, 0, 9)),
               (b"b.weight.in_sum2", (2,), floats(1, 2)), (b"b.weight.counts", (1,), floats(4)),
               (b"b.weight.in_sum", (2,), floats(-1, 2))]
    return gguf(tensors)


def gguf(tensors):
    keys = [text(b"general.type") + struct.pack("<I", 8) + text(b"imatrix"),
            text(b"imatrix.datasets") + struct.pack("<IIQ", 9, 8, 1) + text(b"text.txt"),
            text(b"imatrix.chunk_count") + struct.pack("<II", 4, 7),
            text(b"imatrix.chunk_size") + struct.pack("<II", 4, 512)]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys)
    data = b""
    for name, dims, raw in tensors:
        head += text(name) + struct.pack("<I%dQIQ" % len(dims), len(dims), *dims, 0, len(data))
        data += raw.ljust(32, b"\0")
    return head + bytes(-len(head) % 32) + data


os.makedirs(HERE, exist_ok=True)
for name, raw in ("legacy.dat", legacy()), ("experts.gguf", experts()), ("second.gguf", second_order()):
    with open(os.path.join(HERE, name), "wb") as out:
        out.write(raw)
