"""Golden scores for tests/eval/metrics_test.cpp, from the packages that the published evaluation uses.

Run with rouge 1.0.1, fuzzywuzzy 0.18 over rapidfuzz (python-Levenshtein >= 0.21) and numpy installed:
    python dev/make_metric_goldens.py > tests/golden/metrics.jsonl
"""
import importlib.metadata as metadata
import json
import math
import random
import re
import struct
import sys

import numpy
from fuzzywuzzy import fuzz
from rouge import Rouge

sys.setrecursionlimit(20000)  # the true score, not the one that RecursionError leaves
ROUGE = Rouge()
WORDS = "the a sun moon park key is in of sitting best thing San Francisco day sunny and eat 42 , ; é 雨 Ω ''".split()
NEEDLE = "\n\nThe best thing to do in San Francisco is sitting in Dolores Park and eating a hamburg on a sunny day.\n\n"


def out(**fields):
    print(json.dumps(fields, ensure_ascii=True))


def rouge_case(hyp, ref):
    try:
        scores = ROUGE.get_scores([hyp], [ref], avg=True)
        out(kind="rouge", hyp=hyp, ref=ref, **{k.replace("-", "_"): [v["r"], v["p"], v["f"]] for k, v in scores.items()})
    except ValueError:
        out(kind="rouge", hyp=hyp, ref=ref, rouge_1=[0, 0, 0], rouge_2=[0, 0, 0], rouge_l=[0, 0, 0])


def fuzz_case(a, b):
    out(kind="fuzz", a=a, b=b, ratio=fuzz.ratio(a, b))


def sentence(rng, longest):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, longest)))


def main():
    names = ("rouge", "fuzzywuzzy", "rapidfuzz", "Levenshtein", "numpy")
    out(kind="made_by", python=sys.version.split()[0], **{n: metadata.version(n) for n in names})
    rng = random.Random(7)
    perfect = "The best thing to do in San Francisco is sitting in Dolores Park and eating a hamburg on a sunny day."
    for hyp in (perfect, perfect + "\n", " " + perfect + "<br>", "sitting in Dolores Park and eating a hamburg on a sunny day.",
                "Dolores Park", "", ".", "...", " . ", "\n\n", NEEDLE, NEEDLE * 2, perfect.lower(), "I do not know. Sorry.",
                "a a a a", "best best best. best", "San\u00a0Francisco\u3000day", "x\x1cy\x85z", "\U0001f600 day. \U0001f600"):
        rouge_case(hyp, NEEDLE)
    for hyp, ref in (("a a a a", "a"), ("a", "a a a a"), ("a b c", "c b a"), ("w1 w2 w6. w1 w3 w5", "w1 w2 w3 w4 w5"),
                     ("a b c d", "b a d c"), ("x a x b x c", "a y b y c y"), ("", ""), ("a", ""), ("..", "a"), (" ", " "),
                     ("one. two. three.", "three. two. one."), ("a.b.c", "a b c"), ("Day day DAY", "day"),
                     (" ".join(str(i % 7) for i in range(300)), " ".join(str(i % 5) for i in range(260)))):
        rouge_case(hyp, ref)
    for _ in range(45):
        rouge_case(". ".join(sentence(rng, 14) for _ in range(rng.randint(1, 4))) + rng.choice(["", ".", "\n"]),
                   ".".join(sentence(rng, 14) for _ in range(rng.randint(1, 4))) + rng.choice(["", ".", "\n"]))

    for a, b in (("", ""), ("a", ""), ("", "a"), ("12345", "12345"), ("12345", "54321"), ("1234", "12345"), ("é", "e"), ("雨天", "雨"),
                 ("\U0001f600a", "a\U0001f600"), ("ab" * 20, "ba" * 20), ("a" * 17 + "b" * 23, "b" * 23 + "c" * 17)):
        fuzz_case(a, b)
    for _ in range(30):
        fuzz_case("".join(rng.choice("ab01é") for _ in range(rng.randint(0, 45))), "".join(rng.choice("ab01é") for _ in range(rng.randint(1, 45))))
    # 1 - d/L with L = 80, d = 46 is an exact half that the two formulas round apart.
    fuzz_case("a" * 17 + "b" * 23, "a" * 17 + "c" * 23)

    for x in [0.125, 0.375, 2.675, 1.005, 0.615, 0.5, 1.5, 2.5, 0.045, 0.974358974, 1e-7, 123456.785, -2.675, 5e-324, 1e22, 0.1 + 0.2]:
        out(kind="round", x=x, r2=round(x, 2), r4=round(x, 4), r0=round(x), text=repr(x))
    for _ in range(10):
        x = rng.uniform(-1, 1) * 10 ** rng.randint(-9, 20)
        out(kind="round", x=x, r2=round(x, 2), r4=round(x, 4), r0=round(x), text=repr(x))
    for x in (100.0, 1e16, 123456789012345680.0, 1e-4, 1e-5, 0.00012, 3.0e15, 1.7976931348623157e308, struct.unpack("d", bytes([1] * 8))[0]):
        out(kind="repr", x=x, text=repr(x))

    for seed, low, high in ((123, 10 ** 4, 10 ** 5), (0, 0, 10), (42, 1, 10), (2 ** 40 + 17, 0, 7), (123, 10 ** 9, 10 ** 10), (5, 0, 2 ** 32),
                            (5, 0, 2 ** 32 - 1), (9, -5, 3), (11, 10 ** 17, 10 ** 18), (3, 0, 3 * 2 ** 30), (3, 0, 3 * 2 ** 61)):
        rng_state = numpy.random.default_rng(seed)
        out(kind="integers", seed=seed, low=low, high=high, values=[int(rng_state.integers(low, high)) for _ in range(12)])
    # Both widths of draw from one generator share the buffered half of a word.
    mixed = numpy.random.default_rng(123)
    spans = [(0, 10), (10 ** 9, 10 ** 10), (0, 10), (0, 1), (0, 1000)] * 3
    out(kind="mixed_integers", seed=123, spans=spans, values=[int(mixed.integers(*s)) for s in spans])
    for low, high, n in ((8192, 131072, 10), (0, 100, 10), (8000, 80000, 10), (8000, 128000, 20), (0, 100, 7), (1024, 8192, 4), (5, 5, 1), (0, 1, 3)):
        out(kind="linspace", low=low, high=high, n=n, values=[int(v) for v in numpy.linspace(low, high, n)])
    for hits, total in ((0, 10), (13, 20), (20, 20), (1, 3), (199, 200)):
        z, p = 1.959963984540054, hits / total
        middle = (p + z * z / (2 * total)) / (1 + z * z / total)
        half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
        out(kind="wilson", hits=hits, total=total, low=max(0.0, middle - half) if hits else 0.0, high=min(1.0, middle + half) if hits < total else 1.0)
    for text in ("a  b", " \u3000x\x1cy\u200bz ", "no 12 3", "\u0663\u0664x5", "x\U0001d7ce\U0001d7cf", "", " ", "²³ 7", "１２３", "abc"):
        digits = re.search(r"\d+", text)
        out(kind="text", text=text, words=text.split(), strip=text.strip(), digits=digits.group(0) if digits else "", points=len(text))


main()
