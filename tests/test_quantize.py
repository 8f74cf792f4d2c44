#!/usr/bin/env python3
"""iqtile quantize: what becomes of each tensor, equal bytes on any number of threads, errors within
bounds, and files that appear whole or not at all.

usage: test_quantize.py IQTILE [--seed N] [--filter TEXT]
"""
import argparse
import math
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time

from golden_file import GoldenFile

F32, F16, I32, Q4_0, BF16 = 0, 1, 26, 2, 30
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


def make_file(tensors):
    """tensors: name, type, dims, bytes."""
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 2)
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
                   ("odd.weight", *self.floats(F32, 96, 4)),
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


def test_dry_run(b):
    b.model()
    text = b.ok("quantize", "in.gguf", "out.gguf", "iq4_k", "--pure", "--dry-run")
    expect(not os.path.exists(b.path("out.gguf")), "a dry run wrote")
    total = text.splitlines()[-1].split()
    b.ok("quantize", "in.gguf", "out.gguf", "iq4_k", "--pure")
    size = len(b.read("out.gguf"))
    expect(0 < size - int(total[-1]) < 2000, "planned %s bytes, the file has %d", total[-1], size)


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
    b.fails(2, "--pure", "quantize", "in.gguf", "out.gguf", "iq4_k")
    b.fails(2, "iq4_ks", "quantize", "in.gguf", "out.gguf", "iq9_z", "--pure")
    b.fails(1, "no encoder for q8_0", "quantize", "in.gguf", "out.gguf", "q8_0", "--pure")
    b.fails(1, "missing.gguf", "quantize", "missing.gguf", "out.gguf", "iq4_k", "--pure")
    b.fails(1, "no/such", "quantize", "in.gguf", "no/such/out.gguf", "iq4_k", "--pure")
    b.fails(1, "folder", "quantize", "in.gguf", b.folder, "iq4_k", "--pure")
    b.write("old.gguf", make_file([("a.weight", Q4_0, (256, 2), bytes(288))]))
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


def test_interrupted(b):
    """Whatever the moment: nothing under the final name, or all of it."""
    b.write("big.gguf", make_file([("a.weight", *b.floats(F32, 256, 1200))]))
    names = sorted(os.listdir(b.folder))
    for wait in 0.02, 0.3, 0.8:
        child = subprocess.Popen([b.program, "quantize", "big.gguf", "out.gguf", "iq2_kt", "--pure"],
                                 cwd=b.folder, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, text=True)
        time.sleep(wait)
        child.send_signal(signal.SIGINT)
        words = child.communicate(timeout=600)[1]
        if child.returncode == 0:
            b.ok("doctor", "out.gguf")
            os.remove(b.path("out.gguf"))
        # Before the handler stands, the signal itself ends the program.
        expect(child.returncode in (0, 1, -signal.SIGINT), "exit %d", child.returncode)
        expect(child.returncode != 1 or "interrupted" in words, "it says %r", words)
        expect(sorted(os.listdir(b.folder)) == names, "left behind: %s", os.listdir(b.folder))


TESTS = [test_types, test_threads, test_dry_run, test_requantize, test_split, test_refusals,
         test_full_disk, test_interrupted]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("iqtile")
    parser.add_argument("--seed", type=lambda text: int(text, 0),
                        default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--filter", default="")
    args = parser.parse_args()
    print("seed %d" % args.seed)
    failed = passed = 0
    for test in TESTS:
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
    sys.exit(main())
