#!/usr/bin/env python3
"""The needle grid through transformers' generate (on a GPU where there is one), beside the run that `tenfold eval needle` wrote on the same machine:

  check_needle_hf.py --gguf MODEL.gguf --adapter DIR --haystack TEXT --wording recipes/needle-reference.json --run RUN/eval/needle [--depths 0,100]

Every question is written out and tokenised here, not by tenfold, and must have as many tokens as tenfold's. transformers reads in bf16
with PyTorch's own attention (sdpa), greedily, one question at a time: what a plain loop costs. With --depths only those columns are asked, and
the seconds of the whole grid follow from them, for every depth has the same lengths. Prints hits and seconds of both; exit 1 where a prompt has
other tokens.
"""
import argparse
import collections
import json
import pathlib
import sys
import time

import torch
from peft import PeftModel

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import make_smollm2_golden as golden  # noqa: E402
from check_eval_hf import chat  # noqa: E402


def message(parts, haystack, length, depth):
    """Ids of description, text with the needle at `depth` per cent of what stands before the question, and question: `length` in all."""
    description, needle, question = parts
    context = length - sum(map(len, parts))
    before = min(round((length - len(question) - len(needle) - 1 - len(description)) * depth / 100.0), context)
    return description + haystack[:before] + needle + haystack[before:context] + question


def main():
    parser = argparse.ArgumentParser()
    for name in ("gguf", "haystack", "wording", "run"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--adapter")
    parser.add_argument("--depths")
    parser.add_argument("--max-new-tokens", type=int, default=50)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    reader, model = golden.load(args.gguf)
    tokenizer = golden.tokenizer_of(reader)
    if args.adapter:
        rope = json.loads(pathlib.Path(args.adapter, "tenfold.json").read_text())["rope"]
        model.config.rope_parameters = {"rope_type": "default", "rope_theta": float(rope["rope_theta"])}
        model.model.rotary_emb = type(model.model.rotary_emb)(model.config)
        model = PeftModel.from_pretrained(model, args.adapter).merge_and_unload()
    model.set_attn_implementation("sdpa")
    model = model.to(device, torch.bfloat16)
    wording = json.loads(pathlib.Path(args.wording).read_text())
    parts = [tokenizer.encode(wording[key]).ids for key in ("description", "needle", "question")]
    haystack = tokenizer.encode(pathlib.Path(args.haystack).read_text(encoding="utf-8").strip()).ids
    run = pathlib.Path(args.run)
    ours = {a["id"]: a for a in map(json.loads, (run / "answers.jsonl").read_text().splitlines())}
    cells = [tuple(map(int, key.split("-"))) for key in ours]
    depths = sorted({d for _, d in cells}) if args.depths is None else [int(d) for d in args.depths.split(",")]
    stop = [tokenizer.token_to_id(t) for t in ("<|im_end|>", "<|endoftext|>")]
    counts = collections.Counter()
    warm = torch.full((1, 4096), 100, device=device)
    model.generate(warm, attention_mask=torch.ones_like(warm), max_new_tokens=4, do_sample=False, pad_token_id=stop[0])
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = 0.0
    for length, depth in sorted(c for c in cells if c[1] in depths):
        ids = tokenizer.encode(chat(tokenizer.decode(message(parts, haystack, length, depth), skip_special_tokens=False))).ids
        begin = time.monotonic()
        feed = torch.tensor([ids], device=device)
        out = model.generate(feed, attention_mask=torch.ones_like(feed), max_new_tokens=args.max_new_tokens, do_sample=False, eos_token_id=stop, pad_token_id=stop[0])
        text = tokenizer.decode(out[0, len(ids):].tolist(), skip_special_tokens=True)
        seconds += time.monotonic() - begin
        mine = ours[f"{length}-{depth}"]
        hit = wording["answer"].lower() in text.lower()
        counts.update(asked=1, lengths=mine["prompt_tokens"] == len(ids), hits=hit, ours=mine["hit"], same=mine["output"].strip() == text.strip())
    whole = seconds * len(cells) / counts["asked"]
    timing = json.loads((run / "metrics.json").read_text())["timing"]
    print(f"transformers {golden.transformers.__version__}, torch {torch.__version__}: {counts['hits']} of {counts['asked']} found in {seconds:.1f} s; the whole grid of {len(cells)}: {whole:.0f} s")
    print(f"tenfold, on those: {counts['ours']} found, {counts['same']} answers the same text, {counts['lengths']} prompts of as many tokens; timing of its whole grid: {timing}")
    sys.exit(0 if counts["lengths"] == counts["asked"] else 1)


if __name__ == "__main__":
    main()
