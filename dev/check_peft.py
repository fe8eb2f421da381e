#!/usr/bin/env python3
"""Checks that PEFT loads an adapter that tenfold wrote, and computes with it what tenfold computes.

  check_peft.py --adapter DIR --base HF_DIRECTORY [--like PEFT_DIRECTORY]
  check_peft.py --adapter DIR --base MODEL.gguf --tenfold build/release/src/tenfold

In both: no key of the file is left over or missing in the PEFT model, every tensor arrives bit for bit. With --like: the same logits as
with an adapter that PEFT wrote. With --tenfold: the top logits of `tenfold logits` agree with PEFT's on the dequantised GGUF, in f32, and
the greedy answers to ten prompts are the same token by token, but where PEFT's two best logits lie within 1e-3 of each other.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import torch
from peft import PeftModel
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

PROMPT = "The quick brown fox jumps over the lazy dog, and then it"


FILLER = "The road went on between the hedges, and nobody on the cart said a word. "
PROMPTS = [
    "What is the capital of France?",
    "Write a short poem about the sea.",
    "Explain why the sky is blue to a child.",
    "List three fruits that are red.",
    "Translate 'good morning' into Spanish.",
    "What is 7 times 8?",
    "Give me a recipe for pancakes.",
    "Who wrote Pride and Prejudice?",
    "Name the planets of the solar system.",
    FILLER * 60 + "The ferryman keeps the spare oar behind the chapel. " + FILLER * 30 + "\n\nWhere does the ferryman keep the spare oar?",
]


def base_model(path):
    if path.endswith(".gguf"):
        sys.path.insert(0, str(pathlib.Path(__file__).parent))
        from make_smollm2_golden import load

        return load(path)[1]
    return LlamaForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")


def load_adapter(base, directory):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # PEFT reports missing keys as a warning
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")
        model = PeftModel.from_pretrained(base_model(base), directory).eval()
    stored = load_file(f"{directory}/adapter_model.safetensors")
    loaded = get_peft_model_state_dict(model)
    assert set(stored) == set(loaded), set(stored) ^ set(loaded)
    for key, value in stored.items():
        assert torch.equal(value.float(), loaded[key].float()), key
    return model, len(stored)


@torch.no_grad()
def logits(model, ids):
    return model(input_ids=torch.tensor([ids])).logits[0]


def check_greedy(model, args):
    """Ten prompts through `tenfold eval generation` and through PEFT."""
    from check_eval_hf import TOLERANCE, chat, greedy
    from make_smollm2_golden import load, tokenizer_of

    tokenizer = tokenizer_of(load(args.base)[0])
    with tempfile.TemporaryDirectory() as work:
        data = pathlib.Path(work) / "prompts.jsonl"
        data.write_text("".join(json.dumps({"conversations": [{"role": "user", "content": p}]}) + "\n" for p in PROMPTS))
        subprocess.run([args.tenfold, "eval", "generation", "--model", args.base, "--adapter", args.adapter, "--data", str(data), "--max-new-tokens",
                        "32", "--no-do-sample", "--compute-dtype", "f32", "--device", "cpu", "--out", work], check=True)
        lines = [json.loads(line) for line in (pathlib.Path(work) / "eval/generation/answers.jsonl").read_text().splitlines()]
    lines.sort(key=lambda line: int(line["id"].rsplit("-", 1)[1]))
    assert len(lines) == len(PROMPTS)
    stop = {tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")}
    equal = 0
    for prompt, line in zip(PROMPTS, lines):
        ids, gaps = greedy(model, tokenizer.encode(chat(prompt)).ids, stop)
        text = tokenizer.decode(ids, skip_special_tokens=True)
        equal += line["output"] == text
        if line["output"] != text:
            print(f"{prompt[-60:]!r}\n  tenfold {line['output']!r}\n  PEFT    {text!r} (nearest tie {min(gaps):.2e})")
            assert min(gaps) < TOLERANCE, "the answers differ"
    print(f"greedy: {equal} of {len(PROMPTS)} answers equal; the needle's: {lines[-1]['output']!r}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--adapter", required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--like")
    parser.add_argument("--tenfold")
    args = parser.parse_args()
    torch.set_num_threads(1)
    notes = json.loads((pathlib.Path(args.adapter) / "tenfold.json").read_text())
    model, count = load_adapter(args.base, args.adapter)
    print(f"PEFT loads {args.adapter}: {count} tensors, none missing, none left over; RoPE of tenfold.json: {notes['rope']}")
    if args.like:
        ids = [i * 7919 % model.config.vocab_size for i in range(1, 60)]
        ours, theirs = logits(model, ids), logits(load_adapter(args.base, args.like)[0], ids)
        plain = logits(base_model(args.base), ids)
        assert torch.equal(ours, theirs), (ours - theirs).abs().max()
        print(f"the same logits as with {args.like}; the adapter moves them by up to {(ours - plain).abs().max():.3f}")
    if args.tenfold:
        command = [args.tenfold, "logits", "--model", args.base, "--adapter", args.adapter, "--prompt", PROMPT, "--raw", "--top", "20", "--compute-dtype", "f32", "--json"]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1])
        rotary = model.base_model.model.model.rotary_emb
        theta = notes["rope"]["rope_theta"]
        size = rotary.inv_freq.numel() * 2
        rotary.inv_freq.copy_(1.0 / theta ** (torch.arange(0, size, 2).float() / size))
        reference = logits(model, answer["ids"])[-1]
        worst = max(abs(entry["logit"] - float(reference[entry["id"]])) for entry in answer["top"])
        best = set(reference.topk(20).indices.tolist())
        scale = float(reference.abs().max())
        print(f"tenfold logits against PEFT: largest difference {worst:.2e} of {scale:.1f}; {len(best & {entry['id'] for entry in answer['top']})} of the 20 best shared")
        assert worst <= 2e-4 * scale, "outside the tolerance of tests/support/golden.h for 30 layers"
        check_greedy(model, args)


if __name__ == "__main__":
    main()
