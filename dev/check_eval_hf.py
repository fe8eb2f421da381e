#!/usr/bin/env python3
"""Evaluations against Hugging Face transformers in f32, on the weights of a GGUF:

  check_eval_hf.py --gguf MODEL.gguf --tenfold build/release/src/tenfold --mmlu test.json --work DIR [--answers DIR/eval/mmlu/answers.jsonl]

MMLU: 100 questions spread over the file: the answers, and the four letters' negative log-likelihoods to 1e-3 (a logit of f32 carries
some 5e-5; the sum over the vocabulary no more). Greedy answers of 50 questions, 32 tokens each: equal token by token, but where the
two best logits of transformers lie within 1e-3 of each other. With --examples dev.json, the first 20 questions of --mmlu with five shots: the
seconds of `eval mmlu`, which reads a subject's shots once, and of transformers' generate (one new token, one question at a time), and the answers of both. Prompts are written out here and tokenised by `tokenizers`, not by
tenfold. Exit 1 on a difference.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import make_smollm2_golden as golden  # noqa: E402

SYSTEM = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
TOLERANCE = 1e-3
NEW_TOKENS = 32


def chat(message):
    return f"{SYSTEM}<|im_start|>user\n{message}<|im_end|>\n<|im_start|>assistant\n"


def mmlu_message(row):
    text = f"The following are multiple choice questions (with answers) about {row['subject'].replace('_', ' ')}.\n\n{row['query'].strip()}"
    for letter, choice in zip("ABCD", row["choices"]):
        text += f"\n{letter}. {choice}"
    return text + "\nAnswer:"


@torch.no_grad()
def check_mmlu(model, tokenizer, rows, answers):
    letters = [tokenizer.encode(c).ids for c in "ABCD"]
    assert all(len(ids) == 1 for ids in letters), letters
    worst, wrong = 0.0, 0
    chosen = [i * len(rows) // 100 for i in range(100)]
    for i in chosen:
        ids = tokenizer.encode(chat(mmlu_message(rows[i]))).ids
        logits = model(torch.tensor([ids])).logits[0, -1].double()
        nll = [float(torch.logsumexp(logits, 0) - logits[ids_of[0]]) for ids_of in letters]
        ours = answers[i]
        if ours["prompt_tokens"] != len(ids) or ours["output"] != int(np.argmin(nll)):
            wrong += 1
            print(f"question {i}: {ours['prompt_tokens']} tokens, answer {ours['output']}; transformers: {len(ids)}, {int(np.argmin(nll))}")
        worst = max(worst, max(abs(a - b) if a == a else float("inf") for a, b in zip(ours["nll"], nll)))
    print(f"MMLU: {len(chosen) - wrong} of {len(chosen)} answers equal; letters' log-likelihoods within {worst:.2e}")
    return wrong == 0 and worst <= TOLERANCE


@torch.no_grad()
def greedy(model, ids, stop):
    out, gaps, past, feed = [], [], None, torch.tensor([ids])
    for _ in range(NEW_TOKENS):
        result = model(input_ids=feed, past_key_values=past, use_cache=True)
        past = result.past_key_values
        best = result.logits[0, -1].topk(2)
        token = int(best.indices[0])
        gaps.append(float(best.values[0] - best.values[1]))
        if token in stop:
            break
        out.append(token)
        feed = torch.tensor([[token]])
    return out, gaps


def check_greedy(model, tokenizer, rows, args):
    work = pathlib.Path(args.work)
    questions = [rows[i * len(rows) // 50 + 3]["query"].strip() for i in range(50)]
    data = work / "questions.jsonl"
    data.write_text("".join(json.dumps({"conversations": [{"role": "user", "content": q}]}) + "\n" for q in questions))
    subprocess.run([args.tenfold, "eval", "generation", "--model", args.gguf, "--data", str(data), "--max-new-tokens", str(NEW_TOKENS),
                    "--no-do-sample", "--compute-dtype", "f32", "--out", str(work)], check=True)
    lines = [json.loads(line) for line in (work / "eval/generation/answers.jsonl").read_text().splitlines()]
    assert len(lines) == 50, len(lines)
    stop = {tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")}
    equal, ties = 0, 0
    for question, line in zip(questions, lines):
        ids, gaps = greedy(model, tokenizer.encode(chat(question)).ids, stop)
        text = tokenizer.decode(ids, skip_special_tokens=True)
        if line["output"] == text:
            equal += 1
            continue
        ties += min(gaps) < TOLERANCE
        print(f"{question[:60]!r}\n  tenfold      {line['output']!r}\n  transformers {text!r} (nearest tie {min(gaps):.2e})")
    print(f"greedy: {equal} of 50 answers of up to {NEW_TOKENS} tokens equal, {ties} others have a tie on the way")
    return equal + ties == 50


def shots_message(row, examples):
    subject = row["subject"].replace("_", " ")
    text = f"The following are multiple choice questions (with answers) about {subject}.\n\n"
    for shot in examples:
        text += mmlu_message(shot).split("\n\n", 1)[1] + f" {'ABCD'[shot['answer']]}\n\n"
    return text + mmlu_message(row).split("\n\n", 1)[1]


@torch.no_grad()
def compare_times(model, tokenizer, rows, args):
    work = pathlib.Path(args.work) / "timed"
    work.mkdir(parents=True, exist_ok=True)
    shots = {}
    for line in open(args.examples, encoding="utf-8"):
        shot = json.loads(line)
        shots.setdefault(shot["subject"], []).append(shot)
    data = work / "questions.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows[:20]))
    out = pathlib.Path(tempfile.mkdtemp(dir=work))
    subprocess.run([args.tenfold, "eval", "mmlu", "--model", args.gguf, "--data", str(data), "--examples", args.examples, "--few-shot", "5", "--compute-dtype", "f32",
                    "--device", "cpu", "--out", str(out)], check=True)
    lines = {a["id"]: a for a in map(json.loads, (out / "eval/mmlu/answers.jsonl").read_text().splitlines())}
    timing = json.loads((out / "eval/mmlu/metrics.json").read_text())["timing"]
    letters = [tokenizer.encode(c).ids[0] for c in "ABCD"]
    begin, equal, lengths = time.monotonic(), 0, 0
    for row in rows[:20]:
        ids = tokenizer.encode(chat(shots_message(row, shots[row["subject"]][:5]))).ids
        result = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), max_new_tokens=1, do_sample=False,
                                output_logits=True, return_dict_in_generate=True)
        ours = lines[f"mmlu-{row['query_id']}"]
        lengths += ours["prompt_tokens"] == len(ids)
        equal += ours["output"] == int(result.logits[0][0, letters].argmax())
    theirs, seconds = time.monotonic() - begin, timing["prefill_seconds"]
    print(f"five shots, 20 questions: tenfold {seconds:.1f} s, transformers' generate {theirs:.1f} s ({theirs / seconds:.2f}x); {equal} answers and {lengths} lengths equal")
    return equal == 20 and lengths == 20


def main():
    parser = argparse.ArgumentParser()
    for name in ("gguf", "tenfold", "mmlu", "work"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--examples", help="MMLU's dev.json: also compare the time of five-shot questions")
    parser.add_argument("--answers", help="answers.jsonl of a run over the whole of --mmlu in f32; without it the run is made")
    args = parser.parse_args()
    pathlib.Path(args.work).mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in open(args.mmlu, encoding="utf-8")]
    answers = args.answers
    if answers is None:
        subprocess.run([args.tenfold, "eval", "mmlu", "--model", args.gguf, "--data", args.mmlu, "--compute-dtype", "f32", "--out", args.work], check=True)
        answers = pathlib.Path(args.work) / "eval/mmlu/answers.jsonl"
    stored = {int(a["id"].split("-")[1]): a for a in map(json.loads, open(answers, encoding="utf-8"))}
    reader, model = golden.load(args.gguf)
    model = model.float()
    tokenizer = golden.tokenizer_of(reader)
    good = check_mmlu(model, tokenizer, rows, stored)
    good = check_greedy(model, tokenizer, rows, args) and good
    if args.examples is not None:
        good = compare_times(model, tokenizer, rows, args) and good
    print("torch", torch.__version__, "transformers", golden.transformers.__version__)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
