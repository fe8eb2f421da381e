#include "train/checkpoint.h"

#include "core/error.h"
#include "format/atomic_file.h"
#include "format/json.h"
#include "format/safetensors.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <vector>

namespace tenfold {
namespace fs = std::filesystem;
namespace {

constexpr std::array<const char*, 3> kTensorNames = {"values", "adamw_m", "adamw_v"};

std::array<TensorView, 3> in_order(const CheckpointTensors& t) { return {t.values, t.m, t.v}; }

/// A 64-bit hash over 8-byte words: enough to tell a torn or flipped file from a whole one.
uint64_t hash_bytes(uint64_t hash, const void* data, int64_t n) {
  const auto* bytes = static_cast<const std::byte*>(data);
  for (int64_t i = 0; i + 8 <= n; i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes + i, 8);
    hash = (hash ^ word) * 0x9E3779B97F4A7C15U;
    hash ^= hash >> 29;
  }
  for (int64_t i = n / 8 * 8; i < n; ++i) hash = (hash ^ static_cast<uint64_t>(bytes[i])) * 0x100000001b3U;
  return hash;
}

/// step-000012.safetensors -> 12; -1 for any other name.
int64_t step_of(const fs::path& path) {
  const std::string name = path.filename().string();
  constexpr std::string_view kPrefix = "step-";
  constexpr std::string_view kSuffix = ".safetensors";
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix) || name.size() <= kPrefix.size() + kSuffix.size()) return -1;
  const char* begin = name.data() + kPrefix.size();
  const char* end = name.data() + name.size() - kSuffix.size();
  int64_t step = -1;
  const auto [rest, error] = std::from_chars(begin, end, step);
  return error == std::errc() && rest == end ? step : -1;
}

std::vector<std::pair<int64_t, fs::path>> checkpoints_newest_first(const fs::path& folder) {
  std::vector<std::pair<int64_t, fs::path>> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const int64_t step = step_of(it->path());
    if (step >= 0) found.emplace_back(step, it->path());
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  return found;
}

CheckpointState state_of(const SafetensorsFile& file) {
  const auto found = file.metadata().find("state");
  if (found == file.metadata().end()) throw_input("{}: no state in the metadata", file.path());
  const Json json = parse_json(found->second, file.path());
  CheckpointState state;
  state.step = json_int(json, "step", file.path());
  state.tokens = json_int(json, "tokens", file.path());
  state.last_loss = json_number_or(json, "last_loss", 0.0, file.path());
  const auto run = json.find("run");
  if (run != json.end() && run->is_object()) {
    for (const auto& [key, value] : run->items()) state.run[key] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  uint64_t hash = static_cast<uint64_t>(state.step);
  for (const char* name : kTensorNames) {
    const auto& data = file.get(name).data;
    hash = hash_bytes(hash, data.data(), static_cast<int64_t>(data.size()));
  }
  if (json_string(json, "hash", file.path()) != fmt::format("{:016x}", hash))
    throw_input("{}: its bytes do not match its hash", file.path());
  return state;
}

void copy_tensors(const SafetensorsFile& file, const CheckpointTensors& tensors) {
  const auto views = in_order(tensors);
  for (size_t i = 0; i < views.size(); ++i) {
    const SafetensorsEntry& entry = file.get(kTensorNames[i]);
    if (entry.dtype_name != "F32" || static_cast<int64_t>(entry.data.size()) != views[i].bytes()) {
      throw_input(
          "{}: {}: expected {} bytes of F32, got {} of {}; it belongs to a run with other LoRA options. Use them, or another "
          "--out",
          file.path(), kTensorNames[i], views[i].bytes(), entry.data.size(), entry.dtype_name);
    }
    std::memcpy(views[i].data, entry.data.data(), entry.data.size());
  }
}

}  // namespace

void save_checkpoint(const std::string& directory, const CheckpointState& state, const CheckpointTensors& tensors) {
  const fs::path folder = fs::path(directory) / "checkpoint";
  make_directories(folder.string());
  uint64_t hash = static_cast<uint64_t>(state.step);
  std::vector<SafetensorsItem> items;
  const auto views = in_order(tensors);
  for (size_t i = 0; i < views.size(); ++i) {
    hash = hash_bytes(hash, views[i].data, views[i].bytes());
    items.push_back({kTensorNames[i], views[i]});
  }
  Json json;
  json["step"] = state.step;
  json["tokens"] = state.tokens;
  json["last_loss"] = state.last_loss;
  json["hash"] = fmt::format("{:016x}", hash);
  json["run"] = state.run;
  const fs::path path = folder / fmt::format("step-{:06}.safetensors", state.step);
  write_safetensors(path.string(), items, {{"format", "tenfold checkpoint"}, {"state", json.dump()}});
  for (const auto& [step, old] : checkpoints_newest_first(folder)) {
    std::error_code ignored;  // an old checkpoint that stays behind does no harm
    if (step < state.step) fs::remove(old, ignored);
  }
}

std::optional<CheckpointState> load_newest_checkpoint(const std::string& directory, const CheckpointTensors& tensors) {
  for (const auto& [step, path] : checkpoints_newest_first(fs::path(directory) / "checkpoint")) {
    std::optional<SafetensorsFile> file;
    CheckpointState state;
    try {
      file.emplace(path.string());
      state = state_of(*file);
    } catch (const InputError& error) {
      spdlog::warn("skipping a damaged checkpoint: {}", error.what());
      continue;
    }
    copy_tensors(*file, tensors);
    return state;
  }
  return std::nullopt;
}

}  // namespace tenfold
