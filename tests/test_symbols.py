"""The shared library exports exactly the functions that the public headers mark IQT_API, and every
other global symbol of our objects starts with iqt_, so nothing clashes in a static link.

Usage: test_symbols.py LIBRARY INCLUDE_DIR ARCHIVE..."""
import glob
import re
import subprocess
import sys


def declared(include_dir):
    names = set()
    for path in glob.glob(include_dir + "/iqtile/*.h"):
        text = re.sub(r"/\*.*?\*/", "", open(path, encoding="utf-8").read(), flags=re.S)
        for part in re.findall(r"^IQT_API\b([^;]*);", text, flags=re.M):
            match = re.search(r"(iqt_\w+)\s*\(", part)
            names.add(match.group(1) if match else part.split()[-1].split("[")[0])
    return names


def defined(arguments):
    """Name and nm type letter of each defined global symbol."""
    out = subprocess.run(["nm", "--defined-only", "-g", *arguments], check=True,
                         capture_output=True, text=True).stdout
    lines = [line.split() for line in out.split("\n")]
    return {(line[-1], line[-2]) for line in lines if len(line) == 3}


def main():
    library, include_dir, archives = sys.argv[1], sys.argv[2], sys.argv[3:]
    want = declared(include_dir)
    exported = {name.split("@")[0] for name, kind in defined(["-D", library]) if kind != "A"}
    bad = [f"{name}: exported by {library}, but no header marks it IQT_API"
           for name in sorted(exported - want)]
    bad += [f"{name}: IQT_API in a header, but {library} lacks it"
            for name in sorted(want - exported)]
    for archive in archives:
        # V and W are inline C++ of the standard library.
        bad += [f"{name}: global in {archive}, but does not start with iqt_ (make it static?)"
                for name, kind in sorted(defined([archive]))
                if kind not in "VWu" and not re.match(r"_?iqt_|_Z", name)]
    for line in bad:
        print(line)
    if not want:
        print("no IQT_API function found in", include_dir)
    print(f"{len(exported)} exported symbols, {len(bad)} wrong")
    return 1 if bad or not want else 0


if __name__ == "__main__":
    sys.exit(main())
