// The CPU device: kernels.h on a team of threads.
#pragma once

#include <memory>
#include <string>

#include "engine/ops.h"
#include "harness/base/result.h"

namespace assay {

struct CpuOptions {
  int threads = 0;           // 0: one for each core
  std::string isa = "auto";  // auto, avx512_vnni, avx512, avx2, portable
  Activations activations = Activations::kFixed16;
};

// Fails when this machine cannot run the instruction set asked for. The result is used by one
// thread at a time; it spreads its work over `threads` threads, the caller's included.
Result<std::unique_ptr<Ops>> make_cpu_ops(const CpuOptions& options);

// The instruction set that `isa` stands for on this machine.
Result<std::string> cpu_isa_name(const std::string& isa);

}  // namespace assay
