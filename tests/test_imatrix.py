#!/usr/bin/env python3
"""iqtile imatrix and quantize --imatrix: coverage, forms, sums, matrices made from activations, and that the
importance of a column or an expert changes what its weights lose; targets.

usage: test_imatrix.py IQTILE [--seed N] [--filter TEXT]
"""
import math
import os
import struct
import sys

from golden_file import GoldenFile
from test_perplexity import Model, make_case, model_file, tokenize
from test_quantize import F16, F32, Bench, expect, main, make_file


def legacy(entries, chunks=3):
    raw = struct.pack("<i", len(entries))
    for name, calls, values in entries:
        raw += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", calls, len(values))
        raw += struct.pack("<%df" % len(values), *values)
    return raw + struct.pack("<ii", chunks, 8) + b"text.txt"


def error(b, tensor, columns, first_row, rows):
    """Relative error of some columns (a slice) of some rows, in.gguf against out.gguf, rows of 256."""
    x, y = b.decoded("in.gguf", tensor), b.decoded("out.gguf", tensor)
    miss = size = 0
    for row in range(first_row, first_row + rows):
        for p, q in zip(x[256 * row:][columns], y[256 * row:][columns]):
            miss, size = miss + (p - q) ** 2, size + p * p
    return math.sqrt(miss / size)


def test_weights(b):
    """Columns that count a thousand times as much come out better, in every matrix by its own row."""
    b.write("in.gguf", make_file([("blk.0.ffn_up.weight", *b.floats(F32, 256, 8)),
                                  ("blk.0.ffn_gate.weight", *b.floats(F32, 256, 8)),
                                  ("blk.0.ffn_up_exps.weight", *b.floats(F32, 256, 4, 2)),
                                  ("blk.0.attn_q.weight", *b.floats(F32, 256, 8))]))
    # Every other column, so that blocks and their scales have both kinds.
    low, high = [1.0, 1000.0] * 128, [1000.0, 1.0] * 128
    b.write("im.dat", legacy([("blk.0.ffn_up.weight", 1, high), ("blk.0.ffn_up_exps.weight", 1, high + low)]))
    for kind in "iq2_k", "iq4_ks":
        done = b.run("quantize", "in.gguf", "out.gguf", kind, "--pure", "--imatrix", "im.dat")
        expect(done.returncode == 0 and "3 of 4" in done.stderr, "%s", done.stderr)
        even, odd = slice(0, 256, 2), slice(1, 256, 2)
        for tensor, first, rows, better, worse in (
                ("blk.0.ffn_up.weight", 0, 8, even, odd), ("blk.0.ffn_gate.weight", 0, 8, even, odd),
                ("blk.0.ffn_up_exps.weight", 0, 4, even, odd),
                ("blk.0.ffn_up_exps.weight", 4, 4, odd, even)):
            good, bad = error(b, tensor, better, first, rows), error(b, tensor, worse, first, rows)
            expect(good < 0.95 * bad, "%s %s: %.4f where it counts, %.4f where not", kind, tensor, good, bad)
    keys = GoldenFile(b.read("out.gguf")).keys
    expect(keys["quantize.imatrix.file"] == "im.dat" and keys["quantize.imatrix.dataset"] == "text.txt"
           and keys["quantize.imatrix.entries_count"] == 2 and keys["quantize.imatrix.chunks_count"] == 3,
           "keys: %s", keys)
    b.ok("imatrix", "convert", "im.dat", "-o", "im.gguf")
    b.ok("quantize", "in.gguf", "same.gguf", "iq4_ks", "--pure", "--imatrix", "im.gguf")
    for name in "out.gguf", "same.gguf":
        b.ok("decode", name, "blk.0.ffn_up_exps.weight", "-o", name + ".f32")
    expect(b.read("out.gguf.f32") == b.read("same.gguf.f32"), "the other form gives other weights")


def test_refusals(b):
    b.write("in.gguf", make_file([("blk.0.ffn_up.weight", F16, (256, 2), bytes(1024))]))
    cases = [("long", [("blk.0.ffn_up.weight", 1, [1.0] * 512)], "512 columns"),
             ("zero", [("blk.0.ffn_up.weight", 1, [0.0] * 256)], "all zero"),
             ("nan", [("other", 1, [math.nan])], "tensor other"),
             ("negative", [("other", 1, [-1.0])], "tensor other")]
    for name, entries, word in cases:
        b.write(name + ".dat", legacy(entries))
        for text in word, name + ".dat":
            b.fails(1, text, "quantize", "in.gguf", "out.gguf", "iq4_k", "--imatrix", name + ".dat")
    b.fails(1, "missing.dat", "quantize", "in.gguf", "out.gguf", "iq4_k", "--imatrix", "missing.dat")
    b.fails(1, "in.gguf", "quantize", "in.gguf", "out.gguf", "iq4_k", "--imatrix", "in.gguf")
    b.fails(2, "word", "imatrix", "sum", "long.dat")
    b.fails(2, "-o OUT", "imatrix", "convert", "long.dat")
    b.fails(2, "form", "imatrix", "convert", "long.dat", "-o", "x", "--form", "text")
    b.write("other.dat", legacy([("blk.0.ffn_up.weight", 1, [1.0] * 256)]))
    b.fails(1, "blk.0.ffn_up.weight", "imatrix", "merge", "long.dat", "other.dat", "-o", "x")


def test_coverage(b):
    b.write("in.gguf", make_file([("blk.0.ffn_up_exps.weight", F16, (256, 2, 2), bytes(2048)),
                                  ("blk.0.ffn_gate_exps.weight", F16, (256, 2, 2), bytes(2048)),
                                  ("output.weight", F16, (256, 2), bytes(1024))]))
    b.write("im.dat", legacy([("blk.0.ffn_up_exps.weight", 2, [1.0] * 256 + [0.0] * 256), ("old", 2, [1.0])]))
    text = b.ok("imatrix", "info", "im.dat", "in.gguf")
    row = next(line.split() for line in text.splitlines() if line.startswith("blk.0.ffn_up_exps"))
    expect(row[1:4] == ["256", "2", "1"], "coverage is %s", row)
    for words in ("no importance: output.weight", "same inputs: blk.0.ffn_gate_exps.weight as blk.0.ffn_up_exps",
                  "not in the model: old", "covered: 2 of 3 matrices, 80.0 %"):
        expect(words in text, "%r is not in %s", words, text)
    b.write("bad.dat", legacy([("blk.0.ffn_up_exps.weight", 2, [1.0] * 256)]))
    done = b.run("imatrix", "info", "bad.dat", "in.gguf")
    expect(done.returncode == 1 and "defect" in done.stdout, "%s %s", done.stdout, done.stderr)


def test_make(b):
    b.write("in.gguf", make_file([("a.weight", F16, (32, 2), bytes(128)),
                                  ("x_exps.weight", F16, (32, 2, 3), bytes(384))]))
    rows = {"a.weight": 5, "x_exps.weight.0": 4, "x_exps.weight.2": 7}
    expected = {}
    for name, count in rows.items():
        values = [b.random.gauss(0, 1) for _ in range(32 * count)]
        raw = struct.pack("<%df" % len(values), *values)
        b.write(name + ".f32", raw)
        values = struct.unpack("<%df" % len(values), raw)
        expected[name] = [sum(v * v for v in values[j::32]) for j in range(32)]
    b.ok("imatrix", "make", "in.gguf", ".", "-o", "im.gguf", "--chunk-size", "4")
    out = GoldenFile(b.read("im.gguf"))
    expect(out.keys["imatrix.chunk_count"] == 2, "%s chunks", out.keys["imatrix.chunk_count"])

    def floats(name, count):
        return struct.unpack_from("<%df" % count, out.data, out.tensors[name].offset)

    got = floats("x_exps.weight.in_sum2", 96)
    expect(floats("x_exps.weight.counts", 3) == (4, 0, 7), "counts")
    for name, found in (("a.weight", floats("a.weight.in_sum2", 32)), ("x_exps.weight.0", got[:32]),
                        ("x_exps.weight.2", got[64:])):
        for p, q in zip(expected[name], found):
            expect(abs(p - q) <= 1e-6 * p, "%s: %g, expected %g", name, q, p)
    for name, raw, word in (("a.weight.f32", bytes(130), "whole rows"), ("b.weight.f32", bytes(128), "b.weight"),
                            ("x_exps.weight.3.f32", bytes(128), "3 matrices"),
                            ("x_exps.weight.f32", bytes(128), "3 matrices"),
                            ("x_exps.weight.1.f32", struct.pack("<32f", *[math.inf] * 32), "not finite")):
        old = b.read(name) if name in ("a.weight.f32",) else None
        b.write(name, raw)
        b.fails(2 if word == "3 matrices" or word == "b.weight" else 1, word, "imatrix", "make", "in.gguf", ".",
                "-o", "x.gguf")
        b.remove(name)
        if old is not None:
            b.write(name, old)


class Watched(Model):
    """Sums the squares of what each matrix is multiplied with."""
    def __init__(self, weights):
        super().__init__(weights)
        self.sums = {}

    def times(self, name, x):
        sums = self.sums.setdefault(name, [0.0] * len(x))
        self.sums[name] = [p + q * q for p, q in zip(sums, x)]
        return super().times(name, x)


def test_collect(b):
    """A small model reads a text, here and written plainly in Python."""
    weights, _, text = make_case(b)
    tokens, model = tokenize(text), Watched(weights)
    windows = min(3, len(tokens) // 40)
    for start in range(0, 40 * windows, 40):
        model.log_probabilities(tokens[start:start + 40])
    command = ["imatrix", "collect", "base.gguf", "text", "--chunk-size", "40", "--windows", "3"]
    b.ok(*command, "-o", "im.gguf")
    out = GoldenFile(b.read("im.gguf"))
    expect(out.keys["imatrix.chunk_count"] == windows and out.keys["imatrix.chunk_size"] == 40, "%s", out.keys)
    expect(sum(name.endswith(".in_sum2") for name in out.tensors) == 14, "tensors: %s", list(out.tensors))
    for name, sums in model.sums.items():
        if not name.startswith("blk."):
            continue
        found = struct.unpack_from("<%df" % len(sums), out.data, out.tensors[name + ".weight.in_sum2"].offset)
        count, = struct.unpack_from("<f", out.data, out.tensors[name + ".weight.counts"].offset)
        expect(count == 40 * windows, "%s counts %g", name, count)
        for p, q in zip(sums, found):
            expect(abs(p - q) <= 1e-4 * p + 1e-6, "%s: %g, expected %g", name, q, p)
    b.ok(*command, "-o", "one.gguf", "--threads", "1")
    expect(b.read("one.gguf") == b.read("im.gguf"), "one thread: other sums")
    b.fails(2, "context of 64", "imatrix", "collect", "base.gguf", "text", "-o", "x")
    b.write("short", b" the")
    b.fails(2, "less than a chunk", "imatrix", "collect", "base.gguf", "short", "--chunk-size", "40", "-o", "x")
    b.write("bad.gguf", model_file(weights, architecture="bert"))
    b.fails(1, "not llama", "imatrix", "collect", "bad.gguf", "text", "-o", "x")


def sums_of(out, name, window, columns):
    tensor = out.tensors[name + ".hessian"]
    return struct.unpack_from("<%df" % (window * columns), out.data, tensor.offset)


def counts_of(out, name):
    tensor = out.tensors[name + ".counts"]
    return struct.unpack_from("<%df" % tensor.dims[1], out.data, tensor.offset)


def check_second_verbs(b):
    """What info says of so.gguf and in.gguf; a sum of two files has twice the sums, and what only one of them has."""
    text = b.ok("imatrix", "info", "so.gguf", "in.gguf")
    for part in ("second-order statistics, 2 tensors", "text: .",
                 "blk.0.attn_q.weight                       256      256        1        1          300",
                 "blk.0.ffn_up_exps.weight                  256      256        2        1           70  fewer inputs",
                 "same inputs: blk.0.attn_v.weight as blk.0.attn_q.weight", "no statistics: blk.0.ffn_down.weight",
                 "covered: 3 of 4 matrices"):
        expect(part in text, "'%s' is not in:\n%s", part, text)
    b.write("blk.0.ffn_down.weight.f32", b.read("blk.0.ffn_up_exps.weight.1.f32"))
    b.ok("imatrix", "make", "in.gguf", ".", "-o", "more.dat", "--second-order", "more.gguf")
    b.ok("imatrix", "merge", "so.gguf", "more.gguf", "-o", "sum.gguf")
    one, two = GoldenFile(b.read("so.gguf")), GoldenFile(b.read("sum.gguf"))
    for name in "blk.0.attn_q.weight", "blk.0.ffn_up_exps.weight":
        sums, counts = [sums_of(f, name, 256, 256) for f in (one, two)], [counts_of(f, name) for f in (one, two)]
        expect(sums[1] == tuple(2 * v for v in sums[0]), "%s: other sums", name)
        expect(counts[1] == tuple(2 * v for v in counts[0]), "%s: counts %s", name, counts)
    expect("blk.0.ffn_down.weight.hessian" in two.tensors, "a tensor of the second file is missing")
    expect("text: ." in b.ok("imatrix", "info", "sum.gguf"), "the texts are gone")
    b.fails(1, "no tensor NAME.hessian", "imatrix", "merge", "so.gguf", "im.gguf", "-o", "x")
    b.write("other.gguf", make_file([("blk.0.attn_q.weight", *b.floats(F32, 512, 8))]))
    b.write("blk.0.attn_q.weight.f32", struct.pack("<512f", *range(512)))
    for name in "blk.0.ffn_up_exps.weight.1.f32", "blk.0.ffn_down.weight.f32":
        os.remove(b.path(name))
    b.ok("imatrix", "make", "other.gguf", ".", "-o", "other.dat", "--second-order", "wide.gguf")
    b.fails(1, "1 matrices of 512 columns in windows of 512, expected 1 of 256 in windows of 256", "imatrix", "merge",
            "so.gguf", "wide.gguf", "-o", "x")
    done = b.run("imatrix", "info", "wide.gguf", "in.gguf")
    expect(done.returncode == 1 and "2 defects" in done.stderr and "512 columns of 1 for blk.0.attn_q.weight, which has 256"
           in done.stdout.replace(" matrices", ""), "exit %d: %s%s", done.returncode, done.stdout, done.stderr)
    expect(not os.path.exists(b.path("x")), "a failed merge left a file")


def test_second_order(b):
    """Statistics from activations and from a text; what a quantizer makes of them, and what it refuses."""
    b.write("in.gguf", make_file([("blk.0.attn_q.weight", *b.floats(F32, 256, 8)),
                                  ("blk.0.attn_v.weight", *b.floats(F32, 256, 8)),
                                  ("blk.0.ffn_up_exps.weight", *b.floats(F32, 256, 4, 2)),
                                  ("blk.0.ffn_down.weight", *b.floats(F32, 256, 8))]))
    rows = {}
    for name, count in ("blk.0.attn_q.weight", 300), ("blk.0.ffn_up_exps.weight.1", 70):
        # Neighbours that vary together.
        rows[name] = [[b.random.gauss(0, 1) for _ in range(257)] for _ in range(count)]
        rows[name] = [[p + q for p, q in zip(row, row[1:])] for row in rows[name]]
        b.write(name + ".f32", b"".join(struct.pack("<256f", *row) for row in rows[name]))
    b.ok("imatrix", "make", "in.gguf", ".", "-o", "im.gguf", "--second-order", "so.gguf")
    out = GoldenFile(b.read("so.gguf"))
    found = sums_of(out, "blk.0.attn_q.weight", 256, 256)
    for i, j in (0, 0), (3, 7), (7, 3), (255, 254):
        expected = sum(row[i] * row[j] for row in rows["blk.0.attn_q.weight"])
        expect(abs(found[256 * i + j] - expected) < 0.01, "sum %d, %d: %g, expected %g", i, j, found[256 * i + j],
               expected)
    command = ["quantize", "in.gguf", "out.gguf", "iq2_k", "--pure", "--imatrix", "im.gguf"]
    b.ok(*command)
    plain = b.read("out.gguf")
    done = b.run(*command, "--second-order", "so.gguf", "--threads", "1")
    expect(done.returncode == 0 and "feedback for 3 of 4" in done.stderr, "%s", done.stderr)
    fed = b.read("out.gguf")
    b.ok(*command, "--second-order", "so.gguf", "--threads", "3")
    expect(b.read("out.gguf") == fed, "other threads, other bytes")
    old, new = GoldenFile(plain), GoldenFile(fed)
    expect(new.keys["quantize.second_order.file"] == "so.gguf", "keys: %s", new.keys)
    size = 8 * 76
    for name, parts in (("blk.0.attn_q.weight", (True,)), ("blk.0.attn_v.weight", (True,)),
                        ("blk.0.ffn_down.weight", (False,)), ("blk.0.ffn_up_exps.weight", (False, True))):
        for i, other in enumerate(parts):
            at, part = i * size // len(parts), size // len(parts)
            p, q = (f.data[f.tensors[name].offset + at:][:part] for f in (old, new))
            expect((p != q) == other, "%s, matrix %d: feedback, but for %s", name, i, other)
    b.ok(*command, "--second-order", "so.gguf", "--dry-run")
    b.fails(1, "missing.gguf", *command, "--second-order", "missing.gguf")
    b.fails(1, "no tensor NAME.hessian", *command, "--second-order", "im.gguf")
    b.fails(2, "make and collect", "imatrix", "convert", "im.gguf", "-o", "x", "--second-order", "y")
    b.fails(2, "the same file", "imatrix", "make", "in.gguf", ".", "-o", "x", "--second-order", "x")
    b.fails(2, "multiple of 256", "imatrix", "make", "in.gguf", ".", "-o", "x", "--second-order", "y", "--columns", "300")
    check_second_verbs(b)
    raw = bytearray(b.read("so.gguf"))
    struct.pack_into("<f", raw, out.tensors["blk.0.attn_q.weight.hessian"].offset, -1)
    b.write("bad.gguf", bytes(raw))
    b.fails(1, "tensor blk.0.attn_q.weight.hessian: the square of column 0 is -1", *command, "--second-order",
            "bad.gguf")


def test_second_order_collect(b):
    weights, _, text = make_case(b)
    command = ["imatrix", "collect", "base.gguf", "text", "--chunk-size", "40", "--windows", "3", "-o", "im.gguf"]
    b.ok(*command, "--second-order", "so.gguf")
    b.ok(*command, "--second-order", "one.gguf", "--threads", "1")
    expect(b.read("one.gguf") == b.read("so.gguf"), "one thread: other sums")
    first, second = GoldenFile(b.read("im.gguf")), GoldenFile(b.read("so.gguf"))
    for name in "blk.0.attn_q.weight", "blk.1.ffn_down.weight":
        squares = first.tensors[name + ".in_sum2"]
        columns = squares.dims[0]
        expected = struct.unpack_from("<%df" % columns, first.data, squares.offset)
        found = sums_of(second, name, columns, columns)
        for i in range(columns):
            expect(abs(found[i * columns + i] - expected[i]) <= 1e-4 * expected[i] + 1e-6, "%s: %g, expected %g",
                   name, found[i * columns + i], expected[i])


def choice_of(text):
    """The type and the rules of the last line of a run with a target."""
    words = text.splitlines()[-1].split(" ", 7)
    return words[6], words[7][len("--custom-q '"):-1]


def test_target(b):
    """Tensors that count more get more bits; sizes hold; the printed rules choose the same again."""
    names = ["blk.%d.%s.weight" % (i, part) for i in range(3) for part in ("attn_q", "ffn_up")]
    tensors = [(name, *b.floats(F16, 512, 16)) for name in names]
    tensors += [("output.weight", *b.floats(F16, 512, 4)), ("output_norm.weight", *b.floats(F32, 512)),
                ("odd.weight", *b.floats(F16, 96, 4))]
    keys = {"general.architecture": "llama"}
    b.write("in.gguf", make_file(tensors, keys))
    types = ("--target-types", "iq2_k,IQ4_KS,iq6_k")
    b.write("im.dat", legacy([(name, 1, [1.0] * 512) for name in names]))
    weights = 6 * 512 * 16 + 512 * 4 + 512 + 96 * 4
    last = None
    for option, value, limit in (("--target-bpw", "3.5", None), ("--target-bpw", "4.9", None),
                                 ("--target-size", "29k", 29000), ("--target-size", "40KiB", 40960),
                                 ("--target-size", "1M", 10 ** 6)):
        command = ["quantize", "in.gguf", "out.gguf", option, value, *types, "--imatrix", "im.dat"]
        text = b.ok(*command, "--threads", "1")
        total = int(text.splitlines()[-3].split()[2])
        size = len(b.read("out.gguf"))
        if limit:
            expect(size <= limit, "%s: %d bytes", value, size)
            expect(size > 0.9 * limit or value == "1M", "%s is not used: %d bytes", value, size)
        else:
            expect(0.9 < total / (float(value) / 8 * weights) <= 1, "%s: %d bytes", value, total)
        kind, rules = choice_of(text)
        b.ok("quantize", "in.gguf", "again.gguf", kind, "--custom-q", rules, "--imatrix", "im.dat")
        expect(b.read("again.gguf") == b.read("out.gguf"), "%s: %s chooses otherwise", value, rules)
        dry = b.ok(*command, "--threads", "3", "--dry-run")
        expect(choice_of(dry) == (kind, rules), "%s: other threads, other choice", value)
        expect(rules != last, "two targets, one choice")
        last = rules
    expect("=iq" not in last, "all could stay as they are: %s", last)
    text = b.ok("quantize", "in.gguf", "out.gguf", "--target-bpw", "5.5", *types, "--dry-run", "--custom-q",
                "attn_q=iq6_k", "--output-tensor-type", "iq2_k")
    for name in names:
        expect("attn_q" not in name or "iq6_k" in next(l for l in text.splitlines() if l.startswith(name)),
               "a rule does not hold: %s", text)
    expect("output" not in choice_of(text)[1], "a tensor by name is among the rules: %s", text)
    for code, word, options in ((2, "bytes", ["--target-size", "1k"]), (2, "smallest", ["--target-size", "10k"]),
                                (2, "3.x", ["--target-bpw", "3.x"]), (2, "size", ["--target-size", "4"]),
                                (2, "one of them", ["iq4_k", "--target-size", "1M"]), (2, "one of them", []),
                                (2, "iq9", ["--target-bpw", "4", "--target-types", "iq9"]),
                                (2, "--target-types", ["iq4_k", "--target-types", "iq4_k"]),
                                (2, "--pure", ["--target-size", "1M", "--pure"])):
        b.fails(code, word, "quantize", "in.gguf", "out2.gguf", *options)


TESTS = [test_weights, test_refusals, test_coverage, test_make, test_collect, test_second_order, test_second_order_collect, test_target]

if __name__ == "__main__":
    sys.exit(main(TESTS))
