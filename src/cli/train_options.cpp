#include "cli/train_options.h"

#include "cli/model_support.h"

#include "core/error.h"
#include "data/record.h"
#include "data/text_corpus.h"
#include "format/names.h"
#include "train/schedule.h"

#include <algorithm>
#include <cmath>

namespace tenfold::cli {
namespace {

/// "q_proj,k_proj" and "q_proj k_proj" alike.
std::vector<std::string> split_names(const std::vector<std::string>& words) {
  std::vector<std::string> names;
  for (const std::string& word : words) {
    size_t begin = 0;
    while (begin <= word.size()) {
      const size_t end = std::min(word.find(',', begin), word.size());
      if (end > begin) names.push_back(word.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  return names;
}

void at_least(std::vector<std::string>& errors, const char* name, double value, double least) {
  if (value < least) errors.push_back(fmt::format("--{}: expected {} or more, got {}", name, least, value));
}

}  // namespace

void declare_lora(OptionTable& table, LoraOptions& options) {
  table.group("LoRA");
  table.add("lora-r", options.r, "N", "Rank");
  table.add("lora-alpha", options.alpha, "X", "The update is scaled by alpha / r");
  table.add("lora-dropout", options.dropout, "X", "Dropout of the LoRA input");
  table.add_many("lora-targets", options.targets, "NAME...",
                 "Projections: q_proj k_proj v_proj o_proj gate_proj up_proj down_proj");
  table.add_many("lora-extra-params", options.extra, "NAME...", "Parameters trained whole: embed_tokens, norm, lm_head");
  table.add_switch("rslora", options.rslora, "Scale by alpha / sqrt(r)");
  table.add_switch("tie-embeddings", options.tie_embeddings,
                   "A trained embed_tokens is the head, too (PEFT leaves the head as it was)");
}

void check_lora(const LoraOptions& options, std::vector<std::string>& errors) {
  if (options.r < 1 || options.r > 4096) errors.push_back(fmt::format("--lora-r: expected 1 to 4096, got {}", options.r));
  if (!(options.alpha > 0)) errors.push_back(fmt::format("--lora-alpha: expected above 0, got {}", options.alpha));
  if (!(options.dropout >= 0 && options.dropout < 1))
    errors.push_back(fmt::format("--lora-dropout: expected 0 to below 1, got {}", options.dropout));
  try {
    // The names alone: the numbers have been looked at above.
    (void)LoraConfig::parse(1, 1, 0, false, split_names(options.targets), split_names(options.extra));
  } catch (const InputError& error) {
    errors.push_back(error.what());
  }
}

LoraConfig lora_of(const LoraOptions& options) {
  LoraConfig lora = LoraConfig::parse(options.r, options.alpha, options.dropout, options.rslora, split_names(options.targets),
                                      split_names(options.extra));
  lora.tie_embeddings = options.tie_embeddings;
  return lora;
}

void declare_learning(OptionTable& table, LearningOptions& options) {
  table.group("Training");
  table.add("steps", options.steps, "N", "Optimiser steps; 0: from --epochs");
  table.add("epochs", options.epochs, "X", "Passes over the data where --steps is not given");
  table.add("batch", options.batch, "N", "Records a step");
  table.add("accumulation", options.accumulation, "N", "Micro-steps a step; the loss is the mean over all of them together");
  table.add("learning-rate", options.learning_rate, "X", "Peak learning rate");
  table.add("schedule", options.schedule, "NAME", "linear, cosine or constant");
  table.add("warmup-steps", options.warmup_steps, "N", "Steps of linear warm-up");
  table.add("warmup-ratio", options.warmup_ratio, "X", "Warm-up as a share of all steps, where --warmup-steps is 0");
  table.add("weight-decay", options.weight_decay, "X", "AdamW's weight decay");
  table.add("beta1", options.beta1, "X", "AdamW's first moment");
  table.add("beta2", options.beta2, "X", "AdamW's second moment");
  table.add("eps", options.eps, "X", "AdamW's epsilon");
  table.add("max-grad-norm", options.max_grad_norm, "X", "Clip the gradient's norm; 0: no clipping");
  table.add("lm-loss-weight", options.lm_loss_weight, "X", "Weight of the mean loss over document tokens, beside the answers'");
  table.add("lm-loss-tokens", options.lm_loss_tokens, "N", "Document positions sampled a record for it; 0: all");
  table.add("lm-loss-far", options.lm_loss_far, "X",
            "Weight of document tokens beyond the model's own context, beside the others' 1: they are few and learn slowest");
  table.add("skip-positions", options.skip_positions, "X",
            "Of the records, those read with two jumps in their positions, so that short ones teach far distances");
  table.add("skip-length", options.skip_length, "N", "Positions that jumps may reach; 0: --max-length");
  table.add_switch("group-by-length", options.group_by_length, "Steps of records of like length, the longest first");
  table.add_switch("shuffle", options.shuffle, "Permute the records each epoch (--no-shuffle keeps their order)");
  table.add("checkpoint-every", options.checkpoint_every, "N", "Steps between checkpoints; 0: a twentieth of the run");
  table.add("adapter-dtype", options.adapter_dtype, "NAME", "f32 or bf16, of the saved adapter");
  declare_offload(table, options.offload);
  table.group("Self-distillation");
  table.add_many(
      "distill-text", options.distill_text, "PATH...",
      "Ordinary text (files or folders of *.txt and *.md): a window a step is read by the untouched model at its own RoPE, "
      "too, and KL(base || tuned) is held down, so that short texts are not forgotten");
  table.add_many(
      "distill-data", options.distill_data, "PATH...",
      "Short conversations (as --data; the last turn may be the user's) that a step takes instead of a window of text: what the "
      "untouched model would say in its chat template is held, too. The positions before answers are always compared");
  table.add("distill-data-share", options.distill_data_share, "X",
            "Of the steps, those that take a conversation, where both are given");
  table.add("distill-data-tokens", options.distill_data_tokens, "N",
            "Positions compared a conversation, those before answers among them; 0: as many as --distill-tokens");
  table.add("distill-weight", options.distill_weight, "X", "Weight of the mean KL in the loss");
  table.add_many("distill-lengths", options.distill_lengths, "N,...",
                 "Tokens of a window, drawn a step; no conversation may be longer");
  table.add("distill-tokens", options.distill_tokens, "N", "Positions compared a window; 0: all, up to 8192");
}

void declare_offload(OptionTable& table, std::string& offload) {
  table.add(
      "offload", offload, "NAME",
      "What forwards keep, and AdamW's moments of a trained embedding, in host memory beside a GPU: auto (where it is faster "
      "or nothing else fits), never, always");
}

Offload offload_by_name(const std::string& name) {
  if (name == "auto") return Offload::kAuto;
  if (name == "never") return Offload::kNever;
  if (name == "always") return Offload::kAlways;
  throw_input("--offload: expected auto, never or always, got {}", shown(name));
}

void check_learning(const LearningOptions& options, std::vector<std::string>& errors) {
  at_least(errors, "steps", static_cast<double>(options.steps), 0);
  at_least(errors, "batch", static_cast<double>(options.batch), 1);
  at_least(errors, "accumulation", static_cast<double>(options.accumulation), 1);
  at_least(errors, "warmup-steps", static_cast<double>(options.warmup_steps), 0);
  at_least(errors, "weight-decay", options.weight_decay, 0);
  at_least(errors, "max-grad-norm", options.max_grad_norm, 0);
  at_least(errors, "lm-loss-weight", options.lm_loss_weight, 0);
  at_least(errors, "lm-loss-tokens", static_cast<double>(options.lm_loss_tokens), 0);
  if (!(options.lm_loss_far >= 0 && std::isfinite(options.lm_loss_far)))
    errors.push_back(fmt::format("--lm-loss-far: expected 0 or more, got {}", options.lm_loss_far));
  at_least(errors, "skip-length", static_cast<double>(options.skip_length), 0);
  if (!(options.skip_positions >= 0 && options.skip_positions <= 1))
    errors.push_back(fmt::format("--skip-positions: expected 0 to 1, got {}", options.skip_positions));
  at_least(errors, "distill-weight", options.distill_weight, 0);
  at_least(errors, "distill-tokens", static_cast<double>(options.distill_tokens), 0);
  at_least(errors, "distill-data-tokens", static_cast<double>(options.distill_data_tokens), 0);
  if (!(options.distill_data_share >= 0 && options.distill_data_share <= 1))
    errors.push_back(fmt::format("--distill-data-share: expected 0 to 1, got {}", options.distill_data_share));
  if (options.distill_lengths.empty()) errors.push_back("--distill-lengths: a length is missing");
  for (const int64_t length : options.distill_lengths) at_least(errors, "distill-lengths", static_cast<double>(length), 2);
  at_least(errors, "checkpoint-every", static_cast<double>(options.checkpoint_every), 0);
  if (!(options.epochs > 0)) errors.push_back(fmt::format("--epochs: expected above 0, got {}", options.epochs));
  if (!(options.learning_rate > 0))
    errors.push_back(fmt::format("--learning-rate: expected above 0, got {}", options.learning_rate));
  if (!(options.warmup_ratio >= 0 && options.warmup_ratio <= 1))
    errors.push_back(fmt::format("--warmup-ratio: expected 0 to 1, got {}", options.warmup_ratio));
  for (const auto& [name, value] : {std::pair("beta1", options.beta1), std::pair("beta2", options.beta2)}) {
    if (!(value >= 0 && value < 1)) errors.push_back(fmt::format("--{}: expected 0 to below 1, got {}", name, value));
  }
  if (!(options.eps > 0)) errors.push_back(fmt::format("--eps: expected above 0, got {}", options.eps));
  try {
    (void)offload_by_name(options.offload);
  } catch (const InputError& error) {
    errors.push_back(error.what());
  }
  try {
    (void)schedule_by_name(options.schedule);
  } catch (const InputError& error) {
    errors.push_back(error.what());
  }
  if (options.adapter_dtype != "f32" && options.adapter_dtype != "bf16") {
    errors.push_back(fmt::format("--adapter-dtype: expected f32 or bf16, got {}", shown(options.adapter_dtype)));
  }
}

std::string kept_text(const TrainPlan& plan) {
  std::string text;
  for (size_t begin = 0; begin < plan.layers.size();) {
    size_t end = begin;
    while (end < plan.layers.size() && plan.layers[end] == plan.layers[begin]) ++end;
    const char* what = "";
    switch (plan.layers[begin].keep) {
      case Keep::kInput: what = "inputs"; break;
      case Keep::kAttention: what = "inputs and attention outputs"; break;
      case Keep::kMiddle: what = "all but the MLP"; break;
      case Keep::kAll: what = "everything"; break;
    }
    text += fmt::format("{}{} of layers {}-{}{}", text.empty() ? "" : "; ", what, begin, end - 1,
                        plan.layers[begin].on_host ? ", on the host" : "");
    begin = end;
  }
  return text;
}

void print_train_plan(Console& console, const Device& device, const TrainPlan& plan) {
  print_plan(console, device, plan.memory);
  if (!plan.host.buffers.empty()) {
    console.line(fmt::format("{:<34} {:<12} {:>12}", "page-locked host memory", "use", "bytes"));
    for (const PlannedBuffer& row : plan.host.buffers)
      console.line(fmt::format("  {:<32} {:<12} {:>12}", row.name, name_of(row.use), bytes_text(row.bytes)));
  }
  console.line(fmt::format("kept for the backward: {}", kept_text(plan)));
}

void add_train_plan(Context& context, const Device& device, const TrainPlan& plan) {
  add_planned(context, device, plan.memory);
  if (device.kind() != DeviceKind::kCpu) context.summary["planned_pinned_bytes"] = plan.host.total();
}

DistillOptions distill_of(const LearningOptions& options, const Tokenizer& tokenizer, const ChatTemplate& chat,
                          const std::string& data_root, uint64_t seed, const RopeConfig& base_rope) {
  DistillOptions distill;
  if (options.distill_text.empty() && options.distill_data.empty()) return distill;
  distill.weight = options.distill_weight;
  distill.lengths = options.distill_lengths;
  distill.tokens = options.distill_tokens;
  distill.record_share = options.distill_data_share;
  distill.record_tokens = options.distill_data_tokens;
  distill.base_rope = base_rope;
  if (!options.distill_text.empty()) {
    for (const TextDocument& document : load_text(options.distill_text)) {
      const std::vector<int32_t> ids = tokenizer.encode(document.text);
      distill.text.insert(distill.text.end(), ids.begin(), ids.end());
    }
  }
  if (!options.distill_data.empty()) {
    for (const Record& record : load_records(options.distill_data, data_root, seed, Unanswered::kAllow)) {
      if (record.messages.empty())
        throw_input("--distill-data: {}: expected a conversation, got a text; --distill-text takes those", where(record));
      distill.records.push_back(distill_record(encode_record(record, tokenizer, chat, /*add_generation_prompt=*/true),
                                               record.messages.back().role != "assistant", where(record)));
    }
  }
  return distill;
}

TrainOptions train_options_of(const LearningOptions& options, const CommonOptions& common) {
  TrainOptions train;
  train.steps = options.steps;
  train.epochs = options.epochs;
  train.batch = options.batch;
  train.accumulation = options.accumulation;
  train.learning_rate = options.learning_rate;
  train.schedule = schedule_by_name(options.schedule);
  train.warmup_steps = options.warmup_steps;
  train.weight_decay = options.weight_decay;
  train.beta1 = options.beta1;
  train.beta2 = options.beta2;
  train.eps = options.eps;
  train.max_grad_norm = options.max_grad_norm;
  train.lm_loss_weight = options.lm_loss_weight;
  train.lm_loss_tokens = options.lm_loss_tokens;
  train.lm_loss_far = options.lm_loss_far;
  train.skip = {.share = options.skip_positions, .length = options.skip_length};
  train.seed = static_cast<uint64_t>(common.seed);
  train.shuffle = options.shuffle;
  train.group_by_length = options.group_by_length;
  train.checkpoint_every = options.checkpoint_every;
  train.host_memory = common.host_memory.bytes;
  train.gpu_memory = common.gpu_memory.bytes;
  train.pinned_memory = common.pinned_memory.bytes;
  train.offload = offload_by_name(options.offload);
  train.adapter_dtype = options.adapter_dtype == "bf16" ? DType::kBF16 : DType::kF32;
  return train;
}

}  // namespace tenfold::cli
