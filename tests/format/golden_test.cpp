#include "format/gguf.h"
#include "format/peft.h"
#include "format/safetensors.h"
#include "format/scratch.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tenfold {
namespace {

// Files written by peft 0.21.2, safetensors 0.8.0 and gguf 0.19.0 themselves (dev/make_format_goldens.py).

std::string golden(std::string_view name) {
  return std::string(TENFOLD_SOURCE_DIR) + "/tests/golden/format/" + std::string(name);
}

/// Element i of the script's ramp of n elements; exact in every dtype it is used with.
double ramp(int64_t i, int64_t n, double scale) { return static_cast<double>(i - n / 2) * scale; }

TEST(GoldenSafetensors, ReadsEveryDtype) {
  const SafetensorsFile file(golden("tiny.safetensors"));
  EXPECT_EQ(file.tensors().size(), 13U);
  EXPECT_EQ(file.metadata().at("made_by"), "safetensors 0.8.0");
  EXPECT_EQ(file.get("f32").shape, (std::vector<int64_t>{3, 5}));
  for (int64_t i = 0; i < 15; ++i) EXPECT_EQ(file.get("f32").view().ptr<float>()[i], static_cast<float>(ramp(i, 15, 0.25)));
  for (int64_t i = 0; i < 7; ++i)
    EXPECT_EQ(static_cast<float>(file.get("bf16").view().ptr<bf16>()[i]), static_cast<float>(ramp(i, 7, 0.5)));
  for (int64_t i = 0; i < 7; ++i) {
    const auto* const halves = static_cast<const uint16_t*>(file.get("f16").view().data);
    EXPECT_EQ(half_to_float(halves[i]), static_cast<float>(ramp(i, 7, 0.125)));
  }
  for (int64_t i = 0; i < 3; ++i) EXPECT_EQ(file.get("f64").view().ptr<double>()[i], ramp(i, 3, 1));
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(file.get("i64").view().ptr<int64_t>()[i], i - 2);
  for (int32_t i = 0; i < 5; ++i) EXPECT_EQ(file.get("i32").view().ptr<int32_t>()[i], i);
  for (uint8_t i = 0; i < 5; ++i) EXPECT_EQ(file.get("u8").view().ptr<uint8_t>()[i], 250 + i);
  EXPECT_EQ(file.get("i16").dtype, DType::kI16);
  EXPECT_EQ(file.get("i8").dtype, DType::kI8);
  EXPECT_EQ(file.get("bool").dtype, DType::kBool);
  EXPECT_FALSE(file.get("f8").supported);
  EXPECT_TRUE(file.get("scalar").shape.empty());
  EXPECT_EQ(file.get("scalar").view().ptr<float>()[0], 2.5F);
  EXPECT_EQ(file.get("empty").shape, (std::vector<int64_t>{0, 4}));
}

TEST(GoldenSafetensors, OurWriterKeepsEveryTensor) {
  const Scratch dir;
  const SafetensorsFile file(golden("tiny.safetensors"));
  std::vector<SafetensorsItem> items;
  for (const auto& [name, entry] : file.tensors()) {
    if (entry.supported) items.push_back({name, entry.view()});
  }
  write_safetensors(dir / "copy", items, file.metadata());
  const SafetensorsFile copy(dir / "copy");
  EXPECT_EQ(copy.tensors().size(), file.tensors().size() - 1);  // all but f8
  for (const auto& [name, entry] : copy.tensors()) {
    const SafetensorsEntry& original = file.get(name);
    EXPECT_EQ(entry.dtype_name, original.dtype_name) << name;
    EXPECT_EQ(entry.shape, original.shape) << name;
    EXPECT_TRUE(std::equal(entry.data.begin(), entry.data.end(), original.data.begin(), original.data.end())) << name;
  }
}

TEST(GoldenGguf, ReadsEveryKindOfKey) {
  const GgufFile file(golden("tiny_gguf.bin"));
  EXPECT_EQ(file.string("general.architecture"), "llama");
  EXPECT_EQ(file.integer("general.alignment"), 64);
  EXPECT_EQ(file.integer("t.u8"), 200);
  EXPECT_EQ(file.integer("t.i8"), -100);
  EXPECT_EQ(file.integer("t.u16"), 60000);
  EXPECT_EQ(file.integer("t.i16"), -30000);
  EXPECT_EQ(file.integer("t.u32"), 4000000000);
  EXPECT_EQ(file.integer("t.i32"), -2000000000);
  EXPECT_EQ(file.integer("t.u64"), int64_t{1} << 62);
  EXPECT_EQ(file.integer("t.i64"), -(int64_t{1} << 62));
  EXPECT_EQ(file.number("t.f32"), 0.5);
  EXPECT_EQ(file.number("t.f64"), 0.1);
  EXPECT_EQ(file.boolean_if("t.bool"), true);
  EXPECT_EQ(file.string("t.string"), "h\xc3\xa9llo");
  EXPECT_EQ(file.strings("t.strings"), (std::vector<std::string_view>{"a", "", "\xe4\xb8\xad"}));
  EXPECT_EQ(file.integers("t.ints"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(std::get<std::vector<double>>(file.metadata().at("t.floats").value), (std::vector<double>{0.5, -1.5}));
}

TEST(GoldenGguf, ReadsTensorsRowsFirst) {
  const GgufFile file(golden("tiny_gguf.bin"));
  const WeightView f32 = file.get("f32").weight();
  EXPECT_EQ(f32.rows, 3);
  EXPECT_EQ(f32.cols, 5);
  for (int64_t i = 0; i < 15; ++i) EXPECT_EQ(reinterpret_cast<const float*>(f32.data)[i], static_cast<float>(ramp(i, 15, 0.25)));
  const WeightView f16 = file.get("f16").weight();
  EXPECT_EQ(f16.rows, 2);
  EXPECT_EQ(f16.cols, 3);
  for (int64_t i = 0; i < 6; ++i)
    EXPECT_EQ(half_to_float(reinterpret_cast<const uint16_t*>(f16.data)[i]), static_cast<float>(ramp(i, 6, 0.5)));
  const WeightView q8 = file.get("q8").weight();
  EXPECT_EQ(q8.layout, WeightLayout::kQ8_0);
  EXPECT_EQ(q8.rows, 3);
  EXPECT_EQ(q8.cols, 64);
  for (int64_t i = 0; i < 192; ++i) {
    const std::byte* const block = q8.data + i / 32 * 34;
    uint16_t d = 0;
    std::memcpy(&d, block, 2);
    const double scale = static_cast<double>(half_to_float(d));
    const double value = scale * static_cast<double>(static_cast<int8_t>(block[2 + i % 32]));
    // Half a step of the block, and the f16 rounding of the step (2^-11 of at most 127 of them).
    EXPECT_LE(std::abs(value - ramp(i, 192, 0.01)), scale * (0.5 + 127 * 0x1p-11 + 1e-3)) << i;
  }
}

TEST(GoldenPeft, ReadsAnAdapter) {
  const PeftAdapter adapter(golden("peft"));
  const PeftConfig& config = adapter.config();
  EXPECT_EQ(config.r, 2);
  EXPECT_EQ(config.lora_alpha, 4.0);
  EXPECT_EQ(config.lora_dropout, 0.05);
  EXPECT_EQ(config.scale(), 2.0);
  EXPECT_EQ(config.target_modules, (std::vector<std::string>{"q_proj", "v_proj"}));
  EXPECT_EQ(config.modules_to_save, (std::vector<std::string>{"embed_tokens", "norm"}));
  const SafetensorsFile& file = adapter.tensors();
  EXPECT_EQ(file.metadata().at("format"), "pt");
  for (int64_t layer = 0; layer < 2; ++layer) {
    EXPECT_EQ(file.get(peft_lora_key(layer, "self_attn.q_proj", 'A')).shape, (std::vector<int64_t>{2, 8}));
    EXPECT_EQ(file.get(peft_lora_key(layer, "self_attn.v_proj", 'B')).shape, (std::vector<int64_t>{4, 2}));
  }
  const SafetensorsEntry& embedding = file.get(peft_saved_key("model.embed_tokens"));
  EXPECT_EQ(embedding.shape, (std::vector<int64_t>{11, 8}));
  for (int64_t i = 0; i < 88; ++i) EXPECT_EQ(embedding.view().ptr<float>()[i], static_cast<float>(ramp(i, 88, 0.5)));
  // PEFT takes "norm" for the end of a name, and so saves the norms of the layers too.
  EXPECT_TRUE(file.has(peft_saved_key("model.norm")));
  EXPECT_TRUE(file.has(peft_saved_key("model.layers.1.input_layernorm")));
}

TEST(GoldenPeft, OurWriterRepeatsIt) {
  const Scratch dir;
  const PeftAdapter adapter(golden("peft"));
  std::vector<SafetensorsItem> items;
  for (const auto& [name, entry] : adapter.tensors().tensors()) items.push_back({name, entry.view()});
  write_peft_adapter(dir / "copy", adapter.config(), items);
  EXPECT_EQ(slurp(dir / "copy/adapter_model.safetensors"), slurp(golden("peft/adapter_model.safetensors")));
}

}  // namespace
}  // namespace tenfold
