#pragma once

#include "cli/options.h"
#include "cli/verb.h"
#include "device/device.h"
#include "infer/session.h"
#include "model/adapter.h"
#include "model/model.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tenfold::cli {

/// The options that say which model runs and how.
struct ModelOptions {
  std::string model;
  std::string adapter;
  std::optional<RealOrAuto> rope_theta;
  int64_t rope_length = 0;  ///< what `auto` stretches to; 0: not said
  std::string rope_type;
  std::optional<double> rope_factor;
  std::string chat_template = "auto";
  std::string compute_dtype = "auto";
  bool load_in_4bit = false;
};

void declare_model(OptionTable& table, ModelOptions& options);
/// --model and --chat-template alone, for verbs that need the tokenizer and not the weights.
void declare_tokenizer(OptionTable& table, ModelOptions& options);

/// The compute device of --device and --threads: `auto` takes a GPU where there is one. DeviceError says what is missing.
std::unique_ptr<Device> open_device(Context& context);
DType compute_dtype(const ModelOptions& options, const Device& device);

Tokenizer load_tokenizer(const std::string& model_path);
/// --chat-template, else the adapter's, else the one that the model carries. InputError lists the names when there is none.
ChatTemplate load_chat_template(const ModelOptions& options, const Tokenizer& tokenizer);
/// The tokens that end an answer: the model's, and the template's end of turn.
std::vector<int32_t> stop_ids(const ModelConfig& config, const Tokenizer& tokenizer, const ChatTemplate* chat);

/// A model with its RoPE decided and its adapter, ready to run; says on stderr what it is.
struct LoadedModel {
  std::unique_ptr<Device> device;
  Model model;
  std::optional<Adapter> adapter;
  DType compute = DType::kF32;
  RopeConfig own_rope{};      ///< the model's, before the options and the adapter changed it
  std::string rope_reason{};  ///< what --rope-theta auto chose and from what; empty without it

  const Adapter* adapter_or_null() const { return adapter ? &*adapter : nullptr; }
};
LoadedModel load_model(const ModelOptions& options, Context& context);
/// Its first half: the weights on the host, with the RoPE that the options and the adapter's notes ask for. Says what it read.
struct ReadModel {
  Model model;
  RopeConfig own_rope;
  std::string rope_reason;
};
ReadModel read_model(const ModelOptions& options, Context& context, const Device& device, DType compute);

/// Options of a session of `capacity` tokens. DeviceError, with the hint, when it does not fit beside the model.
SessionOptions session_options(const LoadedModel& loaded, int64_t capacity, const CommonOptions& common, const std::string& hint,
                               int64_t sequences = 1);
/// Whether such a session is within the budget.
bool session_fits(const LoadedModel& loaded, int64_t capacity, int64_t sequences, const CommonOptions& common);
/// What this process will hold with such a session.
MemoryPlan session_plan(const LoadedModel& loaded, const SessionOptions& options);

/// RoPE as the options want it on top of `base`; what --rope-theta auto stands for is read_model's to know.
RopeConfig rope_of(const ModelOptions& options, const ModelConfig& config, RopeConfig base);
/// "theta 200000" or "yarn x 4, theta 10000".
std::string rope_text(const RopeConfig& rope);

/// Prints the plan by use, largest buffers first.
void print_plan(Console& console, const Device& device, const MemoryPlan& plan);
/// DeviceError, with what would fit, when the bytes exceed --host-memory or what this process may use.
/// planned_host_bytes and planned_gpu_bytes of a --json summary.
void add_planned(Context& context, const Device& device, const MemoryPlan& plan);
void require_memory(const Device& device, int64_t bytes, const CommonOptions& common, const std::string& hint);

/// The bytes of a text file ("-": standard input). InputError when it does not exist, IoError when it cannot be read.
std::string read_text(const std::string& path);
/// The prompt of --prompt or --prompt-file.
struct PromptOptions {
  std::string prompt;
  std::string prompt_file;
  bool raw = false;
};
void declare_prompt(OptionTable& table, PromptOptions& options);
void check_prompt(const OptionTable& table, std::vector<std::string>& errors);
std::string prompt_text(const PromptOptions& options, const OptionTable& table);

}  // namespace tenfold::cli
