"""Compilers for emitted kernel text: where they are and how each is called. One table, COMPILERS;
knows nothing of plans."""
import glob
import os
import shutil
import subprocess
import tempfile

import nvrtc

HOST_ISAS = {
    "portable": [],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": ["-mavx2", "-mfma", "-mf16c", "-mavx512f", "-mavx512bw", "-mavx512vl",
               "-mavx512dq", "-mavx512vnni", "-mavx512vbmi"],
}
HIP_ARCHES = ["gfx906", "gfx90a", "gfx942", "gfx1030", "gfx1100", "gfx1201"]
CUDA_ARCHES = ["compute_75", "compute_90"]


class Compiler:
    """name: as printed; dialect: of iqtile gen; require: its word in IQT_REQUIRE."""

    def __init__(self, name, dialect, require, suffix, commands):
        self.name, self.dialect, self.require = name, dialect, require
        self.suffix, self.commands = suffix, commands

    def compile(self, text):
        """None, or what the first failing command said. {in} and {out} are file names."""
        with tempfile.TemporaryDirectory() as work:
            names = {"in": f"{work}/kernel{self.suffix}", "out": f"{work}/out"}
            with open(names["in"], "w", encoding="utf-8") as f:
                f.write(text)
            for command in self.commands:
                done = subprocess.run([c.format(**names) for c in command], text=True,
                                      capture_output=True, check=False)
                if done.returncode != 0:
                    return " ".join(command) + "\n" + done.stdout + done.stderr
        return None


class Nvrtc(Compiler):
    def __init__(self, lib, arch):
        super().__init__(f"nvrtc {arch}", "cuda", "nvrtc", ".cu", [])
        self.lib, self.arch = lib, arch

    def compile(self, text):
        return nvrtc.compile_text(self.lib, text, [f"--gpu-architecture={self.arch}"])


def newest_clang():
    """The clang with the highest version, and its path."""
    found = [p for d in os.environ["PATH"].split(":") for p in glob.glob(d + "/clang-[0-9]*")
             if p.rsplit("-", 1)[1].isdigit()]
    found.sort(key=lambda p: int(p.rsplit("-", 1)[1]))
    return found[-1] if found else shutil.which("clang")


def hip_compiler(clang, arch):
    return Compiler(
        f"{os.path.basename(clang)} {arch}", "hip", "hip", ".hip",
        [[clang, "-x", "hip", "--cuda-device-only", "--no-gpu-bundle-output",
          f"--offload-arch={arch}", "-O3", "-nogpulib", "-nogpuinc", "{in}", "-o", "{out}"]])


def hip_compilers():
    clang = newest_clang()
    if clang is None:
        return []
    empty = "extern \"C\" __attribute__((global)) void k() {}\n"
    return [c for c in (hip_compiler(clang, arch) for arch in HIP_ARCHES)
            if c.compile(empty) is None]


def find_compilers():
    """All compilers present, and {word of IQT_REQUIRE: why} of those that are not."""
    compilers, absent = [], {}
    if shutil.which("glslc") and shutil.which("spirv-val"):
        compilers.append(Compiler("glslc", "glsl", "glslc", ".comp", [
            ["glslc", "--target-env=vulkan1.1", "-Werror", "{in}", "-o", "{out}"],
            ["spirv-val", "--target-env", "vulkan1.1", "{out}"]]))
    else:
        absent["glslc"] = "glslc or spirv-val is not installed"
    path, lib = nvrtc.find()
    if path:
        compilers += [Nvrtc(lib, arch) for arch in CUDA_ARCHES]
    else:
        absent["nvrtc"] = "no libnvrtc (scripts/test.sh --with-cuda gets one)"
    hip = hip_compilers()
    compilers += hip
    if not hip:
        absent["hip"] = "no clang that knows an AMD GPU"
    for cc in ("gcc", "clang"):
        if shutil.which(cc) is None:
            absent[cc] = f"{cc} is not installed"
            continue
        for isa, flags in HOST_ISAS.items():
            compilers.append(Compiler(f"{cc} {isa}", "host", cc, ".c", [
                [cc, "-std=gnu11", "-O1", "-ffp-contract=off", "-Wall", "-Werror", *flags, "-c",
                 "{in}", "-o", "{out}"]]))
    return compilers, absent
