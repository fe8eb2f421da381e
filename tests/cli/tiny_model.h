#pragma once

#include "core/error.h"
#include "core/rng.h"
#include "data/tiny_tokenizer.h"
#include "format/gguf_writer.h"
#include "format/json.h"

#include <cmath>
#include <string>
#include <vector>

namespace tenfold::test {

/// A random Llama small enough that a training step takes milliseconds: chatml, byte tokens and a few merges, tied head.
struct TinyShape {
  int64_t layers = 2;
  int64_t hidden = 64;
  int64_t ffn = 128;
  int64_t heads = 4;
  int64_t kv_heads = 2;
  uint64_t seed = 1;
  float rope_divisor = 0;  ///< of every frequency, as rope_freqs.weight; 0: none
};

inline void set_tiny_tokenizer(GgufWriter& writer) {
  const Json json = parse_json(tiny_tokenizer_json(false), "tiny tokenizer");
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  for (const auto& [text, id] : json["model"]["vocab"].items()) {
    tokens.push_back(text);
    types.push_back(1);
  }
  for (const Json& token : json["added_tokens"]) {
    tokens.push_back(token["content"].get<std::string>());
    types.push_back(3);
  }
  std::vector<std::string> merges;
  for (const Json& pair : json["model"]["merges"])
    merges.push_back(pair[0].get<std::string>() + " " + pair[1].get<std::string>());
  writer.set("tokenizer.ggml.model", "gpt2");
  writer.set("tokenizer.ggml.pre", "smollm");
  writer.set("tokenizer.ggml.tokens", tokens);
  writer.set("tokenizer.ggml.token_type", types);
  writer.set("tokenizer.ggml.merges", merges);
  writer.set("tokenizer.ggml.eos_token_id", uint32_t{267});  // <|im_end|>
  writer.set("tokenizer.chat_template",
             "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
             "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}");
}

inline constexpr int64_t kTinyVocabulary = 256 + 10 + 6;

inline void write_tiny_model(const std::string& path, const TinyShape& shape = {}) {
  GgufWriter writer;
  writer.set("general.architecture", "llama");
  writer.set("general.name", "tiny");
  writer.set("llama.block_count", static_cast<uint32_t>(shape.layers));
  writer.set("llama.embedding_length", static_cast<uint32_t>(shape.hidden));
  writer.set("llama.feed_forward_length", static_cast<uint32_t>(shape.ffn));
  writer.set("llama.attention.head_count", static_cast<uint32_t>(shape.heads));
  writer.set("llama.attention.head_count_kv", static_cast<uint32_t>(shape.kv_heads));
  writer.set("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  writer.set("llama.rope.freq_base", 10000.0F);
  writer.set("llama.context_length", uint32_t{512});
  set_tiny_tokenizer(writer);
  uint64_t stream = 0;
  const auto matrix = [&](const std::string& name, int64_t rows, int64_t cols) {
    Rng rng(shape.seed, ++stream);
    std::vector<float> values(static_cast<size_t>(rows * cols));
    for (float& v : values) v = static_cast<float>(rng.normal() / std::sqrt(static_cast<double>(cols)));
    writer.add_tensor(name, {rows, cols}, std::move(values));
  };
  const auto ones = [&](const std::string& name) {
    writer.add_tensor(name, {shape.hidden}, std::vector<float>(static_cast<size_t>(shape.hidden), 1.0F));
  };
  const int64_t head_dim = shape.hidden / shape.heads;
  if (shape.rope_divisor > 0)
    writer.add_tensor("rope_freqs.weight", {head_dim / 2},
                      std::vector<float>(static_cast<size_t>(head_dim / 2), shape.rope_divisor));
  matrix("token_embd.weight", kTinyVocabulary, shape.hidden);
  ones("output_norm.weight");
  for (int64_t i = 0; i < shape.layers; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    ones(block + "attn_norm.weight");
    ones(block + "ffn_norm.weight");
    matrix(block + "attn_q.weight", shape.hidden, shape.hidden);
    matrix(block + "attn_k.weight", shape.kv_heads * head_dim, shape.hidden);
    matrix(block + "attn_v.weight", shape.kv_heads * head_dim, shape.hidden);
    matrix(block + "attn_output.weight", shape.hidden, shape.hidden);
    matrix(block + "ffn_gate.weight", shape.ffn, shape.hidden);
    matrix(block + "ffn_up.weight", shape.ffn, shape.hidden);
    matrix(block + "ffn_down.weight", shape.hidden, shape.ffn);
  }
  writer.write(path);
}

/// JSON lines of `records` short conversations.
inline std::string tiny_records(int64_t records) {
  std::string lines;
  Rng rng(5, 0);
  for (int64_t i = 0; i < records; ++i) {
    std::string text = "Remember what is written here.";
    const int64_t words = rng.between(8, 24);
    for (int64_t w = 0; w < words; ++w) text += " the " + std::to_string(rng.below(100));
    const Json record = {{"conversations", Json::array({{{"role", "user"}, {"content", text}},
                                                        {{"role", "assistant"}, {"content", std::to_string(rng.below(1000))}}})}};
    lines += record.dump() + "\n";
  }
  return lines;
}

/// The words of a training of the tiny model, with more options behind.
inline std::vector<std::string> tiny_training(const std::string& model, const std::string& data, const std::string& out,
                                              int64_t steps, const std::vector<std::string>& more) {
  std::vector<std::string> words = {
      "train", "--model",         model,  "--data",    data, "--out", out, "--steps", std::to_string(steps), "--max-length",
      "512",   "--learning-rate", "1e-2", "--threads", "1"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// One with everything that a resumed run must draw again as it was: dropout, sampled positions, checkpoints on the way.
inline std::vector<std::string> resumable_training(const std::string& model, const std::string& data, const std::string& out,
                                                   int64_t steps, const std::vector<std::string>& more = {}) {
  std::vector<std::string> words = tiny_training(model, data, out, steps,
                                                 {"--lora-r", "8", "--lora-dropout", "0.1", "--lm-loss-weight", "0.3",
                                                  "--lm-loss-tokens", "8", "--checkpoint-every", "2", "--seed", "3", "--resume"});
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

}  // namespace tenfold::test
