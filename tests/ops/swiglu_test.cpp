#include "ops/swiglu.h"

#include "ops/support.h"

#include <gtest/gtest.h>

namespace tenfold {
namespace {

using test::Guarded;
using test::TestExec;
using Values = std::vector<double>;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

template <typename T, typename D>
void expect_near_definition(int64_t tokens, int64_t f) {
  TestExec test(DTypeOf<T>::value);
  const auto gate = test::random_values<T>(tokens * f, 1, 4.0), up = test::random_values<T>(tokens * f, 2);
  const auto d_a = test::random_values<D>(tokens * f, 3);
  Guarded<T> gates(tokens, f, 2 * f + 3), ups(tokens, f, f + 1), a(tokens, f, f + 2), d_gate(tokens, f, f + 9), d_up(tokens, f);
  Guarded<D> grad(tokens, f, f + 4);
  gates.assign(gate);
  ups.assign(up);
  grad.assign(d_a);
  ops::swiglu_forward(test.exec, gates.view("gate"), ups.view("up"), a.view("a"));
  ops::swiglu_backward(test.exec, grad.view("d_a"), gates.view("gate"), ups.view("up"), d_gate.view("d_gate"), d_up.view("d_up"));
  const Values g = test::to_double(gate), u = test::to_double(up), d = test::to_double(d_a);
  Values a_e(g.size()), dg_e(g.size()), du_e(g.size()), a_b(g.size()), dg_b(g.size()), du_b(g.size());
  // The sigmoid errs by some 6 roundings (the exponential's 4 of them); 1 + x (1 - s) may cancel, so its terms are bounded apart.
  const double f32 = 12 * 0x1p-24, out = test::unit_roundoff(DTypeOf<T>::value);
  for (size_t i = 0; i < g.size(); ++i) {
    const double s = sigmoid(g[i]);
    a_e[i] = g[i] * s * u[i];
    du_e[i] = d[i] * g[i] * s;
    dg_e[i] = d[i] * u[i] * s * (1 + g[i] * (1 - s));
    a_b[i] = std::abs(a_e[i]) * (f32 + out) + 1e-30;
    du_b[i] = std::abs(du_e[i]) * (f32 + out) + 1e-30;
    dg_b[i] = std::abs(d[i] * u[i] * s) * (1 + std::abs(g[i])) * f32 * 2 + std::abs(dg_e[i]) * out + 1e-30;
  }
  EXPECT_TRUE(test::near(a.values(), a_e, a_b));
  EXPECT_TRUE(test::near(d_gate.values(), dg_e, dg_b));
  EXPECT_TRUE(test::near(d_up.values(), du_e, du_b));
  EXPECT_TRUE(a.intact() && d_gate.intact() && d_up.intact());
  // In place: a over gate, then the gradients over gate and up.
  const auto forward = a.values();
  Guarded<T> in_place(tokens, f);
  in_place.assign(gate);
  ops::swiglu_forward(test.exec, in_place.view("gate"), ups.view("up"), in_place.view("a"));
  EXPECT_TRUE(test::bits_equal(in_place.values(), forward));
  const auto backward_gate = d_gate.values();
  const auto backward_up = d_up.values();
  ops::swiglu_backward(test.exec, grad.view("d_a"), gates.view("gate"), ups.view("up"), gates.view("d_gate"), ups.view("d_up"));
  EXPECT_TRUE(test::bits_equal(gates.values(), backward_gate));
  EXPECT_TRUE(test::bits_equal(ups.values(), backward_up));
}

TEST(Swiglu, IsNearTheDefinitionAndWorksInPlace) {
  for (const int64_t tokens : {1, 2, 65})
    for (const int64_t f : {1, 31, 33, 1536}) {
      expect_near_definition<float, float>(tokens, f);
      expect_near_definition<bf16, float>(tokens, f);
      expect_near_definition<bf16, bf16>(tokens, f);
    }
}

TEST(Swiglu, GradientsAgreeWithFiniteDifferences) {
  const int64_t n = 40;
  auto gate = test::random_values(n, 1, 2.0), up = test::random_values(n, 2), d_a = test::random_values(n, 3);
  std::vector<float> d_gate(gate.size()), d_up(gate.size());
  TestExec test;
  const auto view = [&](const char* name, std::vector<float>& x) { return TensorView(name, DType::kF32, {1, n}, x.data()); };
  ops::swiglu_backward(test.exec, view("d_a", d_a), view("gate", gate), view("up", up), view("d_gate", d_gate),
                       view("d_up", d_up));
  Values g_differences(gate.size()), u_differences(gate.size());
  const double h = 1e-5;
  for (size_t i = 0; i < gate.size(); ++i) {
    const double g = static_cast<double>(gate[i]), u = static_cast<double>(up[i]), d = static_cast<double>(d_a[i]);
    g_differences[i] = d * u * ((g + h) * sigmoid(g + h) - (g - h) * sigmoid(g - h)) / (2 * h);
    u_differences[i] = d * g * sigmoid(g);
  }
  EXPECT_TRUE(test::near(d_gate, g_differences, 1e-5));  // f32 against differences that err by 1e-9
  EXPECT_TRUE(test::near(d_up, u_differences, 1e-5));
}

TEST(Swiglu, SurvivesLargeInputsAndKeepsNan) {
  std::vector<float> gate = {100.0F, -100.0F, 3e38F, -3e38F, NAN, 1.0F}, up = {1.0F, 1.0F, 1.0F, 1.0F, 1.0F, NAN};
  std::vector<float> a(6);
  TestExec test;
  ops::swiglu_forward(test.exec, TensorView("gate", DType::kF32, {1, 6}, gate.data()),
                      TensorView("up", DType::kF32, {1, 6}, up.data()), TensorView("a", DType::kF32, {1, 6}, a.data()));
  EXPECT_EQ(a[0], 100.0F);
  EXPECT_NEAR(a[1], 0.0F, 1e-30F);
  EXPECT_EQ(a[2], 3e38F);
  EXPECT_NEAR(a[3], 0.0F, 100.0F);  // 3e38 e^-87: small beside the input
  EXPECT_TRUE(std::isnan(a[4]));
  EXPECT_TRUE(std::isnan(a[5]));
}

}  // namespace
}  // namespace tenfold
