#include "engine/cuda/gpu/nccl_group.h"

#if __has_include(<nccl.h>)
#include <nccl.h>

#include <atomic>
#include <numeric>
#include <vector>

#include "engine/cuda/gpu/library.h"

namespace assay {
namespace {

struct Library {
  decltype(&ncclCommInitAll) init_all = nullptr;
  decltype(&ncclAllGather) all_gather = nullptr;
  decltype(&ncclCommAbort) abort = nullptr;
  decltype(&ncclCommDestroy) destroy = nullptr;
  decltype(&ncclGetErrorString) error_string = nullptr;
};

Result<Library> load() {
  DynamicLibrary library("libnccl.so.2");
  Library found;
  library.find("ncclCommInitAll", found.init_all);
  library.find("ncclAllGather", found.all_gather);
  library.find("ncclCommAbort", found.abort);
  library.find("ncclCommDestroy", found.destroy);
  library.find("ncclGetErrorString", found.error_string);
  if (!library.complete())
    return Error{"--tensor-parallel: libnccl.so.2 cannot be loaded; install NVIDIA's NCCL"};
  return found;
}

class Group : public NcclGroup {
 public:
  Group(const Library& library, std::vector<ncclComm_t> comms)
      : library_(library), comms_(std::move(comms)) {}
  ~Group() override {
    for (ncclComm_t comm : comms_) {
      if (!left_) library_.destroy(comm);
    }
  }

  int ranks() const override { return static_cast<int>(comms_.size()); }
  std::string all_gather(int rank, const float* x, size_t count, float* out,
                         cudaStream_t stream) override {
    if (left_) return "another rank has left";
    const ncclResult_t code =
        library_.all_gather(x, out, count, ncclFloat32, comms_[static_cast<size_t>(rank)], stream);
    return code == ncclSuccess ? "" : std::string("NCCL: ") + library_.error_string(code);
  }
  void leave() override {
    if (left_.exchange(true)) return;
    for (ncclComm_t comm : comms_) library_.abort(comm);
  }

 private:
  Library library_;
  std::vector<ncclComm_t> comms_;
  std::atomic<bool> left_{false};
};

}  // namespace

Result<std::shared_ptr<NcclGroup>> NcclGroup::create(int first, int ranks) {
  ASSAY_TRY(const Library library, load());
  std::vector<int> devices(static_cast<size_t>(ranks));
  std::iota(devices.begin(), devices.end(), first);
  std::vector<ncclComm_t> comms(devices.size());
  const ncclResult_t code = library.init_all(comms.data(), ranks, devices.data());
  if (code != ncclSuccess) {
    return Error{std::string("--tensor-parallel: NCCL: ") + library.error_string(code)};
  }
  return std::shared_ptr<NcclGroup>(new Group(library, std::move(comms)));
}

}  // namespace assay

#else

namespace assay {

Result<std::shared_ptr<NcclGroup>> NcclGroup::create(int, int) {
  return Error{"--tensor-parallel: this assay was built where nccl.h was not installed"};
}

}  // namespace assay

#endif
