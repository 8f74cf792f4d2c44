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


def add_type(name, number, weights, size):
    """Makes a type known to the package that is ik_llama.cpp's alone."""
    member = int.__new__(Type, number)
    member._name_, member._value_ = name, number
    Type._value2member_map_[number] = Type._member_map_[name] = member
    gguf.GGML_QUANT_SIZES[member] = (weights, size)
    return member


# The package decodes the other types only.
ENCODED = (Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0)

Q6_0 = add_type("Q6_0", 133, 32, 26)


def dequantize_q6_0(data):
    blocks = data.reshape(-1, 26)
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    high, low = blocks[:, 2:10], blocks[:, 10:]
    codes = np.concatenate([low & 15, low >> 4], axis=1).astype(np.int32)
    for part, shift in enumerate((0, 4, 2, 6)):  # of weights 0 .. 7, 8 .. 15, ..
        codes[:, 8 * part:8 * part + 8] |= ((high >> shift & 3) << 4).astype(np.int32)
    return ((codes - 32).astype(np.float32) * scale).reshape(data.shape[0], -1)


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
    "q4_k.random": (Type.Q4_K, 512, [0, 2]),
    "q3_k.random": (Type.Q3_K, 512, [108]),
    "q2_k.random": (Type.Q2_K, 512, [80, 82]),
    "iq4_xs.random": (Type.IQ4_XS, 512, [0]),
    "iq3_s.random": (Type.IQ3_S, 512, [0]),
    "q5_0.random": (Type.Q5_0, 416, [0]),
    "q5_1.random": (Type.Q5_1, 416, [0, 2]),
    "q4_0.random": (Type.Q4_0, 416, [0]),
    "q4_1.random": (Type.Q4_1, 416, [0, 2]),
    "iq4_nl.random": (Type.IQ4_NL, 416, [0]),
    "q6_0.random": (Q6_0, 416, [0]),
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
        if qtype == Q6_0:
            return dequantize_q6_0(data)
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


def check_encoder(iqtile, folder, seed):
    """Files that iqtile quantizes: the package reads the same weights, and where it has an encoder of its
    own that one's error is no smaller."""
    rng = np.random.default_rng(seed)
    source, out, decoded = (os.path.join(folder, n) for n in ("source.gguf", "out.gguf", "out.f32"))
    # Weights of models: heavier tails than normal ones.
    x = (0.02 * rng.standard_t(6, (8, 1024))).astype("<f4")
    writer = gguf.GGUFWriter(source, "llama")
    writer.add_tensor("a.weight", x)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    failures = 0
    types = sorted({qtype for qtype, _, _ in CASES.values() if qtype != Type.F32})
    for qtype in types:
        subprocess.run([iqtile, "quantize", source, out, qtype.name.lower(), "--pure"], check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run([iqtile, "decode", out, "a.weight", "-o", decoded], check=True)
        ours = dequantize(gguf.GGUFReader(out).tensors[0].data, qtype).reshape(x.shape)
        found = [difference(np.fromfile(decoded, "<f4"), ours.ravel())]
        if qtype in ENCODED:
            theirs = dequantize(gguf.quants.quantize(x, qtype), qtype)
            errors = [float(np.square(y.astype(float) - x).sum()) for y in (ours, theirs)]
            found.append(f"error {errors[0]}, the package's {errors[1]}" if errors[0] > errors[1] else None)
        for text in filter(None, found):
            failures += 1
            print(f"FAIL quantize {qtype.name}: {text}")
    return len(types), failures


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
        types, failed = check_encoder(args.iqtile, folder, args.seed)
        failures += failed
    print(f"{6 * len(CASES) + types - failures} passed, {failures} failed"
          + (f" | repeat: oracle_gguf.py {args.iqtile} --seed {args.seed}" if failures else ""))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
