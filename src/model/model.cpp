#include "model/model.h"

#include "model/weights.h"

#include <filesystem>

namespace tenfold {

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Model Model::load(const std::string& path, const LoadOptions& options) {
  if (!std::filesystem::exists(path)) {
    throw_input("--model {}: there is no such file or directory; expected a GGUF file or a Hugging Face model directory", path);
  }
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  if (std::filesystem::is_directory(path)) {
    load_directory(*impl, options);
  } else if (is_gguf(path)) {
    load_gguf(*impl, options);
  } else {
    throw_input("--model {}: not a GGUF file (its first bytes are not \"GGUF\") and not a directory", path);
  }
  return Model(std::move(impl));
}

Model Model::random(const ModelConfig& config, WeightLayout layout, uint64_t seed) {
  Device host;
  return random(config, layout, seed, host);
}

Model Model::random(const ModelConfig& config, WeightLayout layout, uint64_t seed, Device& device) {
  auto impl = std::make_unique<Impl>();
  impl->path = "random:" + config.name;
  impl->config = config;
  make_random(*impl, device, layout, seed);
  return Model(std::move(impl));
}

const ModelConfig& Model::config() const { return impl_->config; }
void Model::set_rope(const RopeConfig& rope) { impl_->config.rope = rope; }
const std::string& Model::path() const { return impl_->path; }
const LayerWeights& Model::layer(int64_t i) const { return impl_->layers[static_cast<size_t>(i)]; }
const WeightView& Model::embed_tokens() const { return impl_->embed_tokens; }
const WeightView& Model::head() const { return impl_->head; }
const TensorView& Model::final_norm() const { return impl_->final_norm; }

namespace {

int64_t bytes_with_scales(const WeightView& w) {
  if (w.layout != WeightLayout::kNF4) return w.bytes();
  const int64_t blocks = (w.elements() + 63) / 64;
  return w.bytes() + (w.nf4.absmax8 != nullptr ? blocks + (blocks + 255) / 256 * 4 : blocks * 4);
}

}  // namespace

int64_t Model::weight_bytes() const {
  int64_t total = 0;
  impl_->for_each_weight([&](const WeightView& w) { total += bytes_with_scales(w); });
  return total;
}

uint64_t Model::fingerprint() const {
  if (impl_->fingerprint) return *impl_->fingerprint;
  uint64_t hash = 0xcbf29ce484222325U;
  const auto mix = [&](const void* data, size_t n) {
    for (size_t i = 0; i < n; ++i) hash = (hash ^ static_cast<const uint8_t*>(data)[i]) * 0x100000001b3U;
  };
  const ModelConfig& c = impl_->config;
  for (const int64_t size : {c.layers, c.hidden, c.ffn, c.heads, c.kv_heads, c.head_dim, c.vocabulary}) mix(&size, sizeof size);
  // A few hundred bytes of every tensor tell two models apart without reading all of a large one.
  constexpr int64_t kSample = 64;
  impl_->for_each_weight([&](const WeightView& w) {
    const int64_t bytes = w.bytes();
    for (int64_t part = 0; part < 4; ++part) {
      const int64_t at = bytes / 4 * part;
      mix(w.data + at, static_cast<size_t>(std::min(kSample, bytes - at)));
    }
  });
  return hash;
}

}  // namespace tenfold
