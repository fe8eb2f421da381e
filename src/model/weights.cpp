#include "model/weights.h"

#include "core/checked.h"
#include "format/json.h"
#include "ops/expand.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace tenfold {

void Model::Impl::for_each_weight(const std::function<void(const WeightView&)>& visit) const {
  visit(embed_tokens);
  if (head.data != embed_tokens.data) visit(head);
  for (const LayerWeights& l : layers) {
    for (const WeightView* w : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) visit(*w);
  }
}

namespace {

int64_t dense_alignment(WeightLayout layout) {
  switch (layout) {
    case WeightLayout::kF32: return 4;
    case WeightLayout::kF16:
    case WeightLayout::kBF16: return 2;
    default: return 1;
  }
}

bool is_dense(WeightLayout layout) {
  return layout == WeightLayout::kF32 || layout == WeightLayout::kF16 || layout == WeightLayout::kBF16;
}

/// Finds weights by our canonical names and checks them against the shape the config demands.
class WeightSource {
 public:
  WeightSource(Model::Impl& model, const LoadOptions& options) : model_(model), options_(options) {}
  virtual ~WeightSource() = default;

  /// A weight of exactly (rows, cols), as it lies in the file where that is possible.
  WeightView weight(const std::string& name, int64_t rows, int64_t cols, bool projection) {
    WeightView w = find(name);
    if (w.rows != rows || w.cols != cols) {
      throw_input("{}: tensor {}: expected shape [{}, {}], got [{}, {}]", model_.path, name, rows, cols, w.rows, w.cols);
    }
    if (reinterpret_cast<uintptr_t>(w.data) % static_cast<uintptr_t>(dense_alignment(w.layout)) != 0) {
      const auto& copy = model_.owned_bytes.emplace_back(w.data, w.data + w.bytes());
      w.data = copy.data();
    }
    return projection ? quantized_if_asked(w) : w;
  }

  /// NF4 in place of dense values when --load-in-4bit asks for it; blocks stay as they are.
  WeightView quantized_if_asked(const WeightView& w) {
    if (!options_.load_in_4bit || !is_dense(w.layout)) return w;
    std::vector<float> values(static_cast<size_t>(w.elements()));
    for (int64_t r = 0; r < w.rows; ++r) ops::expand_row_reference(w, r, values.data() + r * w.cols);
    return model_.owned_nf4.emplace_back(ops::quantize_nf4(values, w.rows, w.cols, options_.double_quant)).view(w.name);
  }

  TensorView vector(const std::string& name, int64_t n) {
    const WeightView w = find(name);
    if (w.elements() != n) throw_input("{}: tensor {}: expected {} elements, got {}", model_.path, name, n, w.elements());
    auto& values = model_.owned_floats.emplace_back(static_cast<size_t>(n));
    WeightView row = w;
    row.rows = 1;
    row.cols = n;
    ops::expand_row_reference(row, 0, values.data());
    return {w.name, DType::kF32, {n}, values.data()};
  }

 protected:
  virtual WeightView find(const std::string& name) = 0;

  Model::Impl& model_;
  const LoadOptions& options_;
};

class GgufSource : public WeightSource {
 public:
  using WeightSource::WeightSource;

  /// llama.cpp's converter interleaves the halves of each head's q and k rows; this puts them back into HF order
  /// (formats.md 4.3).
  WeightView unpermuted(WeightView w, int64_t heads) {
    const int64_t head_dim = w.rows / heads;
    const int64_t row = w.row_bytes();
    auto& bytes = model_.owned_bytes.emplace_back(static_cast<size_t>(w.bytes()));
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < head_dim / 2; ++i) {
        for (int64_t p = 0; p < 2; ++p) {
          const int64_t from = h * head_dim + 2 * i + p;
          const int64_t to = h * head_dim + p * (head_dim / 2) + i;
          std::memcpy(bytes.data() + to * row, w.data + from * row, static_cast<size_t>(row));
        }
      }
    }
    w.data = bytes.data();
    return quantized_if_asked(w);
  }

 protected:
  WeightView find(const std::string& name) override { return model_.gguf->get(name).weight(); }
};

class DirectorySource : public WeightSource {
 public:
  using WeightSource::WeightSource;

 protected:
  WeightView find(const std::string& name) override {
    const SafetensorsEntry& entry = model_.safetensors->get(name);
    if (model_.safetensors->has(name + ".absmax")) return bitsandbytes(name, entry);
    WeightView w;
    w.name = entry.name.c_str();
    if (entry.dtype_name == "F32") {
      w.layout = WeightLayout::kF32;
    } else if (entry.dtype_name == "F16") {
      w.layout = WeightLayout::kF16;
    } else if (entry.dtype_name == "BF16") {
      w.layout = WeightLayout::kBF16;
    } else {
      throw_input("{}: tensor {}: dtype {} is not supported for weights; expected F32, F16, BF16 or bitsandbytes NF4",
                  model_.path, name, entry.dtype_name);
    }
    if (entry.shape.empty() || entry.shape.size() > 2)
      throw_input("{}: tensor {}: expected 1 or 2 dimensions, got {}", model_.path, name, entry.shape.size());
    w.rows = entry.shape.size() == 2 ? entry.shape[0] : 1;
    w.cols = entry.shape.back();
    w.data = entry.data.data();
    return w;
  }

 private:
  template <typename T>
  const T* part(const std::string& name, const char* dtype, int64_t n) {
    const SafetensorsEntry& entry = model_.safetensors->get(name);
    const auto bytes = static_cast<int64_t>(entry.data.size());
    if (entry.dtype_name != dtype || bytes != n * static_cast<int64_t>(sizeof(T))) {
      throw_input("{}: tensor {}: expected {} values of {}, got {} bytes of {}", model_.path, name, n, dtype, bytes,
                  entry.dtype_name);
    }
    const auto& copy = model_.owned_bytes.emplace_back(entry.data.begin(), entry.data.end());
    return reinterpret_cast<const T*>(copy.data());
  }

  /// NF4 as bitsandbytes stores it (formats.md 1.6).
  WeightView bitsandbytes(const std::string& name, const SafetensorsEntry& codes) {
    const std::string state_name = name + ".quant_state.bitsandbytes__nf4";
    const SafetensorsEntry& state_entry = model_.safetensors->get(state_name);
    const std::string where = model_.path + ": " + state_name;
    const Json state = parse_json({reinterpret_cast<const char*>(state_entry.data.data()), state_entry.data.size()}, where);
    const auto shape = state.find("shape");
    if (shape == state.end() || !shape->is_array() || shape->size() != 2 || !(*shape)[0].is_number_integer() ||
        !(*shape)[1].is_number_integer()) {
      throw_input("{}: expected \"shape\": [rows, columns]", where);
    }
    if (json_int(state, "blocksize", where) != 64)
      throw_input("{}: blocksize {} is not supported; expected 64", where, json_int(state, "blocksize", where));
    WeightView w;
    w.name = codes.name.c_str();
    w.layout = WeightLayout::kNF4;
    w.rows = (*shape)[0].get<int64_t>();
    w.cols = (*shape)[1].get<int64_t>();
    const auto elements = checked_mul(w.rows, w.cols);
    if (!elements || static_cast<int64_t>(codes.data.size()) != ceil_div(*elements, 2)) {
      throw_input("{}: [{}, {}] does not fit the {} bytes of its codes", where, w.rows, w.cols, codes.data.size());
    }
    w.data = codes.data.data();
    const int64_t blocks = ceil_div(*elements, 64);
    w.nf4.code = part<float>(name + ".quant_map", "F32", 16);
    if (model_.safetensors->has(name + ".nested_absmax")) {
      if (json_int_or(state, "nested_blocksize", 256, where) != 256) throw_input("{}: nested_blocksize is not 256", where);
      w.nf4.absmax8 = part<uint8_t>(name + ".absmax", "U8", blocks);
      w.nf4.nested_absmax = part<float>(name + ".nested_absmax", "F32", ceil_div(blocks, 256));
      w.nf4.nested_code = part<float>(name + ".nested_quant_map", "F32", 256);
      w.nf4.nested_offset = static_cast<float>(json_number(state, "nested_offset", where));
    } else {
      w.nf4.absmax = part<float>(name + ".absmax", "F32", blocks);
    }
    return w;
  }
};

}  // namespace

namespace {

// A bias that nobody adds would silently change every answer.
void refuse_biases(const std::string& path, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (name.ends_with(".bias")) throw_input("{}: tensor {}: projections with a bias are not supported yet", path, name);
  }
}

}  // namespace

void load_gguf(Model::Impl& model, const LoadOptions& options) {
  model.gguf.emplace(model.path);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : model.gguf->tensors()) names.push_back(name);
  refuse_biases(model.path, names);
  model.config = config_from_gguf(*model.gguf);
  const ModelConfig& c = model.config;
  GgufSource source(model, options);
  model.embed_tokens = source.weight("token_embd.weight", c.vocabulary, c.hidden, false);
  model.head = c.tied_head ? model.embed_tokens : source.weight("output.weight", c.vocabulary, c.hidden, false);
  model.final_norm = source.vector("output_norm.weight", c.hidden);
  if (model.gguf->has("rope_freqs.weight")) {
    const TensorView divisors = source.vector("rope_freqs.weight", c.head_dim / 2);
    model.config.rope.divisors.assign(divisors.ptr<float>(), divisors.ptr<float>() + c.head_dim / 2);
  }
  for (int64_t i = 0; i < c.layers; ++i) {
    const auto name = [&](const char* part) { return fmt::format("blk.{}.{}.weight", i, part); };
    LayerWeights& l = model.layers.emplace_back();
    l.attn_norm = source.vector(name("attn_norm"), c.hidden);
    l.q = source.unpermuted(source.weight(name("attn_q"), c.q_size(), c.hidden, false), c.heads);
    l.k = source.unpermuted(source.weight(name("attn_k"), c.kv_size(), c.hidden, false), c.kv_heads);
    l.v = source.weight(name("attn_v"), c.kv_size(), c.hidden, true);
    l.o = source.weight(name("attn_output"), c.hidden, c.q_size(), true);
    l.ffn_norm = source.vector(name("ffn_norm"), c.hidden);
    l.gate = source.weight(name("ffn_gate"), c.ffn, c.hidden, true);
    l.up = source.weight(name("ffn_up"), c.ffn, c.hidden, true);
    l.down = source.weight(name("ffn_down"), c.hidden, c.ffn, true);
  }
}

void load_directory(Model::Impl& model, const LoadOptions& options) {
  model.config = config_from_directory(model.path);
  model.safetensors.emplace(model.path);
  refuse_biases(model.path, model.safetensors->names());
  const ModelConfig& c = model.config;
  DirectorySource source(model, options);
  model.embed_tokens = source.weight("model.embed_tokens.weight", c.vocabulary, c.hidden, false);
  model.head = c.tied_head ? model.embed_tokens : source.weight("lm_head.weight", c.vocabulary, c.hidden, false);
  model.final_norm = source.vector("model.norm.weight", c.hidden);
  for (int64_t i = 0; i < c.layers; ++i) {
    const auto name = [&](const char* part) { return fmt::format("model.layers.{}.{}.weight", i, part); };
    LayerWeights& l = model.layers.emplace_back();
    l.attn_norm = source.vector(name("input_layernorm"), c.hidden);
    l.q = source.weight(name("self_attn.q_proj"), c.q_size(), c.hidden, true);
    l.k = source.weight(name("self_attn.k_proj"), c.kv_size(), c.hidden, true);
    l.v = source.weight(name("self_attn.v_proj"), c.kv_size(), c.hidden, true);
    l.o = source.weight(name("self_attn.o_proj"), c.hidden, c.q_size(), true);
    l.ffn_norm = source.vector(name("post_attention_layernorm"), c.hidden);
    l.gate = source.weight(name("mlp.gate_proj"), c.ffn, c.hidden, true);
    l.up = source.weight(name("mlp.up_proj"), c.ffn, c.hidden, true);
    l.down = source.weight(name("mlp.down_proj"), c.hidden, c.ffn, true);
  }
}

}  // namespace tenfold
