#!/usr/bin/env python3
"""Quantizes a model to each type and says what it loses beside the reference's files: mean KL divergence from the
original on a text. The reference's figures are in reference_kl.csv (its quantizer with the same importance, decoded to
F32, llama-perplexity; the model is the one of examples/models).

usage: judge_models.py ORIGINAL.gguf TEXT [--imatrix FILE] [--types IQ2_KS,...] [--program build/iqtile]
                       [--folder DIR] [--options 'OPTIONS OF QUANTIZE']
"""
import argparse
import csv
import math
import os
import subprocess
import sys
import tempfile
import time

REFERENCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference_kl.csv")


def quantize(args, kind, path):
    """Seconds, or None when there is an error."""
    command = [args.program, "quantize", args.original, path, kind, *args.options]
    if args.imatrix:
        command += ["--imatrix", args.imatrix]
    start = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print("%s: %s" % (kind, done.stderr.strip().split("\n")[-1]), file=sys.stderr)
        return None
    return time.monotonic() - start


def evaluate(args, paths):
    done = subprocess.run([args.program, "perplexity", *paths, "--kl", args.original, "--text", args.text, "--csv"],
                          stdout=subprocess.PIPE, text=True, check=True)
    return list(csv.DictReader(done.stdout.splitlines()))


def judge(args, folder, reference):
    kinds = args.types.split(",") if args.types else [k for k in reference if k.startswith("IQ")]
    made = {}
    for kind in kinds:
        path = os.path.join(folder, kind + ".gguf")
        seconds = quantize(args, kind, path)
        if seconds is not None:
            made[kind] = path, seconds
    found = evaluate(args, [path for path, _ in made.values()]) if made else []
    print("type      seconds       MB reference  perplexity reference    mean KL reference  ratio  same top reference")
    ratios = []
    for (kind, (path, seconds)), row in zip(made.items(), found):
        theirs = reference[kind]
        ratios.append(float(row["kl"]) / float(theirs["kl"]))
        print("%-8s %8.1f %8.3f %9s %11.4f %9.4f %10.6f %9s %6.3f %9.3f %9.3f"
              % (kind, seconds, os.path.getsize(path) / 1e6, theirs["mb"], float(row["perplexity"]),
                 float(theirs["perplexity"]), float(row["kl"]), theirs["kl"], ratios[-1],
                 float(row["same_top_percent"]), float(theirs["same_top_percent"])))
    if ratios:
        print("at most the reference's in %d of %d types, geometric mean of ratios %.4f"
              % (sum(r <= 1 for r in ratios), len(ratios),
                 math.exp(sum(map(math.log, ratios)) / len(ratios))))


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("original")
    parser.add_argument("text")
    parser.add_argument("--options", type=str.split, default=[])
    parser.add_argument("--imatrix")
    parser.add_argument("--types")
    parser.add_argument("--folder")
    parser.add_argument("--program", default="build/iqtile")
    args = parser.parse_args()
    with open(REFERENCE, encoding="utf-8") as f:
        reference = {row["type"]: row for row in csv.DictReader(f)}
    if args.folder:
        judge(args, args.folder, reference)
        return
    with tempfile.TemporaryDirectory() as folder:
        judge(args, folder, reference)


if __name__ == "__main__":
    main()
