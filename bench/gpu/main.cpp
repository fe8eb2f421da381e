// Single ops on a GPU, each beside copying memory or the vendor's own product in the same run: a share of that ceiling means
// something on any GPU, a rate does not. Rates are printed, never judged; `tenfold bench` measures whole steps.
#include "core/error.h"
#include "gpu_bench.h"

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <string>

namespace tenfold::bench {
namespace {

constexpr int kFailedExit = 1;
constexpr int kInputExit = 2;
constexpr int kDeviceExit = 3;

std::vector<Benchmark> all_benchmarks() {
  std::vector<Benchmark> all = linear_benchmarks();
  for (const Benchmark& b : elementwise_benchmarks()) all.push_back(b);
  return all;
}

void print_help() {
  fmt::print(
      "gpu_bench [NAME...]\n"
      "Runs the benchmarks whose name contains one of the NAMEs on GPU 0; without a NAME, all of them.\n"
      "Exit codes: 0 done, 2 wrong name or option, 3 no GPU or not enough of its memory.\n\n");
  for (const Benchmark& b : all_benchmarks()) fmt::print("  {:16} {}\n", b.name, b.about);
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// Those that a name asks for, in the list's order. InputError for a name that asks for none.
std::vector<Benchmark> chosen(const std::vector<std::string_view>& names) {
  std::vector<Benchmark> all = all_benchmarks();
  if (names.empty()) return all;
  for (const std::string_view name : names)
    if (std::none_of(all.begin(), all.end(), [&](const Benchmark& b) { return contains(b.name, name); }))
      throw_input("no benchmark's name contains \"{}\"; gpu_bench --help lists them", name);
  std::erase_if(all, [&](const Benchmark& b) {
    return std::none_of(names.begin(), names.end(), [&](std::string_view name) { return contains(b.name, name); });
  });
  return all;
}

void run(const std::vector<std::string_view>& arguments) {
  for (const std::string_view argument : arguments) {
    if (argument == "--help" || argument == "-h") return print_help();
    if (argument.starts_with('-')) throw_input("unknown option {}; gpu_bench --help says what there is", argument);
  }
  const std::vector<Benchmark> benchmarks = chosen(arguments);
  const std::unique_ptr<Device> gpu = open_cuda_device(0);
  fmt::print("gpu_bench on {}\n", gpu->description());
  for (const Benchmark& b : benchmarks) {
    fmt::print("-- {}\n", b.name);
    b.run(*gpu);
    std::fflush(stdout);  // what is done stays in a log even if the next one is stopped
  }
}

int fail(const std::exception& error, int code) {
  std::fflush(stdout);
  fmt::print(stderr, "gpu_bench: {}\n", error.what());
  return code;
}

}  // namespace
}  // namespace tenfold::bench

int main(int argc, char** argv) {
  using namespace tenfold::bench;
  try {
    run({argv + 1, argv + argc});
    return 0;
  } catch (const tenfold::InputError& error) {
    return fail(error, kInputExit);
  } catch (const tenfold::DeviceError& error) {
    return fail(error, kDeviceExit);
  } catch (const std::exception& error) {
    return fail(error, kFailedExit);
  }
}
