#pragma once

#include "cli/options.h"
#include "cli/verb.h"
#include "model/adapter.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "train/trainer.h"

#include <string>
#include <vector>

namespace tenfold::cli {

/// LoRA as the options say it.
struct LoraOptions {
  int64_t r = 32;
  double alpha = 16;
  double dropout = 0;
  bool rslora = false;
  bool tie_embeddings = false;
  std::vector<std::string> targets = {"q_proj", "k_proj", "v_proj", "o_proj"};
  std::vector<std::string> extra;
};
void declare_lora(OptionTable& table, LoraOptions& options);
void check_lora(const LoraOptions& options, std::vector<std::string>& errors);
LoraConfig lora_of(const LoraOptions& options);

/// The optimiser, the loss and the order of the data.
struct LearningOptions {
  int64_t steps = 0;
  double epochs = 1;
  int64_t batch = 1;
  int64_t accumulation = 1;
  double learning_rate = 5e-5;
  std::string schedule = "linear";
  int64_t warmup_steps = 0;
  double warmup_ratio = 0;
  double weight_decay = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double max_grad_norm = 1;
  double lm_loss_weight = 0;
  int64_t lm_loss_tokens = 0;
  double lm_loss_far = 1;
  double skip_positions = 0;
  int64_t skip_length = 0;
  bool group_by_length = false;
  bool shuffle = true;
  int64_t checkpoint_every = 0;
  std::string adapter_dtype = "f32";
  std::string offload = "auto";
  std::vector<std::string> distill_text;
  std::vector<std::string> distill_data;
  double distill_data_share = 0.5;
  int64_t distill_data_tokens = 0;
  double distill_weight = 1;
  std::vector<int64_t> distill_lengths = {512, 1024, 2048, 4096};
  int64_t distill_tokens = 1024;
};
/// --offload of a step: auto, never or always. InputError otherwise.
void declare_offload(OptionTable& table, std::string& offload);
Offload offload_by_name(const std::string& name);
void declare_learning(OptionTable& table, LearningOptions& options);
void check_learning(const LearningOptions& options, std::vector<std::string>& errors);
/// "attention outputs of 20 layers; inputs of 12 layers, on the host": what a plan keeps for the backward.
std::string kept_text(const TrainPlan& plan);
/// The plan's tables, the device's and the host's, and what is kept.
void print_train_plan(Console& console, const Device& device, const TrainPlan& plan);
/// planned_host_bytes, planned_gpu_bytes and, beside a GPU, planned_pinned_bytes of a summary.
void add_train_plan(Context& context, const Device& device, const TrainPlan& plan);

/// Self-distillation as the options say it; off without --distill-text and --distill-data. `base_rope`: the model's own.
/// `data_root` and `seed` are those of --data. InputError: a record that is no conversation, or what load_records and
/// check_distillation refuse.
DistillOptions distill_of(const LearningOptions& options, const Tokenizer& tokenizer, const ChatTemplate& chat,
                          const std::string& data_root, uint64_t seed, const RopeConfig& base_rope);

/// All but `out`, `compute`, `chat_template` and `distill`.
TrainOptions train_options_of(const LearningOptions& options, const CommonOptions& common);

}  // namespace tenfold::cli
