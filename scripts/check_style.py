"""The rules of the house style that clang-format cannot check.

Every rule is one function that yields (file, line, what is wrong and what to do). The list of
files comes from git where there is a repository, else from the folder (tarballs)."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# A folder may include only folders to its left.
LAYERS = "base kernels io codegen tuner runtime quant eval bench stats tools".split()
# The calls of a library that is loaded, not linked.
LOADED = {"stats": ["sim/sim.h"], "tools": ["sim/sim.h"]}
C_SUFFIXES = (".c", ".h", ".cc")
CODE_SUFFIXES = C_SUFFIXES + (".py", ".sh")
TEXT_SUFFIXES = CODE_SUFFIXES + (".md", ".txt", ".cmake", ".in", ".map", ".json", ".csv", ".yml")
FILE_LINES = 500
FUNCTION_LINES = 60

# Where a format may be spelled; everywhere else it comes out of the table.
FORMAT_TABLE = "kernels/format_table.c"
FORMAT_HOMES = re.compile(
    r"kernels/(format_table\w*\.[ch]|decode_ref\w*\.[ch]|codebook\w*\.[ch]|foreign\w*\.[ch])$"
    r"|(tests|docs|examples|include)/|quant/recipe|[A-Z]+\.md$|scripts/")
# Longer than this, they cannot be mistaken for an element type such as f16.
FORMAT_NAME = re.compile(r"^i?q[0-9]")
BACKEND_HOMES = re.compile(r"runtime/(backend_|vulkan_)")
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(home|root|work|opt|usr/local|mnt|Users)/|\.\./shared\b")


def all_files():
    try:
        out = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True,
            capture_output=True).stdout.decode()
        names = [n for n in out.split("\0") if n]
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, dirs, files in os.walk(ROOT):
            dirs[:] = [d for d in dirs if not re.match(r"build|\.git$|\.venv$|__pycache__$", d)]
            names += [os.path.relpath(os.path.join(folder, f), ROOT) for f in files]
    return sorted(n for n in names if os.path.isfile(os.path.join(ROOT, n)))


def is_text(name):
    base = os.path.basename(name)
    return name.endswith(TEXT_SUFFIXES) or base in ("LICENSE", ".gitignore", ".clang-format") \
        or name == ".ci/run"


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as f:
        return f.read()


def without_comments(text):
    """The same lines with C comments blanked; strings stay."""
    def blank(match):
        token = match.group(0)
        return re.sub(r"[^\n]", " ", token) if token.startswith("/") else token
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def rule_layers(name, text):
    """Includes point to the left."""
    folder = name.split("/")[0]
    if folder not in LAYERS or not name.endswith(C_SUFFIXES):
        return
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not match:
            continue
        target = match.group(1).split("/")[0] if "/" in match.group(1) else None
        if target is None:
            yield number, f'write the folder, too: "{folder}/{match.group(1)}"'
        elif match.group(1) in LOADED.get(folder, []):
            continue
        elif target not in LAYERS:
            yield number, f'"{target}" is no folder of the library ({" ".join(LAYERS)})'
        elif LAYERS.index(target) > LAYERS.index(folder):
            yield number, (f"{folder} may not include {target}: move the code to the right or "
                           f"pass what it needs as an argument ({' '.join(LAYERS)})")


def rule_file_length(name, text):
    if name.endswith(CODE_SUFFIXES) and text.count("\n") > FILE_LINES:
        yield FILE_LINES + 1, f"{text.count(chr(10))} lines, {FILE_LINES} allowed: split by meaning"


def rule_function_length(name, text):
    """A function body is what stands between a { and a } in column 1."""
    if not name.endswith(C_SUFFIXES):
        return
    start = 0
    for number, line in enumerate(text.split("\n"), 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            if number - start - 1 > FUNCTION_LINES:
                yield start, (f"a function of {number - start - 1} lines, {FUNCTION_LINES} "
                              "allowed: give its steps names")
            start = 0


def rule_blanks(name, text):
    for number, line in enumerate(text.split("\n"), 1):
        if "\t" in line:
            yield number, "a tab: use spaces"
        if line != line.rstrip():
            yield number, "blanks at the end of the line: delete them"
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end of the file: add it"


def rule_format_names(name, text):
    """A format is spelled in the table, its reference, tests, recipes and data."""
    if not name.endswith(C_SUFFIXES) or FORMAT_HOMES.match(name):
        return
    table = read(FORMAT_TABLE)
    names = {n for n in re.findall(r'"([a-z0-9_]+)"', table) if FORMAT_NAME.match(n)}
    if not names:
        yield 1, f"no format names found in {FORMAT_TABLE}: mend this rule"
        return
    pattern = re.compile(r"(?<![a-z0-9])(%s)(?![a-z0-9]|_[a-z0-9])" % "|".join(
        sorted(names, key=len, reverse=True)), re.I)
    for number, line in enumerate(without_comments(text).split("\n"), 1):
        match = pattern.search(line)
        if match:
            yield number, (f"the format {match.group(1)} by name: ask its table entry "
                           f"({FORMAT_TABLE}) instead, or add a property there")


def rule_machine_paths(name, text):
    for number, line in enumerate(text.split("\n"), 1):
        match = MACHINE_PATH.search(line)
        if match and name != "scripts/check_style.py":
            yield number, f"a path of one machine ({match.group(0)}): search for it or take it " \
                          "from an option"


def rule_backend_conditionals(name, text):
    if not name.endswith(C_SUFFIXES) or BACKEND_HOMES.match(name):
        return
    for number, line in enumerate(text.split("\n"), 1):
        if re.match(r"\s*#\s*(el)?if.*(CUDA|HIP|VULKAN|VK_|HSA|ROCM)(?!\w*_H$)", line):
            yield number, "#if on a backend: every backend compiles everywhere; use its vtable"


RULES = [rule_layers, rule_file_length, rule_function_length, rule_blanks, rule_format_names,
         rule_machine_paths, rule_backend_conditionals]


def main():
    names = [n for n in all_files() if is_text(n)]
    if sys.argv[1:] == ["--list", "c"]:
        print("\n".join(n for n in names if n.endswith(C_SUFFIXES)))
        return 0
    bad = 0
    for name in names:
        text = read(name)
        for rule in RULES:
            for number, what in rule(name, text):
                print(f"{name}:{number}: {what}")
                bad += 1
    if bad:
        print(f"check_style: {bad} broken rules")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
