"""The search for seeds rounds as the CPU does in what compilers make of its text: nothing is fused, not by clang
for AMD, nor by what Vulkan drivers are allowed to do with the SPIR-V of glslc. (PTX: test_embedded.)

    test_exact.py GOLDEN_TEXT_DIR

The texts are those that test_codegen holds to the emitter. Exit 77 without clang, glslc and spirv-dis; IQT_REQUIRE=
hip,glslc makes a missing one a failure."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

CLANGS = ["clang-%d" % n for n in range(22, 13, -1)] + ["clang"]
GPUS = ("gfx906", "gfx90a", "gfx1030", "gfx1100")


def run(*command, text=None):
    return subprocess.run(command, input=text, text=True, capture_output=True, check=False)


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as f:
        return f.read()


def check_amd(clang, gpu, text):
    """None: this clang does not know the GPU; else failures."""
    done = run(clang, "-x", "hip", "-nogpuinc", "-nogpulib", "--cuda-device-only", "-O3", "-S", "--offload-arch=" + gpu,
               "-o", "-", "-", text=text)
    if done.returncode != 0:
        return None if "invalid target ID" in done.stderr else [f"{clang} {gpu}: {done.stderr[:500]}"]
    names = re.findall(r"\bv_(?:pk_|dual_)*(\w+?)_f32", done.stdout)
    fused = sorted({n for n in names if n.startswith(("fma", "fmac", "mad", "mac"))})
    return [f"{clang} {gpu}: {', '.join(fused)}"] * bool(fused) + \
        [f"{clang} {gpu}: no multiplications in the listing"] * ("mul" not in names)


def check_spirv(text, level):
    with tempfile.TemporaryDirectory() as work:
        done = run("glslc", "-fshader-stage=compute", level, "-o", work + "/out.spv", "-", text=text)
        if done.returncode != 0:
            return [f"glslc {level}: {done.stderr[:500]}"]
        listing = run("spirv-dis", "--raw-id", work + "/out.spv").stdout
    exact = set(re.findall(r"OpDecorate (%\d+) NoContraction", listing))
    sums = set(re.findall(r"(%\d+) = Op(?:FAdd|FSub|FMul) ", listing))
    free = sums - exact
    return [f"glslc {level}: {len(free)} of {len(sums)} sums and products may be fused"] * bool(free) + \
        [f"glslc {level}: fused by the optimizer"] * (" Fma " in listing) + \
        [f"glslc {level}: {len(sums)} sums and products, expected more"] * (len(sums) < 64)


def main():
    folder = sys.argv[1]
    required = os.environ.get("IQT_REQUIRE", "").split(",")
    hip, glsl = read(folder, "find8.hip.txt"), read(folder, "find4.glsl.txt")
    failures, ran, missing = [], 0, []
    for gpu in GPUS:
        results = (check_amd(c, gpu, hip) for c in CLANGS if shutil.which(c))
        found = next((r for r in results if r is not None), None)
        ran += found is not None
        failures += found or []
    if ran == 0:
        missing.append("hip")
    if shutil.which("glslc") and shutil.which("spirv-dis"):
        for level in "-O0", "-O":
            failures += check_spirv(glsl, level)
            ran += 1
    else:
        missing.append("glslc")
    for word in missing:
        print("skipped", word)
        failures += [f"{word} is required (IQT_REQUIRE)"] * (word in required)
    for text in failures:
        print("FAIL", text)
    print(f"{ran} compilations, {len(failures)} failures")
    return 1 if failures else 0 if ran else 77


if __name__ == "__main__":
    sys.exit(main())
