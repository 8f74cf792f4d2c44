#!/usr/bin/env python3
"""iqtile perplexity against the same model written plainly in Python: tokens, forward pass, perplexity and divergence;
equal results on any number of threads and instruction set; what cannot be evaluated is named.

usage: test_perplexity.py IQTILE [--seed N] [--filter TEXT]
"""
import csv
import math
import os
import struct
import sys

from test_quantize import F32, expect, main

WIDTH, LAYERS, HEADS, KV_HEADS, WIDE, WINDOW = 32, 2, 4, 2, 48, 40
HEAD = WIDTH // HEADS
MERGES = ["t h", "th e", "\u0120 the", "\u0120 a", "l l", "1 2"]
WORDS = [" the", "then", " a", "all", "'ll", " 12", "123", "  ", "\n\n ", ",.", " \u00e9t\u00e9", "\u4e2d", "\U0001f52c", "\t", "I'm"]


def byte_text():
    seen = [b for b in range(256) if 32 < b < 127 or b > 160 and b != 173]
    hidden = [b for b in range(256) if b not in seen]
    return {**{b: chr(b) for b in seen}, **{b: chr(256 + i) for i, b in enumerate(hidden)}}


BYTES = byte_text()
TOKENS = list(BYTES.values()) + [merge.replace(" ", "") for merge in MERGES]


def kind(c):
    return "s" if c.isspace() else "l" if c.isalpha() else "n" if c.isnumeric() else "o"


def words(text):
    at = 0
    while at < len(text):
        end = at
        for ending in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d"):
            if text.startswith(ending, at):
                end = at + len(ending)
        if end == at:
            first = at + (text[at] == " ")
            of = kind(text[first]) if first < len(text) else "s"
            end = first if of != "s" else at
            while end < len(text) and kind(text[end]) == of:
                end += 1
            if of == "s" and end < len(text) and end - at > 1:
                end -= 1
        yield text[at:end]
        at = end


def tokenize(text):
    tokens = []
    for word in words(text):
        parts = [BYTES[b] for b in word.encode()]
        while True:
            ranks = [MERGES.index(a + " " + b) if a + " " + b in MERGES else len(MERGES)
                     for a, b in zip(parts, parts[1:])]
            if not ranks or min(ranks) == len(MERGES):
                break
            at = ranks.index(min(ranks))
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        tokens += [TOKENS.index(part) for part in parts]
    return tokens


def make_weights(rand):
    shapes = {"token_embd": (WIDTH, len(TOKENS)), "output_norm": (WIDTH,), "output": (WIDTH, len(TOKENS))}
    for i in range(LAYERS):
        for name, shape in {"attn_norm": (WIDTH,), "attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, KV_HEADS * HEAD),
                            "attn_v": (WIDTH, KV_HEADS * HEAD), "attn_output": (WIDTH, WIDTH),
                            "ffn_norm": (WIDTH,), "ffn_gate": (WIDTH, WIDE), "ffn_up": (WIDTH, WIDE),
                            "ffn_down": (WIDE, WIDTH)}.items():
            shapes["blk.%d.%s" % (i, name)] = shape
    return {name: (shape, [rand.gauss(len(shape) == 1, 0.3) for _ in range(math.prod(shape))])
            for name, shape in shapes.items()}


def model_file(weights, extra=(), architecture="llama"):
    def text(value):
        raw = value.encode()
        return struct.pack("<Q", len(raw)) + raw

    def strings(items):
        return struct.pack("<IIQ", 9, 8, len(items)) + b"".join(text(i) for i in items)

    keys = {"general.architecture": struct.pack("<I", 8) + text(architecture),
            "tokenizer.ggml.model": struct.pack("<I", 8) + text("gpt2"),
            "tokenizer.ggml.pre": struct.pack("<I", 8) + text("gpt-2"),
            "tokenizer.ggml.tokens": strings(TOKENS), "tokenizer.ggml.merges": strings(MERGES),
            "llama.attention.layer_norm_rms_epsilon": struct.pack("<If", 6, 1e-5),
            "llama.rope.freq_base": struct.pack("<If", 6, 100)}
    for name, value in {"embedding_length": WIDTH, "block_count": LAYERS, "feed_forward_length": WIDE,
                        "context_length": 64, "attention.head_count": HEADS,
                        "attention.head_count_kv": KV_HEADS}.items():
        keys["llama." + name] = struct.pack("<II", 4, value)
    keys.update(extra)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(weights), len(keys))
    head += b"".join(text(name) + value for name, value in keys.items())
    data = b""
    for name, (shape, values) in weights.items():
        head += text(name + ".weight") + struct.pack("<I%dQIQ" % len(shape), len(shape), *shape, F32, len(data))
        data += struct.pack("<%df" % len(values), *values)
        data += bytes(-len(data) % 32)
    return head + bytes(-len(head) % 32) + data


class Model:
    """One token after another, in double."""
    def __init__(self, weights):
        self.weights = {name: (shape, struct.unpack("<%df" % len(v), struct.pack("<%df" % len(v), *v)))
                        for name, (shape, v) in weights.items()}

    def times(self, name, x):
        (k, rows), values = self.weights[name]
        return [sum(a * b for a, b in zip(values[r * k:(r + 1) * k], x)) for r in range(rows)]

    def norm(self, name, x):
        scale = 1 / math.sqrt(sum(v * v for v in x) / len(x) + 1e-5)
        return [v * scale * w for v, w in zip(x, self.weights[name][1])]

    @staticmethod
    def rotate(x, position):
        out = list(x)
        for at in range(0, len(x), 2):
            angle = position * 100 ** (-(at % HEAD) / HEAD)
            c, s = math.cos(angle), math.sin(angle)
            out[at], out[at + 1] = x[at] * c - x[at + 1] * s, x[at] * s + x[at + 1] * c
        return out

    def attend(self, q, keys, values):
        mixed = []
        for h in range(HEADS):
            at = h // (HEADS // KV_HEADS) * HEAD
            scores = [sum(a * b for a, b in zip(q[h * HEAD:(h + 1) * HEAD], k[at:at + HEAD]))
                      / math.sqrt(HEAD) for k in keys]
            p = [math.exp(s - max(scores)) for s in scores]
            mixed += [sum(a * v[at + i] for a, v in zip(p, values)) / sum(p) for i in range(HEAD)]
        return mixed

    def log_probabilities(self, window):
        cache, out = [([], []) for _ in range(LAYERS)], []
        for position, token in enumerate(window):
            x = list(self.weights["token_embd"][1][token * WIDTH:(token + 1) * WIDTH])
            for i, (keys, values) in enumerate(cache):
                name = "blk.%d." % i
                h = self.norm(name + "attn_norm", x)
                keys.append(self.rotate(self.times(name + "attn_k", h), position))
                values.append(self.times(name + "attn_v", h))
                q = self.rotate(self.times(name + "attn_q", h), position)
                x = [a + b for a, b in zip(x, self.times(name + "attn_output", self.attend(q, keys, values)))]
                h = self.norm(name + "ffn_norm", x)
                gate, up = self.times(name + "ffn_gate", h), self.times(name + "ffn_up", h)
                wide = [g / (1 + math.exp(-g)) * u for g, u in zip(gate, up)]
                x = [a + b for a, b in zip(x, self.times(name + "ffn_down", wide))]
            logits = self.times("output", self.norm("output_norm", x))
            shift = max(logits) + math.log(sum(math.exp(v - max(logits)) for v in logits))
            out.append([v - shift for v in logits])
        return out


def expected(base, model, tokens):
    """Perplexity, divergence and percent of equal first choices."""
    nll, kl, same = [], [], []
    for start in range(0, len(tokens) - WINDOW + 1, WINDOW):
        window = tokens[start:start + WINDOW]
        p, q = base.log_probabilities(window), model.log_probabilities(window)
        for t in range(WINDOW // 2, WINDOW - 1):
            nll.append(-q[t][window[t + 1]])
            kl.append(sum(math.exp(a) * (a - b) for a, b in zip(p[t], q[t])))
            same.append(p[t].index(max(p[t])) == q[t].index(max(q[t])))
    count = len(nll)
    return math.exp(sum(nll) / count), sum(kl) / count, 100 * sum(same) / count


def make_case(b):
    weights = make_weights(b.random)
    near = {name: (shape, [v + b.random.gauss(0, 0.02) for v in values])
            for name, (shape, values) in weights.items()}
    text = "".join(b.random.choice(WORDS) for _ in range(60))
    b.write("base.gguf", model_file(weights))
    b.write("near.gguf", model_file(near))
    b.write("text", text.encode())
    return weights, near, text


def test_values(b):
    weights, near, text = make_case(b)
    tokens = tokenize(text)
    command = ["perplexity", "near.gguf", "--kl", "base.gguf", "--text", "text", "--csv", "--window", str(WINDOW)]
    printed = b.ok(*command)
    found = next(csv.DictReader(printed.splitlines()))
    want = expected(Model(weights), Model(near), tokens)
    for name, value in zip(("perplexity", "kl", "same_top_percent"), want):
        expect(math.isclose(float(found[name]), value, rel_tol=1e-4, abs_tol=1e-6), "%s is %s, expected %.8f",
               name, found[name], value)
    expect(b.ok(*command, "--threads", "1") == printed, "one thread: other results")
    expect(b.ok(*command, "--threads", "3") == printed, "three threads: other results")
    done = b.run(*command, env={**os.environ, "IQT_CPU": "portable"})
    expect(done.stdout == printed, "portable code: %s, not %s", done.stdout, printed)
    summary = b.ok("perplexity", "base.gguf", "--kl", "base.gguf", "--text", "text", "--window", "40")
    expect("%d windows of 40 tokens" % (len(tokens) // WINDOW) in summary, "windows: %s", summary)
    expect("0.0000000" in summary and "100.000" in summary, "a model beside itself: %s", summary)


def test_refusals(b):
    weights, _, _ = make_case(b)
    args = ["--text", "text", "--window", "40"]
    b.fails(2, "--text", "perplexity", "base.gguf")
    b.fails(2, "the 64 tokens of context", "perplexity", "base.gguf", "--text", "text", "--window", "65")
    b.write("short", b"the the")
    b.fails(2, "a window 40", "perplexity", "base.gguf", "--text", "short", "--window", "40")
    cases = {"not llama": model_file(weights, architecture="bert"),
             "llama.rope.scaling.type": model_file(weights, {"llama.rope.scaling.type":
                                                             struct.pack("<IQ", 8, 4) + b"yarn"}),
             "llama-bpe": model_file(weights, {"tokenizer.ggml.pre":
                                               struct.pack("<IQ", 8, 9) + b"llama-bpe"}),
             "blk.1.ffn_up.weight": model_file({n: w for n, w in weights.items() if n != "blk.1.ffn_up"}),
             "what the others do": model_file({**weights, "blk.0.attn_q.bias": ((WIDTH,), [0] * WIDTH)}),
             "the model's keys ask for": model_file({**weights, "blk.0.attn_q": ((16, 32), [0] * 512)})}
    for words_, data in cases.items():
        b.write("bad.gguf", data)
        code = 2 if "ffn_up" in words_ else 1
        b.fails(code, words_, "perplexity", "bad.gguf", *args)
    b.write("bad.gguf", model_file({**weights, "token_embd": ((WIDTH, 100), [0] * 3200),
                                    "output": ((WIDTH, 100), [0] * 3200)}))
    b.fails(1, "knows 100 tokens", "perplexity", "bad.gguf", "--kl", "base.gguf", *args)


if __name__ == "__main__":
    sys.exit(main([test_values, test_refusals]))
