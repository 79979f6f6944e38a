#include "engine/cuda/gpu/cublas_lt.h"

#include <cublasLt.h>

#include <map>
#include <tuple>

#include "engine/cuda/gpu/library.h"

namespace assay {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;

struct Library {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&cublasLtMatmulDescCreate) desc_create = nullptr;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
};

Result<Library> load() {
  const std::string name = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
  DynamicLibrary library(name.c_str());
  Library found;
  library.find("cublasLtCreate", found.create);
  library.find("cublasLtDestroy", found.destroy);
  library.find("cublasLtMatmul", found.matmul);
  library.find("cublasLtMatmulAlgoGetHeuristic", found.heuristic);
  library.find("cublasLtMatmulDescCreate", found.desc_create);
  library.find("cublasLtMatmulDescDestroy", found.desc_destroy);
  library.find("cublasLtMatmulDescSetAttribute", found.desc_set);
  library.find("cublasLtMatrixLayoutCreate", found.layout_create);
  library.find("cublasLtMatrixLayoutDestroy", found.layout_destroy);
  library.find("cublasLtMatmulPreferenceCreate", found.preference_create);
  library.find("cublasLtMatmulPreferenceDestroy", found.preference_destroy);
  library.find("cublasLtMatmulPreferenceSetAttribute", found.preference_set);
  if (!library.complete())
    return Error{"--gemm cublaslt: " + name +
                 " cannot be loaded; install NVIDIA's cuBLAS, or use --gemm kernel"};
  return found;
}

// cuBLAS sees matrices by columns: out^T [outputs, rows] = W^T' · x^T, with W transposed.
class Lt : public CublasLt {
 public:
  Lt(const Library& library, cublasLtHandle_t handle, void* workspace)
      : library_(library), handle_(handle), workspace_(workspace) {}
  ~Lt() override {
    cudaFree(workspace_);
    library_.destroy(handle_);
  }

  std::string run(const CudaGemm& gemm, cudaStream_t stream) override {
    const auto [found, is_new] = algorithms_.try_emplace({gemm.outputs, gemm.columns, gemm.half});
    if (is_new) {
      CudaGemm usual = gemm;
      usual.rows = kGemmRows;
      const cublasStatus_t code = with_layouts(
          usual, [&](const Layouts& layouts) { return choose(layouts, found->second); });
      if (code != CUBLAS_STATUS_SUCCESS) {
        algorithms_.erase(found);
        return error("there is no algorithm for a weight", code);
      }
    }
    const float one = 1, beta = gemm.add ? 1.0f : 0.0f;
    const cublasStatus_t code = with_layouts(gemm, [&](const Layouts& layouts) {
      return library_.matmul(handle_, layouts.operation, &one, gemm.weight, layouts.weight, gemm.x,
                             layouts.x, &beta, gemm.out, layouts.out, gemm.out, layouts.out,
                             &found->second, workspace_, kWorkspaceBytes, stream);
    });
    return code == CUBLAS_STATUS_SUCCESS ? "" : error("a product failed", code);
  }

 private:
  struct Layouts {
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t weight = nullptr, x = nullptr, out = nullptr;
  };

  static std::string error(const char* what, cublasStatus_t code) {
    return std::string("cuBLASLt: ") + what + " (status " + std::to_string(code) + ")";
  }

  template <typename Body>
  cublasStatus_t with_layouts(const CudaGemm& gemm, const Body& body) {
    Layouts layouts;
    const auto outputs = static_cast<uint64_t>(gemm.outputs);
    const auto columns = static_cast<uint64_t>(gemm.columns);
    const auto rows = static_cast<uint64_t>(gemm.rows);
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const cudaDataType_t type = gemm.half ? CUDA_R_16F : CUDA_R_16BF;
    cublasStatus_t code = library_.desc_create(&layouts.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    const auto then = [&](auto next) {
      if (code == CUBLAS_STATUS_SUCCESS) code = next();
    };
    then([&] {
      return library_.desc_set(layouts.operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                               sizeof(transposed));
    });
    then([&] {
      return library_.layout_create(&layouts.weight, type, columns, outputs, gemm.columns);
    });
    then([&] { return library_.layout_create(&layouts.x, type, columns, rows, gemm.columns); });
    then([&] {
      return library_.layout_create(&layouts.out, CUDA_R_32F, outputs, rows, gemm.outputs);
    });
    then([&] { return body(layouts); });
    for (cublasLtMatrixLayout_t layout : {layouts.weight, layouts.x, layouts.out}) {
      if (layout != nullptr) library_.layout_destroy(layout);
    }
    if (layouts.operation != nullptr) library_.desc_destroy(layouts.operation);
    return code;
  }

  cublasStatus_t choose(const Layouts& layouts, cublasLtMatmulAlgo_t& algorithm) {
    cublasLtMatmulPreference_t preference = nullptr;
    cublasStatus_t code = library_.preference_create(&preference);
    if (code != CUBLAS_STATUS_SUCCESS) return code;
    const uint32_t no_reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
    const size_t workspace_bytes = kWorkspaceBytes;
    library_.preference_set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &no_reduction,
                            sizeof(no_reduction));
    library_.preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes,
                            sizeof(workspace_bytes));
    cublasLtMatmulHeuristicResult_t result;
    int count = 0;
    code = library_.heuristic(handle_, layouts.operation, layouts.weight, layouts.x, layouts.out,
                              layouts.out, preference, 1, &result, &count);
    library_.preference_destroy(preference);
    if (code != CUBLAS_STATUS_SUCCESS) return code;
    if (count == 0) return CUBLAS_STATUS_NOT_SUPPORTED;
    algorithm = result.algo;
    return result.state;
  }

  Library library_;
  cublasLtHandle_t handle_;
  void* workspace_;
  std::map<std::tuple<int64_t, int64_t, bool>, cublasLtMatmulAlgo_t> algorithms_;
};

}  // namespace

Result<std::unique_ptr<CublasLt>> CublasLt::create() {
  ASSAY_TRY(const Library library, load());
  cublasLtHandle_t handle = nullptr;
  void* workspace = nullptr;
  if (library.create(&handle) != CUBLAS_STATUS_SUCCESS ||
      cudaMalloc(&workspace, kWorkspaceBytes) != cudaSuccess) {
    return Error{"--gemm cublaslt: cuBLASLt does not start on this GPU; use --gemm kernel"};
  }
  return std::unique_ptr<CublasLt>(new Lt(library, handle, workspace));
}

}  // namespace assay
