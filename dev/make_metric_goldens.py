"""Golden scores for tests/eval/metrics_test.cpp, from the packages that the published evaluation uses.

Run with rouge 1.0.1, fuzzywuzzy 0.18 over rapidfuzz (python-Levenshtein >= 0.21), jieba 0.42.1 and numpy installed:
    python dev/make_metric_goldens.py > tests/golden/metrics.jsonl
dev/make_case_goldens.py makes the cases of `tenfold eval score`.
"""
import difflib
import importlib.metadata as metadata
import json
import math
import random
import re
import struct
import sys

import jieba
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


def is_word(code_point):
    return code_point < 0x1C80 and re.match(r"\w", chr(code_point)) is not None


def sentence(rng, longest):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, longest)))


def main():
    names = ("rouge", "fuzzywuzzy", "rapidfuzz", "Levenshtein", "numpy", "jieba")
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

    # Every character that case mapping changes, as one text (sigmas among neighbours) and each alone after a letter.
    mapped = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and (chr(c).lower() != chr(c) or chr(c).upper() != chr(c))]
    for text in ["".join(mapped[i:i + 200]) for i in range(0, len(mapped), 200)] + ["ΟΔΥΣΣΕΥΣ ΣΑΣ", "ΑΣ.", "ΑΣ.Α", "Σ", "1Σ", "ªΣ", "AΣ\u0301", "A\u0301Σ b",
                 "ʰΣ", "AΣʰ", "AΣʰb", "ⓐΣ", "İstanbul", "ŒUVRE ß ﬃ", "ᾳ ᾼ ᾟ", "A'Σ'", "A:Σ:B", "\U0001F130Σ", "中Σ"]:
        out(kind="case", text=text, lower=text.lower(), upper=text.upper())
    edges = [c for c in range(0x1C81) if (c > 0 and is_word(c - 1)) != is_word(c)]
    out(kind="words", edges=edges)  # where \\w begins and ends, in turn; beyond, newer Unicode has more letters

    junk = "the quick brown fox jumps over the lazy dog. " * 6
    for a, b in (("", ""), ("a", ""), ("", "a"), ("abcd", "bcde"), ("private", "a private thing"), ("Location", "the location is unknown"),
                 ("tide", "diet"), ("diet", "tide"), ("the lazy dog", junk), ("quick", junk), ("e e e", junk), (junk, "quick dog"), ("x" * 9, "x" * 300),
                 ("xy", "x" * 199), ("xy", "x" * 200), (" the", " " * 150 + "the" * 30), ("类别", "新闻类别：类别"), ("\U0001f600a", "a\U0001f600a")):
        out(kind="difflib", a=a, b=b, ratio=difflib.SequenceMatcher(None, a, b).ratio())
    for n in (20, 198, 199, 200, 201, 350, 900):
        for _ in range(4):
            a, b = ("".join(rng.choice("abcde fg") for _ in range(k)) for k in (rng.randint(1, 40), n))
            out(kind="difflib", a=a, b=b, ratio=difflib.SequenceMatcher(None, a, b).ratio())

    for text in chinese(rng):
        out(kind="cut", text=text, words=list(jieba.cut(text, cut_all=False)))


CHINESE = ["我来到北京清华大学", "他来到了网易杭研大厦", "小明硕士毕业于中国科学院计算所，后在日本京都大学深造", "", "a", "，", "\r\n \t\u3000", "C++和c#是什么关系？11+122=133，是吗？PI=3.14159",
           "你认识那个和主席握手的的哥吗？他开一辆黑色的士。", "枪杆子中出政权", "张三风同学走上了不归路", "阿Q腰间挂着BB机手里拿着大哥大，说：我一般吃饭不AA制的。", "在1号店能买到小S和大S八卦的书，还有3D电视。",
           "雷猴回归人间。", "工信处女干事每月经过下属科室都要亲口交代24口交换机等技术性器件的安装工作", "IBM%-100.5%涨了3.5.6%a.b#x&y_z--", "价格是12.50%元,而不是１２.５％", "隣の客はよく柿食う客だ", "韓國語 한국어와 中文",
           "\U0001f600你好\U0001f600世界\U0001f680", "鿕鿖㐀𠀀龥龦", "沙瑞金向毛娅打听他们家在京州的别墅", "乒乓球拍卖完了", "永和服装饰品有限公司", "结过婚的和尚未结过婚的", "的的的的的的的的", "龘龘靐齉爩鱻麤",
           "T恤4.5折B超AT&T", "１９９９年１２月31日 晚上８点", "\u00a0空\u200b格\u2028行\x1c分", "Ａ股和H股。「引号」《书名》", "她说的确实在理", "南京市长江大桥欢迎您" * 12]


def chinese(rng):
    yield from CHINESE
    pieces = list("的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长知民样现分将外但身些与高意进把法此实回二理美点月明其种声全工己话儿者向情部正名定女问力机给等几很业最间新什打便位因重被走电四第门相次东政海口使教西再平真听世气信北少关并内加化由却代军产入先山五太水万市眼体别处总才场师书比住员九笑性通目华报立马命张活难神数件安表原车白应路期叫死常提感金何更反合放做系计或司利受光王果亲界及今京务制解各任至清物台象记边共风战干接它许八特觉望直服毛林题建南度统色字请交爱让认算论百吃义科怎元社术结六功指思非流每青管夫连远资队跟带花快条院变联言权往展该领传近留红治决周保达办运武半候七必城父强步完革深区即求品士转量空甚众技轻程告江语英基派满式李息写呢识极令黄德收脸钱党倒未持取设始版双历越史商千片容研像找友孩站广改议形委早房音火际则首单据导影失拿网香似斯专石若兵弟谁校读志飞观争究包组造落视济喜离虽坏兴") + ["A", "b2", "3.14", "50%", " ", "，", "。", "-", "+", "\n", "鑫", "靐", "喆"]
    for _ in range(60):
        yield "".join(rng.choice(pieces) for _ in range(rng.randint(2, 60)))


main()
