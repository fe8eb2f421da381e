"""Writes tests/golden/format with the libraries that define their formats; run once, by hand:
   python dev/make_format_goldens.py   (peft 0.21.2, safetensors 0.8.0, gguf 0.19.0, torch, transformers, numpy)
   tests/format/golden_test.cpp repeats the formulas of the values."""
import os
import numpy as np
import torch
import gguf
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden", "format")
os.makedirs(here, exist_ok=True)


def ramp(n, scale):
    return (torch.arange(n, dtype=torch.float32) - n // 2) * scale


# safetensors: one tensor of each dtype that torch and the format share, a scalar and an empty one.
save_file(
    {
        "f32": ramp(15, 0.25).reshape(3, 5), "bf16": ramp(7, 0.5).to(torch.bfloat16), "f16": ramp(7, 0.125).to(torch.float16),
        "f64": ramp(3, 1.0).double(), "i64": torch.arange(-2, 3), "i32": torch.arange(5, dtype=torch.int32),
        "i16": torch.arange(5, dtype=torch.int16), "i8": torch.arange(-2, 3, dtype=torch.int8),
        "u8": torch.arange(250, 255, dtype=torch.uint8), "bool": torch.tensor([True, False, True]),
        "f8": torch.zeros(3, dtype=torch.float8_e4m3fn), "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4),
    },
    os.path.join(here, "tiny.safetensors"), metadata={"format": "pt", "made_by": "safetensors 0.8.0"})

# GGUF (not called .gguf, which git ignores here): every kind of key, a block type and an odd alignment.
w = gguf.GGUFWriter(os.path.join(here, "tiny_gguf.bin"), "llama")
w.add_custom_alignment(64)
w.add_uint8("t.u8", 200)
w.add_int8("t.i8", -100)
w.add_uint16("t.u16", 60000)
w.add_int16("t.i16", -30000)
w.add_uint32("t.u32", 4000000000)
w.add_int32("t.i32", -2000000000)
w.add_uint64("t.u64", 1 << 62)
w.add_int64("t.i64", -(1 << 62))
w.add_float32("t.f32", 0.5)
w.add_float64("t.f64", 0.1)
w.add_bool("t.bool", True)
w.add_string("t.string", "h\u00e9llo")
w.add_array("t.strings", ["a", "", "\u4e2d"])
w.add_array("t.ints", [1, -2, 3])
w.add_array("t.floats", [0.5, -1.5])
w.add_tensor("f32", ramp(15, 0.25).reshape(3, 5).numpy())
w.add_tensor("f16", ramp(6, 0.5).to(torch.float16).reshape(2, 3).numpy())
x = ramp(3 * 64, 0.01).reshape(3, 64).numpy()
w.add_tensor("q8", gguf.quants.quantize(x, gguf.GGMLQuantizationType.Q8_0), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()

# PEFT: an adapter of a two-layer Llama with a trained embedding and norm, as peft saves it.
torch.manual_seed(7)
model = LlamaForCausalLM(LlamaConfig(vocab_size=11, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
                                     num_key_value_heads=1, tie_word_embeddings=False))
model = get_peft_model(model, LoraConfig(r=2, lora_alpha=4, lora_dropout=0.05, target_modules=["q_proj", "v_proj"],
                                         modules_to_save=["embed_tokens", "norm"], task_type="CAUSAL_LM"))
with torch.no_grad():
    for name, p in model.named_parameters():
        if p.requires_grad:
            p.copy_(ramp(p.numel(), 0.5).reshape(p.shape))
model.save_pretrained(os.path.join(here, "peft"), save_embedding_layers=False)
os.remove(os.path.join(here, "peft", "README.md"))
