"""iqtile predict: matrices of a model, their sums, experts, and what it says when it cannot.

Usage: test_predict.py IQTILE. GPUs without a compiler need none; the others are skipped with the
reason. IQT_REQUIRE=nvrtc,nvdisasm,hip,objdump makes an absence a failure."""
import csv
import glob
import io
import json
import os
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = sorted(glob.glob(os.path.join(HERE, os.pardir, "examples", "models", "*.gguf")))
LABEL = "prediction, not a measurement"
# GPU, words of IQT_REQUIRE, marks of an absence in the message.
GPUS = [("H200", ("nvrtc", "nvdisasm"), ("no NVRTC", "no nvdisasm")),
        ("MI300X", ("hip", "objdump"), ("no clang", "no comgr", "no llvm-objdump", "no compiler",
                                        "unknown target"))]
LIMITS = ["memory", "issue", "latency", "launch"]
F32, U32, STRING = 0, 4, 8

failures = []


def expect(good, text):
    if not good:
        failures.append(text)


class Program:
    def __init__(self, path):
        self.path = os.path.abspath(path)

    def run(self, *args, **options):
        return subprocess.run([self.path, "predict", *args], text=True, capture_output=True,
                              timeout=600, **options)

    def rows(self, *args):
        done = self.run(*args, "--csv")
        expect(done.returncode == 0, f"{args}: exit {done.returncode}: {done.stderr}")
        return list(csv.DictReader(io.StringIO(done.stdout)))


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def write_model(path, tensors, keys):
    """tensors: name and dimensions of F32; keys: name and uint32 or string."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    for name, value in keys:
        kind = STRING if isinstance(value, str) else U32
        head += text(name) + struct.pack("<I", kind)
        head += text(value) if kind == STRING else struct.pack("<I", value)
    offset = 0
    for name, shape in tensors:
        head += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", F32, offset)
        size = 4
        for n in shape:
            size *= n
        offset += (size + 31) // 32 * 32
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % 32) + bytes(offset))


def check_rows(rows, where):
    total = rows.pop()
    us = sum(float(row["us"]) for row in rows)
    expect(total["matrix"] == "total" and abs(float(total["us"]) - us) < 1e-3 * us,
           f"{where}: total {total['us']} us, sum {us}")
    for row in rows:
        parts = [float(row[f"{limit}_us"]) for limit in LIMITS]
        expect(row["basis"] == "prediction" and row["limit"] in LIMITS, f"{where}: {row}")
        expect(max(parts) <= float(row["us"]) * 1.0001 <= sum(parts) * 1.0002,
               f"{where}: {row['matrix']}: {row['us']} us of {parts}")
    return rows


def matrices(program, model):
    """The two-dimensional tensors but the embeddings, from iqtile info."""
    done = subprocess.run([program.path, "info", "--json", model], text=True,
                          capture_output=True, timeout=60)
    return {tensor["name"] for tensor in json.loads(done.stdout)["tensors"]
            if len(tensor["shape"]) == 2 and tensor["name"] != "token_embd.weight"}


def check_model(program, gpu, words, marks, model):
    """False: skipped."""
    done = program.run(model, "--gpu", gpu)
    if done.returncode == 1 and any(mark in done.stderr for mark in marks):
        required = set(words) & set(os.environ.get("IQT_REQUIRE", "").split(","))
        if required:
            failures.append(f"{gpu}: {done.stderr.strip()} (IQT_REQUIRE has "
                            f"{' '.join(sorted(required))})")
        else:
            print(f"skipped {gpu}: {done.stderr.strip()}")
        return False
    where = f"{gpu} {os.path.basename(model)}"
    expect(done.returncode == 0 and done.stdout.startswith(LABEL) and "tokens/s" in done.stdout,
           f"{where}: exit {done.returncode}: {done.stderr}")
    if done.returncode != 0:
        return False
    rows = check_rows(program.rows(model, "--gpu", gpu), where)
    expect({row["matrix"] for row in rows} == matrices(program, model),
           f"{where}: matrices {sorted(row['matrix'] for row in rows)}")
    for row in rows:
        expect(f"{row['matrix']} " in done.stdout, f"{where}: no {row['matrix']} in the text")
        expect(bool(row["plan"]) == (float(row["slots_per_weight"]) > 0) == bool(words),
               f"{where}: {row['matrix']}: plan '{row['plan']}', {row['slots_per_weight']} slots")
    return True


def check_shape(program, gpu):
    """A format's slots are those of iqtile stats; more columns cost more."""
    target = {"H200": "sm_90", "MI300X": "gfx942"}[gpu]
    done = subprocess.run([program.path, "stats", "--target", target, "--format", "iq4_k", "--csv"],
                          text=True, capture_output=True, timeout=600)
    counted = next(csv.DictReader(io.StringIO(done.stdout)))
    for k in ("4096", "14336"):
        row, = program.rows("--shape", f"4096x{k}", "--format", "iq4_k", "--gpu", gpu)
        expect(row["slots_per_weight"] == counted[f"whole_{k}"] and row["plan"] == counted["plan"],
               f"{gpu}, k = {k}: {row['slots_per_weight']} slots, stats {counted[f'whole_{k}']}")
    eight, = program.rows("--shape", "4096x14336", "--format", "iq4_k", "--gpu", gpu, "-n", "8")
    expect(float(eight["issue_us"]) > 1.5 * float(row["issue_us"]), f"{gpu}: eight columns free")


def check_experts(program, folder):
    path = os.path.join(folder, "experts.gguf")
    tensors = [("token_embd.weight", (64, 32)), ("blk.0.ffn_up_exps.weight", (64, 16, 8)),
               ("blk.0.attn_norm.weight", (64,)), ("blk.0.attn_k_b.weight", (64, 16, 4))]
    arch = ("general.architecture", "llama")
    for used, columns, rows in ((2, "1", 32), (2, "3", 96), (2, "16", 128), (None, "1", 128)):
        write_model(path, tensors, [arch] + ([("llama.expert_used_count", used)] if used else []))
        got = program.rows(path, "--gpu", "B580", "-n", columns)
        got = {row["matrix"]: row for row in check_rows(got, "experts")}
        expect(set(got) == {"token_embd.weight", "blk.0.ffn_up_exps.weight",
                            "blk.0.attn_k_b.weight"}, f"experts: {sorted(got)}")
        up = got["blk.0.ffn_up_exps.weight"]
        expect(int(up["rows"]) == rows and int(up["weight_bytes"]) == rows * 64 * 4,
               f"{used} experts, {columns} columns: {up['rows']} rows, {up['weight_bytes']} bytes")
        expect(got["blk.0.attn_k_b.weight"]["rows"] == "64", "experts: rows of all heads")
        shown = program.run(path, "--gpu", "B580", "-n", columns).stdout
        expect(f"{rows // 16} of 8 experts" in shown and "no output.weight" in shown and
               ("assumed: all" in shown) == (used is None), f"experts: {shown}")


def check_bad(program, folder):
    model = MODELS[0]
    missing = os.path.join(folder, "missing.gguf")
    nothing = os.path.join(folder, "nothing.gguf")
    write_model(nothing, [("blk.0.attn_norm.weight", (64,))], [])
    for args, code, named in (([model], 2, "--gpu"), (["--gpu", "H200"], 2, "--shape"),
                              ([model, "--gpu", "GTX 1080"], 2, "RX 7900 XTX"),
                              ([model, "--gpu", "B580", "--shape", "4x4"], 2, "--shape"),
                              ([model, "--gpu", "B580", "--format", "iq4_k"], 2, "--shape"),
                              ([model, "--gpu", "B580", "-n", "17"], 2, "16"),
                              (["--shape", "4096", "--gpu", "B580"], 2, "MxK"),
                              (["--shape", "16x100", "--gpu", "B580"], None, "100"),
                              ([missing, "--gpu", "B580"], 1, "missing.gguf"),
                              ([nothing, "--gpu", "B580"], 1, "no matrix")):
        done = program.run(*args)
        expect(done.returncode == code or (code is None and done.returncode in (1, 2)),
               f"{args}: exit {done.returncode}")
        expect(named in done.stderr and done.stdout == "", f"{args}: {done.stderr}{done.stdout}")
    for variables in ({"IQT_NVRTC": "/nowhere/libnvrtc.so"}, {"IQT_NVDISASM": "/nowhere/nvdisasm"}):
        done = program.run(model, "--gpu", "H200", env={**os.environ, **variables})
        expect(done.returncode == 1 and done.stdout == "" and
               ("/nowhere" in done.stderr or "no " in done.stderr), f"{variables}: {done.stderr}")
    listed = program.run("--list")
    expect(listed.returncode == 0 and listed.stdout.count("\n") > 20, f"--list: {listed.stdout}")


def main():
    program = Program(sys.argv[1])
    ran = [gpu for gpu, words, marks in GPUS
           if check_model(program, gpu, words, marks, MODELS[0])]
    for model in MODELS:
        check_model(program, "Arc B580", (), (), model)
    for gpu in ran:
        check_shape(program, gpu)
    with tempfile.TemporaryDirectory() as folder:
        check_experts(program, folder)
        check_bad(program, folder)
    print("\n".join(failures) if failures else f"predicted for {' '.join(ran + ['Arc B580'])}")
    if failures:
        print(f"repeat: {' '.join(sys.argv)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
