#include "format/safetensors.h"

#include "core/error.h"
#include "format/json.h"
#include "format/scratch.h"
#include "malformed/safetensors_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

namespace tenfold {
namespace {

using malformed::as_bytes;

TEST(Safetensors, RoundTripsEveryDtype) {
  const Scratch dir;
  const DType dtypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kF64, DType::kI64,
                          DType::kI32, DType::kI16,  DType::kI8,  DType::kU8,  DType::kBool};
  std::vector<std::vector<std::byte>> data;
  std::vector<SafetensorsItem> items;
  for (const DType dtype : dtypes) {
    auto& bytes = data.emplace_back(static_cast<size_t>(15 * size_of(dtype)));
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i + items.size());
    items.push_back({std::string("t.") + std::string(name_of(dtype)), TensorView("unused", dtype, {3, 1, 5}, bytes.data())});
  }
  float scalar = NAN;
  items.push_back({"", TensorView("scalar \"quoted\" \xc3\xa9", DType::kF32, {}, &scalar)});
  items.push_back({"empty", TensorView("empty", DType::kI64, {0, 7}, nullptr)});
  const std::string path = dir / "t.safetensors";
  write_safetensors(path, items, {{"format", "pt"}, {"note", "line\nbreak"}});

  const SafetensorsFile file(path);
  EXPECT_EQ(file.tensors().size(), 12U);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"note", "line\nbreak"}}));
  for (size_t i = 0; i < data.size(); ++i) {
    const SafetensorsEntry& entry = file.get(items[i].key);
    EXPECT_TRUE(entry.supported);
    EXPECT_EQ(entry.dtype, dtypes[i]);
    EXPECT_EQ(entry.shape, (std::vector<int64_t>{3, 1, 5}));
    EXPECT_TRUE(std::equal(entry.data.begin(), entry.data.end(), data[i].begin(), data[i].end())) << entry.name;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(entry.data.data()) % static_cast<uintptr_t>(size_of(dtypes[i])), 0U) << entry.name;
    const TensorView view = entry.view();
    EXPECT_EQ(std::string(view.name), entry.name);
    EXPECT_EQ(view.bytes(), static_cast<int64_t>(data[i].size()));
  }
  EXPECT_TRUE(std::isnan(file.get("scalar \"quoted\" \xc3\xa9").view().ptr<float>()[0]));
  EXPECT_TRUE(file.get("empty").data.empty());
}

TEST(Safetensors, WritesTheUpstreamOrder) {
  const Scratch dir;
  std::vector<double> data(8);
  const std::vector<SafetensorsItem> items = {{"b", TensorView("", DType::kU8, {3}, data.data())},
                                              {"z", TensorView("", DType::kF32, {2}, data.data())},
                                              {"a", TensorView("", DType::kBF16, {1}, data.data())},
                                              {"c", TensorView("", DType::kF32, {1}, data.data())}};
  write_safetensors(dir / "t", items, {});
  const std::string text = slurp(dir / "t");
  uint64_t length = 0;
  std::memcpy(&length, text.data(), 8);
  EXPECT_EQ(length % 8, 0U);
  const std::string header = text.substr(8, length);
  EXPECT_EQ(header.substr(0, header.find_last_not_of(' ') + 1),
            R"({"c":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"z":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},)"
            R"("a":{"dtype":"BF16","shape":[1],"data_offsets":[12,14]},"b":{"dtype":"U8","shape":[3],"data_offsets":[14,17]}})");
  EXPECT_EQ(text.size(), 8 + length + 17);
  write_safetensors(dir / "none", {}, {});
  EXPECT_TRUE(SafetensorsFile(dir / "none").tensors().empty());
}

TEST(Safetensors, TheSameTensorsGiveTheSameBytes) {
  const Scratch dir;
  float x = 1;
  float y = 2;
  const SafetensorsItem a{"a", TensorView("", DType::kF32, {1}, &x)};
  const SafetensorsItem b{"b", TensorView("", DType::kF32, {1}, &y)};
  write_safetensors(dir / "1", std::vector{a, b}, {{"k", "v"}});
  write_safetensors(dir / "2", std::vector{b, a}, {{"k", "v"}});
  EXPECT_EQ(slurp(dir / "1"), slurp(dir / "2"));
}

TEST(Safetensors, KeepsDtypesItCannotView) {
  const std::string bytes = malformed::safetensors(
      R"({"f8":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]},"f4":{"dtype":"F4","shape":[2,3],"data_offsets":[3,6]},)"
      R"("u32":{"dtype":"U32","shape":[1],"data_offsets":[6,10]}})",
      10);
  const SafetensorsFile file(as_bytes(bytes), "file");
  for (const char* const name : {"f8", "f4", "u32"}) {
    EXPECT_FALSE(file.get(name).supported) << name;
    EXPECT_HAS(message_of<InputError>([&] { (void)file.get(name).view(); }), "is not supported");
  }
  EXPECT_EQ(file.get("u32").data.size(), 4U);
}

TEST(Safetensors, AlignsWhatTheFileDoesNot) {
  // Offsets need not be aligned; a float at an odd address must still be readable as one. The header's length is odd too.
  std::string bytes = malformed::safetensors(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}} )", 0);
  const float values[] = {1.5F, -2.5F};
  bytes += '\1';
  bytes.append(reinterpret_cast<const char*>(values), sizeof values);
  for (size_t shift = 0; shift < 8; ++shift) {
    std::vector<std::byte> moved(shift);
    moved.insert(moved.end(), as_bytes(bytes).begin(), as_bytes(bytes).end());
    const SafetensorsFile file(std::span<const std::byte>(moved).subspan(shift), "file");
    const TensorView view = file.get("b").view();
    ASSERT_EQ(reinterpret_cast<uintptr_t>(view.data) % 4, 0U);
    EXPECT_EQ(view.ptr<float>()[0], 1.5F);
    EXPECT_EQ(view.ptr<float>()[1], -2.5F);
  }
}

TEST(Safetensors, AMissingTensorNamesItsNeighbours) {
  const std::string bytes = malformed::valid_safetensors();
  const SafetensorsFile file(as_bytes(bytes), "model.safetensors");
  EXPECT_HAS(message_of<InputError>([&] { (void)file.get("scaler"); }),
             "model.safetensors: there is no tensor \"scaler\"; near names: \"scalar\"");
  EXPECT_TRUE(file.has("scalar"));
  EXPECT_FALSE(file.has("scaler"));
}

TEST(Safetensors, FiveDimensionsCannotBeViewed) {
  const std::string bytes = malformed::safetensors(R"({"d":{"dtype":"U8","shape":[1,1,1,1,1],"data_offsets":[0,1]}})", 1);
  const SafetensorsFile file(as_bytes(bytes), "file");
  EXPECT_HAS(message_of<InputError>([&] { (void)file.get("d").view(); }), "5 dims");
}

TEST(SafetensorsWriterDeathTest, RefusesOurOwnMistakes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Scratch dir;
  float x[6] = {};
  const SafetensorsItem item{"a", TensorView("a", DType::kF32, {6}, x)};
  EXPECT_DEATH(write_safetensors(dir / "t", std::vector{item, item}, {}), "key \"a\"");
  SafetensorsItem strided{"a", TensorView("a", DType::kF32, {2, 3}, x)};
  strided.tensor.shape[1] = 2;
  EXPECT_DEATH(write_safetensors(dir / "t", std::vector{strided}, {}), "contiguous");
  EXPECT_DEATH(write_safetensors(dir / "t", std::vector{SafetensorsItem{"__metadata__", item.tensor}}, {}), "__metadata__");
}

/// A directory with two shards, "a" and "b" in the first and "c" in the second, and this weight_map.
void write_shards(const Scratch& dir, const std::string& weight_map) {
  float x[3] = {1, 2, 3};
  write_safetensors(
      dir / "model-00001-of-00002.safetensors",
      std::vector<SafetensorsItem>{{"a", TensorView("", DType::kF32, {1}, x)}, {"b", TensorView("", DType::kF32, {1}, x + 1)}},
      {});
  write_safetensors(dir / "model-00002-of-00002.safetensors",
                    std::vector<SafetensorsItem>{{"c", TensorView("", DType::kF32, {1}, x + 2)}}, {});
  spill(dir / "model.safetensors.index.json", R"({"metadata":{"total_size":12},"weight_map":)" + weight_map + "}");
}

TEST(SafetensorsDirectory, ReadsOneFile) {
  const Scratch dir;
  float x = 5;
  write_safetensors(dir / "model.safetensors", std::vector<SafetensorsItem>{{"w", TensorView("", DType::kF32, {1}, &x)}}, {});
  const SafetensorsDirectory model(dir.path());
  EXPECT_EQ(model.names(), std::vector<std::string>{"w"});
  EXPECT_EQ(model.get("w").view().ptr<float>()[0], 5.0F);
}

TEST(SafetensorsDirectory, ReadsShards) {
  const Scratch dir;
  write_shards(
      dir,
      R"({"c":"model-00002-of-00002.safetensors","a":"model-00001-of-00002.safetensors","b":"model-00001-of-00002.safetensors"})");
  const SafetensorsDirectory model(dir.path());
  EXPECT_EQ(model.names(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(model.get("b").view().ptr<float>()[0], 2.0F);
  EXPECT_EQ(model.get("c").view().ptr<float>()[0], 3.0F);
  EXPECT_TRUE(model.has("c"));
  EXPECT_FALSE(model.has("d"));
  EXPECT_HAS(message_of<InputError>([&] { (void)model.get("d"); }), "there is no tensor \"d\"");
}

TEST(SafetensorsDirectory, RefusesABadIndex) {
  const auto refusal = [](const std::string& weight_map) {
    const Scratch dir;
    write_shards(dir, weight_map);
    return message_of<InputError>([&] { SafetensorsDirectory model(dir.path()); });
  };
  EXPECT_HAS(refusal(R"({"d":"model-00001-of-00002.safetensors"})"),
             "puts \"d\" into model-00001-of-00002.safetensors, which does not have it");
  EXPECT_HAS(refusal(R"({"a":"model-00002-of-00002.safetensors"})"), "which does not have it");
  EXPECT_HAS(refusal(R"({"a":7})"), "expected a file name, got number");
  EXPECT_HAS(refusal(R"(["a"])"), "weight_map: expected an object");
  for (const char* const file : {"../secret", "/etc/passwd", "..", ".", "", "a/b", "a\\u0000b"}) {
    EXPECT_HAS(refusal(std::string(R"({"a":")") + file + "\"}"), "is not a file name in the same directory");
  }
  EXPECT_HAS(refusal(R"({"a":"model-00001-of-00002.safetensors","a":"model-00002-of-00002.safetensors"})"), "appears twice");
}

TEST(SafetensorsDirectory, SaysWhatIsMissing) {
  const Scratch dir;
  EXPECT_HAS(message_of<InputError>([&] { SafetensorsDirectory model(dir.path()); }), "model.safetensors.index.json");
  EXPECT_HAS(message_of<IoError>([&] { SafetensorsDirectory model(dir / "gone"); }), "gone");
  write_shards(dir, R"({"a":"model-00003-of-00002.safetensors"})");
  EXPECT_HAS(message_of<IoError>([&] { SafetensorsDirectory model(dir.path()); }), "model-00003-of-00002.safetensors");
}

}  // namespace
}  // namespace tenfold
