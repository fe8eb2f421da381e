#pragma once

#include "cli/model_support.h"
#include "cli/verb.h"
#include "device/exec.h"
#include "model/config.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tenfold::cli {

/// What every bench takes.
struct BenchOptions {
  ModelOptions model;
  std::string shape;
  std::string layout = "q4_1";
  std::vector<int64_t> lengths;
  int64_t repeats = 3;
  bool warm_up = true;      ///< one run more, first and untimed
  bool skip_parts = false;  ///< on a GPU the parts cost a step of their own
};
void declare_bench(OptionTable& table, BenchOptions& options);
void check_bench(const OptionTable& table, const BenchOptions& options, std::vector<std::string>& errors);
/// A layout of --layout: f32, bf16, q4_0, q4_1, q8_0, nf4. InputError otherwise.
WeightLayout weight_layout_by_name(const std::string& name);
/// The model options of a bench, --rope-theta auto being for its longest length.
ModelOptions model_of(const BenchOptions& options);
/// The model of --model, or random weights of --shape in --layout.
LoadedModel load_bench_model(const BenchOptions& options, Context& context);

/// The best rates of this machine seen so far in this run: measured again around each bench, so that a busy moment does not
/// flatter a share.
struct Ceilings {
  double gflops = 0;              ///< products in the compute dtype: oneDNN on the CPU, cuBLASLt on a GPU
  double gigabytes = 0;           ///< reading memory with all threads, or copying on a GPU (both ways counted), GB/s
  double attention_forward = 0;   ///< GFLOP/s of our attention at the bench's length, on a GPU
  double attention_backward = 0;  ///< (cuDNN's, performance.md 9.4)
};
void measure_products(Ceilings& ceilings, Device& device, DType compute);
void measure_memory(Ceilings& ceilings, Device& device);
/// Attention alone at a length, with the model's heads: the other term of a GPU's roofline.
void measure_attention(Ceilings& ceilings, Device& device, const ModelConfig& config, DType compute, int64_t length);

/// Ids that repeat no pattern; `salt` makes runs differ, so that no cache is reused.
std::vector<int32_t> bench_ids(const ModelConfig& config, int64_t length, uint64_t salt);

double median(std::vector<double> values);

/// Useful floating point operations (recompute and expansion do not count; performance.md 11.3).
double prefill_flops(const ModelConfig& config, int64_t length);
double attention_flops_of(const ModelConfig& config, int64_t length);
double step_flops(const ModelConfig& config, const LoraConfig& lora, int64_t length, int64_t head_rows);

/// One row of a bench.
struct BenchRow {
  int64_t length = 0;
  double seconds = 0;                   ///< median
  double tokens = 0;                    ///< of one repeat
  double flops = 0;                     ///< useful
  double attention_forward_flops = 0;   ///< of them
  double attention_backward_flops = 0;  ///< of them
  int64_t planned_bytes = 0;
  double planned_seconds = 0;        ///< 0: not predicted
  int64_t pinned_bytes = 0;          ///< page-locked host memory beside a GPU
  int64_t planned_pinned_bytes = 0;  ///< the same, planned
};
/// Seconds of a row's useful operations at the ceilings: products at theirs; attention at its own, where that was measured.
double ideal_seconds(const BenchRow& row, const Ceilings& ceilings);
/// Prints the parts of a profile of `times` repeats, each of which took `whole` seconds, and what is left; returns seconds by
/// name.
Json print_parts(Context& context, const Profile& profile, int64_t times, double whole);
/// Prints a row with its parts (seconds of one repeat and their share) and adds it to the summary.
void print_row(Context& context, const Device& device, const BenchRow& row, const Ceilings& ceilings, const Profile& profile,
               int64_t profiled_repeats);
/// peak_host_bytes and planned_host_bytes, or the same of a GPU.
void add_memory(Json& summary, const Device& device, int64_t planned_bytes);

}  // namespace tenfold::cli
