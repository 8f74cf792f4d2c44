"""Emitted kernel text compiles: every default plan as GLSL (validated SPIR-V), as CUDA with NVRTC,
as HIP and as C, as far as there are compilers; no GPU is needed. Emission gives equal bytes twice.

    test_emit_compile.py IQTILE [--seed N] [--all] [--filter GLOB]

Default: each plan once with a compiler of its dialect drawn by the seed, --all: with each
compiler. Exit 77 when there is no compiler at all; IQT_REQUIRE=glslc,nvrtc,hip,gcc,clang makes a
missing one a failure."""
import argparse
import concurrent.futures
import fnmatch
import os
import random
import subprocess
import sys
import time

import emit_compilers

DIALECTS = ("glsl", "cuda", "hip", "host")
OPS = ("matvec", "gated")
LAYOUTS = ("native", "packed")
COLUMNS = (1, 4, 16)
# Of the default plans of a dialect, how many one ordinary run compiles.
SAMPLE = {"glsl": 60, "cuda": 60, "hip": 60, "host": 30}


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
    for compiler in compilers:
        log = compiler.compile(text)
        if log is not None:
            failures.append(f"{name}: {compiler.name}:\n" + "\n".join(log.split("\n")[:12]) +
                            "\n  text: iqtile gen " + " ".join(options))
    return failures


def choose(args, rng, compilers):
    """List of (name, options, compilers)."""
    work = []
    for dialect in DIALECTS:
        own = [c for c in compilers if c.dialect == dialect]
        plans = default_plans(args.iqtile, dialect) if own else {}
        names = [n for n in plans if fnmatch.fnmatch(n, args.filter)]
        if not args.all:
            names = rng.sample(names, min(len(names), SAMPLE[dialect]))
        work += [(n, plans[n], own if args.all else [rng.choice(own)]) for n in names]
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
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--filter", default="*")
    args = parser.parse_args()
    print(f"seed {args.seed}")
    compilers, absent = emit_compilers.find_compilers()
    print("compilers:", ", ".join(c.name for c in compilers))
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
