#include "train/plan.h"

#include "core/checked.h"
#include "core/error.h"
#include "ops/cross_entropy.h"

#include <algorithm>

namespace tenfold {
namespace {

/// Left free on a GPU when no limit is given: the driver's allocation granules, and what other programs may take meanwhile.
constexpr int64_t kGpuReserve = int64_t{1} << 30;

int64_t kept_bytes(const ModelConfig& config, const LoraConfig& lora, DType compute, const std::vector<Keep>& keep,
                   int64_t tokens) {
  int64_t total = workspace_bytes(compute, {tokens, config.hidden});  // the last block's output
  for (const Keep k : keep) total += block_saved_bytes(config, lora, compute, k, tokens);
  return total;
}

struct Limit {
  int64_t bytes;
  const char* option;
};

Limit memory_limit(const Device& device, const TrainOptions& options) {
  if (device.kind() == DeviceKind::kCpu)
    return {options.host_memory > 0 ? options.host_memory : host_memory_bytes() / 10 * 8, "--host-memory"};
  const int64_t held = device.bytes_in_use() + device.overhead_bytes();
  return {options.gpu_memory > 0 ? options.gpu_memory : device.free_bytes() + held - kGpuReserve, "--gpu-memory"};
}

}  // namespace

std::vector<Keep> choose_keep(const ModelConfig& config, const LoraConfig& lora, DType compute, int64_t tokens, int64_t bytes) {
  std::vector<Keep> keep(static_cast<size_t>(config.layers), Keep::kInput);
  int64_t used = kept_bytes(config, lora, compute, keep, tokens);
  if (used > bytes) return {};
  // A level for all layers before the next level for any: the attention forward is the dearest to repeat, the MLP the cheapest a
  // byte.
  for (const Keep level : {Keep::kAttention, Keep::kMiddle, Keep::kAll}) {
    for (size_t i = keep.size(); i-- > 0;) {
      const int64_t more =
          block_saved_bytes(config, lora, compute, level, tokens) - block_saved_bytes(config, lora, compute, keep[i], tokens);
      if (used + more > bytes) return keep;
      keep[i] = level;
      used += more;
    }
  }
  return keep;
}

int64_t training_scratch_bytes(Device& device, const ModelConfig& config, const LoraConfig& lora, DType compute,
                               const TrainSizes& sizes) {
  Workspace none;
  const Exec exec{device, none, compute, nullptr};
  return std::max(block_scratch_bytes(exec, config, &lora, sizes.longest, sizes.longest, /*training=*/true),
                  ops::cross_entropy_scratch_bytes(exec, std::min(sizes.head_rows, kHeadRows), config.vocabulary, config.hidden));
}

int64_t head_buffer_bytes(const ModelConfig& config, DType compute, int64_t positions) {
  const int64_t rows = std::min(positions, kHeadRows);
  return 2 * workspace_bytes(compute, {rows, config.hidden}) + 2 * workspace_bytes(DType::kF32, {rows, config.hidden});
}

TrainPlan plan_training(Device& device, const ModelConfig& config, const LoraConfig& lora, const TrainOptions& options,
                        const TrainSizes& unpadded) {
  TrainSizes sizes = unpadded;
  sizes.longest = round_up(sizes.longest, device.row_multiple());
  TrainPlan plan;
  const int64_t parameters = Adapter::elements_of(config, lora);
  MemoryPlan& m = plan.memory;
  m.add_surroundings(device);
  m.add("base weights", MemoryUse::kWeights, sizes.weight_bytes);
  m.add("adapter", MemoryUse::kAdapter, parameters * 4);
  m.add("gradients", MemoryUse::kOptimizer, parameters * 4);
  m.add("adamw moments", MemoryUse::kOptimizer, parameters * 8);
  m.add("residual gradient", MemoryUse::kActivations, sizes.longest * config.hidden * 4);
  m.add("rope tables", MemoryUse::kActivations, sizes.longest * config.head_dim * 4);
  m.add("head rows", MemoryUse::kActivations, head_buffer_bytes(config, options.compute, sizes.head_rows));
  m.add("scratch", MemoryUse::kWorkspace, training_scratch_bytes(device, config, lora, options.compute, sizes));
  const Limit limit_of_run = memory_limit(device, options);
  const int64_t limit = limit_of_run.bytes;
  const std::vector<Keep> everything(static_cast<size_t>(config.layers), Keep::kAll);
  const int64_t most = kept_bytes(config, lora, options.compute, everything, sizes.longest);
  plan.activation_bytes = std::min(most, limit - m.total());
  plan.keep = choose_keep(config, lora, options.compute, sizes.longest, plan.activation_bytes);
  if (plan.keep.empty()) {
    const std::vector<Keep> least(static_cast<size_t>(config.layers), Keep::kInput);
    const int64_t needed = m.total() + kept_bytes(config, lora, options.compute, least, sizes.longest);
    const int64_t fixed = m.buffers.front().bytes + sizes.weight_bytes;  // what does not grow with the length
    throw_device(
        "training on records of {} tokens needs at least {:.2f} GiB, and {:.2f} GiB are allowed. Lower --max-length (about {} "
        "tokens fit) or raise {}",
        sizes.longest, static_cast<double>(needed) / 0x1p30, static_cast<double>(limit) / 0x1p30,
        std::max<int64_t>(0, static_cast<int64_t>(static_cast<double>(sizes.longest) * static_cast<double>(limit - fixed) /
                                                  static_cast<double>(needed - fixed))),
        limit_of_run.option);
  }
  plan.activation_bytes = kept_bytes(config, lora, options.compute, plan.keep, sizes.longest);
  m.add("kept activations", MemoryUse::kActivations, plan.activation_bytes);
  return plan;
}

}  // namespace tenfold
