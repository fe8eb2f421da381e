#!/usr/bin/env python3
"""Golden of the real model: tests/golden/smollm2.json, from transformers in f32 on the weights of the Q4_1 GGUF.

  make_smollm2_golden.py --gguf demo/SmolLM2-135M-Instruct.Q4_1.gguf --out tests/golden

The weights are dequantised by gguf-py and put back into Hugging Face's row order; the forward is LlamaForCausalLM. Stored: the ids of a
prompt of some 200 tokens, the 20 largest logits after eight of its positions, its mean negative log-likelihood, and the greedy
continuation of five prompts with the distance between the two best logits at each step (a step that is nearly a tie proves nothing).
Everything is computed in f64 on the f32 weights; `f32_distance` says how far PyTorch's own f32 lies from that.
"""
import argparse
import hashlib
import json
import pathlib
import sys

import gguf
import numpy as np
import torch
import torch.nn.functional as F
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

POSITIONS = [0, 1, 10, 50, 100, 150, 190]
NEW_TOKENS = 20

PROMPT = """It was a dark and stormy night; the rain fell in torrents, except at occasional intervals, when it was checked by a violent
gust of wind which swept up the streets. In 1830 there were 24 lamps on the quay, of which 7 burned. "Who goes there?" cried the watchman,
lifting his lantern. "A friend," said the stranger, "and a tired one: I have walked from Bristol since Tuesday." They went in together. The
kitchen was warm, and the kettle sang on the hob; a cat lay before the fire, and did not move when the door was shut. "Sit down," said the
watchman. "You will want something hot. There is soup, and there is bread, and if you are not particular there is a little of the cheese that my
sister sends me from the country. Tell me, what brings a man out on the road in such weather?" The stranger took off his hat and laid it on
the table, and for some time he said nothing at all."""

CHAT = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea, there lived",
    CHAT.format("What is the colour of the sky on a clear day?"),
    CHAT.format("Write a Python function that adds two numbers."),
    CHAT.format("List three fruits."),
]


def tensor_name(name):
    """GGUF's name of a tensor in Hugging Face's words."""
    fixed = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}
    if name in fixed:
        return fixed[name]
    _, layer, part, _ = name.split(".")
    parts = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
             "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    return f"model.layers.{layer}.{parts[part]}.weight"


def unpermute(weight, heads):
    """Row (head, i, p) of the GGUF is row (head, p, i) of Hugging Face: adjacent pairs back to halves."""
    rows, cols = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, cols).swapaxes(1, 2).reshape(rows, cols)


def field(reader, key):
    return reader.fields[key].contents()


def load(path):
    reader = gguf.GGUFReader(path)
    heads, kv_heads = field(reader, "llama.attention.head_count"), field(reader, "llama.attention.head_count_kv")
    state = {}
    for tensor in reader.tensors:
        values = np.array(gguf.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        values = values.reshape([int(n) for n in reversed(tensor.shape)])
        if "attn_q." in tensor.name:
            values = unpermute(values, heads)
        if "attn_k." in tensor.name:
            values = unpermute(values, kv_heads)
        state[tensor_name(tensor.name)] = torch.from_numpy(np.ascontiguousarray(values))
    tied = "lm_head.weight" not in state
    config = LlamaConfig(
        vocab_size=state["model.embed_tokens.weight"].shape[0], hidden_size=field(reader, "llama.embedding_length"),
        intermediate_size=field(reader, "llama.feed_forward_length"), num_hidden_layers=field(reader, "llama.block_count"), num_attention_heads=heads,
        num_key_value_heads=kv_heads, max_position_embeddings=field(reader, "llama.context_length"),
        rms_norm_eps=float(np.float32(field(reader, "llama.attention.layer_norm_rms_epsilon"))), tie_word_embeddings=tied,
        rope_parameters={"rope_type": "default", "rope_theta": float(field(reader, "llama.rope.freq_base"))})
    model = LlamaForCausalLM._from_config(config, attn_implementation="eager")
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    return reader, model.eval()


def tokenizer_of(reader):
    """Ids by the GGUF's own vocabulary through transformers' GPT-2 style BPE with SmolLM2's pre-tokenizer."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    tokens, merges = field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.merges")
    types = field(reader, "tokenizer.ggml.token_type")
    model = models.BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges])
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t, kind in zip(tokens, types) if kind == 3])
    return tokenizer


@torch.no_grad()
def greedy(model, ids):
    """The continuation and, at each step, how far the best logit lies above the second."""
    out, gaps = [], []
    past, feed = None, torch.tensor([ids])
    for _ in range(NEW_TOKENS):
        result = model(input_ids=feed, past_key_values=past, use_cache=True)
        past = result.past_key_values
        best = result.logits[0, -1].topk(2)
        out.append(int(best.indices[0]))
        gaps.append(float(best.values[0] - best.values[1]))
        feed = torch.tensor([[out[-1]]])
    return out, gaps


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    reader, model = load(args.gguf)
    tokenizer = tokenizer_of(reader)
    ids = tokenizer.encode(PROMPT).ids
    with torch.no_grad():
        single = model(input_ids=torch.tensor([ids])).logits[0]
        model = model.double()
        logits = model(input_ids=torch.tensor([ids])).logits[0]
    nll = F.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="none")
    positions = POSITIONS + [len(ids) - 1]
    top = []
    for position in positions:
        best = logits[position].topk(20)
        top.append({"position": position, "ids": best.indices.tolist(), "logits": [round(x, 7) for x in best.values.tolist()]})
    continuations = []
    for prompt in PROMPTS:
        prompt_ids = tokenizer.encode(prompt).ids
        out, gaps = greedy(model, prompt_ids)
        print(repr(tokenizer.decode(out, skip_special_tokens=False)), "smallest gap", min(gaps))
        continuations.append({"prompt": prompt, "ids": prompt_ids, "continuation": out, "gaps": [round(g, 6) for g in gaps]})
    golden = {
        "made_by": {"script": "dev/make_smollm2_golden.py", "script_sha256": hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest(),
                    "gguf_sha256": hashlib.sha256(pathlib.Path(args.gguf).read_bytes()).hexdigest(),
                    "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "gguf": getattr(gguf, "__version__", "0.19.0"),
                                 "numpy": np.__version__, "python": sys.version.split()[0]}},
        "prompt": PROMPT,
        "ids": ids,
        "mean_nll": float(nll.mean()),
        "nll": [round(x, 6) for x in nll.tolist()],
        "top": top,
        "f32_distance": float((single.double() - logits).abs().max() / logits.abs().max()),
        "largest_logit": float(logits.abs().max()),
        "continuations": continuations,
    }
    path = pathlib.Path(args.out) / "smollm2.json"
    path.write_text(json.dumps(golden, indent=1) + "\n")
    print(path, path.stat().st_size, "bytes,", len(ids), "tokens, mean nll", golden["mean_nll"], "f32 distance", golden["f32_distance"], "largest", golden["largest_logit"])


if __name__ == "__main__":
    main()
