#!/usr/bin/env python3
"""Writes a GGUF file with the shapes of a model of 7 billion parameters in F16 (13.5 GB) that takes little room on
the disk: a sparse file in which most rows are zeros. For looking at memory and interrupting runs.

usage: make_large_model.py OUT.gguf [--layers 32] [--every 64]     one row in EVERY has values
"""
import argparse
import random
import struct

F32, F16, ALIGNMENT = 0, 1, 32
WIDTH, FEED_FORWARD, VOCABULARY = 4096, 11008, 32000


def tensors(layers):
    yield "token_embd.weight", F16, (WIDTH, VOCABULARY)
    for i in range(layers):
        yield "blk.%d.attn_norm.weight" % i, F32, (WIDTH,)
        for name in "attn_q", "attn_k", "attn_v", "attn_output":
            yield "blk.%d.%s.weight" % (i, name), F16, (WIDTH, WIDTH)
        yield "blk.%d.ffn_norm.weight" % i, F32, (WIDTH,)
        yield "blk.%d.ffn_gate.weight" % i, F16, (WIDTH, FEED_FORWARD)
        yield "blk.%d.ffn_up.weight" % i, F16, (WIDTH, FEED_FORWARD)
        yield "blk.%d.ffn_down.weight" % i, F16, (FEED_FORWARD, WIDTH)
    yield "output_norm.weight", F32, (WIDTH,)
    yield "output.weight", F16, (WIDTH, VOCABULARY)


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def keys(layers):
    numbers = {"block_count": layers, "embedding_length": WIDTH, "feed_forward_length": FEED_FORWARD,
               "attention.head_count": 32, "context_length": 4096}
    parts = [text("general.architecture") + struct.pack("<I", 8) + text("llama")]
    parts += [text("llama." + name) + struct.pack("<II", 4, value) for name, value in numbers.items()]
    return parts


def values(rand, k):
    """F16 below 2 in magnitude."""
    raw = bytearray(rand.randbytes(2 * k))
    raw[1::2] = raw[1::2].translate(bytes(i & 0xbf for i in range(256)))
    return bytes(raw)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--every", type=int, default=64)
    args = parser.parse_args()
    rand, head, places, offset = random.Random(1), b"", [], 0
    for name, kind, dims in tensors(args.layers):
        head += text(name) + struct.pack("<I%dQIQ" % len(dims), len(dims), *dims, kind, offset)
        rows, row_bytes = (dims[1] if len(dims) > 1 else 1), dims[0] * (2 if kind == F16 else 4)
        places.append((offset, kind, rows, row_bytes))
        offset += -(-rows * row_bytes // ALIGNMENT) * ALIGNMENT
    metadata = keys(args.layers)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(places), len(metadata)) + b"".join(metadata) + head
    head += bytes(-len(head) % ALIGNMENT)
    with open(args.out, "wb") as out:
        out.write(head)
        for start, kind, rows, row_bytes in places:
            for row in range(0, rows if kind == F16 else 0, args.every):
                out.seek(len(head) + start + row * row_bytes)
                out.write(values(rand, row_bytes // 2))
        out.truncate(len(head) + offset)


if __name__ == "__main__":
    main()
