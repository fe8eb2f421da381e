#!/usr/bin/env python3
"""NF4 goldens from bitsandbytes: tests/golden/nf4.safetensors (CPU) and nf4_cuda.safetensors (the CUDA kernels).

  make_nf4_goldens.py --out tests/golden                 # inputs and the CPU's results
  make_nf4_goldens.py --out tests/golden --device cuda   # the CUDA results for the inputs that are already there

Each case NAME has NAME.input (F32, the shape quantised) and, per device, NAME.codes, NAME.absmax (single quantisation),
NAME.absmax8, NAME.nested_absmax, NAME.offset (double quantisation), NAME.own_offset (torch's own mean on that device), NAME.scales (the restored absmax) and, for small cases,
NAME.dequantised. The metadata says what made them. numpy's PCG64 makes the inputs, so that they do not depend on torch.
"""
import argparse
import hashlib
import json
import pathlib
import sys

import numpy as np
import torch

import bitsandbytes
import bitsandbytes.functional as F
from safetensors import safe_open
from safetensors.numpy import save_file

SEED = 20241105
SMALL = 8192  # elements up to which the dequantised values are stored


def midpoints():
    code = F.get_4bit_type("nf4", device="cpu").numpy()
    return ((code[:-1] + code[1:]) / np.float32(2)).astype(np.float32)


def tie_block(scale, rng):
    """64 values: a maximum, every midpoint, its neighbours, codes; times a scale (a power of two keeps the ties exact)."""
    mid = midpoints()
    code = F.get_4bit_type("nf4", device="cpu").numpy()
    values = np.concatenate([mid, np.nextafter(mid, np.float32(2)), np.nextafter(mid, np.float32(-2)), code, [1, -1, 0]])
    return (rng.permutation(values) * np.float32(scale)).astype(np.float32)


def bf16(values):
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).bfloat16().float().numpy()


def make_inputs():
    """name -> f32 array. `exact_*`: absmax are multiples of one power of two, so that their sum is exact in any order and on any device."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    normal = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    cases = {}
    cases["normal"] = normal(96, 64) * np.float32(0.02)
    cases["one"] = np.array([[-0.3]], np.float32)
    cases["one_block"] = normal(1, 64)
    cases["odd_tail_1"] = normal(5, 13)          # 65 elements
    cases["odd_tail_13"] = normal(7, 11)         # 77: odd n
    cases["even_tail_32"] = normal(3, 160)       # blocks cross the rows
    cases["columns_160"] = normal(16, 160)       # 16 divides the columns, 64 does not
    cases["ties"] = np.stack([tie_block(s, rng) for s in (1, 0.5, 4, 2.0**-20, 3, 0.7, -1)])
    zero = normal(5, 64)
    zero[1] = 0
    zero[3] = -0.0
    cases["zero_blocks"] = zero
    zero_tail = normal(1, 64 + 10)
    zero_tail[0, 64:] = 0
    cases["zero_tail"] = zero_tail
    cases["constant"] = np.full((4, 64), -0.125, np.float32)
    cases["huge_small"] = np.concatenate([normal(2, 64) * np.float32(s) for s in (3e36, 1e-36, 1e10, 1e-10)])
    spread = normal(264, 64) * np.exp(rng.uniform(-9, 0, (264, 1))).astype(np.float32)  # nested codes near zero
    cases["spread"] = spread.astype(np.float32)
    # bf16 weights as models have them, on a grid that keeps the sum of absmax exact: absmax in [1, 8) x 2^-7, multiples of 2^-14.
    exact = bf16(normal(260, 64) * np.float32(2.0**-7))
    cases["exact_260"] = exact
    cases["exact_16"] = bf16(normal(16, 64) * np.float32(2.0**-7))
    cases["exact_rows_96"] = bf16(normal(64, 96))
    # absmax spread over many binades of one grid: the nested map is met near zero too.
    grid = np.round(np.exp(rng.uniform(np.log(2), np.log(2**11), 258))).astype(np.float32) * np.float32(2.0**-12)
    wide = np.clip(normal(258, 64) / 3, -1, 1).astype(np.float32)
    wide[:, 17] = 1
    cases["exact_wide"] = (wide * grid[:, None]).astype(np.float32)
    # absmax close to their mean beside two far ones: the part of the nested map that is finer than the CPU path's 65,536 bins.
    near = np.ones(96) + rng.choice([-1, 1], 96) * np.exp(rng.uniform(np.log(1e-6), np.log(1e-1), 96))
    near[5], near[70] = 2, 0.001
    values = np.clip(normal(96, 64) / 3, -1, 1).astype(np.float32)
    values[:, 40] = -1
    cases["near_mean"] = (values * near[:, None]).astype(np.float32)
    return cases


def quantise(name, values, device, offset):
    """`offset`: the CPU's mean of absmax, or None. torch's mean differs between devices in the last bit (CUDA multiplies by 1/n in f32),
    so on CUDA the second quantisation, which is bitsandbytes' kernel, is given the CPU's offset and torch's own is kept apart."""
    x = torch.from_numpy(values).to(device)
    codes, plain = F.quantize_4bit(x, blocksize=64, quant_type="nf4", compress_statistics=False)
    codes2, nested = F.quantize_4bit(x, blocksize=64, quant_type="nf4", compress_statistics=True)
    assert torch.equal(codes, codes2)
    own_offset = nested.offset.clone()
    if offset is not None:
        nested.offset = torch.from_numpy(offset).to(device)[0]
        nested.absmax, nested.state2 = F.quantize_blockwise(plain.absmax - nested.offset, blocksize=256)
    restored = F.dequantize_blockwise(nested.absmax, nested.state2)
    restored += nested.offset
    out = {
        "codes": codes.reshape(-1),
        "absmax": plain.absmax.reshape(-1),
        "absmax8": nested.absmax.reshape(-1),
        "nested_absmax": nested.state2.absmax.reshape(-1),
        "offset": nested.offset.reshape(1),
        "own_offset": own_offset.reshape(1),
        "scales": restored.reshape(-1),
    }
    out = {key: value.cpu().numpy() for key, value in out.items()}
    if values.size <= SMALL:
        # The format's own rule, code[q] * scale: bitsandbytes' own AVX-512 kernel indexes the scales by row and is wrong where 64 does
        # not divide the columns.
        code = F.get_4bit_type("nf4", device="cpu").numpy()
        q = np.stack([out["codes"] >> 4, out["codes"] & 15], 1).reshape(-1)[: values.size]
        out["dequantised"] = (code[q] * np.repeat(out["scales"], 64)[: values.size]).reshape(values.shape)
        theirs = F.dequantize_4bit(codes, nested).float().cpu().numpy()
        same = (theirs.view(np.uint32) == out["dequantised"].view(np.uint32)).mean()
        if same != 1:
            print(f"{name} {device}: bitsandbytes' dequantize_4bit agrees with code[q] * scale on {same:.4f} of the elements")
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    out = pathlib.Path(args.out)
    stored = out / "nf4.safetensors"
    tensors = {}
    offsets = {}
    if args.device == "cpu":
        inputs = make_inputs()
        tensors.update({f"{name}.input": value for name, value in inputs.items()})
        tensors["code"] = F.get_4bit_type("nf4", device="cpu").numpy()
        tensors["dynamic_map"] = F.create_dynamic_map().numpy()
        # torch's mean of the first n values, on one thread: the order of its sum decides the last bit of the offset.
        lengths = list(range(1, 300)) + [511, 1000, 1023, 2047, 4096, 4097, 9000]
        values = np.random.Generator(np.random.PCG64(SEED + 1)).random(lengths[-1], dtype=np.float32) + np.float32(0.5)
        tensors["mean.values"] = values
        tensors["mean.lengths"] = np.array(lengths, np.int64)
        tensors["mean.means"] = np.array([torch.from_numpy(values[:n].copy()).mean().item() for n in lengths], np.float32)
    else:
        with safe_open(stored, "np") as f:
            inputs = {key[: -len(".input")]: f.get_tensor(key) for key in f.keys() if key.endswith(".input")}
            offsets = {name: f.get_tensor(f"{name}.offset") for name in inputs}
    for name, values in inputs.items():
        for key, value in quantise(name, values, args.device, offsets.get(name)).items():
            tensors[f"{name}.{key}"] = value
    metadata = {
        "script": "dev/make_nf4_goldens.py",
        "script_sha256": hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest(),
        "seed": str(SEED),
        "versions": json.dumps({"bitsandbytes": bitsandbytes.__version__, "torch": torch.__version__, "numpy": np.__version__, "python": sys.version.split()[0]}),
        "device": torch.cuda.get_device_name(0) if args.device == "cuda" else "cpu",
    }
    path = stored if args.device == "cpu" else out / "nf4_cuda.safetensors"
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, path, metadata)
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
