#!/usr/bin/env python3
"""iqtile quantize: what becomes of each tensor, equal bytes on any number of threads, errors within
bounds, and files that appear whole or not at all.

usage: test_quantize.py IQTILE [--seed N] [--filter TEXT]
"""
import argparse
import csv
import json
import math
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

from golden_file import GoldenFile

F32, F16, I32, Q4_0, BF16, TQ1_0 = 0, 1, 26, 2, 30, 34
# Relative errors of normal weights are about 0.073 and 0.29.
TYPES = {"iq4_ks": (144, 0.09), "iq2_k": (137, 0.33)}


class Failure(Exception):
    pass


def expect(condition, text, *values):
    if not condition:
        raise Failure(text % values if values else text)


def pack_floats(kind, values):
    raw = struct.pack("<%df" % len(values), *values)
    if kind == F16:
        return struct.pack("<%de" % len(values), *values)
    if kind == BF16:
        return b"".join(raw[i + 2:i + 4] for i in range(0, len(raw), 4))
    return raw


def make_file(tensors, keys={}):
    """tensors: name, type, dims, bytes; keys: texts and numbers."""
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 2 + len(keys))
    for name, value in keys.items():
        head += text(name)
        head += struct.pack("<I", 8) + text(value) if isinstance(value, str) else struct.pack("<II", 4, value)
    head += text("general.name") + struct.pack("<I", 8) + text("test")
    head += text("general.file_type") + struct.pack("<II", 4, 1)
    data = b""
    for name, kind, dims, raw in tensors:
        head += text(name) + struct.pack("<I%dQIQ" % len(dims), len(dims), *dims, kind, len(data))
        data += raw + bytes(-len(raw) % 32)
    return head + bytes(-len(head) % 32) + data


class Bench:
    def __init__(self, program, folder, seed):
        self.program, self.folder = os.path.abspath(program), folder
        self.random = random.Random(seed)

    def floats(self, kind, *dims):
        count = math.prod(dims)
        return kind, dims, pack_floats(kind, [self.random.gauss(0, 1) for _ in range(count)])

    def model(self):
        tensors = [("wide.weight", *self.floats(F32, 512, 6)),
                   ("half.weight", *self.floats(F16, 256, 5)),
                   ("brain.weight", *self.floats(BF16, 256, 4)),
                   ("experts.weight", *self.floats(F32, 256, 2, 3)),
                   ("vector.weight", *self.floats(F32, 512)),
                   ("blk.0.attn_norm.weight", *self.floats(F32, 256, 2)),
                   ("numbers", I32, (256, 2), bytes(2048))]
        self.write("in.gguf", make_file(tensors))
        return tensors

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def remove(self, name):
        os.remove(self.path(name))

    def run(self, *args, **options):
        return subprocess.run([self.program, *args], cwd=self.folder, text=True, timeout=600,
                              capture_output=True, **options)

    def ok(self, *args):
        done = self.run(*args)
        expect(done.returncode == 0, "%s: exit %d\n%s", " ".join(args), done.returncode, done.stderr)
        return done.stdout

    def fails(self, code, word, *args, **options):
        before = sorted(os.listdir(self.folder))
        done = self.run(*args, **options)
        expect(done.returncode == code, "%s: exit %d, expected %d\n%s", " ".join(args),
               done.returncode, code, done.stderr)
        expect(word in done.stderr, "%s: %r does not say %r", " ".join(args), done.stderr, word)
        expect(done.stdout == "", "results in spite of failing: %s", done.stdout)
        expect(sorted(os.listdir(self.folder)) == before, "left behind: %s",
               os.listdir(self.folder))

    def decoded(self, file, tensor):
        self.ok("decode", file, tensor, "-o", "w.f32")
        raw = self.read("w.f32")
        return struct.unpack("<%df" % (len(raw) // 4), raw)


def test_types(b):
    source = b.model()
    for name, (type_id, bound) in TYPES.items():
        b.ok("quantize", "in.gguf", "out.gguf", name.upper(), "--pure")
        b.ok("doctor", "out.gguf")
        out = GoldenFile(b.read("out.gguf"))
        expect(out.keys["general.name"] == "test", "a key is lost")
        expect(out.keys["general.quantization_version"] == 2, "no quantization version")
        expect(out.keys["general.file_type"] > 100, "file type %d", out.keys["general.file_type"])
        for tensor, kind, dims, raw in source:
            encoded = tensor in ("wide.weight", "half.weight", "brain.weight", "experts.weight")
            found = out.tensors[tensor]
            expect(found.dims == dims, "%s has other dimensions", tensor)
            expect(found.type_id == (type_id if encoded else kind), "%s has type %d", tensor,
                   found.type_id)
            if not encoded:
                expect(out.data[found.offset:found.offset + len(raw)] == raw, "%s changed", tensor)
                continue
            x, y = b.decoded("in.gguf", tensor), b.decoded("out.gguf", tensor)
            error = math.sqrt(sum((p - q) ** 2 for p, q in zip(x, y)) / sum(p * p for p in x))
            expect(error < bound, "%s, %s: error %.4f", name, tensor, error)


def test_threads(b):
    b.model()
    for threads in "1", "2", "5":
        b.ok("quantize", "in.gguf", threads + ".gguf", "iq3_ks", "--pure", "--threads", threads)
        expect(b.read(threads + ".gguf") == b.read("1.gguf"), "%s threads: other bytes", threads)


def test_qualities(b):
    b.model()
    files = {}
    for quality in "fast", "default", "best":
        b.ok("quantize", "in.gguf", "out.gguf", "iq4_k", "--pure", "--quality", quality)
        files[quality] = b.read("out.gguf")
    b.ok("quantize", "in.gguf", "out.gguf", "iq4_k", "--pure")
    expect(b.read("out.gguf") == files["default"], "another default")
    expect(len(set(files.values())) == 3, "qualities make no difference")
    b.fails(2, "fast, default or best", "quantize", "in.gguf", "no.gguf", "iq4_k", "--pure",
            "--quality", "good")


def test_device(b):
    """The file is the CPU's, whoever finds the seeds; parts of a tensor are larger than what rows ask at once."""
    os.environ.update(IQT_SIM="cuda,hip", IQT_SIM_QUIET="1")
    found = [line.split()[0] for line in b.ok("devices").splitlines() if line.strip()]
    b.write("in.gguf", make_file([("few.weight", *b.floats(F32, 256, 3)), ("other.weight", *b.floats(F16, 256, 2, 2))]))
    b.write("many.gguf", make_file([("many.weight", *b.floats(F32, 256, 131))]))
    for source, kind, devices in (("in.gguf", "iq3_kt", ("cuda:0", "hip:0", "vulkan:0")),
                                  ("many.gguf", "iq1_kt", ("vulkan:0",))):
        words = "quantize", source, "out.gguf", kind, "--pure", "--quality", "fast"
        b.ok(*words)
        cpu = b.read("out.gguf")
        for device in devices:
            if device not in found:
                print("device: no %s here" % device)
                continue
            done = b.run(*words, "--device", device)
            expect(done.returncode == 0, "%s: %s", device, done.stderr)
            matrices = "2 of 2" if source == "in.gguf" else "1 of 1"
            expect(device in done.stderr and matrices in done.stderr, "%s is not named: %s", device, done.stderr)
            expect(b.read("out.gguf") == cpu, "%s: other bytes", device)
    b.remove("out.gguf")
    for device, code, word in (("cpu:0", 1, "expected a device of cuda, hip or vulkan"),
                               ("cuda:77", 2, "unknown device 'cuda:77'"), ("tpu:0", 2, "unknown backend 'tpu'")):
        if device != "cuda:77" or "cuda:0" in found:
            b.fails(code, word, "quantize", "in.gguf", "out.gguf", "iq1_kt", "--pure", "--device", device)


def test_dry_run(b):
    b.model()
    text = b.ok("quantize", "in.gguf", "out.gguf", "iq4_k", "--pure", "--dry-run")
    expect(not os.path.exists(b.path("out.gguf")), "a dry run wrote")
    total = text.splitlines()[-1].split()
    b.ok("quantize", "in.gguf", "out.gguf", "iq4_k", "--pure")
    size = len(b.read("out.gguf"))
    expect(0 < size - int(total[-2]) < 2000, "planned %s bytes, the file has %d", total[-2], size)


def rows_of(text):
    """name: the words of its line, of the table that quantize prints."""
    lines = [line.split() for line in text.splitlines()[1:]]
    return {words[0]: words[1:] for words in lines}


def test_recipe(b):
    """The whole table of choices is in test_recipe.c; here: keys of a model, rules, precedence."""
    names = ["blk.%d.%s.weight" % (i, part) for i in range(2)
             for part in ("attn_q", "attn_v", "ffn_down", "ffn_gate_inp")]
    tensors = [(n, F16, (256, 4), bytes(2048)) for n in names + ["token_embd.weight", "output.weight"]]
    keys = {"general.architecture": "llama", "llama.block_count": 16, "llama.attention.head_count": 8,
            "llama.attention.head_count_kv": 2}
    b.write("in.gguf", make_file(tensors, keys))

    def chosen(*options):
        done = rows_of(b.ok("quantize", "in.gguf", "out.gguf", "IQ4_KS", "--dry-run", *options))
        return lambda name: done[name][1] if done[name][1] != "as" else done[name][0]

    got = chosen()
    expect(got("blk.0.attn_v.weight") == "iq5_k", "attn_v is %s", got("blk.0.attn_v.weight"))
    expect(got("blk.1.ffn_down.weight") == "q5_k", "ffn_down is %s", got("blk.1.ffn_down.weight"))
    expect(got("output.weight") == "q6_k", "output is %s", got("output.weight"))
    expect(got("token_embd.weight") == "iq4_ks", "embeddings are %s", got("token_embd.weight"))
    expect(got("blk.0.ffn_gate_inp.weight") == "f16", "the router is quantized")
    got = chosen("--custom-q", r"blk\.\d+\.attn=iq2_k,attn_v=iq3_k", "--custom-q", "down=copy",
                 "--tensor-type", "blk.1.attn_q.weight=iq6_k", "--output-tensor-type", "iq5_ks",
                 "--token-embedding-type", "iq3_ks", "--tensor-type", "blk.0.ffn_gate_inp.weight=q8_0")
    for name, kind in (("blk.0.attn_q", "iq2_k"), ("blk.0.attn_v", "iq2_k"), ("blk.1.attn_q", "iq6_k"),
                       ("blk.0.ffn_down", "f16"), ("output", "iq5_ks"), ("token_embd", "iq3_ks"),
                       ("blk.0.ffn_gate_inp", "q8_0"), ("blk.1.ffn_gate_inp", "f16")):
        expect(got(name + ".weight") == kind, "%s is %s", name, got(name + ".weight"))
    b.ok("quantize", "in.gguf", "out.gguf", "IQ3_KL", "--custom-q", "weight=iq4_ks")
    out = GoldenFile(b.read("out.gguf"))
    expect(out.keys["general.file_type"] == 146, "file type %d", out.keys["general.file_type"])
    refused = [("--custom-q", "nothing=iq4_k", "nothing"), ("--custom-q", "attn=iq9_z", "iq9_z"),
               ("--custom-q", "(=iq4_k", "'('"), ("--custom-q", "attn", "REGEX=TYPE"),
               ("--tensor-type", "blk.9.attn_q.weight=iq4_k", "blk.9"),
               ("--custom-q", "ffn_gate_inp=iq4_k", "ffn_gate_inp"),
               ("--output-tensor-type", "iq9_z", "--output-tensor-type")]
    for option, value, word in refused:
        b.fails(2, word, "quantize", "in.gguf", "out.gguf", "IQ4_KS", option, value)
    b.fails(2, "--pure", "quantize", "in.gguf", "out.gguf", "IQ4_KS", "--pure", "--custom-q", "a=iq4_k")


def test_tied(b):
    b.write("in.gguf", make_file([("token_embd.weight", F16, (256, 4), bytes(2048))]))
    for options, kind in ((), "iq5_k"), (("--output-tensor-type", "iq6_k"), "iq6_k"), \
            (("--output-tensor-type", "iq6_k", "--token-embedding-type", "iq3_k"), "iq3_k"):
        text = b.ok("quantize", "in.gguf", "out.gguf", "iq4_ks", "--dry-run", *options)
        expect(rows_of(text)["token_embd.weight"][1] == kind, "%s: %s", options, text)


def test_fallback(b):
    """Rows that are no multiple of 256, or not even of 32."""
    b.write("in.gguf", make_file([("a.weight", F16, (256, 3), bytes(1536)),
                                  ("odd.weight", F16, (96, 4), bytes(768)),
                                  ("odder.weight", F16, (80, 4), bytes(640)),
                                  ("output.weight", F16, (96, 4), bytes(768))]))
    for name, options in ("iq4_k", ["--pure"]), ("IQ4_K", []):
        words = ("odd.weight", "q5_0", "4.50", "--tensor-type odd.weight=iq4_nl", "more tensors")
        for word in words:
            b.fails(2, word, "quantize", "in.gguf", "out.gguf", name, *options)
    text = b.ok("quantize", "in.gguf", "out.gguf", "iq4_k", "--dry-run", "--allow-fallback")
    rows = rows_of(text)
    expect(rows["a.weight"][1] == "iq4_k", "a is %s", rows["a.weight"])
    expect(rows["odd.weight"][1] == "q5_0" and rows["odd.weight"][-1] == "iq4_k", "%s", rows["odd.weight"])
    expect(rows["odder.weight"][1] == "as", "odder is %s", rows["odder.weight"])
    expect(rows["output.weight"][1] == "q8_0", "output is %s", rows["output.weight"])
    # 0.5 more bytes a weight times 8, and so on: 4 * 96 (22/32 - 18/32) + 4 * 80 (2 - 18/32) + ...
    more = 4 * 96 * (22 - 18) / 32 + 4 * 80 * (2 - 18 / 32) + 4 * 96 * (34 / 32 - 210 / 256)
    expect("3 tensors" in text and "%+d bytes" % round(more) in text, "%s, %d", text, more)
    b.fails(2, "best of 32 weights is iq4_nl", "quantize", "in.gguf", "out.gguf", "iq4_k", "--allow-fallback",
            "--tensor-type", "odd.weight=iq4_k")
    text = b.ok("quantize", "in.gguf", "out.gguf", "iq4_k", "--dry-run", "--allow-fallback", "--tensor-type",
                "odd.weight=iq4_nl")
    expect(rows_of(text)["odd.weight"][1] == "iq4_nl", "%s", text)


def test_interleaved(b):
    """Four rows side by side decode to the same weights as their base type; other numbers of rows stay apart."""
    b.write("in.gguf", make_file([("a.weight", *b.floats(F16, 512, 12)), ("e.weight", *b.floats(F16, 256, 4, 3)),
                                  ("odd.weight", *b.floats(F16, 256, 6)),
                                  ("token_embd.weight", *b.floats(F16, 256, 8))]))
    for base, type_id, apart in ("iq4_ks", 344, 144), ("iq2_k", 337, 137):
        b.ok("quantize", "in.gguf", "base.gguf", base, "--pure")
        b.ok("quantize", "in.gguf", "out.gguf", base + "_r4", "--pure")
        b.ok("doctor", "out.gguf")
        out = GoldenFile(b.read("out.gguf"))
        expect(out.keys["general.file_type"] > 300, "file type %d", out.keys["general.file_type"])
        for name in "a.weight", "e.weight", "odd.weight", "token_embd.weight":
            kind = type_id if name[0] in "ae" else apart
            expect(out.tensors[name].type_id == kind, "%s has type %d", name, out.tensors[name].type_id)
            expect(b.decoded("out.gguf", name) == b.decoded("base.gguf", name), "%s: other weights", name)


def test_requantize(b):
    b.model()
    b.ok("quantize", "in.gguf", "mid.gguf", "iq4_k", "--pure")
    b.fails(2, "--allow-requantize", "quantize", "mid.gguf", "out.gguf", "iq2_k", "--pure")
    b.ok("quantize", "mid.gguf", "out.gguf", "iq2_k", "--pure", "--allow-requantize")
    b.ok("quantize", "mid.gguf", "same.gguf", "iq4_k", "--pure")
    expect(b.read("same.gguf") == b.read("mid.gguf"), "the same type is not copied")


def test_split(b):
    b.model()
    b.ok("quantize", "in.gguf", "whole.gguf", "iq5_k", "--pure")
    b.fails(2, "size", "quantize", "in.gguf", "out.gguf", "iq5_k", "--pure", "--split-max-size", "3")
    # The smallest size that can be said is more than this file has.
    b.ok("quantize", "in.gguf", "out.gguf", "iq5_k", "--pure", "--split-max-size", "1M")
    expect(b.read("out.gguf") == b.read("whole.gguf"), "one file of a set is not the whole")
    tensors = [("%d.weight" % i, F16, (4096, 400), bytes(2 * 4096 * 400)) for i in range(3)]
    b.write("large.gguf", make_file(tensors))
    b.ok("quantize", "large.gguf", "set.gguf", "iq6_k", "--pure", "--split-max-size", "2M")
    for number in 1, 2, 3:
        b.ok("doctor", "set-%05d-of-00003.gguf" % number)
    expect(not os.path.exists(b.path("set.gguf")), "a set and a whole file")


def test_refusals(b):
    b.model()
    b.fails(2, "IQ4_KS", "quantize", "in.gguf", "out.gguf", "q6_k")
    b.fails(2, "padded", "quantize", "in.gguf", "out.gguf", "iq4_k",
            "--pad-rows")
    b.fails(2, "iq4_ks", "quantize", "in.gguf", "out.gguf", "iq9_z", "--pure")
    b.fails(1, "no encoder for iq1_s", "quantize", "in.gguf", "out.gguf", "iq1_s", "--pure")
    b.fails(1, "missing.gguf", "quantize", "missing.gguf", "out.gguf", "iq4_k", "--pure")
    b.fails(1, "no/such", "quantize", "in.gguf", "no/such/out.gguf", "iq4_k", "--pure")
    b.fails(1, "folder", "quantize", "in.gguf", b.folder, "iq4_k", "--pure")
    b.write("old.gguf", make_file([("a.weight", TQ1_0, (256, 2), bytes(108))]))
    b.fails(1, "a.weight", "quantize", "old.gguf", "out.gguf", "iq4_k", "--pure")
    kind, dims, raw = b.floats(F32, 256, 7)
    at = 4 * (5 * 256 + 31)
    raw = raw[:at] + struct.pack("<f", math.nan) + raw[at + 4:]
    b.write("nan.gguf", make_file([("n.weight", kind, dims, raw)]))
    b.fails(1, "n.weight: the weight in row 5, column 31", "quantize", "nan.gguf", "out.gguf",
            "iq4_k", "--pure")
    b.write("short.gguf", b.read("in.gguf")[:-3000])
    b.fails(1, "doctor", "quantize", "short.gguf", "out.gguf", "iq4_k", "--pure")


def small_disk():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


def test_full_disk(b):
    b.model()
    b.write("out.gguf", b"old")
    b.fails(1, "cannot write", "quantize", "in.gguf", "out.gguf", "iq4_k", "--pure",
            preexec_fn=small_disk)
    expect(b.read("out.gguf") == b"old", "a full disk replaced the output")


def check_page(b, name, tensors):
    """Well-formed, nothing loaded from elsewhere, every tensor in the table, a dot for each of a layer."""
    page = b.read(name).decode()
    root = xml.etree.ElementTree.fromstring(page.split("\n", 1)[1])
    expect("http" not in page and "<script" not in page, "%s loads something", name)
    cells = [row[0].text for row in root.iter("tbody") for row in row]
    expect(cells == tensors, "%s: tensors %s", name, cells)
    layers = sum(t.startswith("blk.") for t in tensors)
    dots = [dot for dot in root.iter("circle")]
    expect(len(dots) == 2 * layers, "%s: %d dots for %d tensors", name, len(dots), layers)


def test_pages(b):
    names = ["blk.%d.%s.weight" % (layer, kind) for layer in range(3) for kind in ("attn_q", "<&>")]
    b.write("in.gguf", make_file([(name, *b.floats(F16, 256, 2)) for name in [*names, "last.weight"]]))
    b.ok("quantize", "in.gguf", "out.gguf", "iq4_ks", "--pure", "--report", "run.html")
    check_page(b, "run.html", [*names, "last.weight"])
    b.ok("compare", "in.gguf", "out.gguf", "--html", "two.html")
    check_page(b, "two.html", [*names, "last.weight"])
    b.write("none.gguf", make_file([]))
    b.ok("quantize", "none.gguf", "out.gguf", "iq4_ks", "--pure", "--report", "none.html")
    check_page(b, "none.html", [])


def test_compare(b):
    """Errors against those of decoded weights; what cannot be compared is named and fails."""
    source = b.model()
    b.ok("quantize", "in.gguf", "out.gguf", "iq3_k", "--pure")
    lines = list(csv.DictReader(b.ok("compare", "in.gguf", "out.gguf", "--csv").splitlines()))
    found = json.loads(b.ok("compare", "in.gguf", "out.gguf", "--json"))
    expect([line["tensor"] for line in lines] == [t[0] for t in source], "other tensors")
    for line, pair in zip(lines, found["tensors"]):
        expect(line["result"] == pair["result"], "CSV and JSON differ: %s, %s", line, pair)
        if line["tensor"] == "numbers":
            expect(line["result"] == "equal bytes", "integers: %s", line)
            continue
        x, y = (b.decoded(file, line["tensor"]) for file in ("in.gguf", "out.gguf"))
        missed = sum((p - q) ** 2 for p, q in zip(x, y))
        all_x, all_y = (sum(p * p for p in v) for v in (x, y))
        rows = [math.dist(x[i:i + int(line["k"])], y[i:i + int(line["k"])])
                / math.hypot(*x[i:i + int(line["k"])]) for i in range(0, len(x), int(line["k"]))]
        for name, want in (("error", math.sqrt(missed / all_x)),
                           ("largest", max(abs(p - q) for p, q in zip(x, y))),
                           ("cosine", sum(p * q for p, q in zip(x, y)) / math.sqrt(all_x * all_y)),
                           ("worst_error", max(rows))):
            got = pair["worst_rows"][0]["error"] if name == "worst_error" else pair[name]
            expect(math.isclose(got, want, rel_tol=1e-6, abs_tol=1e-12), "%s of %s: %r, not %r", name,
                   line["tensor"], got, want)
            expect(math.isclose(float(line[name]), got, rel_tol=1e-6), "CSV: %s", line)
    # Interleaved rows are the same rows.
    b.write("four.gguf", make_file([("four.weight", *b.floats(F32, 256, 8))]))
    for kind in "iq4_ks", "iq4_ks_r4":
        b.ok("quantize", "four.gguf", kind + ".gguf", kind, "--pure")
    found = json.loads(b.ok("compare", "iq4_ks.gguf", "iq4_ks_r4.gguf", "--json"))["tensors"][0]
    expect(found["type_b"] == "iq4_ks_r4" and found["error"] == 0, "interleaved: %s", found)
    b.write("other.gguf", make_file([
        ("wide.weight", *b.floats(F32, 512, 7)), ("half.weight", TQ1_0, (256, 5), bytes(270)),
        ("new.weight", *b.floats(F32, 4))]))
    done = b.run("compare", "in.gguf", "other.gguf")
    expect(done.returncode == 1 and done.stderr == "", "exit %d", done.returncode)
    for words in ("types that cannot be decoded", "other shapes: 512 x 6 in A, 512 x 7 in B", "only in A", "only in B"):
        expect(words in done.stdout, "nothing of %r: %s", words, done.stdout)
    b.fails(1, "missing.gguf", "compare", "in.gguf", "missing.gguf")


TESTS = [test_types, test_threads, test_qualities, test_device, test_dry_run, test_recipe, test_tied, test_fallback, test_interleaved, test_requantize, test_split, test_refusals,
         test_full_disk, test_compare, test_pages]


def main(tests):
    parser = argparse.ArgumentParser()
    parser.add_argument("iqtile")
    parser.add_argument("--seed", type=lambda text: int(text, 0),
                        default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--filter", default="")
    args = parser.parse_args()
    print("seed %d" % args.seed)
    failed = passed = 0
    for test in tests:
        name = test.__name__[len("test_"):]
        if args.filter not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(Bench(args.iqtile, folder, args.seed))
                passed += 1
            except (Failure, subprocess.TimeoutExpired) as failure:
                failed += 1
                print("FAIL %s: %s\n  repeat: %s %s --seed %d --filter %s"
                      % (name, failure, sys.argv[0], args.iqtile, args.seed, name))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(TESTS))
