#pragma once

#include "data/example.h"
#include "device/exec.h"
#include "model/adapter.h"
#include "model/block.h"
#include "model/model.h"
#include "train/distill.h"
#include "train/positions.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tenfold {

enum class Schedule : uint8_t { kLinear, kCosine, kConstant };

/// Whether what forwards keep, and AdamW's moments, may lie in host memory beside a GPU's.
enum class Offload : uint8_t {
  kAuto,    ///< where the plan is the faster for it or does not fit without; never on the CPU
  kNever,   ///< all of it on the device
  kAlways,  ///< all of it on the host, on the CPU too, where it only moves: for tests and measurements
};

struct TrainOptions {
  std::string out;    ///< run directory: metrics.jsonl, adapter/, checkpoint/
  int64_t steps = 0;  ///< 0: from epochs
  double epochs = 1;
  int64_t batch = 1;         ///< records a step, run as one flat batch or one after another (accumulation): the same loss
  int64_t pack_tokens = -1;  ///< records of a step share a pass up to so many tokens; 0: one by one; -1: as the device likes
  int64_t accumulation = 1;  ///< micro-steps a step; the denominators of the loss are sums over all of them
  double learning_rate = 5e-5;
  Schedule schedule = Schedule::kLinear;
  int64_t warmup_steps = 0;
  double weight_decay = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double max_grad_norm = 1.0;  ///< 0: no clipping
  double lm_loss_weight = 0;   ///< weight of the mean over document tokens
  int64_t lm_loss_tokens = 0;  ///< document positions sampled a record (seeded); 0: all
  double lm_loss_far = 1;      ///< weight of document tokens beyond the model's own context, beside the others' 1
  uint64_t seed = 0;
  bool shuffle = true;
  bool group_by_length = false;
  int64_t checkpoint_every = 0;  ///< steps; 0: about a minute apart is the caller's choice, here: only at the end and on a stop
  int64_t host_memory = 0;       ///< bytes that the whole run may hold; 0: most of what the machine has
  int64_t gpu_memory = 0;        ///< the same on a GPU, context and libraries included; 0: what is free
  int64_t pinned_memory = 0;     ///< of host_memory, bytes that may be page-locked beside a GPU; 0: all of it
  Offload offload = Offload::kAuto;
  SkipOptions skip;
  DistillOptions distill;
  DType compute = DType::kF32;
  DType adapter_dtype = DType::kF32;
  std::string chat_template;
  std::string adapter_folder = "adapter";  ///< where in `out` the adapter goes when the run ends
  std::vector<PlannedBuffer> beside;       ///< what the run holds on the device besides training, for its plan
};

/// One line of metrics.jsonl.
struct StepMetrics {
  int64_t step = 0;  ///< 1-based
  double loss = 0;
  double answer_loss = 0;
  double lm_loss = 0;           ///< mean over document tokens, far ones like the others
  double distill_loss = 0;      ///< mean KL(base || tuned) of the step's window
  int64_t distill_record = -1;  ///< which record the window is; -1: of the text
  double learning_rate = 0;
  double grad_norm = 0;
  int64_t tokens = 0;  ///< of this step
  int64_t total_tokens = 0;
  double seconds = 0;
  int64_t peak_bytes = 0;
};

/// What an evaluation after a step came to.
struct StepCheck {
  std::string line;          ///< for metrics.jsonl, beside the steps': JSON with "step" and without "loss"
  bool checkpoint = false;   ///< save one with it
  bool interrupted = false;  ///< a stop was asked for in its midst: no line; it is made again when the run goes on
};

struct TrainCallbacks {
  std::function<void(const StepMetrics&, int64_t steps)> on_step;
  std::function<void(int64_t step)> on_checkpoint;
  std::function<bool()> should_stop;  ///< asked between steps: save and return
  /// Evaluation on the way, with the adapter as it then is: asked after every step's line, and once after resuming. Nothing where
  /// the step has no check, or has its line already.
  std::function<std::optional<StepCheck>(int64_t step)> check;
  std::function<bool()> finished;  ///< asked between steps: end the run here, as if it had done all its steps
};

struct TrainResult {
  int64_t steps = 0;   ///< finished in all, resumed ones included
  int64_t tokens = 0;  ///< of all steps
  double seconds = 0;  ///< of this process's steps
  double check_seconds = 0;
  double final_loss = 0;
  bool interrupted = false;
  bool stopped_early = false;  ///< `finished` said so
  std::string adapter;         ///< directory
};

/// What a training run is sized for.
struct TrainSizes {
  int64_t longest = 0;       ///< tokens of the longest record
  int64_t head_rows = 0;     ///< most positions of a record that carry loss
  int64_t weight_bytes = 0;  ///< Model::weight_bytes()
  int64_t distill_rows = 0;  ///< positions of a window of self-distillation
};
/// Of a run over these records, lengths not yet padded.
TrainSizes train_sizes(std::span<const Example> examples, const TrainOptions& options, int64_t weight_bytes);

/// What a forward keeps of one layer, and where.
struct KeptLayer {
  Keep keep = Keep::kInput;
  bool on_host = false;
  friend bool operator==(const KeptLayer&, const KeptLayer&) = default;
  friend auto operator<=>(const KeptLayer&, const KeptLayer&) = default;
};

/// The memory that training will hold, by buffer: made before anything is allocated.
struct TrainPlan {
  MemoryPlan memory;              ///< on the device
  MemoryPlan host;                ///< page-locked, beside a GPU
  int64_t activation_bytes = 0;   ///< on the device, for what forwards keep
  int64_t offload_bytes = 0;      ///< on the host, for the same
  bool moments_on_host = false;   ///< AdamW's, which a GPU then reads and writes in place
  std::vector<KeptLayer> layers;  ///< for the longest record
};

/// The fastest plan within `options.gpu_memory` and `options.host_memory`. DeviceError when not even the layer inputs fit: says
/// what is needed and what would fit.
TrainPlan plan_training(Device& device, const ModelConfig& config, const LoraConfig& lora, const TrainOptions& options,
                        const TrainSizes& sizes);

/// LoRA training of one model on one device. Losses are bit-equal for the same binary, kind of CPU and thread count, whatever is
/// recomputed and wherever the run was stopped and resumed.
class Trainer {
 public:
  /// Allocates everything a step will use (nothing is allocated inside one). DeviceError when it cannot fit.
  Trainer(Device& device, const Model& model, Adapter& adapter, std::span<const Example> examples, const TrainOptions& options);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;
  ~Trainer();

  int64_t total_steps() const;
  /// Restores the newest valid checkpoint of the run directory; returns its step, 0 when there is none. Cuts metrics.jsonl to it.
  /// InputError when the checkpoint belongs to other options, data, model or threads.
  int64_t resume();
  TrainResult run(const TrainCallbacks& callbacks);

  /// One forward and backward over a record set without an update: loss and gradients, for tests and benchmarks.
  StepMetrics forward_backward(std::span<const int64_t> records, int64_t step);
  /// What ends a step: clip, AdamW as the 0-based `step`. Returns the gradient's norm before clipping.
  double update(double learning_rate, int64_t step);
  TensorView gradients() const;
  /// Time by part. On a GPU it is only filled while wanted, as it waits for every op.
  Profile& profile();
  void want_profile(bool wanted);
  Device& device();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tenfold
