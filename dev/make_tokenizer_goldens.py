"""Goldens of the tokenizer tests, made with Hugging Face tokenizers and transformers.

  make_tokenizer_goldens.py goldens MODEL.gguf BOOKS OUT   writes OUT/tokenizer_*.json (ids of the torture list, of every book, chats)
  make_tokenizer_goldens.py speed MODEL.gguf BOOKS OUT     MB/s and tokens/s (CPU time) of HF tokenizers on one thread, on BOOKS/*.md and on OUT's
                                                           tokenizers (OUT may be any folder that `goldens` filled)
  make_tokenizer_goldens.py classes                        code points by class (letters, numbers, spaces, Rust numerics), as ranges

BOOKS is the folder of *.md books. Run with RAYON_NUM_THREADS=1 for `speed`.
"""
import hashlib
import json
import os
import pathlib
import sys
import time
import unicodedata

os.environ.setdefault("RAYON_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
# None of those that tenfold has a scanner for: it goes through PCRE2.
GPT4 = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"


def gguf_tokenizer(path):
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    t = Tokenizer(models.BPE(vocab={x: i for i, x in enumerate(tokens)}, merges=merges))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(x, special=True, normalized=False) for x, k in zip(tokens, types) if k == 3])
    return t, fields["tokenizer.chat_template"].contents()


def train(book, pre, special, normalizer=None, merges=2000):
    t = Tokenizer(models.BPE())
    if normalizer is not None:
        t.normalizer = normalizer
    t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel()
    text = book.read_bytes().decode()
    sample = "\n".join(torture()[:150])
    t.train_from_iterator([text, sample], trainers.BpeTrainer(
        vocab_size=256 + merges, special_tokens=[], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in special])
    return t


def small_tokenizers(books):
    book = books / "stoker_dracula.md"
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = lambda p: pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(p), "isolated"), byte_level])

    llama = train(book, split(LLAMA3), ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
                                        "<|eot_id|>", "<|eom_id|>", "<|python_tag|>", "<|reserved_special_token_0|>",
                                        "<|reserved_special_token_1|>", "<|reserved_special_token_10|>"])
    state = json.loads(llama.to_str())
    state["model"]["ignore_merges"] = True
    # Words that no merge makes: only ignore_merges finds them, whole and one token.
    extra = [w for w in ["Ġqzxj", "zqxjk", "ĠTranssylvanian", "ĠĠĠĠĠĠĠĠĠĠĠĠĠ"] if w not in state["model"]["vocab"]]
    base = 256 + 2000
    for token in state["added_tokens"]:
        token["id"] += len(extra)
    for i, word in enumerate(extra):
        state["model"]["vocab"][word] = base + i
    llama = Tokenizer.from_str(json.dumps(state))
    bos = llama.token_to_id("<|begin_of_text|>")
    llama.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
        special_tokens=[("<|begin_of_text|>", bos)])])

    gpt2 = train(book, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True), ["<|endoftext|>"])
    # Added tokens that are not special: normalized (HF's default) or not, overlapping, one with a space, one in letters.
    gpt2.add_tokens([AddedToken("<tag>", normalized=True), AddedToken("<tag><tag>", normalized=True),
                     AddedToken("two words", normalized=False), AddedToken("Transylvania", normalized=True),
                     AddedToken("\u00e9t\u00e9", normalized=False)])
    gpt2.post_processor = processors.ByteLevel(trim_offsets=False)

    qwen = train(book, split(QWEN2), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], normalizers.NFC(), merges=500)
    qwen.post_processor = processors.ByteLevel(trim_offsets=False)
    gpt4 = train(book, split(GPT4), ["<|endoftext|>"], merges=500)
    return {"llama3": llama, "gpt2": gpt2, "qwen2": qwen, "gpt4": gpt4}


def old_merges(text):
    """The spelling of merges before tokenizers 0.20: "a b" instead of ["a", "b"]."""
    state = json.loads(text)
    state["model"]["merges"] = [" ".join(m) for m in state["model"]["merges"]]
    return json.dumps(state, ensure_ascii=False, separators=(",", ":"))


def torture():
    strings = [
        "", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\r\n\r\n", "\t", "\t\t", " \n", "\n ", " \n ", "  \n\n  x", "\t\n\tx", "\r", "\r\r\n",
        "a", "A", "ab", "Hello, world!", " Hello", "Hello ", "  Hello  world  ", "Hello\nworld", "Hello\n\nworld\n", "\n\nHello",
        "The quick brown fox jumps over the lazy dog.", "it's", "It's we're they've I'm I'll he'd don't", "IT'S WE'RE THEY'VE I'M I'LL HE'D DON'T",
        "It'S we'Re they'vE I'm I'lL he'D", "'s't're've'm'll'd", "'S'T'RE'VE'M'LL'D", "'sabc 'lleft 'reach 'vex 'max 'dog 'tis", "' s", "''s", "' 's",
        "'", "''", "'''", "x'", "x'y", "rock'n'roll", "\u2019s it\u2019s", "'\u017f 'x\u017f a'\u017fb", "'\u212a", "\u212a", "'\u00df 'ss", "'l", "'r", "'v", "'L 'R 'V",
        "0", "1", "12", "123", "1234", "12345", "123456789", "1,234,567.89", "$1,000", "3.14159", "-42", "+7", "1e-5", "0x1F", "v2.0.1", "2024-01-31T12:34:56Z",
        "a1b2c3", "1a2b3c", "abc123def", "  123", "123  ", "1  2", " 1 2 3", "1\n2", "\n1", "\t1",
        "\u00bd", "\u00b2", "x\u00b2+y\u00b2", "\u0663\u0664\u0665", "\u2167", "\u2167\u2168", "\u00bd\u00b2\u0663\u2167" "9", "\u2460\u2461", "\u0967\u0968\u0969", "\U0001d7d8\U0001d7d9", "\u4e00\u4e8c\u4e09", "\uff11\uff12\uff13", " \u00bd", "a\u00bdb", "\u3007", "\u0bf0", "\U0001f100",
        "\U00011de0\U00011de1", "x \U00016ff4 y", "\U00010d40\U00010d41", "\U0001ccf0", "\u1c89\u1c8a", "\U000105c0x", "\U0002ebf0", "\ua7cb", "\U00016d40\U00016d70",
        "caf\u00e9", "cafe\u0301", "na\u00efve", "\u00c5ngstr\u00f6m", "A\u030angstro\u0308m", "\u1e9b\u0323", "e\u0301\u0301\u0301", "\u0301", " \u0301", "a\u0328\u0301", "a\u0301\u0328", "\u0344", "\u0958", "\u2126", "\ufb01", "\u1100\u1161\u11a8", "\uac01", "x\u0301\u08d2", "a\u08d2\u0301", "\U00011935\U00011930 \U00011938", "\u0c15\u0c4d\u0c3c",
        "\u4f60\u597d\uff0c\u4e16\u754c\uff01", "\u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8", "\ud55c\uad6d\uc5b4 \ud14c\uc2a4\ud2b8", "\u4e2d\u6587 and English \u6df7\u5408", "\u3000\u5168\u89d2\u3000", "\U00020000\U00020001", "\u300c\u5f15\u7528\u300d\u3002",
        "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645", "\u0627\u0644\u0652\u0639\u064e\u0631\u064e\u0628\u0650\u064a\u064e\u0651\u0629", "\u05e9\u05dc\u05d5\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947", "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439, \u043c\u0438\u0440", "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5", "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0", "\u0b95\u0bcd\u0bb7", "\u1019\u103c\u1014\u103a\u1019\u102c", "Ti\u1ebfng Vi\u1ec7t",
        "\U0001f600", "\U0001f600\U0001f603", "Hi \U0001f600!", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f44d\U0001f3fd", "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7", "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001f3f4\U000e0067\U000e0062\U000e007f", "\u263a", "\U0001f9d1\u200d\U0001f680x", "\U0001fae0",
        "\u00a0", "a\u00a0b", "\u00a0\u00a0a", " \u00a0a", "\u00a0 a", "\u2003x", "\u2002\u2003x", "\u2009", "\u202f", "1\u202f000", "\u205fx", "\u1680x", "\u3000x", "\u3000\u3000x", "\u2028x", "a\u2028\u2029b", "\u0085", "a\u0085b", " \u0085 b", "\u0085\n", "\u200b", "a\u200bb", "\ufeff", "\ufeffx", "\u180ex", " \u180e x", "\u00adx", "\u2060",
        "\x0b", "\x0c", "a\x0bb", "a\x0cb", "\x1c\x1d\x1e\x1f", "a\x1cb", "\x00", "a\x00b", "\x00\x00\x00", "\x01\x02\x03", "\x07\x08", "\x1b[31mred\x1b[0m", "\x7f", "\x80\x9f", "\u009b",
        "\ufffd", "a\ufffdb", "\ufffd\ufffd\ufffd", "\ufffe", "\uffff", "\U0010ffff", "\U000f0000", "\ue000",
        "<|im_start|>", "<|im_end|>", "<|im_start|>user\nHi<|im_end|>\n", "<|endoftext|>", "<|endoftext|><|endoftext|>", "a<|endoftext|>b", " <|im_end|> ", "<|im_start|", "|im_start|>", "<<|im_start|>>", "<|im_start|><|im_start", "<|IM_START|>", "< |im_start|>", "<repo_name>x<reponame>", "<file_sep><filename>", "<empty_output>", "<empty_outpu", "<|begin_of_text|>x", "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>", "<|reserved_special_token_1|><|reserved_special_token_10|><|reserved_special_token_100|>", "<|reserved_special_token_1", "<|eot_id|><|eom_id|>",
        "<tag>", "<tag><tag>", "<tag><tag><tag>", "a<tag>b", "< tag>", "two words", "two  words", "some two words here", "Transylvania", "inTransylvanian", "\u00e9t\u00e9", "l'\u00e9t\u00e9 <tag><|endoftext|><tag><tag>",
        "def f(x):\n    return x**2 + 1\n", "for (int i = 0; i < n; ++i) {\n\ta[i] += b[i];\n}\n", "#include <stdio.h>\r\nint main(void) { return 0; }\r\n", "SELECT * FROM t WHERE a='b''c' -- x", "https://example.com/a/b?c=d&e=f#g", "user@example.com", "C:\\Users\\x\\y.txt", "{\"a\": [1, 2, {\"b\": null}]}", "<div class=\"x\">&nbsp;</div>", "x = y if z else w  # comment", "!!!", "...", "?!?!", "--", "\u2014", "a\u2014b", "\u201cquote\u201d", "\u2026", "()[]{}", "a.b.c", "a_b_c", "__init__", "@@ -1,2 +3,4 @@", "$$\\int_0^1 x^2 dx$$", "\\n\\t\\0", "100%", "~/.bashrc", "a\\\nb", "!\n", "!\n\n x", ".\r\n\r\n", "; \n", "?\t\n",
        " a b  c   d    e", "a \n b", "a\n\n\n\nb", "   \n   \n   ", "x   ", "x \t \n", "\t x", " \t x", "\n\t x", "a\t\tb", "    indented", "\u00a0\u00a0\n\u00a0x",
        " qzxj", "qzxj", "zqxjk", "azqxjk", " Transsylvanian", " Transsylvanians", "             ", "              x", " " * 13 + "x",
        "a" * 100, "ab" * 200, "the " * 100, " " * 64, " " * 65, " " * 1000, "\n" * 300, "1" * 200, "=" * 333, "-" * 80 + "\n", "ha" * 500, "\U0001f600" * 50, "\u4e2d" * 200, "e\u0301" * 100, "z" * 63, "z" * 64, "z" * 65, "abcdefghijklmno", "abcdefghijklmnop", " antidisestablishmentarianism", "pneumonoultramicroscopicsilicovolcanoconiosis" * 3, "aA" * 70, "th" * 64 + "e", "\u0e01" * 90, "!?" * 90, "0123456789" * 20,
        "Donaudampfschifffahrtselektrizit\u00e4tenhauptbetriebswerkbauunterbeamtengesellschaft", "".join(chr(c) for c in range(0x20, 0x7f)), "".join(chr(c) for c in range(0x80, 0x250)), "".join(chr(c) for c in range(1, 0x80)),
    ]
    # One character of every category and plane, alone and between letters and digits.
    by_category = {}
    for c in range(0x110000):
        if not 0xD800 <= c <= 0xDFFF:
            by_category.setdefault((unicodedata.category(chr(c)), c >> 14), chr(c))
    picked = list(by_category.values())
    for i in range(0, len(picked), 24):
        strings.append("".join(f"a{c} {c}1" for c in picked[i:i + 24]))
    # Pseudo-random mixtures of what scanners branch on.
    atoms = [" ", "  ", "\n", "\r", "\t", "'", "'s", "'LL", "a", "Bc", "1", "23", ".", "!", "\u00a0", "\u0085", "\u00e9", "\u4e2d", "\u00bd", "\u0301", "\U0001f600", "<|im_end|>", "<tag>", "_", "\u017f", "\x00"]
    seed = 12345
    for _ in range(150):
        text = ""
        for _ in range(12):
            seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
            text += atoms[(seed >> 33) % len(atoms)]
        strings.append(text)
    return strings


def fnv(ids):
    """FNV-1a with one step an id."""
    h = 0xCBF29CE484222325
    for i in ids:
        h = ((h ^ i) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def provenance():
    import transformers

    return {"script_sha256": hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest(), "tokenizers": tokenizers.__version__,
            "transformers": transformers.__version__}


def encoded(t):
    cases = []
    for s in torture():
        ids = t.encode(s, add_special_tokens=False).ids
        case = {"text": s, "ids": ids}
        decoded = t.decode(ids, skip_special_tokens=False)
        if decoded != s:
            case["decoded"] = decoded
        cases.append(case)
    return cases


def books_of(t, folder):
    out = {}
    for book in sorted(folder.glob("*.md")):
        ids = t.encode(book.read_bytes().decode(), add_special_tokens=False).ids
        out[book.name] = {"tokens": len(ids), "fnv1a": fnv(ids)}
    return out


def chats(template):
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token="<|im_start|>", eos_token="<|im_end|>")
    turn = lambda role, content: {"role": role, "content": content}
    conversations = [
        [turn("user", "Hi")], [turn("user", "")], [turn("user", "  spaces \n\n")], [turn("user", "caf\u00e9 \U0001f600 <|im_end|>")],
        [turn("system", "You are terse."), turn("user", "Hi")], [turn("system", ""), turn("user", "Hi")],
        [turn("user", "a"), turn("assistant", "b"), turn("user", "c")],
        [turn("user", "a"), turn("assistant", "")],
        [turn("system", "s"), turn("user", "a"), turn("assistant", "b"), turn("user", "c"), turn("assistant", "d")],
        [turn("user", "a"), turn("user", "b")], [turn("assistant", "b"), turn("user", "c")],
    ]
    return [{"messages": c, "generation": g,
             "text": fast.apply_chat_template(c, chat_template=template, tokenize=False, add_generation_prompt=g)}
            for c in conversations for g in (False, True)]


def dump(path, value):
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace('},{"text"', '},\n{"text"') + "\n")


def goldens(gguf, books, out):
    smol, template = gguf_tokenizer(gguf)
    dump(out / "tokenizer_smollm2.json", {"made_by": provenance(), "cases": encoded(smol), "books": books_of(smol, books)})
    dump(out / "tokenizer_chat_smollm2.json", {"made_by": provenance(), "template": template, "cases": chats(template)})
    for name, t in small_tokenizers(books).items():
        text = t.to_str()
        if name == "gpt2":
            text = old_merges(text)
        else:
            text = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
        (out / f"tokenizer_{name}.tokenizer.json").write_text(text + "\n", encoding="utf-8")
        again = Tokenizer.from_str(text)
        value = {"made_by": provenance(), "with_bos": again.encode("Hi there").ids, "cases": encoded(again)}
        if name != "gpt4":
            value["books"] = books_of(again, books)
        dump(out / f"tokenizer_{name}.json", value)


def speed(gguf, books, out):
    texts = [b.read_bytes().decode() for b in sorted(books.glob("*.md"))]
    size = sum(len(t.encode()) for t in texts)
    named = {"smollm2": gguf_tokenizer(gguf)[0]}
    for name in ("llama3", "gpt2", "qwen2", "gpt4"):
        named[name] = Tokenizer.from_file(str(out / f"tokenizer_{name}.tokenizer.json"))
    for name, t in named.items():
        best = 1e9
        for _ in range(3):
            start = time.process_time()
            n = sum(len(t.encode(x, add_special_tokens=False).ids) for x in texts)
            best = min(best, time.process_time() - start)
        fast = 1e9
        for _ in range(3):
            start = time.process_time()
            for x in texts:
                t.encode_batch_fast([x], add_special_tokens=False)
            fast = min(fast, time.process_time() - start)
        print(f"{name}: encode {size / best / 1e6:.2f} MB/s {n / best / 1e6:.3f} M tokens/s; encode_batch_fast {size / fast / 1e6:.2f} MB/s")


def classes():
    def ranges(members):
        out = []
        for c in sorted(members):
            if out and out[-1][1] == c - 1:
                out[-1][1] = c
            else:
                out.append([c, c])
        return " ".join(f"{a:x}-{b:x}" for a, b in out)

    points = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    for name, pattern in (("letters", r"\p{L}"), ("numbers", r"\p{N}"), ("spaces", r"\s")):
        pre = pre_tokenizers.Split(Regex(pattern), "removed")
        found = set()
        for i in range(0, len(points), 0x4000):
            part = points[i:i + 0x4000]
            kept = set()
            for _, (a, b) in pre.pre_tokenize_str("".join(map(chr, part))):
                kept.update(range(a, b))
            found.update(c for k, c in enumerate(part) if k not in kept)
        print(name, len(found), ranges(found))
    digits = pre_tokenizers.Digits(individual_digits=True)
    found = [c for c in points if len(digits.pre_tokenize_str(".." + chr(c) + "..")) == 3]
    print("rust_numeric", len(found), ranges(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["classes"]:
        classes()
    elif len(sys.argv) == 5 and sys.argv[1] in ("goldens", "speed"):
        {"goldens": goldens, "speed": speed}[sys.argv[1]](sys.argv[2], pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4]))
    else:
        sys.exit(__doc__)
