#include "train/kept.h"

#include "train/plan.h"

namespace tenfold {

KeptActivations::KeptActivations(Device& device, const ModelConfig& config, const LoraConfig& lora, const TrainOptions& options,
                                 const TrainPlan& plan)
    : device_(device),
      config_(config),
      lora_(lora),
      compute_(options.compute),
      offload_(options.offload),
      device_room_(device.allocate("kept activations", MemoryUse::kActivations, plan.activation_bytes)),
      host_room_(device.allocate_host("offloaded activations", MemoryUse::kActivations, plan.offload_bytes)) {
  saved_.reserve(static_cast<size_t>(config.layers));
  out_.resize(static_cast<size_t>(config.layers));
  in_.resize(static_cast<size_t>(config.layers));
}

void KeptActivations::begin(int64_t tokens) {
  const std::vector<KeptLayer> layers =
      choose_kept(device_, config_, lora_, compute_, tokens, {device_room_.capacity(), host_room_.bytes()}, offload_);
  TENFOLD_CHECK(!layers.empty(), "{} tokens do not fit where the longest record does", tokens);
  const Workspace::Scope whole(device_room_);  // nothing else takes from this room: the views last until the next record
  saved_.clear();
  on_host_ = 0;
  for (const KeptLayer& layer : layers) {
    if (!layer.on_host) {
      saved_.push_back(take_block_saved(device_room_, config_, lora_, compute_, layer.keep, tokens));
      continue;
    }
    TENFOLD_CHECK(on_host_ == static_cast<int64_t>(saved_.size()), "layer {} goes to the host after one that does not",
                  saved_.size());
    // One keep for all that go to the host, so a place's views serve every layer that passes through it.
    saved_.push_back(on_host_ < kOffloadPlaces ? take_block_saved(device_room_, config_, lora_, compute_, layer.keep, tokens)
                                               : saved_[static_cast<size_t>(on_host_ - kOffloadPlaces)]);
    ++on_host_;
  }
  last_ = device_room_.tensor("last x", compute_, {tokens, config_.hidden});
  host_stride_ = on_host_ > 0 ? block_saved_bytes(config_, lora_, compute_, layers.front().keep, tokens) : 0;
}

bool KeptActivations::leaves(int64_t i) const { return i + kOffloadPlaces < on_host_; }

void* KeptActivations::host_copy(int64_t i) const { return static_cast<std::byte*>(host_room_.data()) + i * host_stride_; }

void KeptActivations::open(int64_t i) {
  if (on_host(i) && i >= kOffloadPlaces) device_.wait_for(out_[static_cast<size_t>(i - kOffloadPlaces)]);
}

void KeptActivations::forward_done(int64_t i) {
  if (leaves(i)) out_[static_cast<size_t>(i)] = device_.copy_out_later(host_copy(i), place(i), host_stride_);
}

void KeptActivations::need(int64_t i) {
  if (leaves(i)) device_.wait_for(in_[static_cast<size_t>(i)]);
}

void KeptActivations::backward_done(int64_t i) {
  const int64_t next = i - kOffloadPlaces;
  if (!on_host(i) || next < 0) return;
  in_[static_cast<size_t>(next)] =
      device_.copy_in_later(place(next), host_copy(next), host_stride_, out_[static_cast<size_t>(next)]);
}

}  // namespace tenfold
