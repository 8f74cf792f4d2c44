"""iqtile report and iqtile bench on a small file: the page is well-formed and self-contained, has
one row for each format, shape and device, and says the same as the JSON and the table.

Usage: test_report.py PROGRAM [FILE]. No time is judged, only that there is one."""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "golden", "IQ4_KS.gguf")
FLOAT_TYPES = (0, 1, 28, 30)  # F32, F16, F64, BF16: left out of a report
SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
TILED = [(24, 512), (40, 1024)]

failures = []


def expect(good, text):
    if not good:
        failures.append(text)


class Reader:
    """Just enough of GGUF to know the shapes in a file."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, code):
        value = struct.unpack_from("<" + code, self.data, self.at)[0]
        self.at += struct.calcsize("<" + code)
        return value

    def text(self):
        size = self.number("Q")
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def skip_value(self, kind):
        if kind == 8:
            self.text()
        elif kind == 9:
            item, count = self.number("I"), self.number("Q")
            for _ in range(count):
                self.skip_value(item)
        else:
            self.at += SCALARS[kind]

    def tensors(self):
        assert self.data[:4] == b"GGUF"
        self.at = 8
        tensors, keys = self.number("Q"), self.number("Q")
        for _ in range(keys):
            self.text()
            self.skip_value(self.number("I"))
        for _ in range(tensors):
            self.text()
            dims = [self.number("Q") for _ in range(self.number("I"))]
            yield self.number("I"), dims
            self.number("Q")


def shapes_of(path):
    """m x k of every quantized matrix, for a file with one quantized format."""
    found = set()
    with open(path, "rb") as file:
        data = file.read()
    for kind, dims in Reader(data).tensors():
        rows = 1
        for d in dims[1:]:
            rows *= d
        if kind not in FLOAT_TYPES and len(dims) >= 2 and rows > 1:
            found.add((rows, dims[0]))
    return found


def run(program, *words, code=0):
    result = subprocess.run([program, *words], capture_output=True, text=True, timeout=600)
    expect(result.returncode == code,
           f"{' '.join([program, *words])}: exit {result.returncode}, expected {code}\n"
           f"{result.stderr[-2000:]}")
    return result


def number(text, what):
    try:
        return float(text)
    except ValueError:
        expect(False, f"{what}: '{text}' is no number")
        return 0.0


def check_page(path, want, results):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for pattern in (r"https?:", r"\bsrc=", r"\bhref=", r"url\(", r"@import", r"<script",
                    r"<link\b"):
        expect(not re.search(pattern, text), f"the page is not self-contained: it has {pattern}")
    expect("\x00" not in text and "nan" not in text.lower().split("</style>")[-1].split(),
           "the page has a NUL or a NaN")
    root = ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>"))
    expect(len(root.findall(".//svg")) == 2, "a device has two charts")
    for svg in root.iter("svg"):
        for element in svg.iter():
            for name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height"):
                if name in element.attrib:
                    number(element.attrib[name], f"svg {element.tag} {name}")
    rows = [r for r in root.iter("tr") if "data-format" in r.attrib]
    keys = [(r.attrib["data-format"], r.attrib["data-shape"], r.attrib["data-device"])
            for r in rows]
    expect(sorted(keys) == sorted(want),
           f"rows of the page: {sorted(keys)}\nexpected: {sorted(want)}")
    for key, row in zip(keys, rows):
        cells = ["".join(cell.itertext()) for cell in row.iter("td")]
        rate = number(cells[5], f"{key} GB/s")
        share = number(cells[6], f"{key} percent")
        gain = number(cells[7], f"{key} speed-up")
        said = results.get(key)
        if said is None:
            continue
        expect(abs(rate - said["bytes_per_second"] / 1e9) <= 0.00501,
               f"{key}: the page says {rate} GB/s, the JSON {said['bytes_per_second']}")
        expect(abs(share - said["percent_of_bandwidth"]) <= 0.0501,
               f"{key}: the page says {share} %, the JSON {said['percent_of_bandwidth']}")
        expect(abs(gain - said["speedup_over_default"]) <= 0.00501,
               f"{key}: the page says x{gain}, the JSON {said['speedup_over_default']}")


def check_json(report, want):
    """The numbers fit each other. Returns the rows by key."""
    device = report["devices"][0]
    bandwidth = device["bandwidth_bytes_per_second"]
    rows = {(r["format"], f"{r['m']}x{r['k']}", r["device"]): r for r in report["results"]}
    expect(sorted(rows) == sorted(want), f"rows of the JSON: {sorted(rows)}")
    expect(bandwidth > 0 and device["bandwidth_method"] == "read loop",
           f"bandwidth of the CPU: {device}")
    for key, r in rows.items():
        rate = r["bytes"] / (r["tuned"]["nanoseconds"] * 1e-9)
        # A row header of 4 bytes and 136 for each 256 weights: the format of the file.
        expect(r["bytes"] == r["m"] * (4 + r["k"] // 256 * 136), f"{key}: {r['bytes']} bytes")
        expect(abs(rate / r["bytes_per_second"] - 1) < 1e-3, f"{key}: {rate} bytes/s, not {r}")
        expect(abs(100 * rate / bandwidth / r["percent_of_bandwidth"] - 1) < 1e-2,
               f"{key}: wrong percentage: {r}")
        expect(abs(r["default"]["nanoseconds"] / r["tuned"]["nanoseconds"] /
                   r["speedup_over_default"] - 1) < 1e-3, f"{key}: wrong speed-up: {r}")
        expect(r["rows_checked"] > 0 and r["worst_error"] <= 1e-5, f"{key}: unchecked: {r}")
        expect(f".{key[0]}." in r["plan"], f"{key}: the plan is {r['plan']}")
        if r["plan"] == r["default_plan"]:
            expect(r["speedup_over_default"] == 1, f"{key}: default against itself: {r}")
    return rows


def check_report(program, path, folder):
    html, out = os.path.join(folder, "out.html"), os.path.join(folder, "out.json")
    shapes = shapes_of(path) | set(TILED)
    want = [("iq4_ks", f"{m}x{k}", "cpu:0") for m, k in shapes]
    result = run(program, "report", path, "--device", "cpu", "--budget", "1", "--shape",
                 ",".join(f"{m}x{k}" for m, k in TILED), "--html", html, "--json", out)
    if result.returncode != 0:
        return
    with open(out, encoding="utf-8") as file:
        rows = check_json(json.load(file), want)
    check_page(html, want, rows)
    lines = [line.split() for line in result.stdout.splitlines()]
    table = [("iq4_ks", line[1], line[3]) for line in lines if line and line[0] == "iq4_ks"]
    expect(sorted(table) == sorted(want), f"rows of the table: {sorted(table)}")


def check_bench(program, folder):
    out = os.path.join(folder, "bench.json")
    result = run(program, "bench", "--device", "cpu", "--format", "iq4_ks", "--shape", "64x512",
                 "--n", "1,3", "--min-time", "0.001", "--json", out)
    if result.returncode != 0:
        return
    with open(out, encoding="utf-8") as file:
        benchmarks = json.load(file)["benchmarks"]
    names = [b["name"].split("/") for b in benchmarks]
    expect([n[0] for n in names] == ["bandwidth", "matvec", "matvec"], f"benchmarks: {names}")
    for b in benchmarks[1:]:
        seconds = b["real_time"] * 1e-6
        expect(b["time_unit"] == "us" and seconds > 0, f"time of {b}")
        for counter, amount in (("weights", 64 * 512), ("bytes", 64 * (4 + 512 // 256 * 136))):
            expect(abs(b[counter] * seconds / amount - 1) < 1e-3,
                   f"{b['name']}: {counter} per second is {b[counter]}, {seconds} s each")
        expect(0 < b["fastest_us"] <= b["real_time"] * 1.000001, f"fastest run: {b}")
        expect(b["percent_of_bandwidth"] > 0 and b["label"].startswith("matvec.iq4_ks."), str(b))
    table = [line.split()[:4] for line in result.stdout.splitlines() if "iq4_ks" in line]
    expect(table == [["iq4_ks", "64x512", n, "cpu:0"] for n in ("1", "3")], f"table: {table}")


def check_errors(program, path):
    for words in (["bench", "--n", "17"], ["bench", "--shape", "64"], ["bench", "--format", "x"],
                  ["report", path, "--shape", "0x512"], ["report", path, "--budget", "soon"],
                  ["report", path, "--device", "nosuch"], ["report"]):
        result = run(program, *words, code=2)
        expect(result.stdout == "", f"{words}: results on a wrong command line")


def main():
    program = os.path.abspath(sys.argv[1])
    path = sys.argv[2] if len(sys.argv) > 2 else GOLDEN
    with tempfile.TemporaryDirectory() as folder:
        os.environ["IQT_DB"] = os.path.join(folder, "tuned.db")
        os.environ["IQT_CACHE"] = folder
        check_report(program, path, folder)
        check_bench(program, folder)
        check_errors(program, path)
    for text in failures:
        print("FAILED:", text)
    if failures:
        print("again:", sys.executable, *sys.argv)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
