#!/usr/bin/env python3
"""Decodes random blocks of ggml's own types with the PyPI package gguf and with iqtile.

    oracle_gguf.py IQTILE [--seed N]   compare, bit for bit; exit 77 without the package
    oracle_gguf.py --write FILE        make tests/golden/other/ggml-types.gguf

IQT_REQUIRE=gguf makes a missing package a failure.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

try:
    import gguf
    import numpy as np
except ImportError as error:
    print(f"oracle_gguf: {error}; install it with: pip install gguf")
    sys.exit(1 if "gguf" in os.environ.get("IQT_REQUIRE", "").split(",") else 77)

Type = gguf.GGMLQuantizationType

# Type, row length, and the bytes of the float16 scales of a block: random bits there would be
# NaN or infinity too often. Rows of floats also come with a length that is no multiple of 32.
CASES = {
    "q8_0.random": (Type.Q8_0, 512, [0]),
    "q6_k.random": (Type.Q6_K, 512, [208]),
    "q5_k.random": (Type.Q5_K, 512, [0, 2]),
    "f16.random": (Type.F16, 512, []),
    "f16.tail": (Type.F16, 77, []),
    "bf16.random": (Type.BF16, 512, []),
    "bf16.tail": (Type.BF16, 77, []),
    "f32.random": (Type.F32, 512, []),
    "f32.tail": (Type.F32, 77, []),
}
ROWS = 3
COMMITTED = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                         "golden", "other", "ggml-types.gguf")


def random_rows(rng, qtype, k, scales):
    """ROWS rows of k weights as bytes."""
    weights, size = gguf.GGML_QUANT_SIZES[qtype]
    blocks = rng.integers(0, 256, (ROWS * k // weights, size), np.uint8)
    for at in scales:
        scale = rng.normal(0, 0.01, len(blocks)).astype("<f2")
        blocks[:, at:at + 2] = scale.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(ROWS, k // weights * size)


def dequantize(data, qtype):
    with np.errstate(all="ignore"):
        return gguf.quants.dequantize(data, qtype).astype("<f4")


def write_file(path, seed):
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "golden")
    writer.add_string("golden.format", "mixed")
    for name, (qtype, k, scales) in CASES.items():
        data = random_rows(rng, qtype, k, scales)
        native = {Type.F32: "<f4", Type.F16: "<f2"}.get(qtype)
        writer.add_tensor(name + ".q", data.view(native) if native else data,
                          raw_dtype=None if native else qtype)
        writer.add_tensor(name + ".deq", dequantize(data.view(native) if native else data, qtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def difference(got, want):
    """Text about the first difference of two float arrays, NaN equal to NaN; None if equal."""
    if got.size != want.size:
        return f"{got.size} weights, expected {want.size}"
    wrong = (got.view("<u4") != want.view("<u4")) & ~(np.isnan(got) & np.isnan(want))
    if not wrong.any():
        return None
    at = int(np.argmax(wrong))
    return (f"{int(wrong.sum())} of {want.size} weights differ; weight {at}: "
            f"{got[at]!r} ({got.view('<u4')[at]:08x}), "
            f"expected {want[at]!r} ({want.view('<u4')[at]:08x})")


def check_file(iqtile, path, folder):
    """Failures of one file: its .deq against the package, iqtile against both."""
    failures = 0
    tensors = {t.name: t for t in gguf.GGUFReader(path).tensors}
    for name, (qtype, _, _) in CASES.items():
        want = dequantize(tensors[name + ".q"].data, qtype).ravel()
        out = os.path.join(folder, name + ".f32")
        found = [(".deq", difference(tensors[name + ".deq"].data.ravel(), want))]
        for mode in (["--reference"], []):  # these types compute with the reference's weights
            subprocess.run([iqtile, "decode", path, name + ".q", "-o", out, *mode], check=True)
            found.append(("iqtile " + " ".join(mode), difference(np.fromfile(out, "<f4"), want)))
        for what, text in found:
            if text is not None:
                failures += 1
                print(f"FAIL {path} {name} {what}: {text}")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("iqtile", nargs="?")
    parser.add_argument("--seed", type=int, default=time.time_ns() & 0xffffffff)
    parser.add_argument("--write", metavar="FILE")
    args = parser.parse_args()
    if args.write:
        write_file(args.write, 1)
        return 0
    if not args.iqtile:
        parser.error("the path of iqtile is missing")
    print(f"seed {args.seed}")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "random.gguf")
        write_file(path, args.seed)
        failures = check_file(args.iqtile, path, folder) + check_file(args.iqtile, COMMITTED, folder)
    print(f"{6 * len(CASES) - failures} passed, {failures} failed"
          + (f" | repeat: oracle_gguf.py {args.iqtile} --seed {args.seed}" if failures else ""))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
