#include "model/adapter.h"

#include "core/rng.h"
#include "format/safetensors.h"
#include "support/placed.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

namespace tenfold {
namespace {

namespace fs = std::filesystem;

class AdapterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / fmt::format("tenfold-adapter-{}", ::getpid());
    fs::remove_all(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  Adapter made(const LoraConfig& lora) {
    Adapter adapter = Adapter::create(device_, model_, lora, 3);
    Rng rng(4, 4);
    std::vector<float> values = test::host_values(device_, adapter.flat());
    for (float& v : values) v += static_cast<float>(rng.normal());
    test::set_values(device_, adapter.flat(), values);
    return adapter;
  }
  static std::string message_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const InputError& error) {
      return error.what();
    }
    return "nothing was thrown";
  }

  Device cpu_{1};
  Device& device_ = test::gpu_or(cpu_);
  Model model_ = test::placed(device_, Model::random(config_of_shape("tiny"), WeightLayout::kF32, 5));
  fs::path directory_;
};

TEST_F(AdapterTest, ComesBackBitForBit) {
  const Adapter saved = made(LoraConfig::parse(4, 8, 0.1, true, {"q_proj", "down_proj"}, {"embed_tokens", "norm", "lm_head"}));
  saved.save(directory_.string(), model_, "chatml", DType::kF32);
  const Adapter loaded = Adapter::load(device_, model_, directory_.string());
  ASSERT_EQ(loaded.parameters().size(), saved.parameters().size());
  const HostCopy before = saved.host_values();
  const HostCopy after = loaded.host_values();
  for (size_t i = 0; i < saved.parameters().size(); ++i) {
    const Parameter& a = saved.parameters()[i];
    const Parameter& b = loaded.parameters()[i];
    ASSERT_EQ(a.key, b.key);
    EXPECT_EQ(0, std::memcmp(before.view().ptr<float>() + a.offset, after.view().ptr<float>() + b.offset,
                             static_cast<size_t>(a.rows * a.cols) * 4))
        << a.key;
  }
  EXPECT_EQ(loaded.config().scale(), saved.config().scale());
  EXPECT_EQ(read_adapter_notes(directory_.string()).chat_template, "chatml");
}

TEST_F(AdapterTest, ItsSizeIsKnownBeforeItIsMade) {
  // r = 3 leaves parameters that are no whole number of cache lines.
  for (const LoraConfig& lora : {LoraConfig::parse(3, 8, 0, false, {"q_proj", "v_proj", "down_proj"}, {}),
                                 LoraConfig::parse(4, 8, 0, false, {}, {"embed_tokens", "norm", "lm_head"})}) {
    EXPECT_EQ(Adapter::elements_of(model_.config(), lora), made(lora).elements());
  }
}

TEST_F(AdapterTest, WritesAFollowingHeadAsACopy) {
  LoraConfig lora = LoraConfig::parse(4, 8, 0, false, {"q_proj"}, {"embed_tokens"});
  lora.tie_embeddings = true;
  const Adapter saved = made(lora);
  saved.save(directory_.string(), model_, "chatml", DType::kF32);
  const Adapter loaded = Adapter::load(device_, model_, directory_.string());
  const TensorView head = loaded.head(loaded.flat());
  ASSERT_FALSE(head.empty());
  EXPECT_EQ(test::host_values(device_, head), test::host_values(device_, saved.embed_tokens(saved.flat())));
}

TEST_F(AdapterTest, OfAnotherModelIsRefused) {
  made(LoraConfig::parse(4, 8, 0, false, {"q_proj"}, {})).save(directory_.string(), model_, "chatml", DType::kF32);
  const Model other = test::placed(device_, Model::random(config_of_shape("tiny"), WeightLayout::kF32, 6));
  EXPECT_NE(message_of([&] { Adapter::load(device_, other, directory_.string()); }).find("another model"), std::string::npos);
  fs::remove(directory_ / "tenfold.json");  // without our notes the shapes still tell
  ModelConfig wider = config_of_shape("tiny");
  wider.hidden = 128;
  const Model wide = test::placed(device_, Model::random(wider, WeightLayout::kF32, 6));
  const std::string message = message_of([&] { Adapter::load(device_, wide, directory_.string()); });
  EXPECT_NE(message.find("expected shape"), std::string::npos) << message;
  ModelConfig deeper = config_of_shape("tiny");
  deeper.layers = 3;
  const Model deep = test::placed(device_, Model::random(deeper, WeightLayout::kF32, 6));
  const std::string missing = message_of([&] { Adapter::load(device_, deep, directory_.string()); });
  EXPECT_NE(missing.find("is missing"), std::string::npos) << missing;
}

TEST_F(AdapterTest, NotesMustNameTheRopeTheyWereTrainedWith) {
  fs::create_directories(directory_);
  const auto message = [&](const std::string& notes) {
    std::ofstream(directory_ / "tenfold.json") << notes;
    return message_of([&] { read_adapter_notes(directory_.string()); });
  };
  EXPECT_NE(message(R"({"rope": {"rope_type": "default"}})").find("rope_theta"), std::string::npos);
  EXPECT_NE(message(R"({"rope": {"rope_theta": 2e5}})").find("rope_type"), std::string::npos);
  EXPECT_NE(message(R"({"rope": {"rope_type": "longrope", "rope_theta": 2e5}})").find("longrope"), std::string::npos);
}

TEST_F(AdapterTest, NamesUnknownTargets) {
  EXPECT_NE(message_of([] { LoraConfig::parse(4, 8, 0, false, {"q_prj"}, {}); }).find("q_proj"), std::string::npos);
  EXPECT_NE(message_of([] { LoraConfig::parse(4, 8, 0, false, {"q_proj"}, {"wte"}); }).find("embed_tokens"), std::string::npos);
  EXPECT_NE(message_of([] { LoraConfig::parse(0, 8, 0, false, {"q_proj"}, {}); }).find("--lora-r"), std::string::npos);
}

}  // namespace
}  // namespace tenfold
