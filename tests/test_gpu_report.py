"""iqtile gpu-report on made-up stages (good, failed, absent, hostile), and scripts/gpu.sh from end to
end on a simulated and on a software device.

Usage: test_gpu_report.py PROGRAM [--seed N] [--keep FOLDER]. --keep writes the good folder and stops:
to look at the page. No time is judged."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPT = os.path.join(HERE, "..", "scripts", "gpu.sh")
FORMATS = {"iq1_kt": 1.75, "iq2_kt": 2.125, "iq3_kt": 3.125, "iq4_kt": 4.0, "iq2_ks": 2.1875,
           "iq2_kl": 2.6875, "iq3_ks": 3.1875, "iq4_kss": 4.0, "iq4_ks": 4.25, "iq5_ks": 5.25,
           "iq2_k": 2.375, "iq3_k": 3.4375, "iq4_k": 4.5, "iq5_k": 5.5, "iq6_k": 6.625}
LAYOUTS, COLUMNS, M, K = ("native", "packed"), (1, 2, 4, 8, 16), 14336, 4096
COPY, UNITS, MHZ = 2.5e12, 100, 2000
STAGES = ("check", "golden", "tune", "bench-native", "bench-packed", "stats")
RATIO = 1.25  # measured over predicted in the made-up world

failures = []


def expect(good, text):
    if not good:
        failures.append(text)


def write(folder, name, data):
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def read(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


# ---- A made-up world -----------------------------------------------------------------------------


def plan_of(f, layout, n):
    return f"matvec.{f}.cuda.n{n}.g16.r1.t4.s128.v16.u1.{layout}.perm.shmem"


def slots_of(f, layout, n):
    place = list(FORMATS).index(f)
    return (0.8 + 0.11 * place) * (1.3 if layout == "native" else 1) * (1 + 0.35 * (n - 1))


def seconds_of(f, layout, n):
    issue = M * K * slots_of(f, layout, n) / (UNITS * MHZ * 1e6 * 128)
    return RATIO * max(issue, M * K * FORMATS[f] / 8 / COPY)


def bench_of(layout):
    cases = [{"name": "bandwidth/cuda:0/iterations:3/manual_time", "real_time": 300.0,
              "time_unit": "us", "bytes": COPY, "bandwidth": COPY, "label": "copy"}]
    for f, bits in FORMATS.items():
        for n in COLUMNS:
            rate = M * K * bits / 8 / seconds_of(f, layout, n)
            cases.append({"name": f"matvec/cuda:0/{f}/{layout}/{M}x{K}/n{n}/min_time:0.1/manual_time",
                          "real_time": seconds_of(f, layout, n) * 1e6, "time_unit": "us",
                          "bytes": rate, "percent_of_bandwidth": 100 * rate / COPY,
                          "label": plan_of(f, layout, n)})
    return json.dumps({"context": {}, "benchmarks": cases})


def make_good(folder):
    os.makedirs(folder, exist_ok=True)
    write(folder, "run.txt", "device: cuda:0\nDate: 2026-01-01 00:00 UTC\nCommit: <made up>\n")
    write(folder, "devices.json", json.dumps({"devices": [
        {"spec": "cuda:0", "backend": "cuda", "name": "Made-up GPU & <Co>", "driver": "driver 1.0",
         "id": "x", "arch": "sm_90", "features": f"sm_90 dot4 warp32 {MHZ}MHz",
         "memory_bytes": 80 << 30, "cache_bytes": 50 << 20, "compute_units": UNITS}]}))
    every = [(f, layout, n) for f in FORMATS for layout in LAYOUTS for n in COLUMNS]
    write(folder, "tune.out", json.dumps([
        {"format": f, "layout": layout, "m": M, "k": K, "n": n, "speedup": 1 + n / 20}
        for f, layout, n in every]))
    head = ("format,n,plan,weights_per_iteration,instructions_per_weight,slots_per_weight,registers,"
            "spill_bytes\n")
    write(folder, "stats.out", "".join(
        (head if i % 30 == 0 else "") +
        f"{f},{n},{plan_of(f, layout, n)},128,0.9,{slots_of(f, layout, n)},40,0\n"
        for i, (f, layout, n) in enumerate(every)))
    for layout in LAYOUTS:
        write(folder, f"bench-{layout}.out", bench_of(layout))
    for name in STAGES:
        write(folder, f"{name}.stage", f"status: 0\nseconds: 12\ncommand: iqtile {name} <x>\nnote: \n")


# ---- What a report must be ------------------------------------------------------------------------


def merge(program, folder, codes=(0, 1)):
    result = subprocess.run([program, "gpu-report", folder], capture_output=True, text=True,
                            timeout=60)
    expect(result.returncode in codes,
           f"{folder}: exit {result.returncode}, expected one of {codes}\n{result.stderr[-1000:]}")
    return result


def check_page(folder):
    text = read(folder, "gpu-report.html").decode()
    for pattern in (r"https?:", r"\bsrc=", r"\bhref=", r"url\(", r"@import", r"<script", r"<link\b"):
        expect(not re.search(pattern, text), f"the page is not self-contained: it has {pattern}")
    body = text.split("</style>")[-1]
    expect(not re.search(r"\b(nan|inf|null)\b", body.lower()), "the page has a NaN or an infinity")
    return ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>")), text


def outcome(folder):
    """The JSON and the page of a folder, both whole."""
    report = json.loads(read(folder, "gpu-report.json"))
    root, text = check_page(folder)
    rows = {r.attrib["data-stage"]: r for r in root.iter("tr") if "data-stage" in r.attrib}
    for s in report["stages"]:
        expect(s["state"] in "".join(rows[s["stage"]].itertext()), f"state of {s} is on the page")
    return report, root, text, {s["stage"]: s for s in report["stages"]}


def close(a, b):
    return abs(a - b) <= 1e-6 * abs(b)


def test_good(program, folder):
    make_good(folder)
    merge(program, folder, (0,))
    report, root, text, stages = outcome(folder)
    expect(report["complete"] and report["kind"] == "measured", f"complete, measured: {report['kind']}")
    expect(set(s["state"] for s in stages.values()) == {"ok"}, f"states: {stages}")
    expect(len(report["results"]) == 150, f"{len(report['results'])} results")
    for r in report["results"]:
        key = r["format"], r["layout"], r["n"]
        expect(close(r["seconds"], seconds_of(*key)), f"{key}: seconds")
        expect(close(r["slots_per_weight"], slots_of(*key)), f"{key}: slots")
        expect(close(r["predicted_seconds"] * RATIO, r["seconds"]), f"{key}: prediction")
        expect(close(r["speedup_over_default"], 1 + r["n"] / 20), f"{key}: gain")
    for v in report["slot_model"]:
        expect(v["kernels"] == 30 and close(v["measured_over_predicted"], RATIO) and
               0.5 < v["rank_correlation"] <= 1, f"verdict {v}")
    expect(len(report["slot_model"]) == 5, "a verdict for each n")
    expect(len(root.findall(".//svg")) == 3, "three charts")
    expect("Made-up GPU &amp; &lt;Co&gt;" in text and "Simulated" not in text, "the device's name")
    rows = [r for r in root.iter("tr") if "data-format" in r.attrib]
    expect(len(rows) == 30 and all(len(list(r)) == 2 + 4 * 5 for r in rows), "rows of the table")


def test_states(program, folder):
    make_good(folder)
    write(folder, "golden.stage", "status: 1\nseconds: 3\ncommand: c\nnote: IQ4_KS <b>differs</b>\n")
    write(folder, "stats.stage", "status: 77\nseconds: 0\ncommand: \nnote: no nvdisasm here\n")
    os.remove(os.path.join(folder, "stats.out"))
    os.remove(os.path.join(folder, "check.stage"))
    write(folder, "tune.stage", "status: 130\nseconds: 3\ncommand: c\nnote: interrupted\n")
    os.remove(os.path.join(folder, "tune.out"))
    result = merge(program, folder, (1,))
    report, root, text, stages = outcome(folder)
    expect([stages[s]["state"] for s in STAGES] ==
           ["not run", "failed", "interrupted", "ok", "ok", "left out"], f"states: {stages}")
    expect("&lt;b&gt;differs" in text and text.count("no nvdisasm here") >= 3, "reasons on the page")
    expect("no nvdisasm here" in result.stdout, "reason in the terminal")
    expect(len(root.findall(".//svg")) == 1, "only the percentages can be drawn")
    write(folder, "check.stage", "status: 0\n")
    write(folder, "golden.stage", "status: 0\n")
    make_tune = json.dumps([])
    write(folder, "tune.out", make_tune)
    write(folder, "tune.stage", "status: 0\n")
    merge(program, folder, (0,))  # what is left out is no failure


def test_absent(program, folder):
    os.makedirs(folder)
    merge(program, folder, (1,))
    report, _, _, stages = outcome(folder)
    expect(all(s["state"] == "not run" for s in stages.values()) and report["results"] == [],
           f"an empty folder: {stages}")
    result = merge(program, os.path.join(folder, "run.txt"), (1,))
    expect("run.txt" in result.stderr, "a folder that is not there")
    write(folder, "run.txt", "x")
    merge(program, os.path.join(folder, "run.txt"), (2,))


BENCH, EVIL = "bench-packed.out", '</td><script>"&\\u0001'
HOSTILE = {
    "empty": (BENCH, ""),
    "truncated": (BENCH, bench_of("packed")[:5000]),
    "no JSON": (BENCH, b"\xff\xfe\x00hello"),
    "a number": (BENCH, "17"),
    "a list": (BENCH, "[1, null, {}]"),
    "no benchmarks": (BENCH, '{"benchmarks": []}'),
    "benchmarks a text": (BENCH, '{"benchmarks": "x"}'),
    "cases of all types": (BENCH, '{"benchmarks": [1, "x", null, [], {}, {"name": 5}]}'),
    "deep": (BENCH, "[" * 100000),
    "real too large": (BENCH, '{"benchmarks": [{"name": "bandwidth/x", "bandwidth": 1e999}]}'),
    "integer too large": (BENCH, '{"benchmarks": [{"name": "bandwidth/x", "bandwidth": 1' + "0" * 40 + "}]}"),
    "huge": (BENCH, bench_of("packed").replace('"bytes": ', '"bytes": 1e3')),
    "negative": (BENCH, bench_of("packed").replace('"real_time": ', '"real_time": -')),
    "texts": (BENCH, bench_of("packed").replace('"time_unit": "us"', '"time_unit": 1e300')),
    "long name": (BENCH, bench_of("packed").replace("matvec/", "matvec/" + "x" * 9000)),
    "huge shape": (BENCH, bench_of("packed").replace(f"{M}x{K}", "99999999999999999999x4096")),
    "unknown format": (BENCH, bench_of("packed").replace("/iq4_ks/", "/iq9_zz/")),
    "n 99": (BENCH, bench_of("packed").replace("/n1/", "/n99/")),
    "tune a text": ("tune.out", '"x"'),
    "tune of all types": ("tune.out", '[1, {}, {"format": 1}, {"format": "iq4_ks", "m": -1}]'),
    "stats without a head": ("stats.out", "iq4_ks,1,plan,1,1,1,1,1\n"),
    "stats of nonsense": ("stats.out", "format,n,plan,instructions_per_weight,slots_per_weight,"
                          "registers,spill_bytes\n,,,,,,\nx,1,p,nan,inf,-1,-1\n1\n"),
}


def test_hostile(program, folder):
    for what, (name, data) in HOSTILE.items():
        make_good(folder)
        write(folder, name, data)
        merge(program, folder, (1,))
        stage = outcome(folder)[3][name.removesuffix(".out")]
        expect(stage["state"] == "failed" and stage["note"] != "", f"{what}: {stage}")
    make_good(folder)
    write(folder, "devices.json", json.dumps({"devices": [{"spec": "cuda:0", "name": EVIL,
                                                           "features": "9" * 300 + "MHz"}]}))
    write(folder, "run.txt", b"device: cuda:0\n" + b"F\xff: \xc3\x28 \x07" + b"x" * 5000 + b"\n: \n" * 99)
    write(folder, BENCH, json.dumps({"benchmarks": [
        {"name": f"matvec/cuda:0/iq4_ks/packed/{M}x{K}/n1", "error_occurred": True,
         "error_message": EVIL}]}))
    merge(program, folder)
    report = outcome(folder)[0]
    expect(any("script" in r.get("error", "") for r in report["results"]), "a failed case is told")


def test_noise(program, folder, rng):
    """Bytes changed at random: never a crash, always whole files."""
    for _ in range(60):
        make_good(folder)
        name = rng.choice([n for n in os.listdir(folder) if not n.startswith("gpu-report")])
        data = bytearray(read(folder, name))
        for _ in range(rng.randrange(1, 20)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        write(folder, name, bytes(data[:rng.randrange(len(data))] if rng.random() < 0.3 else data))
        merge(program, folder)
        outcome(folder)


# ---- The script -----------------------------------------------------------------------------------


# Counts slots for whatever it is asked, all else goes to the program.
WRAPPER = """#!/bin/sh
[ "$1" = stats ] || exec '%s' "$@"
case " $* " in *" --help "*) exit 0 ;; esac
echo format,n,plan,slots_per_weight,instructions_per_weight,registers,spill_bytes
while [ $# -gt 0 ]; do
    case "$1" in --plan) echo "f,1,$2,1.5,1.25,32,0" ;; --format) echo "f,1,default,9,9,9,0" ;; esac
    shift
done
"""


def make_wrapper(program, folder):
    path = os.path.join(folder, "iqtile")
    write(folder, "iqtile", WRAPPER % program)
    os.chmod(path, 0o755)
    return path


def script(program, folder, *words, sim=None):
    environment = dict(os.environ)
    environment.pop("IQT_SIM", None)
    if sim:
        environment["IQT_SIM"] = sim
    return subprocess.Popen(
        [SCRIPT, "--program", program, "--quick", "--format", "iq4_ks", "--n", "1", "-o", folder,
         *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process, code):
    out, err = process.communicate(timeout=300)
    expect(process.returncode == code,
           f"{' '.join(process.args)}: exit {process.returncode}, expected {code}\n{err[-2000:]}")
    return out, err


def check_run(folder, kind):
    report, _, text, stages = outcome(folder)
    expect(report["kind"] == kind and kind in text, f"labelled {kind}: {report['kind']}")
    expect(len(report["results"]) == 2 and all(r["percent_of_copy"] > 0 for r in report["results"]),
           f"results of {kind}: {report['results']}")
    expect(all(c["method"] == "copy" for c in report["copy"].values()), f"copy: {report['copy']}")
    expect(all(s["state"] in ("ok", "left out") for s in stages.values()), f"stages: {stages}")


def test_simulated(program, folder):
    program = make_wrapper(program, os.path.dirname(folder))
    process = script(program, folder, sim="cuda")
    started = time.monotonic()
    while not os.path.exists(os.path.join(folder, "tune.out.part")):
        if process.poll() is not None or time.monotonic() - started > 120:
            break
        time.sleep(0.02)
    for _ in range(40):  # one was lost once, on a busy machine: a user presses again
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        if process.poll() is not None:
            break
    finish(process, 130)
    stages = outcome(folder)[3]
    expect([stages[s]["state"] for s in STAGES[:4]] == ["ok", "ok", "interrupted", "not run"],
           f"after Ctrl-C: {stages}")
    expect(not [n for n in os.listdir(folder) if n.endswith(".part")], "half files are left")
    _, err = finish(script(program, folder, sim="cuda"), 0)
    expect(err.count("finished before") == 2, f"going on: {err[-2000:]}")
    check_run(folder, "simulated")
    report, _, _, stages = outcome(folder)
    expect(stages["stats"]["state"] == "ok" and len(report["stats"]) == 3 and
           all(r.get("slots_per_weight") == 1.5 for r in report["results"]),
           f"slots of the plans that ran: {report['stats']}, {stages['stats']}")
    _, err = finish(script(program, folder, sim="cuda"), 0)
    expect(err.count("finished before") == 6, f"all is done: {err[-2000:]}")


def test_software(program, folder):
    devices = subprocess.run([program, "devices"], capture_output=True, text=True, check=True).stdout
    if "vulkan:0" not in devices:
        print("skipped: no vulkan:0")
        expect("vulkan" not in os.environ.get("IQT_REQUIRE", "").split(","), "vulkan is required")
        return
    finish(script(program, folder, "--device", "vulkan:0"), 0)
    check_run(folder, "software")


def test_refusals(program, folder):
    for words, text in ((("--device", "cuda:77"), "cuda:77"), (("--nosuch",), "--device SPEC"),
                        (("nosuch.gguf",), "nosuch.gguf")):
        process = script(program, folder, *words, sim="cuda")
        _, err = process.communicate(timeout=60)
        expect(process.returncode in (1, 2) and text in err, f"{words}: {process.returncode}, {err}")
    expect(not os.path.exists(os.path.join(folder, "gpu-report.json")), "refused, but a report")


def test_bundle(program, folder):
    """The folder for a machine without a compiler runs by itself."""
    finish(script(program, folder, "--bundle", folder), 0)
    names = os.listdir(os.path.join(folder, "lib"))
    expect(any("jansson" in n for n in names) and not any(n.startswith("libc.") for n in names),
           f"libraries of a bundle: {names}")
    result = subprocess.run([os.path.join(folder, "scripts", "gpu.sh"), "--device", "nosuch"],
                            capture_output=True, text=True, timeout=60)
    expect(result.returncode == 1 and "unknown device nosuch" in result.stderr, f"bundle: {result}")


def main():
    program = os.path.abspath(sys.argv[1])
    options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
    if "--keep" in options:
        make_good(options["--keep"])
        return 0
    seed = int(options.get("--seed", random.SystemRandom().randrange(1 << 32)))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["IQT_CACHE"] = os.path.join(folder, "cache")
        for number, test in enumerate((test_good, test_states, test_absent, test_hostile,
                                       test_refusals, test_bundle, test_simulated,
                                       test_software)):
            test(program, os.path.join(folder, str(number)))
        test_noise(program, os.path.join(folder, "noise"), random.Random(seed))
        shutil.rmtree(os.path.join(folder, "noise"))
    for text in failures:
        print("FAILED:", text)
    if failures:
        print("again:", sys.executable, sys.argv[0], sys.argv[1], "--seed", seed)
    print(f"seed {seed}, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
