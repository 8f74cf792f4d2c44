#!/usr/bin/env python3
"""iqtile quantize --resume: a run that is killed or interrupted at any moment leaves nothing broken under the
final name, and goes on to the very bytes of an undisturbed run.

usage: test_resume.py IQTILE [--seed N] [--filter TEXT]     (IQT_ALL=1: 100 kills instead of a few)
"""
import os
import random
import signal
import struct
import subprocess
import sys
import time

from test_quantize import F16, F32, I32, Failure, expect, main, make_file, small_disk

QUANTIZE = ["quantize", "in.gguf", "out.gguf", "iq4_ks", "--pure"]
SET = QUANTIZE + ["--split-max-size", "1M"]
SET_NAMES = ["out-%05d-of-00005.gguf" % no for no in (1, 2, 3, 4, 5)]
KEPT = ["out.gguf.journal", "out.gguf.partial"]


def numbers(rand, k, rows):
    """F16 below 2: quicker than real distributions."""
    raw = bytearray(rand.randbytes(2 * k * rows))
    raw[1::2] = raw[1::2].translate(bytes(i & 0xbf for i in range(256)))
    return F16, (k, rows), bytes(raw)


def make_model(b):
    b.write("in.gguf", make_file([
        ("a.weight", *numbers(b.random, 1024, 500)), ("copied", I32, (100, 3000), bytes(1200000)),
        ("b.weight", *numbers(b.random, 1024, 500)), ("copied 2", I32, (100, 2900), bytes(1160000)),
        ("c.weight", *numbers(b.random, 512, 1000)), ("tail", I32, (3, 5), bytes(60))]))


def undisturbed(b, command, names):
    """Bytes by name, what it printed and the seconds it took."""
    start = time.monotonic()
    text = b.ok(*command)
    seconds = time.monotonic() - start
    files = {name: b.read(name) for name in names}
    for name in names:
        os.remove(b.path(name))
    return files, text, seconds


def start(b, command):
    return subprocess.Popen([b.program, *command], cwd=b.folder, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def check_names(b, files, old):
    """Old bytes or new bytes; of a set the first file, without which no reader takes it, comes last."""
    first, rest = list(files)[0], list(files)[1:]
    here = os.path.exists(b.path(first))
    expect(here or old is None, "the old file is gone")
    if here and old is not None and b.read(first) == old:
        return
    for name in files if here else []:
        expect(b.read(name) == files[name], "%s is broken", name)
    for name in rest:
        if os.path.exists(b.path(name)):
            expect(b.read(name) == files[name], "%s of the set is broken", name)


def kill_often(b, command, files, text, seconds, kills, old):
    """Killed and resumed until it is done, again and again until the kills are used up."""
    resumed, before = 0, sorted(os.listdir(b.folder))
    while kills > 0:
        first = True
        if old is not None:
            b.write("out.gguf", old)
        while True:
            child = start(b, command if first else command + ["--resume"])
            first = False
            if kills > 0:
                time.sleep(b.random.random() * seconds * 0.6)
                child.kill()
            out, words = child.communicate(timeout=600)
            resumed += "going on at tensor" in words
            check_names(b, files, old)
            if child.returncode == 0:
                break
            expect(child.returncode == -signal.SIGKILL, "exit %d: %s", child.returncode, words)
            kills -= 1
        expect(out == text, "another summary:\n%s\nundisturbed:\n%s", out, text)
        for name in files:
            expect(b.read(name) == files[name], "%s: other bytes than undisturbed", name)
            os.remove(b.path(name))
        expect(sorted(os.listdir(b.folder)) == before, "left behind: %s", os.listdir(b.folder))
    return resumed


def test_killed(b):
    make_model(b)
    kills = 50 if os.environ.get("IQT_ALL") == "1" else 4
    for command, names, old in (QUANTIZE, ["out.gguf"], b"old"), (SET, SET_NAMES, None):
        files, text, seconds = undisturbed(b, command, names)
        resumed = kill_often(b, command, files, text, seconds, kills, old)
        print("killed %d times, went on %d times" % (kills, resumed))


def statistics(b, k, matrices):
    """A sum of squares of one input more than columns, of which neighbours vary together, for each matrix."""
    sums = []
    for _ in range(matrices):
        x = [[b.random.gauss(0, 1) for _ in range(k + 1)] for _ in range(8)]
        x = [[p + q for p, q in zip(row, row[1:])] for row in x]
        for i in range(k):
            sums += [sum(row[i] * row[j] for row in x) + (i == j) for j in range(k)]
    return struct.pack("<%df" % len(sums), *sums)


def test_fed(b):
    """With error feedback, which goes on in the middle of a tensor, or of a stack's matrix."""
    names = ("blk.0.attn_q.weight", (256, 3000)), ("blk.0.ffn_up_exps.weight", (256, 1000, 3))
    b.write("in.gguf", make_file([(name, F16, shape, numbers(b.random, 256, 3000)[2]) for name, shape in names]))
    tensors = []
    for name, shape in names:
        matrices = shape[2] if len(shape) > 2 else 1
        tensors += [(name + ".hessian", F32, (256, 256, matrices), statistics(b, 256, matrices)),
                    (name + ".counts", F32, (1, matrices), struct.pack("<%df" % matrices, *[9] * matrices))]
    b.write("so.gguf", make_file(tensors))
    files, text, seconds = undisturbed(b, QUANTIZE, ["out.gguf"])
    plain = files["out.gguf"]
    command = QUANTIZE + ["--second-order", "so.gguf"]
    files, text, seconds = undisturbed(b, command, ["out.gguf"])
    expect(files["out.gguf"] != plain, "no feedback")
    kills = 20 if os.environ.get("IQT_ALL") == "1" else 5
    print("fed: went on %d times" % kill_often(b, command, files, text, seconds, kills, None))


def noted(b):
    path = b.path(KEPT[0])
    return os.path.exists(path) and b"\ntensor" in b.read(KEPT[0])


def stop(b, command, how=signal.SIGINT):
    """Stops the run as soon as its journal notes something; returns what it said. A run that was too quick for that is
    begun anew."""
    old = b.read("out.gguf") if os.path.exists(b.path("out.gguf")) else None
    for _ in range(20):
        child = start(b, command)
        while child.poll() is None and not noted(b):
            time.sleep(0.002)
        child.send_signal(how)
        words = child.communicate(timeout=600)[1]
        if child.returncode != 0:
            return child.returncode, words
        os.remove(b.path("out.gguf"))
        if old is not None:
            b.write("out.gguf", old)
    raise Failure("always done before it was stopped")


def test_interrupted(b):
    make_model(b)
    files, text, _ = undisturbed(b, QUANTIZE, ["out.gguf"])
    code, words = stop(b, QUANTIZE)
    expect(code == 1 and "--resume goes on" in words, "exit %d: %s", code, words)
    expect(sorted(os.listdir(b.folder)) == ["in.gguf"] + KEPT, "there: %s", os.listdir(b.folder))
    expect(b.ok(*QUANTIZE, "--resume", "--threads", "1") == text, "another summary")
    expect(b.read("out.gguf") == files["out.gguf"], "other bytes")
    # Before anything is done nothing is kept.
    child = start(b, QUANTIZE)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=600)
    os.remove(b.path("out.gguf"))
    expect(child.returncode == -signal.SIGINT or os.listdir(b.folder) == ["in.gguf"], "there: %s",
           os.listdir(b.folder))


def test_journal(b):
    """Journals that do not match are refused by name; torn ones are as good as their whole lines."""
    make_model(b)
    files, _, _ = undisturbed(b, QUANTIZE, ["out.gguf"])
    stop(b, QUANTIZE, signal.SIGKILL)
    journal, partial = b.read(KEPT[0]), b.read(KEPT[1])
    refused = [("other types", [*QUANTIZE[:3], "iq3_k", "--pure", "--resume"]),
               ("other types", [*SET, "--resume"]),
               ("other types", [*QUANTIZE, "--quality", "best", "--resume"]),
               ("other types", [*QUANTIZE, "--second-order", "so.gguf", "--resume"])]
    b.write("so.gguf", make_file([("a.weight.hessian", F32, (256, 1024), bytes(1 << 20)),
                                  ("a.weight.counts", F32, (1, 1), bytes(4))]))
    for word, command in refused:
        b.fails(2, word, *command)
    stamp = os.stat(b.path("in.gguf"))
    os.utime(b.path("in.gguf"), ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    b.fails(2, "another input", *QUANTIZE, "--resume")
    os.utime(b.path("in.gguf"), ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    other = b.program
    b.program = b.path("iqtile")  # still runs with a byte behind its end, but is another
    with open(other, "rb") as f:
        b.write("iqtile", f.read() + b"!")
    os.chmod(b.program, 0o755)
    b.fails(2, "another build", *QUANTIZE, "--resume")
    os.remove(b.program)
    b.program = other
    b.write(KEPT[1], partial[:1000])
    b.write(KEPT[0], journal)
    b.fails(1, "it was changed", *QUANTIZE, "--resume")
    b.write(KEPT[1], b"GGML" + partial[4:])
    b.fails(1, "does not begin as", *QUANTIZE, "--resume")
    os.remove(b.path(KEPT[1]))
    b.fails(1, "is gone", *QUANTIZE, "--resume")
    for cut in sorted(b.random.sample(range(len(journal)), 3)) + [len(journal) - 1]:
        b.write(KEPT[0], journal[:cut] + b"#?" * b.random.randrange(2))
        b.write(KEPT[1], partial)
        b.ok(*QUANTIZE, "--resume")
        expect(b.read("out.gguf") == files["out.gguf"], "cut at %d: other bytes", cut)
        expect(not os.path.exists(b.path(KEPT[0])), "the journal was left")
    b.write(KEPT[0], journal)
    b.write(KEPT[1], partial)
    b.ok(*QUANTIZE)
    expect(b.read("out.gguf") == files["out.gguf"], "a new run: other bytes")


def test_two_at_once(b):
    make_model(b)
    child = start(b, QUANTIZE)
    while child.poll() is None and not os.path.exists(b.path(KEPT[1])):
        time.sleep(0.001)
    child.send_signal(signal.SIGSTOP)
    if os.path.exists(b.path(KEPT[0])):  # else it was quicker than this test
        done = b.run(*QUANTIZE)
        expect(done.returncode == 1 and "is in use" in done.stderr, "exit %d: %s", done.returncode,
               done.stderr)
    child.send_signal(signal.SIGCONT)
    child.communicate(timeout=600)
    expect(child.returncode == 0, "the first one failed")
    b.ok("doctor", "out.gguf")


def test_no_room(b):
    """A disk that is full, when going on, too, leaves the old file and nothing else."""
    make_model(b)
    b.write("out.gguf", b"old")
    stop(b, QUANTIZE, signal.SIGKILL)
    done = b.run(*QUANTIZE, "--resume", preexec_fn=small_disk)
    expect(done.returncode == 1 and "cannot write" in done.stderr, "exit %d: %s", done.returncode,
           done.stderr)
    expect(b.read("out.gguf") == b"old", "the old file is gone")


if __name__ == "__main__":
    sys.exit(main([test_killed, test_fed, test_interrupted, test_journal, test_two_at_once, test_no_room]))
