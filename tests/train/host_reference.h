#pragma once

// A Llama of one block in f64: loss and gradients of one record, written down once more, independently of src/. Its loss lies on
// few positions, so that only what grows with the record (keys, values and their gradients) is computed for all of it.

#include "model/adapter.h"
#include "model/model.h"
#include "ops/expand.h"
#include "support/parallel.h"
#include "train/trainer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <mutex>
#include <vector>

namespace tenfold::test {

using Vector = std::vector<double>;

/// (rows, cols) in f64.
struct Matrix {
  int64_t rows = 0, cols = 0;
  Vector values;

  Matrix() = default;
  Matrix(int64_t r, int64_t c) : rows(r), cols(c), values(static_cast<size_t>(r * c), 0.0) {}
  double* row(int64_t i) { return values.data() + i * cols; }
  const double* row(int64_t i) const { return values.data() + i * cols; }

  void multiply(const double* x, double* y) const {
    for (int64_t i = 0; i < rows; ++i) y[i] = dot(row(i), x, cols);
  }
  Vector operator()(const Vector& x) const {
    Vector y(static_cast<size_t>(rows));
    multiply(x.data(), y.data());
    return y;
  }
  /// x += M^T y
  void add_transposed(const double* y, double* x) const {
    for (int64_t i = 0; i < rows; ++i) add_scaled(y[i], row(i), cols, x);
  }
  Vector transposed(const Vector& y) const {
    Vector x(static_cast<size_t>(cols), 0.0);
    add_transposed(y.data(), x.data());
    return x;
  }
  /// M += y x^T
  void add_product(const double* y, const double* x) {
    for (int64_t i = 0; i < rows; ++i) add_scaled(y[i], x, cols, row(i));
  }
};

class HostReference {
 public:
  /// `model` on the host; `values`: the adapter's in host memory, with norms, embedding and head trained; `places`: the
  /// positions of the example's tokens.
  HostReference(const Model& model, const Adapter& adapter, const TensorView& values, const Example& example,
                std::vector<int64_t> places)
      : c_(model.config()),
        adapter_(adapter),
        flat_(values),
        ids_(example.ids),
        places_(std::move(places)),
        gradient_(adapter.elements(), 0.0) {
    const LayerWeights& w = model.layer(0);
    const std::array<const WeightView*, kProjections> frozen = {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down};
    for (size_t i = 0; i < kProjections; ++i) {
      weights_[i] = with_lora(*frozen[i], static_cast<Projection>(i));
      d_weights_[i] = Matrix(weights_[i].rows, weights_[i].cols);
    }
    inv_freq_ = rope_frequencies(c_.rope, c_.head_dim, c_.max_position, tokens()).inv_freq;
    for (int64_t t = 0; t + 1 < tokens(); ++t) {
      if (example.kinds[static_cast<size_t>(t + 1)] == TokenKind::kAnswer) rows_.emplace_back().t = t;
    }
    keys_and_values();
    parallel(static_cast<int64_t>(rows_.size()), [&](int64_t i) { forward_backward(rows_[static_cast<size_t>(i)]); });
    collect_rows();
    back_through_keys_and_values();
    lora_gradients();
  }

  double loss() const { return loss_; }
  /// In the adapter's layout.
  const Vector& gradient() const { return gradient_; }
  /// Root of the mean square of the scores, weighted by their probabilities; and of the logits.
  double score_size() const {
    return std::sqrt(score_squares_ / static_cast<double>(rows_.size() * static_cast<size_t>(c_.heads)));
  }
  double logit_size() const {
    return std::sqrt(logit_squares_ / static_cast<double>(rows_.size() * static_cast<size_t>(c_.vocabulary)));
  }
  int64_t rows() const { return static_cast<int64_t>(rows_.size()); }

 private:
  /// One position with loss: what its gradients need of the forward.
  struct Row {
    int64_t t = 0;
    double nll = 0, score_squares = 0, logit_squares = 0;
    Vector q, o, x_mid, h_mid, gate, up, a, x_out, h_out, d_logits;
    std::vector<Vector> p, d_s;  ///< by head, over the keys up to t
    Vector d_x_out, d_a, d_gate, d_up, d_h_mid, d_h_out, d_x_mid, d_o, d_q;
  };

  int64_t tokens() const { return static_cast<int64_t>(ids_.size()); }
  const Matrix& weight(Projection p) const { return weights_[static_cast<size_t>(p)]; }
  Matrix& d_weight(Projection p) { return d_weights_[static_cast<size_t>(p)]; }
  double* gradient_at(const TensorView& parameter) { return gradient_.data() + (parameter.ptr<float>() - flat_.ptr<float>()); }
  const float* embedding(int64_t t) const {
    return adapter_.embed_tokens(flat_).ptr<float>() + ids_[static_cast<size_t>(t)] * c_.hidden;
  }

  /// W + s B A
  Matrix with_lora(const WeightView& w, Projection p) const {
    Matrix m(w.rows, w.cols);
    std::vector<float> row(static_cast<size_t>(w.cols));
    const ops::LoraView lora = adapter_.lora(0, p, flat_);
    for (int64_t i = 0; i < w.rows; ++i) {
      ops::expand_row_reference(w, i, row.data());
      std::copy(row.begin(), row.end(), m.row(i));
      for (int64_t r = 0; r < lora.a.dim(0); ++r)
        add_scaled(static_cast<double>(lora.scale) * static_cast<double>(lora.b.row<float>(i)[r]), lora.a.row<float>(r), w.cols,
                   m.row(i));
    }
    return m;
  }

  template <typename X>
  double inverse_rms(const X* x) const {
    return 1.0 / std::sqrt(dot(x, x, c_.hidden) / static_cast<double>(c_.hidden) + static_cast<double>(c_.rms_eps));
  }
  template <typename X>
  Vector norm(const X* x, const float* w) const {
    const double r = inverse_rms(x);
    Vector y(static_cast<size_t>(c_.hidden));
    for (int64_t i = 0; i < c_.hidden; ++i) y[static_cast<size_t>(i)] = static_cast<double>(x[i]) * r * static_cast<double>(w[i]);
    return y;
  }
  /// d_x += the gradient through norm(x, w).
  template <typename X>
  void norm_backward(const double* d_y, const X* x, const float* w, double* d_x) const {
    const double r = inverse_rms(x);
    double mean = 0;
    for (int64_t i = 0; i < c_.hidden; ++i) mean += d_y[i] * static_cast<double>(w[i]) * static_cast<double>(x[i]);
    mean *= r * r / static_cast<double>(c_.hidden);
    for (int64_t i = 0; i < c_.hidden; ++i) d_x[i] += r * (d_y[i] * static_cast<double>(w[i]) - static_cast<double>(x[i]) * mean);
  }
  template <typename X>
  void norm_weight_gradient(const double* d_y, const X* x, double* d_w) const {
    const double r = inverse_rms(x);
    for (int64_t i = 0; i < c_.hidden; ++i) d_w[i] += d_y[i] * static_cast<double>(x[i]) * r;
  }

  void rotate(double* heads, int64_t count, int64_t token, double direction) const {
    const int64_t half = c_.head_dim / 2;
    const int64_t position = places_[static_cast<size_t>(token)];
    for (int64_t i = 0; i < half; ++i) {
      const double angle = direction * static_cast<double>(position) * static_cast<double>(inv_freq_[static_cast<size_t>(i)]);
      const double cosine = std::cos(angle), sine = std::sin(angle);
      for (int64_t h = 0; h < count; ++h) {
        double& a = heads[h * c_.head_dim + i];
        double& b = heads[h * c_.head_dim + i + half];
        const double before = a;
        a = before * cosine - b * sine;
        b = b * cosine + before * sine;
      }
    }
  }

  const float* attn_norm() const { return adapter_.attn_norm(0, flat_).ptr<float>(); }
  const float* ffn_norm() const { return adapter_.ffn_norm(0, flat_).ptr<float>(); }
  const float* final_norm() const { return adapter_.final_norm(flat_).ptr<float>(); }

  void keys_and_values() {
    h_ = Matrix(tokens(), c_.hidden);
    k_ = Matrix(tokens(), c_.kv_size());
    v_ = Matrix(tokens(), c_.kv_size());
    parallel(tokens(), [&](int64_t t) {
      const Vector h = norm(embedding(t), attn_norm());
      std::copy(h.begin(), h.end(), h_.row(t));
      weight(Projection::kK).multiply(h.data(), k_.row(t));
      weight(Projection::kV).multiply(h.data(), v_.row(t));
      rotate(k_.row(t), c_.kv_heads, t, 1);
    });
  }

  int64_t kv_column(int64_t head) const { return head / (c_.heads / c_.kv_heads) * c_.head_dim; }
  double scale() const { return 1.0 / std::sqrt(static_cast<double>(c_.head_dim)); }

  void attend(Row& r) const {
    const int64_t E = c_.head_dim;
    r.o.assign(static_cast<size_t>(c_.q_size()), 0.0);
    for (int64_t head = 0; head < c_.heads; ++head) {
      Vector p(static_cast<size_t>(r.t + 1));
      Vector scores(p.size());
      for (size_t j = 0; j < p.size(); ++j)
        scores[j] = scale() * dot(r.q.data() + head * E, k_.row(static_cast<int64_t>(j)) + kv_column(head), E);
      const double top = *std::max_element(scores.begin(), scores.end());
      double total = 0;
      for (size_t j = 0; j < p.size(); ++j) total += p[j] = std::exp(scores[j] - top);
      for (size_t j = 0; j < p.size(); ++j) {
        p[j] /= total;
        r.score_squares += p[j] * scores[j] * scores[j];
        add_scaled(p[j], v_.row(static_cast<int64_t>(j)) + kv_column(head), E, r.o.data() + head * E);
      }
      r.p.push_back(std::move(p));
    }
  }

  void attend_backward(Row& r) const {
    const int64_t E = c_.head_dim;
    r.d_q.assign(static_cast<size_t>(c_.q_size()), 0.0);
    for (int64_t head = 0; head < c_.heads; ++head) {
      const double* d_o = r.d_o.data() + head * E;
      const double delta = dot(d_o, r.o.data() + head * E, E);
      const Vector& p = r.p[static_cast<size_t>(head)];
      Vector d_s(p.size());
      for (size_t j = 0; j < p.size(); ++j) {
        d_s[j] = scale() * p[j] * (dot(d_o, v_.row(static_cast<int64_t>(j)) + kv_column(head), E) - delta);
        add_scaled(d_s[j], k_.row(static_cast<int64_t>(j)) + kv_column(head), E, r.d_q.data() + head * E);
      }
      r.d_s.push_back(std::move(d_s));
    }
  }

  void forward_backward(Row& r) const {
    const auto D = static_cast<size_t>(c_.hidden);
    const auto F = static_cast<size_t>(c_.ffn);
    r.q = weight(Projection::kQ)(Vector(h_.row(r.t), h_.row(r.t) + c_.hidden));
    rotate(r.q.data(), c_.heads, r.t, 1);
    attend(r);
    r.x_mid = weight(Projection::kO)(r.o);
    for (size_t i = 0; i < D; ++i) r.x_mid[i] += static_cast<double>(embedding(r.t)[i]);
    r.h_mid = norm(r.x_mid.data(), ffn_norm());
    r.gate = weight(Projection::kGate)(r.h_mid);
    r.up = weight(Projection::kUp)(r.h_mid);
    r.a.resize(F);
    for (size_t i = 0; i < F; ++i) r.a[i] = r.gate[i] / (1 + std::exp(-r.gate[i])) * r.up[i];
    r.x_out = weight(Projection::kDown)(r.a);
    for (size_t i = 0; i < D; ++i) r.x_out[i] += r.x_mid[i];
    r.h_out = norm(r.x_out.data(), final_norm());
    head(r);

    r.d_x_out.assign(D, 0.0);
    norm_backward(r.d_h_out.data(), r.x_out.data(), final_norm(), r.d_x_out.data());
    r.d_a = weight(Projection::kDown).transposed(r.d_x_out);
    r.d_gate.resize(F);
    r.d_up.resize(F);
    for (size_t i = 0; i < F; ++i) {
      const double s = 1 / (1 + std::exp(-r.gate[i]));
      r.d_up[i] = r.d_a[i] * r.gate[i] * s;
      r.d_gate[i] = r.d_a[i] * r.up[i] * s * (1 + r.gate[i] * (1 - s));
    }
    r.d_h_mid = weight(Projection::kGate).transposed(r.d_gate);
    weight(Projection::kUp).add_transposed(r.d_up.data(), r.d_h_mid.data());
    r.d_x_mid = r.d_x_out;
    norm_backward(r.d_h_mid.data(), r.x_mid.data(), ffn_norm(), r.d_x_mid.data());
    r.d_o = weight(Projection::kO).transposed(r.d_x_mid);
    attend_backward(r);
    rotate(r.d_q.data(), c_.heads, r.t, -1);
  }

  /// Loss, d_logits and d_h_out; every row's weight is one over their number.
  void head(Row& r) const {
    const float* table = adapter_.head(flat_).ptr<float>();
    Vector logits(static_cast<size_t>(c_.vocabulary));
    for (size_t i = 0; i < logits.size(); ++i)
      logits[i] = dot(table + static_cast<int64_t>(i) * c_.hidden, r.h_out.data(), c_.hidden);
    const double top = *std::max_element(logits.begin(), logits.end());
    double total = 0;
    for (const double l : logits) total += std::exp(l - top), r.logit_squares += l * l;
    const auto target = static_cast<size_t>(ids_[static_cast<size_t>(r.t + 1)]);
    r.nll = top + std::log(total) - logits[target];
    r.d_logits.resize(logits.size());
    r.d_h_out.assign(static_cast<size_t>(c_.hidden), 0.0);
    for (size_t i = 0; i < logits.size(); ++i) {
      r.d_logits[i] = (std::exp(logits[i] - top) / total - (i == target ? 1 : 0)) / static_cast<double>(rows_.size());
      add_scaled(r.d_logits[i], table + static_cast<int64_t>(i) * c_.hidden, c_.hidden, r.d_h_out.data());
    }
  }

  void collect_rows() {
    double* d_head = gradient_at(adapter_.head(flat_));
    for (Row& r : rows_) {
      loss_ += r.nll / static_cast<double>(rows_.size());
      score_squares_ += r.score_squares;
      logit_squares_ += r.logit_squares;
      for (size_t i = 0; i < r.d_logits.size(); ++i)
        add_scaled(r.d_logits[i], r.h_out.data(), c_.hidden, d_head + static_cast<int64_t>(i) * c_.hidden);
      norm_weight_gradient(r.d_h_out.data(), r.x_out.data(), gradient_at(adapter_.final_norm(flat_)));
      norm_weight_gradient(r.d_h_mid.data(), r.x_mid.data(), gradient_at(adapter_.ffn_norm(0, flat_)));
      d_weight(Projection::kDown).add_product(r.d_x_out.data(), r.a.data());
      d_weight(Projection::kGate).add_product(r.d_gate.data(), r.h_mid.data());
      d_weight(Projection::kUp).add_product(r.d_up.data(), r.h_mid.data());
      d_weight(Projection::kO).add_product(r.d_x_mid.data(), r.o.data());
      d_weight(Projection::kQ).add_product(r.d_q.data(), h_.row(r.t));
    }
  }

  /// Gradients of key and value t, before RoPE.
  void key_and_value_gradient(int64_t t, Vector& d_k, Vector& d_v) const {
    d_k.assign(static_cast<size_t>(c_.kv_size()), 0.0);
    d_v.assign(static_cast<size_t>(c_.kv_size()), 0.0);
    for (const Row& r : rows_) {
      if (r.t < t) continue;
      for (int64_t head = 0; head < c_.heads; ++head) {
        const auto at = static_cast<size_t>(t);
        add_scaled(r.d_s[static_cast<size_t>(head)][at], r.q.data() + head * c_.head_dim, c_.head_dim,
                   d_k.data() + kv_column(head));
        add_scaled(r.p[static_cast<size_t>(head)][at], r.d_o.data() + head * c_.head_dim, c_.head_dim,
                   d_v.data() + kv_column(head));
      }
    }
    rotate(d_k.data(), c_.kv_heads, t, -1);
  }

  void back_through_keys_and_values() {
    std::vector<std::vector<const Row*>> at(static_cast<size_t>(tokens()));
    for (const Row& r : rows_) at[static_cast<size_t>(r.t)].push_back(&r);
    constexpr int64_t kPart = 512;
    std::mutex mutex;
    double* d_norm = gradient_at(adapter_.attn_norm(0, flat_));
    double* d_table = gradient_at(adapter_.embed_tokens(flat_));
    parallel((tokens() + kPart - 1) / kPart, [&](int64_t part) {
      Matrix d_wk(c_.kv_size(), c_.hidden), d_wv(c_.kv_size(), c_.hidden);
      Vector d_w(static_cast<size_t>(c_.hidden), 0.0), d_k, d_v;
      const int64_t begin = part * kPart, end = std::min(tokens(), begin + kPart);
      Matrix d_x(end - begin, c_.hidden);
      for (int64_t t = begin; t < end; ++t) {
        key_and_value_gradient(t, d_k, d_v);
        d_wk.add_product(d_k.data(), h_.row(t));
        d_wv.add_product(d_v.data(), h_.row(t));
        Vector d_h = weight(Projection::kK).transposed(d_k);
        weight(Projection::kV).add_transposed(d_v.data(), d_h.data());
        double* d = d_x.row(t - begin);
        for (const Row* r : at[static_cast<size_t>(t)]) {
          weight(Projection::kQ).add_transposed(r->d_q.data(), d_h.data());
          add_scaled(1, r->d_x_mid.data(), c_.hidden, d);
        }
        norm_backward(d_h.data(), embedding(t), attn_norm(), d);
        norm_weight_gradient(d_h.data(), embedding(t), d_w.data());
      }
      const std::lock_guard lock(mutex);
      add_scaled(1, d_wk.values.data(), d_wk.rows * d_wk.cols, d_weight(Projection::kK).values.data());
      add_scaled(1, d_wv.values.data(), d_wv.rows * d_wv.cols, d_weight(Projection::kV).values.data());
      add_scaled(1, d_w.data(), c_.hidden, d_norm);
      for (int64_t t = begin; t < end; ++t)
        add_scaled(1, d_x.row(t - begin), c_.hidden, d_table + ids_[static_cast<size_t>(t)] * c_.hidden);
    });
  }

  /// d_B = s d_W A^T, d_A = s B^T d_W
  void lora_gradients() {
    for (size_t i = 0; i < kProjections; ++i) {
      const ops::LoraView lora = adapter_.lora(0, static_cast<Projection>(i), flat_);
      const Matrix& d = d_weights_[i];
      const auto s = static_cast<double>(lora.scale);
      double* d_a = gradient_at(lora.a);
      double* d_b = gradient_at(lora.b);
      const int64_t rank = lora.a.dim(0);
      for (int64_t j = 0; j < d.rows; ++j) {
        for (int64_t r = 0; r < rank; ++r) {
          d_b[j * rank + r] += s * dot(d.row(j), lora.a.row<float>(r), d.cols);
          add_scaled(s * static_cast<double>(lora.b.row<float>(j)[r]), d.row(j), d.cols, d_a + r * d.cols);
        }
      }
    }
  }

  const ModelConfig& c_;
  const Adapter& adapter_;
  TensorView flat_;
  std::vector<int32_t> ids_;
  std::vector<int64_t> places_;
  std::vector<float> inv_freq_;
  std::array<Matrix, kProjections> weights_, d_weights_;
  Matrix h_, k_, v_;  ///< normalised inputs, keys after RoPE, values, of all tokens
  std::vector<Row> rows_;
  Vector gradient_;
  double loss_ = 0, score_squares_ = 0, logit_squares_ = 0;
};

}  // namespace tenfold::test
