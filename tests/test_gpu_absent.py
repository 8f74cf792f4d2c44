"""Machines without a GPU: no driver at all, the CUDA toolkit's stub library, a HIP runtime without a
device, libraries that lack functions or have no device. Every command works with what is there, and
one that is told to use a GPU says what is missing.

Usage: test_gpu_absent.py PROGRAM. The libraries are made here, with cc."""
import ctypes
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
GOLDEN = os.path.join(HERE, "golden")
FILE = os.path.join(GOLDEN, "IQ4_KS.gguf")

failures = []


def expect(good, text):
    if not good:
        failures.append(text)


# ---- Libraries ----

def symbols_of(api):
    """The functions that the backend wants, from its own table."""
    with open(os.path.join(ROOT, "runtime", f"backend_{api}.c"), encoding="utf-8") as file:
        text = file.read()
    found = re.findall(rf'"\??({"cu" if api == "cuda" else "hip"}[A-Z]\w+)"', text)
    return [name for name in found if not name.endswith("_LIBRARY")]


def has_own(api):
    """Whether the machine itself has a driver that the backend would find."""
    with open(os.path.join(ROOT, "runtime", f"backend_{api}.c"), encoding="utf-8") as file:
        names = re.findall(r'"(lib\w+\.so[.\d]*)"', file.read())
    for name in names:
        try:
            ctypes.CDLL(name)
            return True
        except OSError:
            pass
    return False


def library(folder, api, name, special, without=()):
    """Every function returns 999 but for the given ones: name to C statements."""
    source = os.path.join(folder, f"{name}.c")
    os.makedirs(folder, exist_ok=True)
    with open(source, "w", encoding="utf-8") as file:
        for symbol in symbols_of(api):
            if symbol in without:
                continue
            body = special.get(symbol, "return 999;")
            result, args = ("const char *", "int a") if symbol == "hipGetErrorName" else \
                ("int", "int *a, void *b, int c")
            file.write(f"{result} {symbol}({args}) {{ {body} }}\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", os.path.join(folder, name), source],
                   check=True)


def machines(folder):
    """Name, folder of libraries or None, words of what devices says for each API."""
    def at(name):
        return os.path.join(folder, name)

    yield "no driver", at("empty"), {"cuda": ["no NVIDIA driver", "libcuda.so.1"],
                                     "hip": ["no HIP runtime", "libamdhip64.so"]}
    error = 'static const char *n = "CUDA_ERROR"; *(const char **)b = n; return 0;'
    library(at("stub"), "cuda", "libcuda.so.1",
            {"cuInit": "return 34;", "cuGetErrorName": "return 34;"})
    yield "CUDA stub", at("stub"), {"cuda": ["stub library", "cuInit", "34"],
                                    "hip": ["no HIP runtime"]}
    library(at("old"), "cuda", "libcuda.so.1", {"cuInit": "return 0;"},
            without=("cuDevicePrimaryCtxRetain",))
    library(at("old"), "hip", "libamdhip64.so.6", {"hipInit": "return 0;"},
            without=("hipModuleLoadData",))
    yield "old drivers", at("old"), {"cuda": ["cuDevicePrimaryCtxRetain", "too old"],
                                     "hip": ["hipModuleLoadData", "too old"]}
    library(at("none"), "cuda", "libcuda.so.1",
            {"cuInit": "return 0;", "cuDeviceGetCount": "*a = 0; return 0;",
             "cuGetErrorName": error})
    library(at("none"), "hip", "libamdhip64.so.5",
            {"hipInit": "return 0;", "hipGetDeviceCount": "*a = 0; return 0;",
             "hipGetErrorName": 'return "hipError";'})
    yield "drivers without devices", at("none"), {"cuda": ["has no device"],
                                                  "hip": ["has no device"]}
    library(at("hip"), "hip", "libamdhip64.so.6",
            {"hipInit": "return 101;", "hipGetDeviceCount": "return 100;",
             "hipGetErrorName": 'return a == 101 ? "hipErrorInvalidDevice" : "hipErrorNoDevice";'})
    yield "HIP runtime without device", at("hip"), {"cuda": ["no NVIDIA driver"],
                                                    "hip": ["hipInit", "hipErrorInvalidDevice"]}
    library(at("hip100"), "hip", "libamdhip64.so.5",
            {"hipInit": "return 0;", "hipGetDeviceCount": "*a = -1; return 100;",
             "hipGetErrorName": 'return "hipErrorNoDevice";'})
    yield "HIP 5 without device", at("hip100"), {"cuda": ["no NVIDIA driver"],
                                                 "hip": ["hipGetDeviceCount", "hipErrorNoDevice"]}


# ---- Commands ----

class Machine:
    def __init__(self, program, name, libraries, folder):
        self.program, self.name, self.folder = program, name, folder
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("IQT_SIM")}
        self.env.update(LD_LIBRARY_PATH=libraries, IQT_DB=os.path.join(folder, "t.db"),
                        VK_DRIVER_FILES="/nowhere.json", VK_ICD_FILENAMES="/nowhere.json")

    def run(self, *words, code=0):
        done = subprocess.run([self.program, *words], capture_output=True, text=True, timeout=300,
                              cwd=self.folder, env=self.env)
        expect(done.returncode == code,
               f"{self.name}: {' '.join(words)}: exit {done.returncode}, expected {code}\n"
               f"{done.stdout[-500:]}{done.stderr[-1500:]}")
        return done


def check_devices(m, words):
    text = m.run("devices").stdout
    absent = json.loads(m.run("devices", "--json").stdout)["absent"]
    for api, wanted in words.items():
        lines = [line for line in text.splitlines() if line.startswith(api + " ")]
        expect(len(lines) == 1 and "absent:" in lines[0], f"{m.name}: devices says {lines}")
        for word in wanted:
            expect(word in "".join(lines) and word in absent.get(api, ""),
                   f"{m.name}: '{word}' is not in {lines} or {absent}")
    expect("cpu:0 " in text, f"{m.name}: the CPU is gone: {text}")


def check_plain(m):
    """Without --device: on the CPU, which is what is left."""
    shape = ("--format", "iq4_ks", "--n", "1")
    expect("cpu:0" in m.run("check", *shape).stdout, f"{m.name}: check left the CPU out")
    expect("cpu:0" in m.run("golden", GOLDEN, *shape).stdout, f"{m.name}: golden")
    m.run("tune", *shape, "--shape", "64x512", "--budget", "1")
    expect("cpu:0" in m.run("bench", *shape, "--shape", "64x512", "--min-time", "0.001").stdout,
           f"{m.name}: bench left the CPU out")
    m.run("matvec", FILE, "gauss.q", "--x", "x.f32", "-o", "y.f32")
    m.run("report", FILE, "--budget", "1", "--html", "out.html")
    m.run("info", FILE)
    for dialect in ("cuda", "hip"):
        expect("matvec" in m.run("gen", "--format", "iq4_ks", "--dialect", dialect).stdout,
               f"{m.name}: gen --dialect {dialect}")


def check_asked(m, api, wanted):
    """With --device: a sentence with what is missing, no results, nothing written."""
    device = ("--device", f"{api}:0")
    for words in (("check", "--format", "iq4_ks"), ("golden", GOLDEN),
                  ("tune", "--format", "iq4_ks", "--shape", "64x512"),
                  ("bench", "--format", "iq4_ks", "--shape", "64x512"),
                  ("matvec", FILE, "gauss.q", "--x", "x.f32", "-o", f"no-{api}.f32"),
                  ("report", FILE, "--html", f"no-{api}.html")):
        done = m.run(*words, *device, code=1)
        for word in wanted:
            expect(word in done.stderr, f"{m.name}: {words[0]} does not say '{word}': {done.stderr}")
        expect(done.stdout == "", f"{m.name}: {words[0]} printed {done.stdout}")
    left = [name for name in os.listdir(m.folder) if name.startswith(f"no-{api}")]
    expect(not left, f"{m.name}: left {left}")


def main():
    program = os.path.abspath(sys.argv[1])
    if shutil.which("cc") is None:
        required = "sim" in os.environ.get("IQT_REQUIRE", "").split(",")
        print("no cc to make libraries with" + (", IQT_REQUIRE wants it" if required else ""))
        return 1 if required else 77
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "x.f32"), "wb") as file:
            file.write(struct.pack("<1024f", *([1.0] * 1024)))
        for name, libraries, words in machines(folder):
            if name == "no driver":
                os.makedirs(libraries)
            # A machine that has a runtime of its own cannot play one without it.
            for api in ("cuda", "hip"):
                if words[api][0].startswith("no ") and has_own(api):
                    del words[api]
            m = Machine(program, name, libraries, folder)
            count += 1
            check_devices(m, words)
            if name in ("no driver", "CUDA stub", "HIP runtime without device"):
                check_plain(m)
            for api, wanted in words.items():
                check_asked(m, api, wanted)
    for text in failures:
        print("FAILED:", text)
    if failures:
        print("repeat:", sys.executable, *sys.argv)
    print(f"{count} machines, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
