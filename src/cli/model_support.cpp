#include "cli/model_support.h"

#include "core/error.h"
#include "format/gguf.h"
#include "format/json.h"
#include "format/names.h"
#include "model/rope_base.h"
#include "ops/cpu_features.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

namespace tenfold::cli {
namespace {

namespace fs = std::filesystem;

void require_model_path(const std::string& path) {
  if (fs::exists(path)) return;
  throw_input(
      "--model: there is no file or directory {}; give a GGUF file, or a directory with config.json, safetensors and "
      "tokenizer.json",
      shown(path));
}

/// The Jinja text that a Hugging Face directory carries, or "".
std::string directory_template(const std::string& directory) {
  const fs::path jinja = fs::path(directory) / "chat_template.jinja";
  if (fs::is_regular_file(jinja)) return read_text(jinja.string());
  const fs::path config = fs::path(directory) / "tokenizer_config.json";
  if (!fs::is_regular_file(config)) return {};
  const Json json = parse_json(read_text(config.string()), config.string());
  if (!json.is_object() || !json.contains("chat_template")) return {};
  const Json& text = json["chat_template"];
  if (text.is_string()) return text.get<std::string>();
  // Several named templates: the one called "default".
  if (!text.is_array()) return {};
  for (const Json& item : text) {
    if (item.is_object() && json_string_or(item, "name", "", config.string()) == "default") {
      return json_string(item, "template", config.string());
    }
  }
  return {};
}

}  // namespace

void declare_model(OptionTable& table, ModelOptions& options) {
  table.group("Model");
  table.add("model", options.model, "PATH", "A GGUF file or a Hugging Face model directory").required = true;
  table.add("adapter", options.adapter, "DIR", "A PEFT LoRA adapter; the RoPE in its tenfold.json is applied");
  table.add("rope-theta", options.rope_theta, "X",
            "RoPE base, such as 2e5; overrides the model's and the adapter's. auto: the adapter's, else the model's stretched to "
            "--rope-length by the rule in docs/numerics.md");
  table.add("rope-length", options.rope_length, "N",
            "Tokens that --rope-theta auto is for; 0: --max-length (train), the longest --length (plan, bench)");
  table.add("rope-type", options.rope_type, "NAME", "RoPE scaling: default, linear, dynamic, llama3 or yarn");
  table.add("rope-factor", options.rope_factor, "X", "Factor of the RoPE scaling");
  table.add("chat-template", options.chat_template, "NAME",
            "chatml, llama-3, llama-2, mistral, no; auto: the one the model carries");
  table.add("compute-dtype", options.compute_dtype, "NAME", "bf16 or f32; auto: bf16 where the CPU has AVX-512 BF16");
  table.add_switch("load-in-4bit", options.load_in_4bit, "Quantise bf16/f32 weights to NF4 with double quantisation on loading");
}

void declare_tokenizer(OptionTable& table, ModelOptions& options) {
  table.group("Model");
  table.add("model", options.model, "PATH", "A GGUF file or a Hugging Face model directory").required = true;
  table.add("chat-template", options.chat_template, "NAME",
            "chatml, llama-3, llama-2, mistral, no; auto: the one the model carries");
}

namespace {

/// "cuda" is GPU 0, "cuda:2" GPU 2.
int gpu_index(const std::string& device) {
  if (device == "cuda") return 0;
  int index = -1;
  const char* begin = device.data() + std::string_view("cuda:").size();
  const char* end = device.data() + device.size();
  const auto [rest, error] = std::from_chars(begin, end, index);
  if (error != std::errc() || rest != end || index < 0)
    throw_input("--device: expected cuda or cuda:N with the number of a GPU, got {}", shown(device));
  return index;
}

bool on_gpu(const Device& device) { return device.kind() != DeviceKind::kCpu; }

/// All that a process may hold there, what it holds already included.
int64_t memory_of(const Device& device) {
  return on_gpu(device) ? device.free_bytes() + device.bytes_in_use() + device.overhead_bytes() : host_memory_bytes();
}

/// Whether it is worth opening CUDA's large libraries: NVIDIA's driver has made its device file.
bool gpu_is_likely() { return fs::exists("/dev/nvidiactl") || fs::exists("/dev/dxg"); }

}  // namespace

std::unique_ptr<Device> open_device(Context& context) {
  const CommonOptions& common = context.common;
  if (common.gpus > 1) throw_device("--gpus {}: this tenfold computes on one GPU; leave it out", common.gpus);
  std::unique_ptr<Device> gpu;
  if (common.device.starts_with("cuda")) {
    gpu = open_cuda_device(gpu_index(common.device));
  } else if (common.device == "auto" && gpu_is_likely()) {
    try {
      gpu = open_cuda_device(0);
    } catch (const DeviceError& error) {
      context.console.note(fmt::format("{}; computing on the CPU", error.what()));
    }
  }
  if (!gpu) return std::make_unique<Device>(static_cast<int>(common.threads));
  context.console.note(gpu->description());
  context.summary["device"] = common.device.starts_with("cuda:") ? common.device : "cuda";
  return gpu;
}

DType compute_dtype(const ModelOptions& options, const Device& device) {
  const bool gpu = device.kind() != DeviceKind::kCpu;
  if (options.compute_dtype == "auto") return gpu ? DType::kBF16 : ops::default_compute_dtype();
  if (options.compute_dtype == "f32" || options.compute_dtype == "float32") return DType::kF32;
  if (options.compute_dtype == "bf16" || options.compute_dtype == "bfloat16") {
    if (!gpu && ops::default_compute_dtype() != DType::kBF16) {
      throw_device("--compute-dtype bf16: this CPU has no AVX-512 BF16 ({}); use f32", ops::name_of(ops::cpu_isa()));
    }
    return DType::kBF16;
  }
  throw_input("--compute-dtype: expected auto, bf16 or f32, got {}", shown(options.compute_dtype));
}

Tokenizer load_tokenizer(const std::string& model_path) {
  require_model_path(model_path);
  if (fs::is_directory(model_path)) {
    const fs::path json = fs::path(model_path) / "tokenizer.json";
    if (!fs::is_regular_file(json))
      throw_input("{}: there is no tokenizer.json; copy it there from the model's source", model_path);
    return Tokenizer::from_json(json.string());
  }
  return Tokenizer::from_gguf(GgufFile(model_path));
}

ChatTemplate load_chat_template(const ModelOptions& options, const Tokenizer& tokenizer) {
  const std::string text = fs::is_directory(options.model) ? directory_template(options.model) : tokenizer.chat_template_text();
  if (options.chat_template == "auto") {
    const std::string noted = options.adapter.empty() ? "" : read_adapter_notes(options.adapter).chat_template;
    if (noted.empty()) return ChatTemplate::detect(text);
    ChatTemplate chat = ChatTemplate::by_name(noted);
    // The default system turn is the model's own text, which the name alone does not carry.
    try {
      if (!text.empty() && ChatTemplate::detect(text).name() == chat.name()) return ChatTemplate::detect(text);
    } catch (const InputError&) {
      return chat;
    }
    return chat;
  }
  return ChatTemplate::by_name(options.chat_template);
}

std::vector<int32_t> stop_ids(const ModelConfig& config, const Tokenizer& tokenizer, const ChatTemplate* chat) {
  std::vector<int32_t> ids = config.eos_ids;
  ids.insert(ids.end(), tokenizer.eos_ids().begin(), tokenizer.eos_ids().end());
  if (chat != nullptr && !chat->end_of_turn().empty()) {
    const int32_t id = tokenizer.id_of(chat->end_of_turn());
    if (id >= 0) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

RopeConfig rope_of(const ModelOptions& options, const ModelConfig& config, RopeConfig base) {
  if (!options.rope_type.empty()) base.type = rope_type_of(options.rope_type, "--rope-type");
  if (options.rope_factor) base.factor = *options.rope_factor;
  if (options.rope_theta && !options.rope_theta->is_auto) base.theta = options.rope_theta->value;
  if (!(base.theta > 0)) throw_input("--rope-theta: expected a number above 0, got {}", base.theta);
  if (!(base.factor > 0)) throw_input("--rope-factor: expected a number above 0, got {}", base.factor);
  if (base.type != RopeType::kDefault && base.original_max_position == 0) base.original_max_position = config.max_position;
  return base;
}

std::string rope_text(const RopeConfig& rope) {
  const std::string theta = fmt::format("theta {}", rope.theta);
  return rope.type == RopeType::kDefault ? theta : fmt::format("{} x {}, {}", name_of(rope.type), rope.factor, theta);
}

namespace {

/// Stretches the model's own RoPE as --rope-theta auto wants it; returns the reason.
std::string stretch_rope(const ModelOptions& options, const ModelConfig& config, RopeConfig& rope) {
  if (options.rope_length < 1) {
    throw_input(
        "--rope-theta auto: expected --rope-length N, the tokens that the model is to read (or an adapter that says its RoPE)");
  }
  if (rope.type != RopeType::kDefault || !rope.divisors.empty()) {
    throw_input("--rope-theta auto: the rule is for plain RoPE, and this one is scaled already ({}); give a number",
                rope.divisors.empty() ? name_of(rope.type) : "llama3");
  }
  const double old = rope.theta;
  const StretchedBase chosen = stretched_base(old, config.head_dim, config.max_position, options.rope_length);
  rope.theta = chosen.theta;
  if (chosen.pair == 0)
    return fmt::format("theta {}: {} tokens are within the model's own {}", old, options.rope_length, config.max_position);
  return fmt::format(
      "theta {} from {} for {} tokens instead of {}: pair {} of {} is the first that went round fewer than {} times "
      "({:.2f}); NTK-aware scaling alone would be {:.3g}",
      chosen.theta, old, options.rope_length, config.max_position, chosen.pair, config.head_dim / 2, kKnownTurns,
      chosen.old_turns, chosen.ntk);
}

}  // namespace

ReadModel read_model(const ModelOptions& options, Context& context, const Device& device, DType compute) {
  Console& console = context.console;
  require_model_path(options.model);
  if (!options.adapter.empty() && !fs::is_directory(options.adapter)) {
    throw_input("--adapter: there is no directory {}", shown(options.adapter));
  }
  LoadOptions load;
  load.load_in_4bit = options.load_in_4bit;
  Model model = Model::load(options.model, load);
  RopeConfig rope = model.config().rope;
  const AdapterNotes notes = options.adapter.empty() ? AdapterNotes{} : read_adapter_notes(options.adapter);
  if (notes.rope) {
    rope = *notes.rope;
    // A GGUF keeps llama3's scaling with its weights, as divisors; the notes say nothing of it.
    if (rope.type == RopeType::kDefault) rope.divisors = model.config().rope.divisors;
  }
  rope = rope_of(options, model.config(), rope);
  std::string reason;
  if (options.rope_theta && options.rope_theta->is_auto)
    reason = notes.rope ? fmt::format("theta {}, as the adapter was trained", rope.theta)
                        : stretch_rope(options, model.config(), rope);
  if (!reason.empty()) console.note(fmt::format("--rope-theta auto: {}", reason));
  const RopeConfig own_rope = model.config().rope;
  const std::string before = rope_text(own_rope);
  model.set_rope(rope);
  const ModelConfig& config = model.config();
  const std::string where =
      on_gpu(device) ? "on the GPU" : fmt::format("{} threads, {}", device.threads(), ops::name_of(ops::cpu_isa()));
  console.note(fmt::format("model {} ({} layers of {}, {} of weights), {}, {}", config.name.empty() ? options.model : config.name,
                           config.layers, config.hidden, bytes_text(model.weight_bytes()), name_of(compute), where));
  if (rope_text(rope) != before) {
    const bool by_adapter = notes.rope && options.rope_theta && options.rope_theta->is_auto;
    const char* source = options.rope_theta && !by_adapter ? "--rope-theta" : (notes.rope ? "the adapter" : "the options");
    console.note(fmt::format("RoPE {} (from {}; the model's own: {})", rope_text(rope), source, before));
  } else {
    console.note(fmt::format("RoPE {}", before));
  }
  return {std::move(model), own_rope, std::move(reason)};
}

LoadedModel load_model(const ModelOptions& options, Context& context) {
  auto device = open_device(context);
  const DType compute = compute_dtype(options, *device);
  auto [model, own_rope, reason] = read_model(options, context, *device, compute);
  if (on_gpu(*device)) model = model.copied_to(*device);
  LoadedModel loaded{std::move(device), std::move(model), std::nullopt, compute, own_rope, std::move(reason)};
  context.summary["rope_theta"] = loaded.model.config().rope.theta;
  if (!options.adapter.empty()) {
    loaded.adapter = Adapter::load(*loaded.device, loaded.model, options.adapter);
    const LoraConfig& lora = loaded.adapter->config();
    context.console.note(fmt::format("adapter {} (LoRA r {}, alpha {}, {} parameters)", options.adapter, lora.r, lora.alpha,
                                     loaded.adapter->elements()));
  }
  return loaded;
}

MemoryPlan session_plan(const LoadedModel& loaded, const SessionOptions& options) {
  const LoraConfig* lora = loaded.adapter ? &loaded.adapter->config() : nullptr;
  return Session::plan(*loaded.device, loaded.model.config(), lora, options, loaded.model.weight_bytes());
}

namespace {

SessionOptions options_of(const LoadedModel& loaded, int64_t capacity, int64_t sequences) {
  SessionOptions options;
  options.capacity = capacity;
  options.compute = loaded.compute;
  options.sequences = sequences;
  return options;
}

/// What the device has, or less where the user says so.
int64_t memory_budget(const Device& device, const CommonOptions& common) {
  const int64_t asked = on_gpu(device) ? common.gpu_memory.bytes : common.host_memory.bytes;
  return asked > 0 ? std::min(asked, memory_of(device)) : memory_of(device);
}

}  // namespace

SessionOptions session_options(const LoadedModel& loaded, int64_t capacity, const CommonOptions& common, const std::string& hint,
                               int64_t sequences) {
  const SessionOptions options = options_of(loaded, capacity, sequences);
  require_memory(*loaded.device, session_plan(loaded, options).total(), common, hint);
  return options;
}

bool session_fits(const LoadedModel& loaded, int64_t capacity, int64_t sequences, const CommonOptions& common) {
  return session_plan(loaded, options_of(loaded, capacity, sequences)).total() <= memory_budget(*loaded.device, common);
}

void print_plan(Console& console, const Device& device, const MemoryPlan& plan) {
  std::vector<PlannedBuffer> rows = plan.buffers;
  std::stable_sort(rows.begin(), rows.end(), [](const PlannedBuffer& a, const PlannedBuffer& b) { return a.bytes > b.bytes; });
  console.line(fmt::format("{:<34} {:<12} {:>12}", on_gpu(device) ? "GPU memory" : "host memory", "use", "bytes"));
  for (const PlannedBuffer& row : rows) {
    console.line(fmt::format("  {:<32} {:<12} {:>12}", row.name, name_of(row.use), bytes_text(row.bytes)));
  }
  console.line(fmt::format("{:<34} {:<12} {:>12}", "total", "", bytes_text(plan.total())));
  console.line(fmt::format("{:<34} {:<12} {:>12}", "this process may use", "", bytes_text(memory_of(device))));
}

void add_planned(Context& context, const Device& device, const MemoryPlan& plan) {
  context.summary["planned_host_bytes"] = on_gpu(device) ? 0 : plan.total();
  context.summary["planned_gpu_bytes"] = on_gpu(device) ? plan.total() : 0;
}

void require_memory(const Device& device, int64_t bytes, const CommonOptions& common, const std::string& hint) {
  const int64_t limit = memory_budget(device, common);
  if (bytes <= limit) return;
  const bool budget = limit < memory_of(device);
  throw_device("this needs {} of {} memory and {} {}; {}", bytes_text(bytes), on_gpu(device) ? "GPU" : "host",
               budget ? (on_gpu(device) ? "--gpu-memory allows" : "--host-memory allows") : "this process may use",
               bytes_text(limit), hint);
}

std::string read_text(const std::string& path) {
  std::ostringstream text;
  if (path == "-") {
    text << std::cin.rdbuf();
    return std::move(text).str();
  }
  if (!fs::exists(path)) throw_input("there is no file {}", shown(path));
  if (fs::is_directory(path)) throw_input("{} is a directory; a file was expected", shown(path));
  std::ifstream file(path, std::ios::binary);
  if (!file) throw_io("{} cannot be opened: {}", path, std::strerror(errno));
  text << file.rdbuf();
  if (file.bad() || (text.fail() && fs::file_size(path) > 0)) throw_io("{} cannot be read: {}", path, std::strerror(errno));
  return std::move(text).str();
}

void declare_prompt(OptionTable& table, PromptOptions& options) {
  table.group("Prompt");
  table.add("prompt", options.prompt, "TEXT", "The prompt");
  table.add("prompt-file", options.prompt_file, "FILE", "The prompt from a file; - is standard input");
  table.add_switch("raw", options.raw, "Take the prompt as it is, without the chat template");
}

void check_prompt(const OptionTable& table, std::vector<std::string>& errors) {
  if (table.given("prompt") == table.given("prompt-file")) errors.push_back("give one of --prompt TEXT and --prompt-file FILE");
}

std::string prompt_text(const PromptOptions& options, const OptionTable& table) {
  return table.given("prompt") ? options.prompt : read_text(options.prompt_file);
}

}  // namespace tenfold::cli
