#include "ops/decode.h"

#include "ops/attention.h"
#include "ops/embedding.h"
#include "ops/rope.h"
#include "ops/swiglu.h"
#include "ops/weights.h"

#include <gtest/gtest.h>

#include <memory>

// The ops of one token against those that they stand for, bit for bit: each sum is the same sum.

namespace tenfold {
namespace {

using test::Guarded;
using test::TestExec;
using test::TestWeight;

/// A DecodePlace on the device.
struct Place {
  Buffer buffer;
  explicit Place(Device& device) : buffer(device.allocate("place", MemoryUse::kWorkspace, 16)) {}
  TensorView view() const { return buffer.view(DType::kI64, {2}); }
};

// ---- products ----

/// Weights of one layout that share their tables, as a model's on a device do.
class AlikeWeights {
 public:
  AlikeWeights(WeightLayout layout, int64_t cols, std::initializer_list<int64_t> rows, bool double_quant = true) {
    for (const int64_t n : rows)
      weights_.push_back(std::make_unique<TestWeight>(layout, n, cols, 5 + weights_.size(), double_quant));
  }
  WeightView at(size_t i) const {
    WeightView w = weights_[i]->view();
    w.nf4.code = weights_[0]->view().nf4.code;
    w.nf4.nested_code = weights_[0]->view().nf4.nested_code;
    return w;
  }

 private:
  std::vector<std::unique_ptr<TestWeight>> weights_;
};

/// One product with a LoRA branch and room for its results.
template <typename T>
struct Branch {
  WeightView w;
  int64_t r;
  Guarded<float> a{std::max<int64_t>(r, 1), w.cols}, b{w.rows, std::max<int64_t>(r, 1)};
  Guarded<T> u{1, std::max<int64_t>(r, 1)}, y{1, w.rows};

  Branch(const WeightView& weight, int64_t rank, uint64_t seed) : w(weight), r(rank) {
    a.assign(test::random_values(a.rows() * a.cols(), seed, 1.0 / std::sqrt(static_cast<double>(w.cols))));
    b.assign(test::random_values(b.rows() * b.cols(), seed + 1, 0.3));
  }
  ops::TokenProduct product() {
    ops::TokenProduct p{w, {}, {}, y.view("y")};
    if (r > 0) p.lora = {a.view("A"), b.view("B"), 0.75F}, p.lora_u = u.view("u");
    return p;
  }
  /// linear_forward of the same.
  std::vector<T> apart(Exec& exec, const TensorView& x) {
    Guarded<T> out(1, w.rows);
    const ops::TokenProduct p = product();
    ops::LinearArgs args;
    args.lora = p.lora;
    args.lora_u = p.lora_u;
    ops::linear_forward(exec, x, w, args, out.view("y apart"));
    exec.device.synchronize();
    return out.values();
  }
};

template <typename T>
void check_products(const AlikeWeights& weights, size_t count, std::initializer_list<int64_t> ranks) {
  const int64_t k = weights.at(0).cols;
  TestExec env(DTypeOf<T>::value);
  Guarded<T> x(1, k);
  x.assign(test::random_values<T>(k, 1));
  std::vector<std::unique_ptr<Branch<T>>> branches;
  std::vector<ops::TokenProduct> products;
  for (size_t i = 0; i < count; ++i) {
    branches.push_back(std::make_unique<Branch<T>>(weights.at(i), ranks.begin()[i], 20 + 2 * i));
    products.push_back(branches.back()->product());
  }
  ops::decode_products(env.exec, x.view("x"), products);
  env.device.synchronize();
  for (size_t i = 0; i < count; ++i) {
    const std::vector<T> y = branches[i]->y.values();
    EXPECT_TRUE(branches[i]->y.intact() && branches[i]->u.intact()) << i;
    EXPECT_TRUE(test::bits_equal(y, branches[i]->apart(env.exec, x.view("x")))) << "product " << i;
  }
}

TEST(Decode, ProductsAreThoseOfTheWeightsAlone) {
  for (const WeightLayout layout : test::kAllLayouts) {
    SCOPED_TRACE(name_of(layout));
    for (const int64_t k : {256, 768, 4096 + 256}) {
      SCOPED_TRACE(k);
      const AlikeWeights weights(layout, k, {48, 17, 33});
      check_products<bf16>(weights, 3, {0, 0, 0});
      check_products<bf16>(weights, 3, {8, 0, 33});
      check_products<bf16>(weights, 2, {16, 16});
      check_products<float>(weights, 3, {0, 8, 0});
    }
  }
}

TEST(Decode, ProductsOfNf4) {
  // As many rows as an 8B model's q, k and v; columns that are not whole strides of 2048 or 256; columns that no vector load
  // takes.
  check_products<bf16>(AlikeWeights(WeightLayout::kNF4, 256, {4096, 1024, 1024}), 3, {32, 0, 32});
  for (const int64_t k : {64, 192, 576, 2304, 1500, 33})
    for (const bool double_quant : {true, false}) {
      SCOPED_TRACE(k);
      check_products<bf16>(AlikeWeights(WeightLayout::kNF4, k, {576, 192, 192}, double_quant), 3, {4, 4, 0});
    }
}

TEST(Decode, WeightsThatDoNotLieAlike) {
  const TestWeight q(WeightLayout::kQ4_K, 40, 512, 1), k(WeightLayout::kQ4_K, 8, 512, 2), v(WeightLayout::kQ6_K, 8, 512, 3);
  TestExec env(DType::kBF16);
  Guarded<bf16> x(1, 512);
  x.assign(test::random_values<bf16>(512, 1));
  Branch<bf16> of_q(q.view(), 4, 1), of_k(k.view(), 0, 2), of_v(v.view(), 4, 3);
  const std::vector<ops::TokenProduct> products = {of_q.product(), of_k.product(), of_v.product()};
  ops::decode_products(env.exec, x.view("x"), products);
  env.device.synchronize();
  for (Branch<bf16>* b : {&of_q, &of_k, &of_v}) {
    const auto y = b->y.values();
    EXPECT_TRUE(test::bits_equal(y, b->apart(env.exec, x.view("x"))));
  }
  Branch<bf16> gate(k.view(), 4, 4), up(v.view(), 4, 5);
  const auto gates = gate.apart(env.exec, x.view("x")), ups = up.apart(env.exec, x.view("x"));
  ops::decode_gate_up(env.exec, x.view("x"), gate.product(), up.product());
  Guarded<bf16> g(1, 8), u(1, 8), a(1, 8);
  g.assign(gates), u.assign(ups);
  ops::swiglu_forward(env.exec, g.view("gate"), u.view("up"), a.view("a"));
  env.device.synchronize();
  EXPECT_TRUE(test::bits_equal(gate.y.values(), a.values()));
}

template <typename T>
void check_gate_up(WeightLayout layout, int64_t k, int64_t n, int64_t gate_rank, int64_t up_rank) {
  SCOPED_TRACE(testing::Message() << name_of(layout) << " " << n << " x " << k << ", ranks " << gate_rank << " " << up_rank);
  const AlikeWeights weights(layout, k, {n, n});
  TestExec env(DTypeOf<T>::value);
  Guarded<T> x(1, k);
  x.assign(test::random_values<T>(k, 1));
  Branch<T> gate(weights.at(0), gate_rank, 2), up(weights.at(1), up_rank, 4);
  Guarded<T> g(1, n), u(1, n), a(1, n);
  g.assign(gate.apart(env.exec, x.view("x")));
  u.assign(up.apart(env.exec, x.view("x")));
  ops::swiglu_forward(env.exec, g.view("gate"), u.view("up"), a.view("a"));
  ops::decode_gate_up(env.exec, x.view("x"), gate.product(), up.product());
  env.device.synchronize();
  EXPECT_TRUE(test::bits_equal(gate.y.values(), a.values()));
  EXPECT_TRUE(gate.y.intact() && up.y.intact());
}

TEST(Decode, GateAndUpAreJoinedAsTheOpsJoinThem) {
  for (const WeightLayout layout : test::kAllLayouts)
    for (const int64_t n : {64, 37, 2}) {
      check_gate_up<bf16>(layout, 512, n, 0, 0);
      check_gate_up<bf16>(layout, 768, n, 8, 0);
      check_gate_up<float>(layout, 256, n, 0, 8);
    }
  for (const int64_t k : {64, 576, 2304, 4096, 1500}) check_gate_up<bf16>(WeightLayout::kNF4, k, 203, 4, 4);
  check_gate_up<bf16>(WeightLayout::kNF4, 256, 6001, 0, 0);  // several tiles a block
}

// ---- attention ----

template <typename T>
TensorView heads_of(Guarded<T>& t, const char* name, int64_t heads) {
  return t.view(name, {t.rows(), heads, t.cols() / heads});
}

struct Shape {
  int64_t heads, kv_heads, head_dim;
};
constexpr Shape kShapes[] = {{8, 2, 128}, {9, 3, 64}, {4, 1, 64}, {4, 4, 128}, {6, 1, 96}, {16, 2, 256}, {10, 5, 20}};

template <typename T>
void check_rope(const Shape& s, int64_t position, int64_t capacity) {
  const int64_t q_size = s.heads * s.head_dim, kv_size = s.kv_heads * s.head_dim;
  TestExec env(DTypeOf<T>::value, 64);
  Guarded<T> q(1, q_size), k(1, kv_size), v(1, kv_size), keys(capacity, kv_size), values(capacity, kv_size);
  Guarded<T> q_apart(1, q_size), k_apart(1, kv_size);
  q.assign(test::random_values<T>(q_size, 1)), q_apart.assign(q.values());
  k.assign(test::random_values<T>(kv_size, 2)), k_apart.assign(k.values());
  v.assign(test::random_values<T>(kv_size, 3));
  const auto before = test::random_values<T>(capacity * kv_size, 4);
  keys.assign(before), values.assign(before);
  Guarded<float> cos(1, s.head_dim / 2), sin(1, s.head_dim / 2);
  cos.assign(test::random_values(s.head_dim / 2, 5)), sin.assign(test::random_values(s.head_dim / 2, 6));
  const Place place(env.device);
  ops::decode_place(env.exec, position, 3, place.view());
  env.device.synchronize();
  ops::decode_rope(env.exec, place.view(), heads_of(q, "q", s.heads), heads_of(k, "k", s.kv_heads), heads_of(v, "v", s.kv_heads),
                   cos.view("cos"), sin.view("sin"), heads_of(keys, "keys", s.kv_heads), heads_of(values, "values", s.kv_heads));
  ops::rope_apply(env.exec, heads_of(q_apart, "q", s.heads), cos.view("cos"), sin.view("sin"), false);
  ops::rope_apply(env.exec, heads_of(k_apart, "k", s.kv_heads), cos.view("cos"), sin.view("sin"), false);
  env.device.synchronize();
  auto expected_keys = before, expected_values = before;
  const auto turned = k_apart.values(), given = v.values();
  std::copy(turned.begin(), turned.end(), expected_keys.begin() + position * kv_size);
  std::copy(given.begin(), given.end(), expected_values.begin() + position * kv_size);
  EXPECT_TRUE(test::bits_equal(q.values(), q_apart.values()));
  EXPECT_TRUE(test::bits_equal(keys.values(), expected_keys));
  EXPECT_TRUE(test::bits_equal(values.values(), expected_values));
  EXPECT_TRUE(q.intact() && keys.intact() && values.intact());
}

TEST(Decode, RopeFillsTheRowOfTheToken) {
  for (const Shape& s : kShapes)
    for (const int64_t position : {0, 1, 6}) {
      SCOPED_TRACE(testing::Message() << s.heads << "/" << s.kv_heads << " of " << s.head_dim << ", row " << position);
      check_rope<bf16>(s, position, 7);
      check_rope<float>(s, position, 7);
    }
}

template <typename T>
void check_attention(const Shape& s, int64_t capacity, std::initializer_list<int64_t> lengths) {
  const int64_t q_size = s.heads * s.head_dim, kv_size = s.kv_heads * s.head_dim;
  const float scale = 1.0F / std::sqrt(static_cast<float>(s.head_dim));
  const TestExec measure(DTypeOf<T>::value, 64);
  TestExec env(DTypeOf<T>::value, ops::attention_scratch_bytes(measure.exec, 1, capacity, s.heads, s.kv_heads, s.head_dim,
                                                               /*training=*/false));
  Guarded<T> q(1, q_size), o(1, q_size), apart(1, q_size), keys(capacity, kv_size), values(capacity, kv_size);
  q.assign(test::random_values<T>(q_size, 1, 2.0));
  const Place place(env.device);
  const auto k = test::random_values<T>(capacity * kv_size, 2), v = test::random_values<T>(capacity * kv_size, 3);
  for (const int64_t length : lengths) {
    SCOPED_TRACE(testing::Message() << s.heads << "/" << s.kv_heads << " of " << s.head_dim << ", keys " << length);
    // What lies behind the token must not count, whatever it is.
    auto known_k = k, known_v = v;
    std::fill(known_k.begin() + length * kv_size, known_k.end(), test::cast_to<T>(NAN));
    std::fill(known_v.begin() + length * kv_size, known_v.end(), test::cast_to<T>(NAN));
    keys.assign(known_k), values.assign(known_v);
    const TensorView key_view = heads_of(keys, "keys", s.kv_heads), value_view = heads_of(values, "values", s.kv_heads);
    ops::decode_place(env.exec, length - 1, 0, place.view());
    env.device.synchronize();
    ops::decode_attention(env.exec, place.view(), heads_of(q, "q", s.heads), key_view, value_view, scale,
                          heads_of(o, "o", s.heads));
    const ops::AttentionSegment segment{0, 1, 0, length};
    ops::attention_forward(env.exec, heads_of(q, "q", s.heads), key_view, value_view, {&segment, 1}, scale,
                           heads_of(apart, "o", s.heads), {});
    env.device.synchronize();
    EXPECT_TRUE(test::bits_equal(o.values(), apart.values()));
    EXPECT_TRUE(o.intact());
    // And by the definition.
    std::vector<double> expected, tolerance;
    for (int64_t h = 0; h < s.heads; ++h) {
      const int64_t kv = h / (s.heads / s.kv_heads) * s.head_dim;
      std::vector<double> p(static_cast<size_t>(length));
      double total = 0;
      for (int64_t t = 0; t < length; ++t) {
        double score = 0;
        for (int64_t e = 0; e < s.head_dim; ++e)
          score += static_cast<double>(static_cast<float>(q.at(0, h * s.head_dim + e))) *
                   static_cast<double>(static_cast<float>(keys.at(t, kv + e)));
        p[static_cast<size_t>(t)] = std::exp(score * static_cast<double>(scale));
        total += p[static_cast<size_t>(t)];
      }
      for (int64_t e = 0; e < s.head_dim; ++e) {
        double sum = 0, magnitude = 0;
        for (int64_t t = 0; t < length; ++t) {
          const double term = p[static_cast<size_t>(t)] / total * static_cast<double>(static_cast<float>(values.at(t, kv + e)));
          sum += term, magnitude += std::abs(term);
        }
        expected.push_back(sum);
        // A score is a sum of E terms whose magnitudes add up to some 2 sqrt(E), and its power and the sum of the powers are off
        // by as much; the sums over keys by theirs.
        const auto scores = static_cast<int64_t>(4 * std::pow(static_cast<double>(s.head_dim), 1.5));
        // A CPU in bf16 rounds the powers, too.
        const int roundings = std::is_same_v<T, bf16> && test::gpu() == nullptr ? 1 : 0;
        tolerance.push_back(test::dot_tolerance(2 * length + scores, magnitude, sum, DTypeOf<T>::value, roundings));
      }
    }
    EXPECT_TRUE(test::near(o.values(), expected, tolerance));
  }
}

TEST(Decode, AttendsToTheTokensBeforeAndNoOthers) {
  for (const Shape& s : kShapes) {
    check_attention<bf16>(s, 640, {1, 2, 3, 31, 32, 33, 127, 128, 129, 257, 640});
    check_attention<float>(s, 300, {1, 128, 299, 300});
  }
  check_attention<bf16>({8, 2, 128}, 9000, {1, 4096, 4097, 9000});
  check_attention<bf16>({9, 3, 64}, 9000, {4097, 8999});
  // More kv heads than a wave has blocks for.
  check_attention<bf16>({400, 400, 64}, 260, {1, 260});
}

TEST(Decode, BeginsWithTheEmbeddingAndTheAngles) {
  const std::vector<float> inv_freq = {1.0F, 0.3F, 0.01F, 1e-4F};
  for (const WeightLayout layout : test::kAllLayouts)
    for (const int64_t position : {0, 1, 131071}) {
      const TestWeight table(layout, 9, 256, 5);
      TestExec env(DType::kBF16, 64);
      Guarded<bf16> x(1, 256), x_apart(1, 256);
      Guarded<float> cos(1, 4), sin(1, 4), cos_apart(1, 4), sin_apart(1, 4);
      const Place place(env.device);
      Guarded<float> frequencies(1, 4);
      frequencies.assign(inv_freq);
      ops::decode_place(env.exec, position, 7, place.view());
      ops::decode_begin(env.exec, place.view(), table.view(), frequencies.view("frequencies", {4}), 1.25F, x.view("x"),
                        cos.view("cos"), sin.view("sin"));
      const int32_t id = 7;
      ops::embedding_forward(env.exec, {&id, 1}, table.view(), x_apart.view("x"));
      ops::rope_table(env.exec, inv_freq, {&position, 1}, 1.25F, cos_apart.view("cos"), sin_apart.view("sin"));
      env.device.synchronize();
      EXPECT_TRUE(test::bits_equal(x.values(), x_apart.values())) << name_of(layout);
      EXPECT_TRUE(test::bits_equal(cos.values(), cos_apart.values()) && test::bits_equal(sin.values(), sin_apart.values()));
      EXPECT_TRUE(x.intact() && cos.intact() && sin.intact());
    }
}

}  // namespace
}  // namespace tenfold
