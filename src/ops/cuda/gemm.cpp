#include "ops/cuda/gemm.h"

#include <algorithm>
#include <array>
#include <map>

namespace tenfold::cuda {
namespace {

struct Shape {
  int64_t m, n, k;
};

Shape shape_of(const Product& p) {
  const Shape s{p.a.dim(p.a_transposed ? 1 : 0), p.b.dim(p.b_transposed ? 0 : 1), p.a.dim(p.a_transposed ? 0 : 1)};
  TENFOLD_CHECK(p.b.dim(p.b_transposed ? 1 : 0) == s.k && p.out.dim(0) == s.m && p.out.dim(1) == s.n,
                "product of {} {} and {} {} into {} {}", p.a.name, shape_text(p.a), p.b.name, shape_text(p.b), p.out.name,
                shape_text(p.out));
  TENFOLD_CHECK(p.add.empty() || (p.add.dim(0) == s.m && p.add.dim(1) == s.n), "{} {} added to {} {}", p.add.name,
                shape_text(p.add), p.out.name, shape_text(p.out));
  TENFOLD_CHECK(p.a.dtype == p.b.dtype && (p.out.dtype == DType::kF32 || p.out.dtype == p.a.dtype),
                "product of {} {}, {} {} into {}", p.a.name, name_of(p.a.dtype), p.b.name, name_of(p.b.dtype),
                name_of(p.out.dtype));
  TENFOLD_CHECK(s.k > 0 && std::max({s.m, s.n, s.k}) <= INT32_MAX, "product of [{}, {}, {}]", s.m, s.n, s.k);
  return s;
}

cudaDataType_t type_of(const TensorView& t) { return t.dtype == DType::kBF16 ? CUDA_R_16BF : CUDA_R_32F; }

/// Distance of rows; that of a single row is never used, but must not look too short.
int64_t leading(const TensorView& t) { return t.dim(0) > 1 ? t.stride(0) : std::max(t.stride(0), t.dim(1)); }

/// Bytes that every row is aligned to, at most 16: no kernel needs more, and a choice must not depend on where scratch happened
/// to lie.
uint32_t alignment_of(const TensorView& t) {
  const auto bits = reinterpret_cast<uintptr_t>(t.data) | static_cast<uintptr_t>(leading(t) * size_of(t.dtype)) | 16U;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

/// A kernel that cublasLt chose, and the descriptions it is called with. cublasLt counts by columns: its product is ours
/// transposed, with the operands exchanged.
struct Plan {
  bool supported = false;
  cublasLtMatmulDescOpaque_t operation{};
  cublasLtMatrixLayoutOpaque_t left{};   ///< our b
  cublasLtMatrixLayoutOpaque_t right{};  ///< our a
  cublasLtMatrixLayoutOpaque_t add{};
  cublasLtMatrixLayoutOpaque_t out{};
  cublasLtMatmulAlgo_t algorithm{};
};

void describe(cublasLtMatrixLayoutOpaque_t& layout, const TensorView& t) {
  TENFOLD_CUBLAS(cublasLtMatrixLayoutInit(&layout, type_of(t), static_cast<uint64_t>(t.dim(1)), static_cast<uint64_t>(t.dim(0)),
                                          leading(t)));
}

template <typename T>
void set(cublasLtMatmulDescOpaque_t& operation, cublasLtMatmulDescAttributes_t attribute, T value) {
  TENFOLD_CUBLAS(cublasLtMatmulDescSetAttribute(&operation, attribute, &value, sizeof value));
}

void prefer(cublasLtMatmulPreferenceOpaque_t& preference, cublasLtMatmulPreferenceAttributes_t attribute, uint32_t value) {
  TENFOLD_CUBLAS(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value));
}

Plan make_plan(Context& context, const Product& p) {
  Plan plan;
  TENFOLD_CUBLAS(cublasLtMatmulDescInit(&plan.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, p.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, p.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  const TensorView& add = p.add.empty() ? p.out : p.add;
  describe(plan.left, p.b);
  describe(plan.right, p.a);
  describe(plan.add, add);
  describe(plan.out, p.out);
  cublasLtMatmulPreferenceOpaque_t preference{};
  TENFOLD_CUBLAS(cublasLtMatmulPreferenceInit(&preference));
  const uint64_t workspace = Context::kBlasWorkspaceBytes;
  TENFOLD_CUBLAS(
      cublasLtMatmulPreferenceSetAttribute(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace));
  prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(p.b));
  prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(p.a));
  prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(add));
  prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(p.out));
  // Where k is split, the parts are summed in f32 in the workspace, never in out's own dtype.
  prefer(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
  cublasLtMatmulHeuristicResult_t result{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(context.blas(), &plan.operation, &plan.left, &plan.right,
                                                               &plan.add, &plan.out, &preference, 1, &result, &count);
  plan.supported = status == CUBLAS_STATUS_SUCCESS && count > 0 && result.state == CUBLAS_STATUS_SUCCESS;
  plan.algorithm = result.algo;
  return plan;
}

/// Everything that a choice depends on.
using Key = std::array<int64_t, 11>;

Key key_of(const Product& p, const Shape& s) {
  const TensorView& add = p.add.empty() ? p.out : p.add;
  int64_t flags = 0;
  const auto push = [&](int64_t value, int bits) { flags = flags << bits | value; };
  push(p.a_transposed, 1);
  push(p.b_transposed, 1);
  push(p.add.empty(), 1);
  push(p.add.data == p.out.data, 1);
  for (const TensorView* t : {&p.a, &p.b, &add, &p.out}) push(alignment_of(*t), 5);
  return {s.m,
          s.n,
          s.k,
          leading(p.a),
          leading(p.b),
          leading(add),
          leading(p.out),
          flags,
          static_cast<int64_t>(p.a.dtype),
          static_cast<int64_t>(add.dtype),
          static_cast<int64_t>(p.out.dtype)};
}

class ProductPlans final : public Plans {
 public:
  Plan& of(Context& context, const Product& p, const Shape& s) {
    const Key key = key_of(p, s);
    const auto found = plans_.find(key);
    if (found != plans_.end()) return found->second;
    if (plans_.size() == kMost) plans_.clear();
    ++made;
    return plans_.emplace(key, make_plan(context, p)).first->second;
  }

 private:
  static constexpr size_t kMost = 1024;
  std::map<Key, Plan> plans_;
};

ProductPlans& plans_of(Context& context) {
  if (context.product_plans() == nullptr) context.product_plans() = std::make_unique<ProductPlans>();
  return static_cast<ProductPlans&>(*context.product_plans());
}

}  // namespace

void gemm(Context& context, const Product& p) {
  const Shape s = shape_of(p);
  if (s.m == 0 || s.n == 0) return;
  if (!p.add.empty() && p.add.dtype != p.out.dtype) return gemm_plain(context, p);
  Plan& plan = plans_of(context).of(context, p, s);
  if (!plan.supported) return gemm_plain(context, p);
  const float beta = p.add.empty() ? 0.0F : p.beta;
  const void* add = p.add.empty() ? p.out.data : p.add.data;
  const cublasStatus_t status = cublasLtMatmul(context.blas(), &plan.operation, &p.alpha, p.b.data, &plan.left, p.a.data,
                                               &plan.right, &beta, add, &plan.add, p.out.data, &plan.out, &plan.algorithm,
                                               context.blas_workspace(), Context::kBlasWorkspaceBytes, context.stream());
  if (status != CUBLAS_STATUS_NOT_SUPPORTED && status != CUBLAS_STATUS_INVALID_VALUE) return TENFOLD_CUBLAS(status);
  plan.supported = false;
  gemm_plain(context, p);
}

}  // namespace tenfold::cuda
