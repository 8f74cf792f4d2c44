"""iqtile stats with the real compilers and disassemblers, no GPU: every default plan has a row of
plausible numbers, the text says the same, gen writes the very binary, a missing program is named.

Usage: test_stats_tools.py IQTILE. A target whose tools are absent is skipped with the reason; exit
77 when all are. IQT_REQUIRE=nvrtc,nvdisasm,hip,objdump,radv,glslc makes an absence a failure."""
import csv
import io
import os
import re
import subprocess
import sys
import tempfile

COLUMNS = ["format", "n", "plan", "weights_per_iteration", "instructions_per_weight",
           "slots_per_weight", "registers", "spill_bytes", "layout", "target", "compiler",
           "cycles_per_weight", "whole_4096", "whole_14336", "unroll", "inner_loops",
           "memory_slots", "mma_slots", "loaded_bytes", "needed_bytes", "shared_bytes", "scalar_registers",
           "waves", "occupancy", "estimated_slots", "alu", "multiply", "float", "convert", "mma", "load_global",
           "load_shared", "load_constant", "local", "store", "shuffle", "uniform", "scalar_load",
           "control"]
CLASSES = COLUMNS[COLUMNS.index("alu"):]
# The family's own formats come first, whatever else there is.
FAMILY = 15
# Of the others IQT_SEED draws one whose formats are all counted; IQT_ALL=1 counts all.
OTHERS = ("gfx1100", "radv:navi21")
# Target, whether all formats are counted, words of IQT_REQUIRE that make its absence a failure,
# marks of an absence in the message.
TARGETS = [("sm_90", True, ("nvrtc", "nvdisasm"), ("no NVRTC", "no nvdisasm")),
           ("gfx1100", True, ("hip", "objdump"),
            ("no clang", "no comgr", "no llvm-objdump", "no compiler")),
           ("gfx942", False, ("hip", "objdump"),
            ("no clang", "no comgr", "no llvm-objdump", "no compiler", "unknown target")),
           ("radv:navi21", True, ("radv", "glslc"), ("no RADV", "libvulkan", "no GLSL", "glslc")),
           ("radv:gfx1100", False, ("radv", "glslc"),
            ("no RADV", "libvulkan", "no GLSL", "glslc"))]

failures = []


def expect(good, text):
    if not good:
        failures.append(text)


class Program:
    def __init__(self, path):
        self.path = os.path.abspath(path)

    def run(self, *args, **options):
        return subprocess.run([self.path, *args], text=True, capture_output=True, timeout=600,
                              **options)

    def formats(self):
        done = self.run("gen", "--list", "--dialect", "host")
        names = dict.fromkeys(plan.split(".")[1] for plan in done.stdout.split())
        return list(names)


def absent(target, done, words, marks):
    """Whether a failed run is to be skipped: its tools are not installed, and nobody asked for it."""
    if done.returncode != 1 or not any(mark in done.stderr for mark in marks):
        return False
    required = set(words) & set(os.environ.get("IQT_REQUIRE", "").split(","))
    if required:
        failures.append(f"{target}: {done.stderr.strip()} (IQT_REQUIRE has "
                        f"{' '.join(sorted(required))})")
    else:
        print(f"skipped {target}: {done.stderr.strip()}")
    return True


def slots(row):
    """The definition once more, from the columns."""
    count = {name: float(row[name]) for name in CLASSES}
    return max(sum(count.values()), 2 * count["alu"], 2 * count["multiply"],
               float(row["memory_slots"]), 8 * count["convert"], float(row["mma_slots"]))


def check_row(row):
    where = f"{row['target']} {row['format']} {row['plan']}"
    weights = float(row["weights_per_iteration"])
    span, rows = (int(re.search(rf"\.{letter}(\d+)\.", row["plan"]).group(1)) for letter in "sr")
    counted = sum(float(row[name]) for name in CLASSES)

    expect(weights == span * rows * int(row["unroll"]), f"{where}: {weights} weights")
    expect(abs(counted / weights - float(row["instructions_per_weight"])) < 1e-3,
           f"{where}: the classes sum up to {counted}")
    if row["target"].startswith("sm_"):
        expect(abs(slots(row) / weights - float(row["slots_per_weight"])) < 1e-3,
               f"{where}: {slots(row) / weights} slots per weight, printed "
               f"{row['slots_per_weight']}")
    else:
        expect(row["slots_per_weight"] == row["cycles_per_weight"], f"{where}: slots and cycles")
    expect(0.2 < float(row["slots_per_weight"]) < 60, f"{where}: {row['slots_per_weight']} slots")
    if row["layout"] == "packed" and re.match(r"iq\d_k|iq4_xs", row["format"]) and "radv" not in row["target"]:
        guess = float(row["estimated_slots"]) / float(row["slots_per_weight"])
        expect(0.75 < guess < 1.25, f"{where}: the tuner takes {row['estimated_slots']} slots for "
               f"{row['slots_per_weight']}: tuner/estimate.c")
    loaded = float(row["loaded_bytes"]) / float(row["needed_bytes"])
    expect(0.9 < loaded < 4, f"{where}: loads {loaded} times what it needs")
    for k in ("whole_4096", "whole_14336"):
        expect(float(row[k]) > 0.999 * float(row["slots_per_weight"]), f"{where}: {k} {row[k]}")
    expect(float(row["whole_4096"]) >= float(row["whole_14336"]), f"{where}: shorter rows cost less")
    expect(8 <= int(row["registers"]) <= 512, f"{where}: {row['registers']} registers")
    expect(0 < float(row["occupancy"]) <= 1, f"{where}: occupancy {row['occupancy']}")
    if row["target"] == "gfx1100" and row["layout"] == "packed" and row["n"] == "1" and ".r4." in row["plan"]:
        expect(float(row["occupancy"]) >= 0.5, f"{where}: {row['registers']} registers leave {row['waves']} waves: does "
               "the compiler begin all rows at once (IN_ORDER in codegen/emit_tile.c)?")
    if ".mma." in row["plan"]:
        expect(float(row["mma"]) > 0, f"{where}: no matrix units")
    elif row["plan"].endswith(("perm.shmem", "none.shmem")) and "radv" not in row["target"]:
        group, threads = (int(re.search(rf"\.{letter}(\d+)\.", row["plan"]).group(1))
                          for letter in "gt")
        expect(int(row["shared_bytes"]) == 4 * group * threads // rows,
               f"{where}: {row['shared_bytes']} bytes of shared memory, not a float a thread")
    expect(float(row["load_global"]) > 0 and row["compiler"] != "", f"{where}: no loads, no compiler")


def check_table(program, target, rows, names):
    expect([row["format"] for row in rows] == names, f"{target}: not one row a format, in order")
    for row in rows:
        check_row(row)
    text = program.run("stats", "--target", target, "--format", names[0])
    expect(text.returncode == 0 and rows[0]["plan"] in text.stdout,
           f"{target}: no text about {names[0]}: {text.stderr}")
    shown = re.search(rf"^{names[0]} +1 +[\d.]+ +([\d.]+)", text.stdout, re.M)
    expect(shown and abs(float(shown.group(1)) - float(rows[0]["slots_per_weight"])) < 0.006,
           f"{target}: text and CSV differ on {names[0]}")


def check_target(program, target, every, words, marks):
    """False: skipped, or failed altogether."""
    names = program.formats()
    chosen = "all" if every else names[FAMILY - 3]
    done = program.run("stats", "--target", target, "--format", chosen, "--csv")

    if absent(target, done, words, marks):
        return False
    expect(done.returncode == 0, f"stats --target {target}: exit {done.returncode}: {done.stderr}")
    if done.returncode != 0:
        return False
    reader = csv.DictReader(io.StringIO(done.stdout))
    expect(reader.fieldnames == COLUMNS, f"{target}: columns {reader.fieldnames}")
    check_table(program, target, list(reader), names if every else [chosen])
    return True


def check_plans(program):
    """Other plans than the defaults: columns, layout, operation."""
    for options in (["-n", "8"], ["--layout", "native"], ["--op", "gated"],
                    ["--layout", "native", "--op", "gated", "-n", "16"]):
        done = program.run("stats", "--target", "sm_90", "--format", "iq4_k", "--csv", *options)
        expect(done.returncode == 0, f"stats {options}: {done.stderr}")
        for row in csv.DictReader(io.StringIO(done.stdout)):
            check_row(row)
            name = row["plan"]
            expect((".mma." in name) == (options == ["-n", "8"]), f"stats {options}: counts {name}")
            again = program.run("stats", "--target", "sm_90", "--plan", name, "--csv")
            rows = list(csv.DictReader(io.StringIO(again.stdout)))
            expect(again.returncode == 0 and len(rows) == 1 and
                   rows[0]["slots_per_weight"] == row["slots_per_weight"],
                   f"stats --plan {name}: {again.stderr}")


def check_tensors(program):
    """Products are longer on some targets, whatever their shape, and the tuner knows it."""
    for target, products, name in (
            ("sm_75", 5.0, "matvec.iq5_ks.cuda.n8.g32.r4.t32.s64.v16.u1.k1.packed.mma.perm.shmem"),
            ("sm_80", 1.5, "matvec.iq4_ks.cuda.n8.g32.r4.t32.s64.v16.u1.k1.packed.mma.perm.shmem"),
            ("sm_86", 4.0, "matvec.iq2_kt.cuda.n1.g32.r4.t32.s64.v16.u1.k1.packed.mma.none.shmem"),
            ("sm_120", 10.0, "matvec.iq2_kl.cuda.n16.g32.r4.t32.s64.v16.u1.k1.packed.mma.perm.shmem")):
        done = program.run("stats", "--target", target, "--plan", name, "--csv")
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        expect(done.returncode == 0 and len(rows) == 1, f"stats --plan {name}: {done.stderr}")
        for row in rows:
            check_row(row)
            counted = float(row["mma_slots"]) / float(row["weights_per_iteration"])
            expect(abs(counted - products) < 1e-3, f"{target}: {name}: {counted} slots of products, not {products}")


def check_amd_units(program):
    """Plans for AMD's matrix units, which are no defaults: counted, as the tuner expects, without spills."""
    for target, name in (("gfx942", "matvec.iq4_ks.hip.n16.g16.r4.t16.s64.v16.u1.k1.packed.mma.perm.shmem"),
                         ("gfx942", "matvec.iq2_k.hip.n8.g32.r4.t16.s64.v16.u1.k1.packed.mma.perm.shmem"),
                         ("gfx942", "gated.iq5_k.hip.n16.g64.r4.t8.s64.v16.u1.k1.packed.mma.perm.shmem"),
                         ("gfx942", "matvec.iq6_k.hip.n2.g16.r4.t32.s64.v16.u1.k1.packed.mma.perm.shmem"),
                         ("gfx942", "matvec.iq1_kt.hip.n5.g32.r4.t8.s64.v16.u1.k1.packed.mma.none.shmem"),
                         ("gfx1100", "matvec.iq2_k.hip.n16.g16.r4.t8.s64.v16.u1.k1.packed.mma.perm.shmem"),
                         ("gfx1100", "matvec.iq5_k.hip.n8.g16.r4.t16.s64.v16.u1.k1.packed.mma.perm.shmem"),
                         ("gfx1201", "matvec.iq6_k.hip.n2.g16.r4.t32.s64.v16.u1.k1.packed.mma.perm.shmem"),
                         ("gfx1201", "gated.iq4_k.hip.n16.g16.r4.t8.s64.v16.u1.k1.packed.mma.perm.shmem")):
        done = program.run("stats", "--target", target, "--plan", name, "--csv")
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        expect(done.returncode == 0 and len(rows) == 1, f"stats --plan {name}: {done.stderr}")
        for row in rows:
            check_row(row)
            expect(row["spill_bytes"] == "0", f"{name}: {row['spill_bytes']} bytes spilled")
    done = program.run("stats", "--target", "gfx1100", "--plan",
                       "matvec.iq4_k.hip.n4.g64.r4.t8.s64.v16.u1.k1.packed.mma.perm.shmem")
    expect(done.returncode != 0 and "no matrix unit" in done.stderr, f"64 rows in waves of 32: {done.stderr}")


def check_floats(program):
    """Activations of 16 and 32 bits: the tuner's slots are near the counted ones, and their bytes are what differs."""
    for dialect, target in (("cuda", "sm_90"), ("hip", "gfx1100")):
        names = program.run("gen", "--list", "--format", "iq4_k", "--dialect", dialect, "--layout", "native")
        plan = next(name for name in names.stdout.split() if re.search(r"\.g16\.r1\.t4\.s128.*\.perm\.shmem$", name))
        row = {}
        for kind in ("i8", "f16", "f32"):
            name = plan.replace(".i8.", f".{kind}.")
            done = program.run("stats", "--target", target, "--plan", name, "--csv")
            expect(done.returncode == 0, f"stats --plan {name}: {done.stderr}")
            if done.returncode != 0:
                return
            row[kind] = next(csv.DictReader(io.StringIO(done.stdout)))
            check_row(row[kind])
        needed = {kind: float(row[kind]["needed_bytes"]) for kind in row}
        weights = needed["f32"] - 128 * 4
        expect(abs(needed["f16"] - weights - 128 * 2.125) < 1e-6 and abs(needed["i8"] - weights - 128 * 1.125) < 1e-6,
               f"{target}: {needed} bytes of a span of 128")
        for kind in ("f16", "f32"):
            guess = float(row[kind]["estimated_slots"]) / float(row[kind]["slots_per_weight"])
            expect(0.6 < guess < 1.5, f"{target}: the tuner takes {row[kind]['estimated_slots']} slots for "
                   f"{row[kind]['slots_per_weight']} of {kind}: of_floats in tuner/estimate.c")
            expect(float(row[kind]["loaded_bytes"]) < 1.1 * needed[kind], f"{target}: {kind} loads "
                   f"{row[kind]['loaded_bytes']} bytes for {needed[kind]}")


def check_binary(program, target):
    """gen writes the binary that stats counts in."""
    done = program.run("stats", "--target", target, "--format", "iq4_k", "--csv")
    row = next(csv.DictReader(io.StringIO(done.stdout)))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "kernel")
        made = program.run("gen", "--target", target, "--format", "iq4_k", "-o", path)
        expect(made.returncode == 0, f"gen --target {target}: {made.stderr}")
        again = program.run("stats", "--target", target, "--binary", path, "--weights",
                            row["weights_per_iteration"], "--threads", "64", "--csv")
    expect(again.returncode == 0, f"stats --binary: {again.stderr}")
    other = next(csv.DictReader(io.StringIO(again.stdout)))
    for name in ["slots_per_weight", "registers", "shared_bytes", *CLASSES]:
        expect(row[name] == other[name], f"{target}: --binary gives {name} {other[name]}, "
                                         f"--format {row[name]}")


def check_missing(program):
    """Each tool in turn is not there: exit 1 and the variable's name."""
    cases = [("sm_90", {"IQT_NVRTC": "/nowhere/libnvrtc.so"}, "/nowhere/libnvrtc.so"),
             ("sm_90", {"IQT_NVDISASM": "/nowhere/nvdisasm"}, "/nowhere/nvdisasm"),
             ("gfx942", {"IQT_OBJDUMP": "/nowhere/objdump"}, "/nowhere/objdump"),
             ("radv:navi21", {"IQT_RADV_ICD": "/nowhere/radeon.json"}, "IQT_RADV_ICD")]
    for target, variables, named in cases:
        done = program.run("stats", "--target", target, "--format", "iq4_k",
                           env={**os.environ, **variables})
        expect(done.returncode == 1 and (named in done.stderr or "no " in done.stderr),
               f"{target} with {variables}: exit {done.returncode}: {done.stderr}")
        expect("slots" not in done.stdout or len(done.stdout.split("\n")) < 6,
               f"{target} with {variables} prints numbers")
    with tempfile.TemporaryDirectory() as folder:
        bare = {"PATH": folder, "HOME": folder}
        for target in ("sm_90", "gfx1100", "radv:navi21"):
            done = program.run("stats", "--target", target, "--format", "iq4_k", env=bare,
                               cwd=folder)
            expect(done.returncode in (0, 1) and "Traceback" not in done.stderr and
                   (done.returncode == 0 or "no " in done.stderr),
                   f"{target} without programs: exit {done.returncode}: {done.stderr}")


def check_dynamic(program):
    """Counted while the text runs; the sums are held to limits by test_sim_mutants."""
    for target in ("cuda", "gfx1100"):
        args = ("stats", "--dynamic", "--target", target, "--format", "iq4_k", "-n", "2")
        text, done = program.run(*args), program.run(*args, "--csv")
        if "no C++ compiler" in done.stderr:
            print(f"skipped --dynamic: {done.stderr.strip()}")
            return
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        expect(done.returncode == 0 and len(rows) == 1, f"{args}: {done.stderr}")
        for row in rows:
            expect(float(row["w_ratio"]) == 1 and row["bank_conflicts"] == "0" and
                   float(row["dot4_per_weight"]) >= 0.5 and
                   row["w_needed_bytes"] == str(32 * 4096 * 144 // 256), f"{args}: {row}")
        expect(text.returncode == 0 and "uncoalesced" not in text.stdout and
               "weights" in text.stdout, f"{args}: {text.stdout}{text.stderr}")


def check_usage(program):
    for args, named in ((["stats"], "--target"),
                        (["stats", "--dynamic", "--target", "radv:navi21"], "cuda"),
                        (["stats", "--dynamic", "--k", "100"], "256"),
                        (["stats", "--target", "sm_90", "--k", "256"], "--dynamic"),
                        (["stats", "--dynamic", "--binary", "x", "--weights", "1"], "--dynamic"), (["stats", "--target", "sm_"], "sm_90"),
                        (["stats", "--target", "spirv"], "radv:navi21"),
                        (["stats", "--target", "sm_90", "--format", "quux"], "iq4_k"),
                        (["stats", "--target", "sm_90", "--plan", "quux"], "quux"),
                        (["stats", "--target", "sm_90", "-n", "17"], "16"),
                        (["stats", "--target", "sm_90", "--binary", "x"], "--weights"),
                        (["stats", "--target", "sm_90", "--weights", "1"], "--binary")):
        done = program.run(*args)
        expect(done.returncode == 2 and named in done.stderr,
               f"{' '.join(args)}: exit {done.returncode}: {done.stderr}")


def check_bad_binary(program):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "kernel")
        for content in (b"", b"\x7fELF", b"\x7fELF\2\1" + bytes(58), os.urandom(4096)):
            with open(path, "wb") as file:
                file.write(content)
            for target in ("sm_90", "gfx1100"):
                done = program.run("stats", "--target", target, "--binary", path, "--weights", "1")
                expect(done.returncode == 1 and done.stderr.startswith("iqtile: "),
                       f"{target} of {len(content)} bytes: exit {done.returncode}: {done.stderr}")


def check_states(program):
    """Issue cycles of the trellis in GLSL, one column, and no spills: at most 1.15 times the floors of docs/kernels.md."""
    for name, most in (("iq1_kt", 6.04), ("iq2_kt", 6.04), ("iq3_kt", 8.9), ("iq4_kt", 6.6)):
        done = program.run("stats", "--target", "radv:gfx1100", "--format", name, "--csv")
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        expect(done.returncode == 0 and len(rows) == 1, f"stats --format {name}: {done.stderr}")
        for row in rows:
            expect(float(row["cycles_per_weight"]) <= most and row["spill_bytes"] == "0",
                   f"{row['plan']}: {row['cycles_per_weight']} cycles, at most {most}; spills {row['spill_bytes']}")


def main():
    program = Program(sys.argv[1])
    drawn = OTHERS[int(os.environ.get("IQT_SEED", "0"), 0) % len(OTHERS)]
    few = () if os.environ.get("IQT_ALL") else set(OTHERS) - {drawn}
    ran = [target for target, every, words, marks in TARGETS
           if check_target(program, target, every and target not in few, words, marks)]
    if "sm_90" in ran:
        check_plans(program)
        check_tensors(program)
    if "gfx942" in ran:
        check_amd_units(program)
    if "radv:gfx1100" in ran:
        check_states(program)
    if {"sm_90", "gfx1100"} <= set(ran):
        check_floats(program)
    for target in set(ran) & {"sm_90", "gfx942"}:
        check_binary(program, target)
    check_missing(program)
    check_dynamic(program)
    check_usage(program)
    check_bad_binary(program)
    print("\n".join(failures) if failures else f"counted for {' '.join(ran) or 'nothing'}")
    if failures:
        print(f"repeat: IQT_SEED={os.environ.get('IQT_SEED', '0')} {' '.join(sys.argv)}")
        return 1
    return 0 if ran else 77


if __name__ == "__main__":
    sys.exit(main())
