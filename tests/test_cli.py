#!/usr/bin/env python3
"""The contract of the command line: exit codes, what goes where, files that appear whole or not
at all, and input that nobody vouches for.

usage: test_cli.py IQTILE [--seed N] [--filter TEXT] [--no-limit]
"""
import argparse
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

import golden_file

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "golden")
IQ4_KS = os.path.join(GOLDEN, "IQ4_KS.gguf")
COMMANDS = ("info doctor devices decode matvec gen stats predict tune db bench report check "
            "golden quantize").split()


class Failure(Exception):
    pass


def expect(condition, text, *values):
    if not condition:
        raise Failure(text % values if values else text)


class Program:
    """The program under test, run in a scratch folder of its own."""

    def __init__(self, path, folder, seed):
        self.path, self.folder = os.path.abspath(path), folder
        self.random = random.Random(seed)

    def run(self, *args, **options):
        return subprocess.run([self.path, *args], cwd=self.folder, text=True, timeout=600,
                              capture_output="stdout" not in options, **options)

    def ok(self, *args):
        done = self.run(*args)
        expect(done.returncode == 0, "%s: exit %d\n%s", " ".join(args), done.returncode,
               done.stderr)
        return done.stdout

    def fails(self, code, *args):
        """Runs, expects this exit code, an explanation on stderr and no results."""
        done = self.run(*args)
        expect(done.returncode == code, "%s: exit %d, expected %d\n%s", " ".join(args),
               done.returncode, code, done.stderr)
        expect(done.stderr.strip() != "", "%s: no explanation", " ".join(args))
        expect(done.stdout == "", "%s: results in spite of failing: %s", " ".join(args),
               done.stdout)
        return done.stderr

    def path_of(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        with open(self.path_of(name), "rb") as file:
            return file.read()

    def write(self, name, data):
        with open(self.path_of(name), "wb") as file:
            file.write(data)
        return name

    def left_over(self):
        return [name for name in os.listdir(self.folder) if ".tmp-" in name]


def floats(data):
    return struct.unpack("<%df" % (len(data) // 4), data)


# ---- Grammar ----

def test_help(p):
    text = p.ok("--help")
    for name in COMMANDS:
        expect("\n  %s " % name in text, "--help does not list %s", name)
        by_word, by_option = p.ok("help", name), p.ok(name, "--help")
        expect(by_word == by_option, "help %s and %s --help differ", name, name)
        expect("usage: iqtile %s" % name in by_word, "help %s has no usage", name)
    expect(p.ok("--version").startswith("iqtile "), "--version has no version")


def test_usage(p):
    done = p.run()
    expect(done.returncode == 2 and "usage:" in done.stderr, "no arguments is not wrong usage")
    for name in COMMANDS:
        expect(name in p.fails(2, "frobnicate"), "unknown command does not list %s", name)
    expect("golden" in p.fails(2, "help", "frobnicate"), "help of an unknown command lists none")
    expect("--device" in p.fails(2, "check", "--frobnicate"), "unknown option lists none")
    expect("--json" in p.fails(2, "devices", "-q"), "unknown letter lists none")
    p.fails(2, "devices", "--json=1")
    p.fails(2, "devices", "extra")
    p.fails(2, "decode", IQ4_KS)
    p.fails(2, "decode", IQ4_KS, "gauss.q")
    p.fails(2, "matvec", IQ4_KS, "gauss.q", "-o", "y")
    p.fails(2, "matvec", IQ4_KS, "gauss.q", "--x", "x", "-o", "y", "--n", "17")
    for number in ("x", "-1", "1x", "", "99999999999"):
        p.fails(2, "gen", "--list", "--n", number)
    p.fails(2, "gen", "--format")


def test_names(p):
    """An unknown name is answered with the valid ones."""
    lists = [
        (("gen", "--format", "iq9_z", "--dialect", "cuda"), ("iq4_ks", "iq2_kt")),
        (("gen", "--format", "iq4_ks", "--dialect", "basic"), ("glsl", "cuda", "hip", "host")),
        (("gen", "--format", "iq4_ks", "--dialect", "cuda", "--op", "add"), ("matvec", "gated")),
        (("gen", "--format", "iq4_ks", "--dialect", "cuda", "--layout", "up"),
         ("native", "packed")),
        (("check", "--format", "iq9_z"), ("iq4_ks", "iq2_kt")),
        (("check", "--device", "abacus"), ("cpu", "vulkan")),
        (("golden", GOLDEN, "--format", "iq9_z"), ("iq4_ks",)),
        (("golden", GOLDEN, "--device", "cpu:77"), ("cpu",)),
        (("golden", GOLDEN, "--device", "cpu", "--cases", "4/3"), ("--cases", "2/3")),
        (("golden", GOLDEN, "--device", "cpu", "--one-hot", "2"), ("--one-hot", "none")),
        (("decode", IQ4_KS, "gaus.q", "-o", "w"), ("gauss.q",)),
    ]
    for args, names in lists:
        text = p.fails(2, *args)
        for name in names:
            expect(name in text, "%s: %r does not list %s", " ".join(args), text, name)


def test_order(p):
    """Options stand anywhere; -- ends them."""
    p.ok("decode", "-o", "a.f32", IQ4_KS, "gauss.q")
    p.ok("decode", IQ4_KS, "gauss.q", "-ob.f32")
    p.ok("decode", IQ4_KS, "-o", "c.f32", "--", "gauss.q")
    p.ok("-o", "d.f32", "decode", IQ4_KS, "gauss.q")
    expect(p.read("a.f32") == p.read("b.f32") == p.read("c.f32") == p.read("d.f32"),
           "the order of options changes the result")
    p.fails(2, "decode", IQ4_KS, "gauss.q", "--", "-o", "e.f32")
    expect(p.ok("gen", "--list", "--n=4", "--format=iq4_ks", "--dialect=hip") ==
           p.ok("gen", "--n", "4", "--list", "--dialect", "hip", "--format", "IQ4_KS"),
           "--n=4 and --n 4 differ")
    expect(p.ok("gen", "--list", "-n4", "--format", "iq4_ks") ==
           p.ok("gen", "--list", "--n", "4", "--format", "iq4_ks"), "-n4 and --n 4 differ")


def test_stdout(p):
    """Results that do not arrive are a failure."""
    commands = (("--help",), ("--version",), ("help", "gen"), ("devices",), ("info", IQ4_KS),
                ("gen", "--format", "iq4_ks", "--dialect", "cuda"))
    for args in commands:
        with open("/dev/full", "w") as full:
            done = p.run(*args, stdout=full, stderr=subprocess.PIPE)
        expect(done.returncode == 1, "%s into a full disk: exit %d", args, done.returncode)
        expect("standard output" in done.stderr, "%s into a full disk: %r", args, done.stderr)
        done = subprocess.run(["sh", "-c", '"$0" "$@" >&-', p.path, *args], text=True,
                              capture_output=True, cwd=p.folder)
        expect(done.returncode == 1, "%s with stdout closed: exit %d", args, done.returncode)
    done = subprocess.run(["sh", "-c", '"$0" "$@" >&-', p.path, "decode", IQ4_KS, "gauss.q",
                           "-o", "closed.f32"], capture_output=True, cwd=p.folder)
    expect(done.returncode == 0 and len(p.read("closed.f32")) == 16384,
           "decode needs no stdout, but wants one")


# ---- Commands ----

def test_devices(p):
    text = p.ok("devices")
    expect("\ncpu:0 " in "\n" + text, "the cpu is missing from %r", text)
    listed = json.loads(p.ok("devices", "--json"))
    specs = [device["spec"] for device in listed["devices"]]
    expect("cpu:0" in specs, "the cpu is missing from %s", specs)
    for device in listed["devices"]:
        expect(device["name"] != "" and device["subgroup_min"] >= 1, "odd device %s", device)
    for backend, why in listed["absent"].items():
        expect(why != "" and backend + ":0" not in specs, "%s absent: %r", backend, why)


def test_decode(p):
    file = golden_file.read(IQ4_KS)
    for case in ("gauss", "heavy", "real", "edge", "random"):
        p.ok("decode", IQ4_KS, case + ".q", "-o", "w.f32", "--reference")
        expect(p.read("w.f32") == file.floats(case + ".deq"), "%s: not the golden bits", case)
    p.ok("decode", IQ4_KS, "gauss.src", "-o", "w.f32")
    expect(p.read("w.f32") == file.floats("gauss.src"), "F32 rows do not decode to themselves")
    p.ok("decode", IQ4_KS, "gauss.q", "-o", "host.f32")
    p.ok("decode", IQ4_KS, "gauss.q", "-o", "device.f32", "--device", "cpu")
    for a, b in zip(floats(p.read("host.f32")), floats(p.read("device.f32"))):
        expect(abs(a - b) <= abs(a) * 2**-22, "host decodes %r, device %r", a, b)
    p.fails(2, "decode", IQ4_KS, "gauss.q", "-o", "w.f32", "--reference", "--device", "cpu")


def small_disk():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def test_decode_output(p):
    """The old file or the new one, and nothing left behind."""
    p.write("old.f32", b"old")
    p.fails(1, "decode", p.path_of("missing.gguf"), "gauss.q", "-o", "old.f32")
    p.fails(2, "decode", IQ4_KS, "missing.q", "-o", "old.f32")
    p.fails(1, "decode", IQ4_KS, "gauss.y", "-o", "old.f32")
    expect(p.read("old.f32") == b"old", "a failed decode touched its output")
    p.fails(1, "decode", IQ4_KS, "gauss.q", "-o", "/dev/full")
    expect(os.path.exists("/dev/full") and not os.path.isfile("/dev/full"), "replaced /dev/full")
    p.fails(1, "decode", IQ4_KS, "gauss.q", "-o", p.folder)
    p.fails(1, "decode", IQ4_KS, "gauss.q", "-o", "no/such/folder.f32")
    # A limit on file sizes stands in for a disk that fills up.
    done = p.run("decode", IQ4_KS, "gauss.q", "-o", "old.f32", preexec_fn=small_disk)
    expect(done.returncode == 1, "a full disk: exit %d", done.returncode)
    expect(p.read("old.f32") == b"old", "a full disk replaced the output")
    os.symlink("old.f32", p.path_of("link.f32"))
    p.ok("decode", IQ4_KS, "gauss.q", "-o", "link.f32")
    expect(os.path.islink(p.path_of("link.f32")), "decode replaced a link")
    expect(len(p.read("old.f32")) == 16384, "decode did not follow a link")
    expect(p.left_over() == [], "left behind: %s", p.left_over())


def test_matvec(p):
    file = golden_file.read(IQ4_KS)
    x = file.floats("real.x")
    y_at = file.tensors["real.y"].offset
    want = struct.unpack_from("<4d", file.data, y_at)
    p.write("x.f32", x + struct.pack("<1536f", *(-v for v in floats(x))))
    p.write("one.f32", x)
    results = []
    plan = "matvec.iq4_ks.host.n16.g1.r1.t1.s256.v32.u1.k1.packed.i8.perm.none"
    p.ok("matvec", IQ4_KS, "real.q", "--x", "x.f32", "-o", "y.f32", "--n", "2", "--device", "cpu",
         "--plan", plan)
    expect(len(floats(p.read("y.f32"))) == 8, "no results by a plan")
    for code, wrong in ((1, plan.replace(".n16.", ".n1.")), (2, plan.replace("iq4_ks", "iq2_ks")),
                        (2, "no_plan")):
        said = p.fails(code, "matvec", IQ4_KS, "real.q", "--x", "x.f32", "-o", "y.f32", "--n", "2",
                       "--device", "cpu", "--plan", wrong)
        expect("plan" in said, "%s: unclear message", wrong)
    for layout in ("native", "packed"):
        p.ok("matvec", IQ4_KS, "real.q", "--x", "x.f32", "-o", "y.f32", "--n", "2", "--device",
             "cpu", "--layout", layout)
        got = floats(p.read("y.f32"))
        expect(len(got) == 8, "%d results for 2 x 4", len(got))
        off = sum((a - b)**2 for a, b in zip(got, want))
        expect(off <= 1e-4 * sum(b * b for b in want), "%s gives %s, not %s", layout, got, want)
        expect(got[4:] == tuple(-v for v in got[:4]), "vector 2 is not the mirror of vector 1")
        results.append(got)
    p.ok("matvec", IQ4_KS, "real.q", "--x", "one.f32", "-o", "y.f32")
    expect(len(p.read("y.f32")) == 16, "one vector does not give 4 results")
    text = p.fails(1, "matvec", IQ4_KS, "real.q", "--x", "x.f32", "-o", "z.f32")
    expect("12288" in text and "6144" in text, "%r does not name both sizes", text)
    p.fails(1, "matvec", IQ4_KS, "real.q", "--x", p.write("empty.f32", b""), "-o", "z.f32")
    p.fails(2, "matvec", IQ4_KS, "real.q", "--x", "one.f32", "-o", "z.f32", "--device", "abacus")
    expect(not os.path.exists(p.path_of("z.f32")), "a failed matvec left its output")
    expect(p.left_over() == [], "left behind: %s", p.left_over())


def test_packed_cache(p):
    """One file a matrix, made once; what is wrong with it is told, and no product is another."""
    p.write("x.f32", golden_file.read(IQ4_KS).floats("real.x"))

    def product(*options):
        done = p.run("matvec", IQ4_KS, "real.q", "--x", "x.f32", "-o", "y.f32", "--device", "cpu", *options)
        expect(done.returncode == 0 and done.stdout == "", "%s: exit %d, %s", options, done.returncode,
               done.stderr)
        return p.read("y.f32"), done.stderr

    want, said = product()
    expect(said == "", "a product says %r", said)
    for what in "made", "taken":
        expect(product("--packed-cache", "kept") == (want, ""), "%s: another product, or a message", what)
    names = os.listdir(p.path_of("kept"))
    expect(len(names) == 1 and names[0].endswith(".iqtp"), "kept are %s, expected one .iqtp", names)
    name = os.path.join("kept", names[0])
    data = bytearray(p.read(name))
    data[p.random.randrange(len(data))] ^= 1 << p.random.randrange(8)
    p.write(name, data)
    got, said = product("--packed-cache", "kept")
    expect(got == want and name in said and "packed anew" in said, "a flipped bit: %r", said)
    expect(product("--packed-cache", "kept") == (want, ""), "a damaged file was not made anew")
    got, said = product("--packed-cache", "x.f32/kept")
    expect(got == want and "not kept" in said and "x.f32" in said, "no folder: %r", said)
    expect(p.left_over() == [], "left behind: %s", p.left_over())


def test_gen(p):
    """Deterministic text for every dialect; the plan of a name is the plan of the options."""
    for dialect in ("host", "glsl", "cuda", "hip"):
        args = ("gen", "--format", "iq4_ks", "--dialect", dialect)
        text = p.ok(*args)
        expect(len(text) > 500 and text == p.ok(*args), "%s: short or not the same", dialect)
        p.ok(*args, "-o", "kernel.txt")
        expect(p.read("kernel.txt").decode() == text, "%s: -o writes another text", dialect)
        names = p.ok(*args, "--list").split()
        expect(len(names) == len(set(names)) > 0, "%s: plans listed twice or none", dialect)
        for name in p.random.sample(names, min(3, len(names))):
            expect(len(p.ok("gen", "--plan", name)) > 500, "%s: no text", name)
        p.fails(2, "gen", "--plan", names[0], "--format", "iq2_ks")
    for dialect in ("glsl", "cuda", "hip"):
        text = p.ok("gen", "--format", "iq2_kl", "--dialect", dialect, "--floats")
        expect("dot_floats" in text and "xf4[" in text, "%s: no float activations", dialect)
        expect(p.ok("gen", "--format", "iq2_kl", "--dialect", dialect, "--floats=f32") == text,
               "%s: --floats is not --floats=f32", dialect)
        text = p.ok("gen", "--format", "iq2_kl", "--dialect", dialect, "--floats=f16")
        expect("halves(" in text and "= xf4[" not in text, "%s: no float16 activations", dialect)
        name = text.split("// Plan ")[1].split()[0]
        expect(p.ok("gen", "--plan", name, "--floats=f16") == text, "%s: %s gives another text", dialect, name)
        p.fails(2, "gen", "--plan", name, "--floats")
    text = p.fails(2, "gen", "--format", "iq4_ks", "--dialect", "cuda", "--floats=f64")
    expect("f16" in text and "f64" in text, "%r does not say what --floats takes", text)
    p.fails(1, "gen", "--format", "f16", "--dialect", "cuda", "--floats=f16")
    p.fails(1, "gen", "--format", "iq4_ks", "--dialect", "cuda", "--floats", "--layout", "packed")
    p.fails(1, "gen", "--format", "iq4_ks", "--dialect", "host", "--floats")
    plan = p.ok("gen", "--list", "--format", "iq4_ks", "--dialect", "glsl").split()[0]
    p.fails(2, "gen", "--plan", plan.replace(".n1.", ".nine."))
    p.fails(1, "gen", "--plan", plan.replace(".g1.r1.", ".g1.r2."))
    p.fails(2, "gen")
    p.fails(2, "gen", "--list", "--plan", plan)
    native = p.ok("gen", "--list", "--format", "iq4_ks", "--dialect", "cuda", "--layout", "native")
    expect(".packed." not in native and ".native." in native, "--layout native lists others")


def test_info_doctor(p):
    text = p.ok("info", IQ4_KS)
    expect("gauss.q" in text and "iq4_ks" in text, "info does not show the tensors")
    expect(isinstance(json.loads(p.ok("info", IQ4_KS, "--json")), dict), "info --json is no object")
    p.ok("doctor", IQ4_KS)
    data = bytearray(golden_file.read(IQ4_KS).data)
    p.write("short.gguf", data[:-100000])
    done = p.run("doctor", "short.gguf")
    expect(done.returncode == 1 and done.stdout != "", "doctor finds a short file healthy")


def test_golden(p):
    folder = p.path_of("folder")
    os.mkdir(folder)
    text = p.fails(1, "golden", folder)
    expect("no golden file" in text, "an empty folder: %r", text)
    p.fails(1, "golden", p.path_of("missing"))
    shutil.copy(IQ4_KS, folder)
    shutil.copy(os.path.join(GOLDEN, "IQ4_KS_R4.gguf"), folder)
    done = p.run("golden", folder, "--device", "cpu")
    lines = done.stdout.splitlines()
    expect(done.returncode == 0, "sound files fail:\n%s%s", done.stdout, done.stderr)
    expect(any("iq4_ks cpu:0 native:" in line for line in lines), "no line for native")
    expect(any("iq4_ks cpu:0 packed:" in line for line in lines), "no line for packed")
    expect(any("iq4_ks_r4 cpu:0 packed:" in line for line in lines), "no line for interleaved rows")
    passed, failed = lines[-1].split(" passed, ")
    expect(int(passed) > 50 and failed == "0 failed", "last line is %r", lines[-1])
    p.fails(1, "golden", folder, "--format", "iq2_ks")
    p.write("folder/broken.gguf", b"GGUF")
    done = p.run("golden", folder, "--device", "cpu", "--layout", "native")
    expect(done.returncode == 1, "a broken file among golden ones: exit %d", done.returncode)
    expect(done.stdout.splitlines()[-1].endswith(", 1 failed"), "a broken file is not counted")


def test_check(p):
    seed = "0x%x" % p.random.randrange(1, 2**63)
    args = ("check", "--device", "cpu", "--format", "iq2_ks", "--n", "3", "--seed", seed)
    text = p.ok(*args, "--plans", "default")
    expect("iq2_ks cpu:0: " in text and text.splitlines()[-1].endswith(" passed, 0 failed"),
           "odd report %r", text)
    expect(text == p.ok(*args, "--plans", "default"), "equal seeds, different reports")
    p.fails(2, "check", "--n", "17")
    p.fails(2, "check", "--plans", "some")


# ---- Hostile files ----

LIMIT = 2 << 30
NO_LIMIT = False  # sanitizers reserve terabytes


def limited():
    if not NO_LIMIT:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))


def survives(p, name, args):
    done = p.run(*args, preexec_fn=limited)
    expect(done.returncode in (0, 1, 2), "%s: %s ends with %d\n%s", name, " ".join(args),
           done.returncode, done.stderr[-2000:])


def test_truncated(p):
    """A file cut anywhere, in 2 GiB of address space."""
    data = golden_file.read(IQ4_KS).data
    os.mkdir(p.path_of("cut"))
    places = [0, 4, 8, 23, 24, len(data) - 1] + [p.random.randrange(len(data)) for _ in range(10)]
    places += [p.random.randrange(4000) for _ in range(30)]
    for place in places:
        name = p.write("cut/file.gguf", data[:place])
        survives(p, "cut at %d" % place, ("info", name))
        survives(p, "cut at %d" % place, ("doctor", name))
        survives(p, "cut at %d" % place, ("decode", name, "gauss.q", "-o", "w.f32"))
    for place in places[:8]:
        p.write("cut/file.gguf", data[:place])
        survives(p, "cut at %d" % place, ("golden", "cut", "--device", "cpu"))


def test_damaged(p):
    """Extreme values in the header: sizes, counts, offsets, types."""
    data = golden_file.read(IQ4_KS).data
    os.mkdir(p.path_of("bad"))
    for _ in range(40):
        copy = bytearray(data)
        at = p.random.randrange(4, 4000)
        copy[at:at + 8] = struct.pack("<Q", p.random.choice(
            (0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, p.random.getrandbits(64))))
        name = p.write("bad/file.gguf", copy)
        what = "8 bytes at %d are %s" % (at, copy[at:at + 8].hex())
        survives(p, what, ("info", name))
        survives(p, what, ("doctor", name))
        survives(p, what, ("decode", name, "gauss.q", "-o", "w.f32"))
        survives(p, what, ("matvec", name, "gauss.q", "--x", "w.f32", "-o", "y.f32",
                           "--device", "cpu"))
    for _ in range(5):
        copy = bytearray(data)
        copy[p.random.randrange(4, 4000)] ^= 1 << p.random.randrange(8)
        p.write("bad/file.gguf", copy)
        survives(p, "a flipped bit", ("golden", "bad", "--device", "cpu", "--layout", "native"))


TESTS = [test_help, test_usage, test_names, test_order, test_stdout, test_devices, test_decode,
         test_decode_output, test_matvec, test_packed_cache, test_gen, test_info_doctor, test_golden, test_check,
         test_truncated, test_damaged]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("iqtile")
    parser.add_argument("--seed", type=lambda text: int(text, 0),
                        default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--filter", default="")
    parser.add_argument("--no-limit", action="store_true", help="for programs with sanitizers")
    args = parser.parse_args()
    global NO_LIMIT
    NO_LIMIT = args.no_limit
    print("seed %d" % args.seed)
    failed = passed = 0
    for test in TESTS:
        name = test.__name__[len("test_"):]
        if args.filter not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(Program(args.iqtile, folder, args.seed))
                passed += 1
            except (Failure, subprocess.TimeoutExpired) as failure:
                failed += 1
                print("FAIL %s: %s\n  repeat: %s %s --seed %d --filter %s"
                      % (name, failure, sys.argv[0], args.iqtile, args.seed, name))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
