"""The commands on simulated CUDA and HIP devices: tune keeps a verified plan, through its worker
process, and every command says "simulated" beside each figure that it prints.

Usage: test_gpu_cli.py PROGRAM [--filter TEXT]. No time is judged."""
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "golden", "IQ4_KS.gguf")
FORMAT = "iq4_ks"
SHAPE = "64x512"

failures = []


def expect(good, text):
    if not good:
        failures.append(text)


class Program:
    def __init__(self, path, folder):
        self.path, self.folder = os.path.abspath(path), folder

    def run(self, *words, code=0, **env):
        own = {"IQT_DB": os.path.join(self.folder, "tuned.db"),
               "IQT_CACHE": os.path.join(self.folder, "cache")}
        done = subprocess.run([self.path, *words], capture_output=True, text=True, timeout=600,
                              cwd=self.folder, env={**os.environ, **own, **env})
        expect(done.returncode == code, f"{' '.join(words)}: exit {done.returncode}, expected "
               f"{code}\n{done.stderr[-1500:]}")
        return done


def lines_say(text, what):
    """Each line with a figure of its own says so; a heading has none."""
    for line in text.splitlines():
        if re.search(r"\d", line):
            expect("simulated" in line, f"{what}: '{line}' does not say simulated")


def check_tune(p, device):
    words = ("tune", "--device", device, "--format", FORMAT, "--shape", SHAPE, "--n", "1",
             "--budget", "8")
    first = p.run(*words)
    lines_say("\n".join(first.stdout.splitlines()[1:]), f"tune {device}")
    expect("tuned" in first.stdout, f"tune {device}: nothing was tuned\n{first.stdout}")
    again = json.loads(p.run(*words, "--json").stdout)
    expect(again and all(r["source"] == "known" and r["simulated"] is True for r in again),
           f"tune {device}: not kept: {again}")
    kept = {r["plan"] for r in again}
    listed = p.run("db", "list", "--device", device).stdout
    lines_say("\n".join(listed.splitlines()[1:]), f"db list {device}")
    p.run("db", "export", "out.json", "--device", device)
    with open(os.path.join(p.folder, "out.json"), encoding="utf-8") as file:
        exported = json.load(file)["results"]
    expect({r["configuration"]["plan"] for r in exported} >= kept, f"export lacks {kept}")
    for r in exported:
        own = r["iqtile"]
        expect("simulated" in own["device"] and "simulated" in own["device_id"] and
               own["vendor"] == "simulated" and own["arch"].startswith("simulated"),
               f"export of {device}: {own}")


def check_worker(p, device):
    """A kernel that does not load costs its plan, not the run."""
    api = device.split(":")[0]
    call = {"cuda": "cuModuleLoadData", "hip": "hipModuleLoadData"}[api]
    done = p.run("tune", "--device", device, "--format", "iq2_ks", "--shape", SHAPE, "--n", "1",
                 "--budget", "8", "--json", IQT_SIM_FAULT=f"{call}:6:2")
    rows = json.loads(done.stdout)
    expect(rows and any(r["source"] == "tuned" for r in rows),
           f"tune {device} with one failing plan: {rows}\n{done.stderr}")


def check_checks(p, device):
    lines_say(p.run("check", "--device", device, "--format", FORMAT, "--n", "2", "--plans", "default").stdout,
              f"check {device}")
    lines_say(p.run("golden", os.path.join(HERE, "golden"), "--device", device, "--format", FORMAT,
                    "--n", "2", "--one-hot", "1/4").stdout, f"golden {device}")


def check_devices(p, device):
    text = p.run("devices").stdout
    blocks = re.split(r"\n(?=\S)", text)
    own = [b for b in blocks if b.startswith(device + " ")]
    expect(len(own) == 1 and own[0].count("simulated") >= 3, f"devices: {text}")
    listed = json.loads(p.run("devices", "--json").stdout)["devices"]
    for d in listed:
        if d["spec"].split(":")[0] in ("cuda", "hip"):
            expect(all("simulated" in d[k] for k in ("name", "driver", "id", "features")),
                   f"devices --json: {d}")


def check_bench(p, device):
    done = p.run("bench", "--device", device, "--format", FORMAT, "--shape", SHAPE, "--n", "1",
                 "--min-time", "0.001", "--json", "bench.json")
    lines_say("\n".join(done.stdout.splitlines()[1:]), f"bench {device}")
    with open(os.path.join(p.folder, "bench.json"), encoding="utf-8") as file:
        for b in json.load(file)["benchmarks"]:
            expect("simulated" in b["name"], f"bench --json {device}: {b['name']}")


def check_report(p, device):
    done = p.run("report", GOLDEN, "--device", device, "--budget", "2", "--html", "out.html",
                 "--json", "report.json")
    lines_say("\n".join(done.stdout.splitlines()[1:]), f"report {device}")
    with open(os.path.join(p.folder, "report.json"), encoding="utf-8") as file:
        report = json.load(file)
    for row in report["devices"] + report["results"]:
        expect(row["simulated"] is True, f"report --json {device}: {row}")
    with open(os.path.join(p.folder, "out.html"), encoding="utf-8") as file:
        root = ElementTree.fromstring(file.read().removeprefix("<!DOCTYPE html>"))
    rows = [r for r in root.iter("tr") if "data-format" in r.attrib]
    tiles = [e for e in root.iter("div") if e.attrib.get("class") == "tile"]
    titles = [e for e in root.iter("h3")]
    expect(len(rows) >= 1 and len(tiles) == 4 and len(titles) == 2,
           f"page of {device}: {len(rows)} rows, {len(tiles)} tiles, {len(titles)} charts")
    for element in rows + tiles + titles:
        text = "".join(element.itertext())
        expect("simulated" in text, f"page of {device}: '{text}' does not say simulated")


def check_cache(p, device):
    """A second process compiles nothing: its compiler would fail. Damaged files are no files."""
    api = device.split(":")[0]
    fault = {"cuda": "nvrtcCompileProgram:1:6", "hip": "amd_comgr_do_action:1:1"}[api]
    cache = os.path.join(p.folder, "own-cache")
    words = ("check", "--device", device, "--format", "iq4_kss", "--n", "1", "--plans", "default")
    p.run(*words, IQT_CACHE=cache)
    p.run(*words, IQT_CACHE=cache, IQT_SIM_FAULT=fault)
    for folder, _, names in os.walk(cache):
        for name in names:
            with open(os.path.join(folder, name), "r+b") as file:
                file.seek(100)
                file.write(b"damaged")
    p.run(*words, code=1, IQT_CACHE=cache, IQT_SIM_FAULT=fault)
    p.run(*words, IQT_CACHE=cache)
    p.run(*words, IQT_CACHE=cache, IQT_SIM_FAULT=fault)


def check_unknown(p, device):
    """An architecture that the compiler does not know, and one without the instructions."""
    api = device.split(":")[0]
    arch = {"cuda": "sm_999", "hip": "gfx9999"}[api]
    done = p.run("check", "--device", device, "--format", FORMAT, "--n", "1", "--plans", "default", code=1,
                 IQT_SIM_DEVICES=arch)
    expect(f"does not know the architecture {arch}" in done.stdout + done.stderr,
           f"{arch}: {done.stdout}{done.stderr}")
    if api == "cuda":
        done = p.run("devices", IQT_SIM_DEVICES="sm_52")
        expect("compute capability 5.2" in done.stdout, f"sm_52: {done.stdout}")
    done = p.run("devices", IQT_SIM_DEVICES="none")
    expect(f"{api} " in done.stdout and "NO_DEVICE" in done.stdout, f"none: {done.stdout}")


CHECKS = [check_devices, check_checks, check_cache, check_unknown, check_bench, check_tune, check_worker,
          check_report]


def check_device(program, only, device):
    """All checks of one device, in a folder of its own."""
    ran = 0
    with tempfile.TemporaryDirectory() as folder:
        p = Program(program, folder)
        for check in CHECKS:
            name = f"{check.__name__}.{device}"
            if only in name:
                check(p, device)
                ran += 1
    return ran


def main():
    program = sys.argv[1]
    only = sys.argv[3] if len(sys.argv) > 3 and sys.argv[2] == "--filter" else ""
    os.environ["IQT_SIM"] = "cuda,hip"
    os.environ["IQT_SIM_QUIET"] = "1"
    listed = subprocess.run([program, "devices"], capture_output=True, text=True, check=True).stdout
    if "cuda:0 " not in listed:
        required = "sim" in os.environ.get("IQT_REQUIRE", "").split(",")
        print(listed, "FAILED: sim is required (IQT_REQUIRE)" if required else "skipped")
        return 1 if required else 77
    with concurrent.futures.ThreadPoolExecutor() as pool: # a simulated GPU is one thread
        ran = sum(pool.map(lambda device: check_device(program, only, device), ("cuda:0", "hip:0")))
    for text in failures:
        print("FAILED:", text)
    if failures:
        print("repeat:", sys.executable, *sys.argv)
    print(f"{ran} checks, {len(failures)} failures")
    return 1 if failures or ran == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
