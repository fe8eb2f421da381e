// MB/s and tokens/s of encoding and decoding a text on one thread:
//   tokenizer_bench MODEL.gguf|tokenizer.json TEXT... [--benchmark_...]
#include "core/error.h"
#include "format/gguf.h"
#include "format/mapped_file.h"
#include "text/tokenizer.h"

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

namespace {

using tenfold::Tokenizer;

void encode(benchmark::State& state, const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  int64_t tokens = 0;
  int64_t bytes = 0;
  for (auto _ : state) {
    for (const auto& text : texts) {
      tokens += static_cast<int64_t>(tokenizer.encode(text).size());
      bytes += static_cast<int64_t>(text.size());
    }
  }
  state.SetBytesProcessed(bytes);
  state.SetItemsProcessed(tokens);
}

void decode(benchmark::State& state, const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  std::vector<std::vector<int32_t>> ids;
  for (const auto& text : texts) ids.push_back(tokenizer.encode(text));
  int64_t tokens = 0;
  int64_t bytes = 0;
  for (auto _ : state) {
    for (const auto& one : ids) {
      bytes += static_cast<int64_t>(tokenizer.decode(one).size());
      tokens += static_cast<int64_t>(one.size());
    }
  }
  state.SetBytesProcessed(bytes);
  state.SetItemsProcessed(tokens);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc < 3) {
    fmt::print(stderr, "usage: {} MODEL.gguf|tokenizer.json TEXT...\n", argv[0]);
    return 2;
  }
  const std::string model = argv[1];
  const auto load = [&] {
    return tenfold::is_gguf(model) ? Tokenizer::from_gguf(tenfold::GgufFile(model)) : Tokenizer::from_json(model);
  };
  const Tokenizer tokenizer = load();
  std::vector<std::string> texts;
  for (int i = 2; i < argc; ++i) texts.push_back(tenfold::read_text_file(argv[i]));
  benchmark::RegisterBenchmark("encode", [&](benchmark::State& state) { encode(state, tokenizer, texts); });
  benchmark::RegisterBenchmark("decode", [&](benchmark::State& state) { decode(state, tokenizer, texts); });
  benchmark::RegisterBenchmark("load", [&](benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(load());
  });
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
