#include "format/gguf.h"

#include "core/error.h"
#include "format/gguf_types.h"
#include "format/gguf_writer.h"
#include "format/scratch.h"
#include "malformed/gguf_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace tenfold {
namespace {

std::vector<std::byte> pattern(int64_t n) {
  std::vector<std::byte> bytes(static_cast<size_t>(n));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + 1);
  return bytes;
}

constexpr WeightLayout kLayouts[] = {WeightLayout::kF32,  WeightLayout::kF16,  WeightLayout::kBF16, WeightLayout::kQ4_0,
                                     WeightLayout::kQ4_1, WeightLayout::kQ5_0, WeightLayout::kQ5_1, WeightLayout::kQ8_0,
                                     WeightLayout::kQ4_K, WeightLayout::kQ5_K, WeightLayout::kQ6_K};

TEST(Gguf, RoundTripsEveryKindOfKey) {
  GgufWriter writer;
  writer.set("u32", uint32_t{4000000000});
  writer.set("i32", int32_t{-5});
  writer.set("u64", uint64_t{1} << 62);
  writer.set("i64", INT64_MIN);
  writer.set("f32", 0.1F);
  writer.set("f64", 0.1);
  writer.set("yes", true);
  writer.set("no", false);
  writer.set("literal", "text");
  writer.set("string", std::string("a\0b", 3));
  writer.set("strings", std::vector<std::string>{"", "x", "\xc4\xa0"});
  writer.set("ints", std::vector<int32_t>{-1, 0, 7});
  writer.set("floats", std::vector<float>{0.5F, -INFINITY});
  writer.set("none", std::vector<std::string>{});
  const auto bytes = writer.bytes();
  const GgufFile file(bytes, "memory");
  EXPECT_EQ(file.metadata().size(), 14U);
  EXPECT_EQ(file.integer("u32"), 4000000000);
  EXPECT_EQ(file.integer("i32"), -5);
  EXPECT_EQ(file.integer("u64"), int64_t{1} << 62);
  EXPECT_EQ(file.integer("i64"), INT64_MIN);
  EXPECT_EQ(file.number("f32"), static_cast<double>(0.1F));
  EXPECT_EQ(file.number("f64"), 0.1);
  EXPECT_EQ(file.number("i32"), -5.0);
  EXPECT_EQ(file.boolean_if("yes"), true);
  EXPECT_EQ(file.boolean_if("no"), false);
  EXPECT_EQ(file.string("literal"), "text");
  EXPECT_EQ(file.string("string"), std::string_view("a\0b", 3));
  EXPECT_EQ(file.strings("strings"), (std::vector<std::string_view>{"", "x", "\xc4\xa0"}));
  EXPECT_EQ(file.integers("ints"), (std::vector<int64_t>{-1, 0, 7}));
  EXPECT_EQ(std::get<std::vector<double>>(file.metadata().at("floats").value), (std::vector<double>{0.5, -INFINITY}));
  EXPECT_TRUE(file.strings("none").empty());
}

TEST(Gguf, RoundTripsEveryLayoutOnDisk) {
  const Scratch dir;
  GgufWriter writer;
  std::vector<std::vector<std::byte>> data;
  for (const WeightLayout layout : kLayouts)
    data.push_back(pattern(GgufWriter::tensor_bytes(layout, std::vector<int64_t>{3, 256})));
  for (size_t i = 0; i < data.size(); ++i)
    writer.add_tensor("t." + std::string(name_of(kLayouts[i])), kLayouts[i], {3, 256}, data[i]);
  writer.add_tensor("norm", {5}, {1, 2, 3, 4, 5});
  writer.add_tensor("made", WeightLayout::kF16, {2, 3, 4, 1}, [] { return pattern(48); });
  writer.write(dir / "m.gguf");
  EXPECT_EQ(dir.entries(), 1);
  EXPECT_TRUE(is_gguf(dir / "m.gguf"));

  const GgufFile file(dir / "m.gguf");
  EXPECT_EQ(file.path(), dir / "m.gguf");
  ASSERT_EQ(file.tensors().size(), data.size() + 2);
  for (size_t i = 0; i < data.size(); ++i) {
    const GgufTensor& t = file.get("t." + std::string(name_of(kLayouts[i])));
    EXPECT_TRUE(t.supported);
    EXPECT_EQ(t.layout, kLayouts[i]);
    EXPECT_EQ(t.type_name, name_of(kLayouts[i]));
    EXPECT_EQ(t.shape, (std::vector<int64_t>{3, 256}));
    EXPECT_TRUE(std::equal(t.data.begin(), t.data.end(), data[i].begin(), data[i].end())) << t.name;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(t.data.data()) % 32, 0U);
    const WeightView w = t.weight();
    EXPECT_EQ(w.rows, 3);
    EXPECT_EQ(w.cols, 256);
    EXPECT_EQ(w.bytes(), static_cast<int64_t>(t.data.size()));
    EXPECT_EQ(w.data, t.data.data());
    EXPECT_EQ(std::string(w.name), t.name);
  }
  const WeightView norm = file.get("norm").weight();
  EXPECT_EQ(norm.rows, 1);
  EXPECT_EQ(norm.cols, 5);
  EXPECT_EQ(reinterpret_cast<const float*>(norm.data)[4], 5.0F);
  const GgufTensor& made = file.get("made");
  EXPECT_EQ(made.shape, (std::vector<int64_t>{2, 3, 4, 1}));
  EXPECT_EQ(made.weight().rows, 24);
}

TEST(Gguf, HonoursAnotherAlignment) {
  GgufWriter writer(256);
  writer.add_tensor("a", {1}, {1.0F});
  writer.add_tensor("b", {1}, {2.0F});
  const auto bytes = writer.bytes();
  EXPECT_EQ(bytes.size(), 256U * 3);
  const GgufFile file(bytes, "memory");
  EXPECT_EQ(file.integer("general.alignment"), 256);
  EXPECT_EQ(file.get("b").data.data() - bytes.data(), 512);
}

TEST(Gguf, ReadsVersion2) {
  malformed::GgufParts parts = malformed::valid_gguf();
  parts.version = 2;
  const std::string bytes = parts.encode();
  EXPECT_EQ(GgufFile(malformed::as_bytes(bytes), "v2").get("second").shape, (std::vector<int64_t>{2, 32}));
}

TEST(Gguf, ReadsAFileOfMetadataOnly) {
  // llama.cpp's vocabulary files have no tensors and end without padding.
  malformed::GgufParts parts;
  parts.keys = {malformed::gguf_key("k", 0, "\x05")};
  const std::string bytes = parts.front();
  const GgufFile file(malformed::as_bytes(bytes), "vocabulary");
  EXPECT_EQ(file.integer("k"), 5);
  EXPECT_TRUE(file.tensors().empty());
}

TEST(Gguf, WidensIntegersOfEveryWidth) {
  using malformed::gguf_key;
  using malformed::raw;
  malformed::GgufParts parts;
  parts.keys = {gguf_key("u8", 0, raw(uint8_t{255})),
                gguf_key("i8", 1, raw(int8_t{-128})),
                gguf_key("u16", 2, raw(uint16_t{65535})),
                gguf_key("i16", 3, raw(int16_t{-32768})),
                gguf_key("i32", 5, raw(INT32_MIN)),
                gguf_key("u64", 10, raw(static_cast<uint64_t>(INT64_MAX))),
                gguf_key("l", 9, raw(uint32_t{1}) + raw(uint64_t{2}) + raw(int8_t{-1}) + raw(int8_t{1})),
                gguf_key("b", 9, raw(uint32_t{7}) + raw(uint64_t{3}) + std::string("\0\1\0", 3))};
  const std::string bytes = parts.front();
  const GgufFile file(malformed::as_bytes(bytes), "widths");
  EXPECT_EQ(file.integer("u8"), 255);
  EXPECT_EQ(file.integer("i8"), -128);
  EXPECT_EQ(file.integer("u16"), 65535);
  EXPECT_EQ(file.integer("i16"), -32768);
  EXPECT_EQ(file.integer("i32"), INT32_MIN);
  EXPECT_EQ(file.integer("u64"), INT64_MAX);
  EXPECT_EQ(file.integers("l"), (std::vector<int64_t>{-1, 1}));
  EXPECT_EQ(std::get<std::vector<bool>>(file.metadata().at("b").value), (std::vector<bool>{false, true, false}));
}

TEST(Gguf, KeepsTensorsOfTypesItCannotMultiply) {
  malformed::GgufParts parts = malformed::valid_gguf();
  parts.infos = {malformed::gguf_info("iq", {32, 2}, 20, 0)};
  const std::string bytes = parts.encode();
  const GgufFile file(malformed::as_bytes(bytes), "iq");
  EXPECT_FALSE(file.get("iq").supported);
  EXPECT_EQ(file.get("iq").type_name, "IQ4_NL");
  EXPECT_EQ(file.get("iq").data.size(), 36U);
  EXPECT_HAS(message_of<InputError>([&] { file.get("iq").weight(); }), "IQ4_NL is not supported");
}

TEST(Gguf, LookupsSayWhatIsWrong) {
  const std::string bytes = malformed::valid_gguf().encode();
  const GgufFile file(malformed::as_bytes(bytes), "model.gguf");
  const auto of = [](const std::function<void()>& act) { return message_of<InputError>(act); };
  EXPECT_HAS(of([&] { (void)file.get("secund"); }), "model.gguf: there is no tensor \"secund\"; near names: \"second\"");
  EXPECT_HAS(of([&] { (void)file.integer("general.architecture"); }), "general.architecture: expected an integer, got a string");
  EXPECT_HAS(of([&] { (void)file.integer("a.u33"); }), "key a.u33 is missing; an integer is needed; near names: \"a.u32\"");
  EXPECT_HAS(of([&] { (void)file.string("a.u32"); }), "expected a string, got an integer");
  EXPECT_HAS(of([&] { (void)file.number("a.bool"); }), "expected a number, got a bool");
  EXPECT_HAS(of([&] { (void)file.number("gone"); }), "missing");
  EXPECT_HAS(of([&] { (void)file.strings("a.ints"); }), "expected an array of strings, got an array of integers");
  EXPECT_HAS(of([&] { (void)file.integers("a.strings"); }), "expected an array of integers, got an array of strings");
  EXPECT_HAS(of([&] { (void)file.integer_if("a.f32"); }), "expected an integer, got a number");
  EXPECT_EQ(file.integer_if("gone"), std::nullopt);
  EXPECT_EQ(file.number_if("gone"), std::nullopt);
  EXPECT_EQ(file.string_if("gone"), std::nullopt);
  EXPECT_EQ(file.boolean_if("gone"), std::nullopt);
  EXPECT_EQ(file.number_if("a.u32"), 7.0);
  EXPECT_FALSE(file.has("gone"));
  EXPECT_FALSE(file.has_key("gone"));
}

TEST(Gguf, KnowsItsMagic) {
  const Scratch dir;
  spill(dir / "short", "GGU");
  spill(dir / "other", "GGMLxxxx");
  spill(dir / "just", "GGUF");
  EXPECT_FALSE(is_gguf(dir / "short"));
  EXPECT_FALSE(is_gguf(dir / "other"));
  EXPECT_TRUE(is_gguf(dir / "just"));
  EXPECT_THROW(is_gguf(dir / "missing"), IoError);
}

TEST(GgufTypes, AgreeWithOurLayouts) {
  int64_t with_layout = 0;
  for (uint32_t id = 0; id < 64; ++id) {
    const GgmlType* const type = ggml_type(id);
    if (type == nullptr || !type->layout) continue;
    ++with_layout;
    EXPECT_EQ(type->elements, block_elements(*type->layout)) << type->name;
    EXPECT_EQ(type->bytes, block_bytes(*type->layout)) << type->name;
    EXPECT_EQ(type->name, name_of(*type->layout));
    EXPECT_EQ(ggml_type_of(*type->layout), id);
  }
  EXPECT_EQ(with_layout, 11);
}

TEST(GgufWriterDeathTest, RefusesOurOwnMistakes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  GgufWriter writer;
  writer.set("k", "v");
  writer.add_tensor("t", {1}, {1.0F});
  EXPECT_DEATH(writer.set("k", "w"), "k: set twice");
  EXPECT_DEATH(writer.add_tensor("t", {1}, {1.0F}), "t: added twice");
  EXPECT_DEATH(writer.add_tensor("u", {2}, {1.0F}), "u: 1 values given");
  EXPECT_DEATH(writer.add_tensor("u", WeightLayout::kQ4_0, {1, 33}, pattern(18)), "rows of 33 in Q4_0");
  EXPECT_DEATH(writer.add_tensor("u", WeightLayout::kNF4, {1, 64}, pattern(32)), "ggml has no NF4");
  EXPECT_DEATH(GgufWriter(24), "alignment 24");
}

TEST(GgufRealFile, OpensSmolLm2) {
  const char* const given = std::getenv("TENFOLD_MODEL");
  const std::string path = given != nullptr ? given : std::string(TENFOLD_SOURCE_DIR) + "/demo/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent (set TENFOLD_MODEL to a GGUF file)";
  const GgufFile file(path);
  EXPECT_TRUE(is_gguf(path));
  int64_t bytes = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    EXPECT_EQ(name, tensor.name);
    EXPECT_TRUE(tensor.supported) << name << " " << tensor.type_name;
    EXPECT_EQ(tensor.weight().bytes(), static_cast<int64_t>(tensor.data.size())) << name;
    bytes += static_cast<int64_t>(tensor.data.size());
  }
  EXPECT_EQ(file.string("general.architecture"), "llama");
  if (path.find("SmolLM2-135M-Instruct.Q4_1") == std::string::npos) return;
  // What gguf-py 0.19 reads from the same file.
  EXPECT_EQ(file.metadata().size(), 33U);
  EXPECT_EQ(file.tensors().size(), 272U);
  EXPECT_EQ(bytes, 96576768);
  EXPECT_EQ(file.integer("llama.block_count"), 30);
  EXPECT_EQ(file.integer("llama.context_length"), 8192);
  EXPECT_EQ(file.number("llama.rope.freq_base"), 100000.0);
  EXPECT_EQ(file.number("llama.attention.layer_norm_rms_epsilon"), static_cast<double>(1e-5F));
  EXPECT_EQ(file.boolean_if("tokenizer.ggml.add_bos_token"), false);
  EXPECT_EQ(file.strings("tokenizer.ggml.tokens").size(), 49152U);
  EXPECT_EQ(file.strings("tokenizer.ggml.tokens")[1], "<|im_start|>");
  EXPECT_EQ(file.strings("tokenizer.ggml.merges").size(), 48900U);
  EXPECT_EQ(file.strings("tokenizer.ggml.merges")[0], "\xc4\xa0 t");
  EXPECT_EQ(file.integers("tokenizer.ggml.token_type")[0], 3);
  const GgufTensor& embedding = file.get("token_embd.weight");
  EXPECT_EQ(embedding.shape, (std::vector<int64_t>{49152, 576}));
  EXPECT_EQ(embedding.layout, WeightLayout::kQ8_0);
  EXPECT_EQ(file.get("blk.29.ffn_down.weight").shape, (std::vector<int64_t>{576, 1536}));
  EXPECT_EQ(file.get("blk.0.attn_k.weight").layout, WeightLayout::kQ4_1);
  EXPECT_EQ(file.get("output_norm.weight").shape, (std::vector<int64_t>{576}));
}

}  // namespace
}  // namespace tenfold
