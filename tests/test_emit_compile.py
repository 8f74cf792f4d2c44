"""Emission gives equal bytes twice, and the C text of host plans compiles without warnings with gcc
and clang for every instruction set. HIP text is read by the plain `clang`, Debian's is the oldest that will do; what the
GPU dialects compile to is the matter of tests/gates.

    test_emit_compile.py IQTILE [--seed N] [--all] [--filter GLOB]

Default: a sample of plans drawn by the seed, each with one drawn compiler; --all or IQT_ALL=1: every
default plan with each compiler. Exit 77 when there is no compiler at all; IQT_REQUIRE=gcc,clang
makes a missing one a failure."""
import argparse
import concurrent.futures
import fnmatch
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

DIALECTS = ("glsl", "cuda", "hip", "host")
OPS = ("matvec", "gated")
LAYOUTS = ("native", "packed")
COLUMNS = (1, 4, 16)
# Of the default plans of a dialect, how many one ordinary run takes.
SAMPLE = 30
ISAS = {
    "portable": [],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": ["-mavx2", "-mfma", "-mf16c", "-mavx512f", "-mavx512bw", "-mavx512vl",
               "-mavx512dq", "-mavx512vnni", "-mavx512vbmi"],
}


# Targets that clang 14 knows, one without and one with matrix units.
HIP_TARGETS = ("gfx1030", "gfx90a")


def compiler_says(command, text):
    """None, or what the compiler said."""
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    return None if done.returncode == 0 else " ".join(command) + "\n" + done.stderr


def compile_text(cc, isa, text):
    """None, or what the compiler said."""
    if isa in HIP_TARGETS:
        return compiler_says([cc, "-xhip", "--cuda-device-only", f"--offload-arch={isa}", "-nogpulib",
                              "-nogpuinc", "-fsyntax-only", "-"], text)
    with tempfile.TemporaryDirectory() as work:
        return compiler_says([cc, "-std=gnu11", "-O1", "-ffp-contract=off", "-Wall", "-Werror",
                              *ISAS[isa], "-xc", "-c", "-", "-o", f"{work}/out"], text)


def find_compilers():
    """[(program, instruction set)], and {word of IQT_REQUIRE: why} of those that are missing."""
    programs = [cc for cc in ("gcc", "clang") if shutil.which(cc)]
    absent = {cc: f"{cc} is not installed" for cc in ("gcc", "clang") if cc not in programs}
    return [(cc, isa) for cc in programs for isa in ISAS], absent


def iqtile_gen(iqtile, *options):
    return subprocess.run([iqtile, "gen", *options], check=True, text=True,
                          capture_output=True).stdout


def formats(iqtile):
    names = {}
    for plan in iqtile_gen(iqtile, "--list", "--dialect", "host").split():
        names[plan.split(".")[1]] = True
    return list(names)


def default_plans(iqtile, dialect):
    """{printed name: options of iqtile gen}"""
    plans = {}
    for name in formats(iqtile):
        for op in OPS:
            for layout in LAYOUTS:
                for n in COLUMNS:
                    plans[f"{op}.{name}.{dialect}.n{n}.{layout}"] = [
                        "--format", name, "--dialect", dialect, "--op", op, "--layout", layout,
                        "-n", str(n)]
    return plans


def try_plan(iqtile, name, options, compilers):
    """The failures of one plan as texts."""
    failures = []
    try:
        text = iqtile_gen(iqtile, *options)
    except subprocess.CalledProcessError as error:
        return [f"{name}: iqtile gen {' '.join(options)}: {error.stderr}"]
    if text != iqtile_gen(iqtile, *options):
        failures.append(f"{name}: emitted differently the second time")
    for cc, isa in compilers:
        log = compile_text(cc, isa, text)
        if log is not None:
            failures.append(f"{name}: {cc} {isa}:\n" + "\n".join(log.split("\n")[:12]) +
                            "\n  text: iqtile gen " + " ".join(options))
    return failures


def choose(args, rng, compilers):
    """List of (name, options, compilers)."""
    work = []
    for dialect in DIALECTS:
        own = compilers if dialect == "host" else []
        if dialect == "hip" and any(cc == "clang" for cc, _ in compilers):
            own = [("clang", target) for target in HIP_TARGETS]
        plans = default_plans(args.iqtile, dialect)
        names = [n for n in plans if fnmatch.fnmatch(n, args.filter)]
        if not args.all:
            names = rng.sample(names, min(len(names), SAMPLE))
        work += [(n, plans[n], own if args.all or not own else [rng.choice(own)])
                 for n in names]
    return work


def report_absent(absent):
    """Prints what is missing; whether one of it was required."""
    required = os.environ.get("IQT_REQUIRE", "").split(",")
    for word, why in absent.items():
        print(f"{'FAIL' if word in required else 'skipped'} {word}: {why}")
    return any(word in required for word in absent)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("iqtile")
    parser.add_argument("--seed", type=int, default=time.time_ns() & 0xffffffff)
    parser.add_argument("--all", action="store_true", default=os.environ.get("IQT_ALL") == "1")
    parser.add_argument("--filter", default="*")
    args = parser.parse_args()
    print(f"seed {args.seed}")
    compilers, absent = find_compilers()
    print("compilers:", ", ".join(f"{cc} {isa}" for cc, isa in compilers))
    if report_absent(absent):
        return 1
    if not compilers:
        return 77
    work = choose(args, random.Random(args.seed), compilers)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for failures in pool.map(lambda w: try_plan(args.iqtile, *w), work):
            for text in failures:
                print("FAIL", text)
            failed += bool(failures)
    print(f"{len(work) - failed} plans passed, {failed} failed")
    if failed:
        print(f"repeat: tests/test_emit_compile.py {args.iqtile} --seed {args.seed}")
    return 1 if failed or not work else 0


if __name__ == "__main__":
    sys.exit(main())
