#!/usr/bin/env python3
"""Goldens of the model and of training, from transformers and PEFT: tests/golden/tiny_*.

  make_goldens.py --out tests/golden

Writes small Llama models as Hugging Face directories, PEFT adapters as PEFT itself saves them, and tiny.safetensors with logits,
losses, gradients and training curves. Every number is computed twice: by the same PyTorch model in f64 on the f32 weights (what is stored
and compared with) and in f32 (whose distance from the former is stored beside it as a yardstick of the conditioning).
RoPE is transformers' own in both: its angles are f32 products.
"""
import argparse
import hashlib
import json
import math
import pathlib
import shutil
import sys

import numpy as np
import torch
import torch.nn.functional as F

import bitsandbytes
import bitsandbytes.functional as bnb
import peft
import safetensors
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, get_linear_schedule_with_warmup

SEED = 90125
LENGTHS = [33, 70, 17, 41, 25, 58]
ROWS = {33: [0, 5, 32], 70: [0, 1, 2, 7, 15, 31, 32, 33, 50, 69]}  # positions whose logits are stored; rising: HF's dynamic RoPE remembers the longest
LM_WEIGHT = 0.3
STEPS, WARMUP, RATE, CLIP = 10, 2, 1e-3, 1.0

SHAPES = {
    # GQA 4:2, head_dim = hidden / heads, one table for embedding and head.
    "tied": dict(vocab_size=257, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                 max_position_embeddings=32, rms_norm_eps=1e-5, tie_word_embeddings=True),
    # GQA 4:1, head_dim 32 where hidden / heads is 16, a head of its own.
    "untied": dict(vocab_size=131, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1,
                   head_dim=32, max_position_embeddings=128, rms_norm_eps=1e-6, tie_word_embeddings=False, rope_theta=1e5),
}

# What replaces the RoPE keys of a shape's config.json: both of transformers' spellings and both names of the type.
ROPES = {
    "linear": ("tied", {"rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 2.5}}),
    "dynamic": ("tied", {"rope_theta": 10000.0, "rope_scaling": {"rope_type": "dynamic", "factor": 4.0}}),
    "llama3": ("tied", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                            "original_max_position_embeddings": 64}}),
    "yarn": ("tied", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}}),
    "yarn_mscale": ("untied", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 500.0, "factor": 8.0, "original_max_position_embeddings": 48, "beta_fast": 6.0,
                                                   "beta_slow": 0.5, "truncate": False, "mscale": 1.0, "mscale_all_dim": 0.6}}),
    "yarn_factor": ("untied", {"rope_theta": 10000.0, "rope_scaling": {"rope_type": "yarn", "factor": 3.0, "original_max_position_embeddings": 40,
                                                                        "attention_factor": 1.25}}),
}

# Frequencies of models that people run: name -> (config fields, length).
TABLES = {
    "smollm2": (dict(head_dim=64, max_position_embeddings=8192, rope_parameters={"rope_type": "default", "rope_theta": 1e5}), 8192),
    "llama31": (dict(head_dim=128, max_position_embeddings=131072, rope_parameters={"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
                     "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}), 8192),
    "yarn": (dict(head_dim=128, max_position_embeddings=131072, rope_parameters={"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0,
                  "original_max_position_embeddings": 32768}), 8192),
    "dynamic": (dict(head_dim=128, max_position_embeddings=4096, rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}), 10000),
    # transformers does not look at original_max_position_embeddings here.
    "dynamic_original": (dict(head_dim=64, max_position_embeddings=8192, rope_parameters={"rope_type": "dynamic", "rope_theta": 1e5, "factor": 2.0,
                              "original_max_position_embeddings": 2048}), 20000),
    "linear": (dict(head_dim=96, max_position_embeddings=4096, rope_parameters={"rope_type": "linear", "rope_theta": 2e5, "factor": 10.0}), 8192),
}


def generator(name):
    digest = hashlib.sha256(f"{SEED} {name}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little")))


def normal(name, shape, std, mean=0.0):
    return torch.from_numpy((mean + std * generator(name).standard_normal(shape)).astype(np.float32))


@torch.no_grad()
def fill(model):
    """Weights that make attention sharp and logits of a few units: std 0.02 would leave every head near its mean and hide mistakes."""
    for name, p in model.named_parameters():
        if "norm" in name:
            p.copy_(normal(name, p.shape, 0.2, 1.0))
        elif "embed_tokens" in name or "lm_head" in name:
            p.copy_(normal(name, p.shape, 0.4))
        else:
            gain = 1.6 if "q_proj" in name or "k_proj" in name else 1.0
            p.copy_(normal(name, p.shape, gain / math.sqrt(p.shape[1])))


def save_config(directory, config, extra):
    """config.json by hand, so that the spelling of the RoPE keys is ours to choose."""
    fields = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "attention_bias": False, "mlp_bias": False,
              "torch_dtype": "float32", "bos_token_id": 1, "eos_token_id": 2, **config, **extra}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")


def load(directory, dtype):
    config = LlamaConfig.from_pretrained(directory)
    config._attn_implementation = "eager"
    model = LlamaForCausalLM.from_pretrained(directory, config=config, dtype=torch.float32, attn_implementation="eager")
    return model.to(dtype).eval()


def make_models(out):
    for name, shape in SHAPES.items():
        directory = out / f"tiny_{name}"
        config = LlamaConfig(**shape)
        torch.manual_seed(SEED)
        model = LlamaForCausalLM(config)
        fill(model)
        shutil.rmtree(directory, ignore_errors=True)
        save_config(directory, shape, {})
        state = {k: v.contiguous() for k, v in model.state_dict().items() if not (shape["tie_word_embeddings"] and k == "lm_head.weight")}
        save_file(state, directory / "model.safetensors", {"format": "pt"})
    ropes = out / "tiny_rope"
    shutil.rmtree(ropes, ignore_errors=True)
    for name, (shape, keys) in ROPES.items():
        config = {k: v for k, v in SHAPES[shape].items() if not k.startswith("rope_")}
        save_config(ropes / name, config, keys)


def make_records(vocab):
    """Ids and kinds (0 none, 1 answer, 2 document): documents with one or two answers, one record that is all answer, one with a gap."""
    records = []
    for i, length in enumerate(LENGTHS):
        rng = generator(f"record {i} {vocab}")
        ids = rng.integers(3, vocab, length)
        kinds = np.full(length, 2)
        kinds[length // 2 : length // 2 + 3 + i] = 1
        if i % 2 == 1:
            kinds[-4:] = 1
        if i == 2:
            kinds[:] = 1
        if i == 4:
            kinds[5:9] = 0
        kinds[0] = 0
        records.append((ids, kinds))
    return records


def token_losses(model, ids):
    logits = model(input_ids=torch.tensor(ids)[None]).logits[0]
    return F.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="none")


def batch_loss(model, batch):
    """Mean over the batch's answer tokens + 0.3 x mean over its document tokens, denominators over the whole batch."""
    sums = {1: 0.0, 2: 0.0}
    counts = {1: 0, 2: 0}
    for ids, kinds in batch:
        nll = token_losses(model, ids)
        for kind in (1, 2):
            mask = torch.tensor(kinds[1:] == kind)
            sums[kind] = sums[kind] + nll[mask].sum()
            counts[kind] += int(mask.sum())
    answer = sums[1] / max(counts[1], 1)
    document = sums[2] / max(counts[2], 1)
    return answer + LM_WEIGHT * document, answer, document


def peft_key(name):
    return name.replace(".modules_to_save.default", "").replace(".default", "")


@torch.no_grad()
def perturb(model, case):
    """B starts at 0 and the saved modules as copies: neither would be seen to work."""
    for name, p in model.named_parameters():
        if "lora_A" in name:
            p.copy_(normal(f"{case} {name}", p.shape, 1.0 / math.sqrt(3 * p.shape[1])))
        elif "lora_B" in name:
            p.copy_(normal(f"{case} {name}", p.shape, 0.1))
        elif p.requires_grad:
            p.add_(normal(f"{case} {name}", p.shape, 0.05))


# case -> (model directory, LoraConfig fields, one table for a trained embedding and the head)
CASES = {
    "tied": ("tiny_tied", dict(r=8, lora_alpha=16, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"], modules_to_save=["embed_tokens", "norm"]), False),
    "tied_follow": ("tiny_tied", dict(r=8, lora_alpha=16, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"], modules_to_save=["embed_tokens", "norm"]), True),
    "untied": ("tiny_untied", dict(r=4, lora_alpha=8, use_rslora=True, target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
                                   modules_to_save=["embed_tokens", "norm", "lm_head"]), False),
    "nf4": ("tiny_tied", dict(r=8, lora_alpha=16, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]), False),
}


def nf4(weight):
    """codes, QuantState and the values they stand for. Two things of bitsandbytes' CPU path are not its format's and done here by hand, as its
    CUDA kernels do them (make_nf4_goldens.py compares both): the nearest entry of the 8-bit map, which the CPU takes from a table of 65,536
    bins, and code[q] * scale, which its AVX-512 kernel gets wrong where 64 does not divide the columns."""
    codes, state = bnb.quantize_4bit(weight, blocksize=64, quant_type="nf4", compress_statistics=True)
    absmax = bnb.quantize_4bit(weight, blocksize=64, quant_type="nf4")[1].absmax
    nested = state.state2
    assert absmax.numel() <= 256 and nested.absmax.numel() == 1
    scaled = (absmax - state.offset) * (1 / nested.absmax[0])
    state.absmax = torch.bucketize(scaled, (nested.code[:-1] + nested.code[1:]) * 0.5).to(torch.uint8)
    scales = nested.code[state.absmax.long()] * nested.absmax[0] + state.offset
    q = torch.stack([codes.reshape(-1) >> 4, codes.reshape(-1) & 15], 1).reshape(-1)[: weight.numel()].long()
    values = state.code[q] * scales.repeat_interleave(64)[: weight.numel()]
    return codes, state, values.reshape(weight.shape)


def is_projection(name):
    return name.endswith("_proj.weight")


def quantised_state(state):
    return {k: nf4(v)[2] if is_projection(k) else v for k, v in state.items()}


def write_nf4_directory(out):
    """The tied model as bitsandbytes stores it: the keys and bytes of QuantState.as_dict(packed=True)."""
    source, directory = out / "tiny_tied", out / "tiny_nf4"
    shutil.rmtree(directory, ignore_errors=True)
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "_load_in_4bit": True, "_load_in_8bit": False,
                                     "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "float32",
                                     "bnb_4bit_quant_storage": "uint8", "llm_int8_threshold": 6.0}
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    state = {}
    for name, value in safetensors.torch.load_file(source / "model.safetensors").items():
        if not is_projection(name):
            state[name] = value
            continue
        codes, quant_state, _ = nf4(value)
        state[name] = codes
        for key, part in quant_state.as_dict(packed=True).items():
            state[f"{name}.{key}"] = part
    save_file({k: v.contiguous() for k, v in state.items()}, directory / "model.safetensors", {"format": "pt"})


def make_peft(case, directory, dtype):
    where, fields, follow = CASES[case]
    model = load(directory / where, torch.float32)
    if case == "nf4":
        model.load_state_dict(quantised_state(model.state_dict()))
    torch.manual_seed(SEED)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **fields))
    perturb(model, "tied" if case == "tied_follow" else case)
    if follow:
        inner = model.base_model.model
        inner.lm_head.weight = inner.model.embed_tokens.modules_to_save["default"].weight
    return model.to(dtype)


def settle_order(path):
    """PEFT writes target_modules in the order of a Python set, another one each run."""
    config = json.loads(path.read_text())
    config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


def gradients(model, batch):
    model.zero_grad()
    loss, answer, document = batch_loss(model, batch)
    loss.backward()
    grads = {peft_key(n): p.grad.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    return [float(x) for x in (loss, answer, document)], grads


def train(model, records):
    """Losses, gradient norms and rates of ten steps of two records each, in order, over and over."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    schedule = get_linear_schedule_with_warmup(optimiser, WARMUP, STEPS)
    losses, norms, rates = [], [], []
    for step in range(STEPS):
        batch = [records[(2 * step + i) % len(records)] for i in range(2)]
        optimiser.zero_grad()
        loss = batch_loss(model, batch)[0]
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(parameters, CLIP)))
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
        losses.append(float(loss))
    return losses, norms, rates


def distance(a, b):
    """max |a - b| over max |b|."""
    return float((a.double() - b.double()).abs().max() / b.double().abs().max())


def logits_of(model, ids):
    with torch.no_grad():
        logits = model(input_ids=torch.tensor(ids)[None]).logits[0]
        nll = F.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="none")
    return logits, torch.cat([torch.zeros(1, dtype=nll.dtype), nll])


def store_logits(tensors, report, key, exact, single, records):
    for length in ROWS:
        ids = records[LENGTHS.index(length)][0]
        logits, nll = logits_of(exact, ids)
        logits32, _ = logits_of(single, ids)
        tensors[f"{key}.logits_{length}"] = logits[ROWS[length]].float()
        tensors[f"{key}.nll_{length}"] = nll.float()
        report[f"{key}.logits_{length}"] = distance(logits32, logits)


def make_rope_tables(tensors):
    for name, (fields, length) in TABLES.items():
        config = LlamaConfig(hidden_size=fields["head_dim"] * 2, num_attention_heads=2, **fields)
        rotary = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(config)
        if name.startswith("dynamic"):
            rotary(torch.zeros(1), torch.arange(length)[None])
        tensors[f"rope.{name}.inv_freq"] = rotary.inv_freq.float().clone()
        tensors[f"rope.{name}.attention_factor"] = torch.tensor([rotary.attention_scaling], dtype=torch.float32)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    out = pathlib.Path(parser.parse_args().out)
    torch.set_num_threads(1)
    make_models(out)
    write_nf4_directory(out)
    tensors, report = {}, {}
    records = {name: make_records(shape["vocab_size"]) for name, shape in SHAPES.items()}
    for name, items in records.items():
        tensors[f"records.{name}.ids"] = torch.tensor(np.concatenate([ids for ids, _ in items]), dtype=torch.int32)
        tensors[f"records.{name}.kinds"] = torch.tensor(np.concatenate([kinds for _, kinds in items]), dtype=torch.uint8)
        tensors[f"records.{name}.lengths"] = torch.tensor(LENGTHS, dtype=torch.int64)
    for name in SHAPES:
        store_logits(tensors, report, name, load(out / f"tiny_{name}", torch.float64), load(out / f"tiny_{name}", torch.float32), records[name])
    for name, (shape, _) in ROPES.items():
        where = out / "tiny_rope" / name
        weights = out / f"tiny_{shape}" / "model.safetensors"
        shutil.copy(weights, where / "model.safetensors")
        store_logits(tensors, report, f"rope_{name}", load(where, torch.float64), load(where, torch.float32), records[shape])
        (where / "model.safetensors").unlink()
    make_rope_tables(tensors)
    for case in CASES:
        shape = CASES[case][0].removeprefix("tiny_")
        items = records[shape]
        exact, single = make_peft(case, out, torch.float64), make_peft(case, out, torch.float32)
        if case != "tied_follow":
            directory = out / f"tiny_peft_{case}"
            shutil.rmtree(directory, ignore_errors=True)
            single.save_pretrained(directory)
            (directory / "README.md").unlink(missing_ok=True)
            settle_order(directory / "adapter_config.json")
        store_logits(tensors, report, f"case_{case}", exact, single, items)
        for size in (1, 2):
            losses, grads = gradients(exact, items[:size])
            losses32, grads32 = gradients(single, items[:size])
            tensors[f"case_{case}.losses_{size}"] = torch.tensor(losses, dtype=torch.float64)
            report[f"case_{case}.losses_{size}"] = abs(losses32[0] - losses[0]) / abs(losses[0])
            if size == 2:
                for key, grad in grads.items():
                    tensors[f"case_{case}.grad.{key}"] = grad.float()
                    report[f"case_{case}.grad"] = max(report.get(f"case_{case}.grad", 0), distance(grads32[key], grad))
        losses, norms, rates = train(exact, items)
        losses32, norms32, _ = train(single, items)
        tensors[f"case_{case}.train.losses"] = torch.tensor(losses, dtype=torch.float64)
        tensors[f"case_{case}.train.grad_norms"] = torch.tensor(norms, dtype=torch.float64)
        tensors[f"case_{case}.train.rates"] = torch.tensor(rates, dtype=torch.float64)
        tensors[f"case_{case}.train.losses_f32"] = torch.tensor(losses32, dtype=torch.float64)
        tensors[f"case_{case}.train.grad_norms_f32"] = torch.tensor(norms32, dtype=torch.float64)
        report[f"case_{case}.train"] = max(abs(a - b) for a, b in zip(losses, losses32))
        print(case, "losses", [round(x, 4) for x in losses], "norms", [round(x, 3) for x in norms])
    for key, value in report.items():
        print(f"{key}: PyTorch's f32 is {value:.2e} from its f64")
    metadata = {
        "script": "dev/make_goldens.py",
        "script_sha256": hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest(),
        "seed": str(SEED),
        "versions": json.dumps({"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__,
                                "bitsandbytes": bitsandbytes.__version__, "numpy": np.__version__, "python": sys.version.split()[0]}),
        "rows_70": " ".join(map(str, ROWS[70])),
        "rows_33": " ".join(map(str, ROWS[33])),
        "f32_distance": json.dumps(report),
    }
    path = out / "tiny.safetensors"
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata)
    path.chmod(0o644)
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
