#include "train/plan.h"

#include "core/checked.h"
#include "core/error.h"
#include "ops/attention.h"
#include "ops/cross_entropy.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tenfold {
namespace {

/// Left free on a GPU: the driver's allocation granules, and what other programs may take meanwhile.
constexpr int64_t kGpuReserve = int64_t{512} << 20;
/// Moments of this size go to the host: those of a trained embedding, never those of LoRA factors.
constexpr int64_t kLargeMoments = int64_t{1} << 30;
/// What the host must win over keeping all on the device, as a share of the step: page-locked memory takes seconds to get, and
/// other programs miss it.
constexpr double kOffloadGain = 0.05;

constexpr std::array<Keep, 4> kLevels = {Keep::kInput, Keep::kAttention, Keep::kMiddle, Keep::kAll};

double product_flops(int64_t tokens, int64_t out, int64_t in) {
  return 2.0 * static_cast<double>(tokens) * static_cast<double>(out) * static_cast<double>(in);
}

/// One layer of a record: bytes kept and seconds lost by level. The rates weigh plans against each other, no more; they are an
/// H100's (performance.md 9). On the CPU only their order counts.
struct LayerCosts {
  std::array<int64_t, kLevels.size()> bytes{};
  std::array<double, kLevels.size()> repeated{};  ///< seconds of the forward that its backward does again
  double forward = 0;
  double backward = 0;  ///< without what it repeats
  double link = 0;      ///< bytes a second each way

  LayerCosts(const Device& device, const ModelConfig& c, const LoraConfig& lora, DType compute, int64_t tokens)
      : link(device.link_bytes_per_second()) {
    constexpr double kProducts = 650e12;
    constexpr double kAttention = 550e12;
    for (size_t i = 0; i < kLevels.size(); ++i) {
      const RepeatedFlops again = repeated_flops(c, kLevels[i], tokens);
      repeated[i] = again.products / kProducts + again.attention / kAttention;
      bytes[i] = block_saved_bytes(c, lora, compute, kLevels[i], tokens);
    }
    // A backward from its input alone repeats the whole forward but the last product.
    forward = repeated[index(Keep::kInput)] + product_flops(tokens, c.hidden, c.ffn) / kProducts;
    backward = forward + 1.5 * repeated_flops(c, Keep::kInput, tokens).attention / kAttention;
  }
  static size_t index(Keep keep) { return static_cast<size_t>(keep); }
  int64_t bytes_of(Keep keep) const { return bytes[index(keep)]; }
  /// Seconds beyond a forward and a backward of everything kept on the device.
  double lost(const KeptLayer& layer) const {
    const double again = repeated[index(layer.keep)];
    if (!layer.on_host || link == 0) return again;
    const double copy = static_cast<double>(bytes_of(layer.keep)) / link;
    return again + std::max(0.0, copy - forward) + std::max(0.0, copy - backward - again);
  }
};

KeptRoom room_of(const LayerCosts& costs, int64_t last_bytes, std::span<const KeptLayer> layers) {
  KeptRoom room{last_bytes, 0};
  int64_t on_host = 0;
  for (const KeptLayer& layer : layers) {
    // The last that go to the host stay in their places: no later layer needs them.
    if (!layer.on_host || ++on_host <= kOffloadPlaces) {
      room.device_bytes += costs.bytes_of(layer.keep);
    } else {
      room.host_bytes += costs.bytes_of(layer.keep);
    }
  }
  return room;
}

int64_t last_bytes(const ModelConfig& config, DType compute, int64_t tokens) {
  return workspace_bytes(compute, {tokens, config.hidden});
}

/// The first `on_host` layers keep `level` there; the others as much as the device allows. Empty when that does not fit.
std::vector<KeptLayer> fill_device(const LayerCosts& costs, int64_t last, int64_t layers, int64_t on_host, Keep level,
                                   const KeptRoom& room) {
  std::vector<KeptLayer> kept(static_cast<size_t>(layers));
  std::fill_n(kept.begin(), on_host, KeptLayer{level, true});
  KeptRoom used = room_of(costs, last, kept);
  if (used.device_bytes > room.device_bytes || used.host_bytes > room.host_bytes) return {};
  // A level for all layers before the next level for any: the attention forward is the dearest to repeat, the MLP the cheapest a
  // byte.
  for (const Keep next : {Keep::kAttention, Keep::kMiddle, Keep::kAll}) {
    for (size_t i = kept.size(); i-- > static_cast<size_t>(on_host);) {
      const int64_t more = costs.bytes_of(next) - costs.bytes_of(kept[i].keep);
      if (used.device_bytes + more > room.device_bytes) return kept;
      kept[i].keep = next;
      used.device_bytes += more;
    }
  }
  return kept;
}

double lost(const LayerCosts& costs, std::span<const KeptLayer> layers) {
  double seconds = 0;
  for (const KeptLayer& layer : layers) seconds += costs.lost(layer);
  return seconds;
}

struct Limit {
  int64_t bytes;
  const char* option;
};

Limit host_limit(const TrainOptions& options) {
  return {options.host_memory > 0 ? options.host_memory : host_memory_bytes() / 10 * 8, "--host-memory"};
}

/// Of what is page-locked beside a GPU.
Limit pinned_limit(const TrainOptions& options) {
  const Limit host = host_limit(options);
  const int64_t there = host.bytes - kProgramBytes;
  if (options.pinned_memory > 0 && options.pinned_memory < there) return {options.pinned_memory, "--pinned-memory"};
  return {there, host.option};
}

Limit memory_limit(const Device& device, const TrainOptions& options) {
  if (device.kind() == DeviceKind::kCpu) return host_limit(options);
  // An allowance beyond the card is the card's.
  const int64_t there = device.free_bytes() + device.bytes_in_use() + device.overhead_bytes() - kGpuReserve;
  return {options.gpu_memory > 0 ? std::min(options.gpu_memory, there) : there, "--gpu-memory"};
}

/// What the plan's buffers leave for kept activations.
KeptRoom room_left(const Device& device, const TrainPlan& plan, const TrainOptions& options) {
  const int64_t device_bytes = memory_limit(device, options).bytes - plan.memory.total();
  if (device.kind() != DeviceKind::kCpu) return {device_bytes, pinned_limit(options).bytes - plan.host.total()};
  // One memory for both: half of it each, where a test wants a host beside the CPU.
  return options.offload == Offload::kAlways ? KeptRoom{device_bytes / 2, device_bytes / 2} : KeptRoom{device_bytes, 0};
}

}  // namespace

RepeatedFlops repeated_flops(const ModelConfig& config, Keep keep, int64_t tokens) {
  const ModelConfig& c = config;
  RepeatedFlops again;
  if (keep < Keep::kAll) again.products += product_flops(tokens, 2 * c.ffn, c.hidden);
  if (keep < Keep::kMiddle) again.products += product_flops(tokens, 2 * c.q_size() + 2 * c.kv_size(), c.hidden);
  if (keep < Keep::kAttention) {
    const ops::AttentionSegment segment{0, tokens, 0, tokens};
    again.attention += ops::attention_flops({&segment, 1}, c.heads, c.head_dim);
  }
  return again;
}

std::vector<KeptLayer> choose_kept(const Device& device, const ModelConfig& config, const LoraConfig& lora, DType compute,
                                   int64_t tokens, const KeptRoom& room, Offload offload) {
  const LayerCosts costs(device, config, lora, compute, tokens);
  const int64_t last = last_bytes(config, compute, tokens);
  const auto fill = [&](int64_t on_host, Keep level) { return fill_device(costs, last, config.layers, on_host, level, room); };
  std::vector<KeptLayer> best;
  double best_lost = 0;
  const auto take_better = [&](std::vector<KeptLayer> other, double handicap) {
    if (other.empty()) return;
    const double seconds = lost(costs, other) + handicap;
    if (!best.empty() && seconds >= best_lost) return;
    best = std::move(other);
    best_lost = seconds;
  };
  if (offload != Offload::kAlways) take_better(fill(0, Keep::kInput), 0);
  if (offload == Offload::kNever || (offload == Offload::kAuto && costs.link == 0)) return best;
  const double handicap = kOffloadGain * static_cast<double>(config.layers) * (costs.forward + costs.backward);
  const int64_t fewest = offload == Offload::kAlways ? config.layers : kOffloadPlaces + 1;
  for (int64_t on_host = fewest; on_host <= config.layers; ++on_host) {
    for (const Keep level : kLevels) take_better(fill(on_host, level), handicap);
  }
  return best;
}

KeptRoom room_of(const Device& device, const ModelConfig& config, const LoraConfig& lora, DType compute, int64_t tokens,
                 std::span<const KeptLayer> layers) {
  return room_of(LayerCosts(device, config, lora, compute, tokens), last_bytes(config, compute, tokens), layers);
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

int64_t teacher_buffer_bytes(const ModelConfig& config, DType compute, int64_t rows) {
  return workspace_bytes(compute, {rows, config.hidden}) + workspace_bytes(DType::kF32, {rows, config.hidden});
}

namespace {

/// What the least plan would need, on the device and on the host.
[[noreturn]] void throw_does_not_fit(const Device& device, const ModelConfig& config, const TrainOptions& options,
                                     const TrainPlan& plan, const TrainSizes& sizes, const LayerCosts& costs) {
  const auto gib = [](int64_t bytes) { return static_cast<double>(bytes) / 0x1p30; };
  const int64_t last = last_bytes(config, options.compute, sizes.longest);
  const bool offloads = options.offload != Offload::kNever && costs.link > 0;
  const std::vector<KeptLayer> on_device(static_cast<size_t>(config.layers));
  const std::vector<KeptLayer> on_host(static_cast<size_t>(config.layers), KeptLayer{Keep::kInput, true});
  const KeptRoom least = room_of(costs, last, offloads ? on_host : on_device);
  const Limit limit = memory_limit(device, options);
  const int64_t needed = plan.memory.total() + least.device_bytes;
  const int64_t fixed = plan.memory.buffers.front().bytes + sizes.weight_bytes;  // what does not grow with the length
  // Device and host together grow with the length; the scarcer of the two says how far it goes.
  const auto share = [](int64_t allowed, int64_t wanted) {
    return wanted <= 0 ? 1.0 : std::max(0.0, static_cast<double>(allowed) / static_cast<double>(wanted));
  };
  double fits = share(limit.bytes - fixed, needed - fixed);
  std::string text = fmt::format("training on records of {} tokens needs at least {:.2f} GiB, and {:.2f} GiB are allowed",
                                 sizes.longest, gib(needed), gib(limit.bytes));
  std::string options_text = limit.option;
  if (offloads) {
    const Limit host = pinned_limit(options);
    const int64_t whole = room_of(costs, last, on_device).device_bytes + plan.memory.total() - fixed;
    const int64_t allowed = limit.bytes - fixed + host.bytes - plan.host.total();
    fits = std::min(fits, share(allowed, whole));
    text += fmt::format(" on the GPU; with {:.2f} GiB beside it on the host, where {:.2f} GiB are allowed",
                        gib(least.host_bytes + plan.host.total()), gib(host.bytes));
    options_text += fmt::format(" or {}", host.option);
  }
  throw_device("{}. Lower --max-length (about {} tokens fit) or raise {}", text,
               static_cast<int64_t>(static_cast<double>(sizes.longest) * fits), options_text);
}

}  // namespace

TrainPlan plan_training(Device& device, const ModelConfig& config, const LoraConfig& lora, const TrainOptions& options,
                        const TrainSizes& unpadded) {
  TrainSizes sizes = unpadded;
  sizes.longest = round_up(sizes.longest, device.row_multiple());
  TrainPlan plan;
  const int64_t parameters = Adapter::elements_of(config, lora);
  const bool gpu = device.kind() != DeviceKind::kCpu;
  const bool large = options.offload == Offload::kAlways || (options.offload == Offload::kAuto && parameters * 8 > kLargeMoments);
  plan.moments_on_host = gpu && large && parameters * 8 <= pinned_limit(options).bytes;
  MemoryPlan& m = plan.memory;
  m.add_surroundings(device);
  m.add("base weights", MemoryUse::kWeights, sizes.weight_bytes);
  m.add("adapter", MemoryUse::kAdapter, parameters * 4);
  m.add("gradients", MemoryUse::kOptimizer, parameters * 4);
  (plan.moments_on_host ? plan.host : m).add("adamw moments", MemoryUse::kOptimizer, parameters * 8);
  m.add("residual gradient", MemoryUse::kActivations, sizes.longest * config.hidden * 4);
  m.add("rope tables", MemoryUse::kActivations, sizes.longest * config.head_dim * 4);
  m.add("head rows", MemoryUse::kActivations, head_buffer_bytes(config, options.compute, sizes.head_rows));
  if (sizes.distill_rows > 0)
    m.add("base rows", MemoryUse::kActivations, teacher_buffer_bytes(config, options.compute, sizes.distill_rows));
  m.add("scratch", MemoryUse::kWorkspace, training_scratch_bytes(device, config, lora, options.compute, sizes));
  m.buffers.insert(m.buffers.end(), options.beside.begin(), options.beside.end());
  const KeptRoom room = room_left(device, plan, options);
  const LayerCosts costs(device, config, lora, options.compute, sizes.longest);
  plan.layers = choose_kept(device, config, lora, options.compute, sizes.longest, room, options.offload);
  if (plan.layers.empty()) throw_does_not_fit(device, config, options, plan, sizes, costs);
  const KeptRoom taken = room_of(costs, last_bytes(config, options.compute, sizes.longest), plan.layers);
  plan.activation_bytes = taken.device_bytes;
  plan.offload_bytes = taken.host_bytes;
  m.add("kept activations", MemoryUse::kActivations, taken.device_bytes);
  if (taken.host_bytes > 0) (gpu ? plan.host : m).add("offloaded activations", MemoryUse::kActivations, taken.host_bytes);
  return plan;
}

}  // namespace tenfold
