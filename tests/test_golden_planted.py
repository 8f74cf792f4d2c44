#!/usr/bin/env python3
"""`iqtile golden` must notice every planted defect, and nothing in a sound file.

usage: test_golden_planted.py IQTILE [--filter TEXT]
"""
import argparse
import os
import struct
import subprocess
import sys
import tempfile

import golden_file

HERE = os.path.dirname(os.path.abspath(__file__))

# Where the shift bit of a row's first block lies, from the formats' description: byte in the row,
# bit in the byte.
SHIFT_BIT = {
    "IQ2_K": (2, 0), "IQ3_K": (2, 0), "IQ4_K": (2, 0), "IQ5_K": (2, 0), "IQ6_K": (2, 0),
    "IQ2_KS": (2, 0), "IQ3_KS": (3, 0), "IQ4_KS": (4, 0), "IQ4_KSS": (4, 0), "IQ5_KS": (4, 0),
    "IQ4_KT": (4, 0),
}


def golden(iqtile, data, layout="packed"):
    """Exit code, stdout and stderr of golden on a folder with this one file."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "x.gguf"), "wb") as file:
            file.write(data)
        done = subprocess.run([iqtile, "golden", folder, "--device", "cpu", "--layout", layout],
                              capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout, done.stderr


def load(name):
    return golden_file.read(os.path.join(HERE, "golden", name + ".gguf"))


def scale_f64(file, tensor, factor):
    """Multiplies the first element that is not small."""
    at = file.tensors[tensor].offset
    value = struct.unpack_from("<d", file.data, at)[0]
    struct.pack_into("<d", file.data, at, value * factor)


def sound(file):
    return 0, "0 failed"


def shift_bit(file, byte, bit):
    file.data[file.tensors["gauss.q"].offset + byte] ^= 1 << bit
    return 1, "decode FAILED (1 of"


def result(file):
    scale_f64(file, "gauss.y", 1.5)
    return 1, "y FAILED (1 of"


def decoded_bit(file):
    """The lowest bit of one decoded float."""
    file.data[file.tensors["real.deq"].offset + 4 * 1000] ^= 1
    return 1, "decode FAILED (1 of"


def activations(file):
    """.y no longer belongs to .x; the exact model does not care."""
    at = file.tensors["real.x"].offset
    for i in range(512):
        struct.pack_into("<f", file.data, at + 4 * i, 1.0)
    return 1, "y FAILED"


def wrong_type(file):
    file.data = file.data.replace(b"golden.type_id\x04\0\0\0", b"golden.type_id\x05\0\0\0")
    return 1, "1 failed"


def not_finite(file):
    """A row that is not finite is left out, not failed: decode must still agree."""
    row = file.tensors["gauss.q"].offset
    struct.pack_into("<f", file.data, row, float("inf"))
    k = file.tensors["gauss.q"].dims[0]
    at = file.tensors["gauss.deq"].offset
    for i in range(k):
        value = struct.unpack_from("<f", file.data, at + 4 * i)[0]
        value = float("nan") if value == 0 else float("inf") if value > 0 else float("-inf")
        struct.pack_into("<f", file.data, at + 4 * i, value)
    return 0, "0 failed"


def cases():
    yield "sound", "IQ4_KS", sound
    yield "not_finite", "IQ4_KS", not_finite
    yield "result", "IQ4_KS", result
    yield "decoded_bit", "IQ2_KS", decoded_bit
    yield "activations", "IQ4_KS", activations
    yield "wrong_type", "IQ4_KS", wrong_type
    for name, (byte, bit) in SHIFT_BIT.items():
        yield "shift." + name, name, lambda file, at=byte, bit=bit: shift_bit(file, at, bit)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("iqtile")
    parser.add_argument("--filter", default="")
    args = parser.parse_args()
    failed = passed = 0
    for name, source, plant in cases():
        if args.filter not in name:
            continue
        file = load(source)
        code, text = plant(file)
        got, out, err = golden(args.iqtile, file.data)
        if got == code and text in out:
            passed += 1
            continue
        failed += 1
        print("FAIL %s: exit %d with %r expected, got %d\n%s%s  repeat: %s %s --filter %s"
              % (name, code, text, got, out, err, sys.argv[0], args.iqtile, name))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
