"""Every source that gcc compiles is clean for clang, too: the commands of compile_commands.json with
the compiler changed and no output. Generated kernels are left to test_emit_compile.py.

    test_clang.py BUILD_DIR"""
import concurrent.futures
import json
import os
import shlex
import shutil
import subprocess
import sys


def command_of(entry):
    words = shlex.split(entry["command"])
    clang = "clang++" if entry["file"].endswith(".cc") else "clang"
    at = words.index("-o")
    del words[at:at + 2]
    return [clang, *words[1:], "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]


def check(entry):
    done = subprocess.run(command_of(entry), cwd=entry["directory"], text=True,
                          capture_output=True, check=False)
    return None if done.returncode == 0 else done.stderr


def main():
    build = os.path.realpath(sys.argv[1])
    if shutil.which("clang") is None or shutil.which("clang++") is None:
        print("skipped: clang is not installed")
        return 1 if "clang" in os.environ.get("IQT_REQUIRE", "").split(",") else 77
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
        entries = [e for e in json.load(f) if not e["file"].startswith(build + os.sep)]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for entry, log in zip(entries, pool.map(check, entries)):
            if log is not None:
                print(f"FAIL {entry['file']}\n{log}")
                failed += 1
    print(f"{len(entries) - failed} files clean, {failed} not")
    return 1 if failed or not entries else 0


if __name__ == "__main__":
    sys.exit(main())
