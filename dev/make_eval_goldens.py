"""Golden prompts for tests/eval/prompt_golden_test.cpp: an independent reading of evaluations.md 3 and 4 over HF tokenizers.

    python dev/make_eval_goldens.py tests/golden > tests/golden/eval_prompts.jsonl

Uses the small tokenizers of dev/make_tokenizer_goldens.py and the folder tests/golden/haystack.
"""
import json
import pathlib
import sys

import numpy
import tokenizers
from tokenizers import Tokenizer

LENGTHS, DEPTHS = [250, 411, 1024, 4096], [0, 11, 33, 50, 77, 100]
FOLDER = pathlib.Path(sys.argv[1])
REFERENCE = dict(
    description="There is an important infomation hidden in the following context. Find the information and memorize it. I will quiz you about the important information there.\n",
    needle="\n\nThe best thing to do in San Francisco is sitting in Dolores Park and eating a hamburg on a sunny day.\n\n",
    question="\n\nWhat is the best thing to do in San Francisco?\nAnswer:",
    noise="The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.",
    information="\n\nThe pass key is {key}. Remember it. {key} is the pass key.\n\n",
    pass_question="\n\nWhat is the pass key?",
)
TEMPLATES = {
    "llama-3": "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "chatml": "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
}
CLEAN_UP = [(" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re")]


def fnv(ids):
    h = 0xCBF29CE484222325
    for b in b"".join(i.to_bytes(4, "little") for i in ids):
        h = (h ^ b) * 0x100000001B3 % 2**64
    return f"{h:016x}"


class Maker:
    def __init__(self, name, template, clean_up):
        self.name, self.template, self.clean_up = name, template, clean_up
        self.tokenizer = Tokenizer.from_file(str(FOLDER / f"tokenizer_{name}.tokenizer.json"))

    def ids(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids, skip=False):
        text = self.tokenizer.decode(ids, skip_special_tokens=skip)
        for old, new in CLEAN_UP if self.clean_up else []:
            text = text.replace(old, new)
        return text

    def prompt(self, tokens):
        text = self.decode(tokens)
        if self.template == "no":
            text = self.decode(self.ids(text), skip=True)
        else:
            text = TEMPLATES[self.template].format(text)
        return self.tokenizer.encode(text).ids  # with the post-processor: BOS where there is one

    def needle(self, length, depth, strict):
        d, n, q = (self.ids(REFERENCE[k]) for k in ("description", "needle", "question"))
        context, counted = "", 0
        for path in sorted(p for p in (FOLDER / "haystack").iterdir() if p.suffix in (".txt", ".md")):
            text = path.read_text(encoding="utf-8")
            context += text
            counted += len(self.ids(text))
            if counted > max(LENGTHS):  # read once, for the longest length of the grid
                break
        words = len(context.split())
        if length > words:
            context = context * -(-length // words)
        ctx = self.ids(context)[: length - len(d) - len(n) - len(q)]
        pos = len(d) + round((length - len(q) - len(n) - 1 - len(d)) * depth / 100)
        cut = pos if strict else pos - len(d)
        return self.prompt(d + ctx[:cut] + n + ctx[cut:] + q)

    def passkey(self, length, depth, key):
        d, q = self.ids(REFERENCE["description"]), self.ids(REFERENCE["pass_question"])
        i = self.ids(REFERENCE["information"].format(key=key))
        noise = self.ids(REFERENCE["noise"] * (length // 10))
        pos = len(d) + round((length - len(q) - len(i) - 1 - len(d)) * depth / 100)
        return self.prompt(d + noise[: pos - len(d)] + i + noise[: length - pos - len(i) - len(q)] + q)


def out(**fields):
    print(json.dumps(fields, separators=(",", ":")))


def emit(maker, task, length, depth, prompt, **more):
    fields = dict(task=task, tokenizer=maker.name, template=maker.template, clean_up=maker.clean_up, length=length, depth=depth, **more)
    if length <= 300 and depth in (0, 50):
        fields["ids"] = prompt
    out(**fields, tokens=len(prompt), hash=fnv(prompt))


out(made_by=dict(tokenizers=tokenizers.__version__, numpy=numpy.__version__, python=sys.version.split()[0]), wording=REFERENCE)
for maker in (Maker("llama3", "llama-3", False), Maker("llama3", "llama-3", True), Maker("qwen2", "chatml", False), Maker("gpt2", "no", False)):
    for strict in (False, True):
        for length in LENGTHS:
            for depth in DEPTHS:
                emit(maker, "needle", length, depth, maker.needle(length, depth, strict), strict=strict)
    rng = numpy.random.default_rng(123)
    for length in LENGTHS:
        for depth in DEPTHS:
            key = str(rng.integers(10**4, 10**5))
            emit(maker, "passkey", length, depth, maker.passkey(length, depth, key), key=key)
