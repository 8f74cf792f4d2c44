"""NVRTC through ctypes: compiles CUDA text to PTX without a GPU or a toolkit.

Looks in $CUDA_HOME, beside nvcc, in the linker's path and in PyPI wheels of this Python and of
.venv. Usage as a program: nvrtc.py --find prints the library; exit 1 when there is none."""
import ctypes
import ctypes.util
import glob
import os
import shutil
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def candidates():
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")]
    nvcc = shutil.which("nvcc")
    if nvcc:
        homes.append(os.path.dirname(os.path.dirname(os.path.realpath(nvcc))))
    for home in filter(None, homes):
        yield from sorted(glob.glob(home + "/lib*/libnvrtc.so*"))
    yield from filter(None, [ctypes.util.find_library("nvrtc")])
    sites = glob.glob(ROOT + "/.venv/lib/python3*/site-packages") + sys.path
    for site in filter(None, sites):
        yield from sorted(glob.glob(site + "/nvidia/*/lib/libnvrtc.so*"))


def find():
    """(path, loaded library), or (None, None)."""
    for path in candidates():
        if "builtins" in path or ".alt." in path:
            continue
        try:
            lib = ctypes.CDLL(path)
            lib.nvrtcVersion
        except (OSError, AttributeError):
            continue
        return path, lib
    return None, None


def compile_text(lib, text, options):
    """None when the text compiles, else the compiler's log."""
    program = ctypes.c_void_p()
    create = lib.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None,
                                    None)
    if create != 0:
        return f"nvrtcCreateProgram failed: {create}"
    array = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
    failed = lib.nvrtcCompileProgram(program, len(options), array)
    size = ctypes.c_size_t()
    lib.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value + 1)
    lib.nvrtcGetProgramLog(program, log)
    lib.nvrtcDestroyProgram(ctypes.byref(program))
    return None if failed == 0 else log.value.decode(errors="replace") or f"error {failed}"


if __name__ == "__main__":
    found = find()[0]
    print(found or "no libnvrtc found")
    sys.exit(0 if found else 1)
