// The emulator against kernels that are right, and against kernels with one planted mistake each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "engine/cuda/device.h"

namespace assay::emulated {
namespace {

using ::testing::HasSubstr;

// Memory of the emulated device.
template <typename T>
class Memory {
 public:
  explicit Memory(size_t count) : data_(static_cast<T*>(simt::allocate(count * sizeof(T)))) {}
  ~Memory() { simt::release(data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  operator T*() const { return data_; }

 private:
  T* data_;
};

// What the launches since the last call did wrong.
std::string fault_text() {
  const auto fault = simt::take_fault();
  return fault ? fault->text() : "";
}

__global__ void block_sum(Global<const float> x, Global<float> out) {
  ASSAY_SHARED(float, values, 128);
  values[threadIdx.x] = x[blockIdx.x * 128 + threadIdx.x];
  for (unsigned half = 64; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) values[threadIdx.x] += values[threadIdx.x + half];
  }
  if (threadIdx.x == 0) out[blockIdx.x] = values[0];
}

TEST(Simt, ABlockReductionIsRightInEveryOrderOfThreads) {
  const Memory<float> x(512), out(4);
  std::iota(static_cast<float*>(x), x + 512, 0.0f);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    simt::set_order_seed(seed);
    ASSAY_LAUNCH(block_sum, dim3{4}, dim3{128}, 0, nullptr, x, out);
    EXPECT_EQ(fault_text(), "");
    for (int b = 0; b < 4; ++b) EXPECT_EQ(out[b], 128 * 128 * b + 127 * 64);
  }
}

__global__ void without_barrier(Global<const float> x, Global<float> out) {
  ASSAY_SHARED(float, values, 128);
  values[threadIdx.x] = x[threadIdx.x];
  out[threadIdx.x] = values[127 - threadIdx.x];
}

TEST(Simt, AMissingBarrierIsARaceOrAReadOfNothing) {
  const Memory<float> x(128), out(128);
  for (uint64_t seed = 0; seed < 10; ++seed) {
    simt::set_order_seed(seed);
    ASSAY_LAUNCH(without_barrier, dim3{1}, dim3{128}, 0, nullptr, x, out);
    const std::string text = fault_text();
    EXPECT_THAT(text, HasSubstr("kernel without_barrier, block (0,0,0), thread ("));
    EXPECT_THAT(text, HasSubstr("simt_test.cc:"));
    EXPECT_THAT(text, ::testing::AnyOf(HasSubstr("race: reads"), HasSubstr("nobody has written"),
                                       HasSubstr("race: writes")));
  }
}

// The second write comes while others may still read the first value.
__global__ void without_second_barrier(Global<float> out) {
  ASSAY_SHARED(int, value, 1);
  int sum = 0;
  for (int round = 0; round < 3; ++round) {
    if (threadIdx.x == 0) value[0] = round;
    __syncthreads();
    sum += value[0];
  }
  out[threadIdx.x] = static_cast<float>(sum);
}

TEST(Simt, AWriteThatOthersMayNotHaveReadBeforeIsARace) {
  const Memory<float> out(64);
  ASSAY_LAUNCH(without_second_barrier, dim3{1}, dim3{64}, 0, nullptr, out);
  EXPECT_THAT(fault_text(), HasSubstr("race: "));
}

__global__ void exchange_in_warps(Global<int> out, bool synchronize) {
  ASSAY_SHARED(int, values, 64);
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (synchronize) __syncwarp();
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}

TEST(Simt, SyncwarpOrdersTheLanesOfAWarp) {
  const Memory<int> out(64);
  ASSAY_LAUNCH(exchange_in_warps, dim3{1}, dim3{64}, 0, nullptr, out, true);
  EXPECT_EQ(fault_text(), "");
  for (int i = 0; i < 64; ++i) EXPECT_EQ(out[i], i ^ 1);
  ASSAY_LAUNCH(exchange_in_warps, dim3{1}, dim3{64}, 0, nullptr, out, false);
  EXPECT_NE(fault_text(), "");
}

__global__ void exchange_between_warps(Global<int> out) {
  ASSAY_SHARED(int, values, 64);
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncwarp();
  out[threadIdx.x] = values[threadIdx.x ^ 32];
}

TEST(Simt, SyncwarpDoesNotOrderWarps) {
  const Memory<int> out(64);
  ASSAY_LAUNCH(exchange_between_warps, dim3{1}, dim3{64}, 0, nullptr, out);
  EXPECT_NE(fault_text(), "");
}

__global__ void divergent_barrier(Global<int> out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}

TEST(Simt, ABarrierInTwoBranchesIsDivergent) {
  const Memory<int> out(64);
  ASSAY_LAUNCH(divergent_barrier, dim3{1}, dim3{64}, 0, nullptr, out);
  EXPECT_THAT(fault_text(), HasSubstr("divergent barrier"));
}

__global__ void exit_before_barrier(Global<int> out) {
  if (threadIdx.x == 63) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

TEST(Simt, AThreadThatReturnsBeforeABarrierIsNamed) {
  const Memory<int> out(64);
  ASSAY_LAUNCH(exit_before_barrier, dim3{1}, dim3{64}, 0, nullptr, out);
  EXPECT_THAT(fault_text(), HasSubstr("waits for thread (63,0,0), which has returned"));
}

constexpr int kBadLine = __LINE__ + 3;
__global__ void out_of_bounds(Global<const float> x, Global<float> out, int count) {
  const int i = static_cast<int>(blockIdx.x * 32 + threadIdx.x);
  if (i <= count) out[i] = x[i];
}

TEST(Simt, AnAccessOneElementBehindTheEndIsAFault) {
  const Memory<float> x(40), out(41);
  ASSAY_LAUNCH(out_of_bounds, dim3{2}, dim3{32}, 0, nullptr, x, out, 40);
  EXPECT_THAT(fault_text(), HasSubstr("block (1,0,0), thread (8,0,0), simt_test.cc:" +
                                      std::to_string(kBadLine) + ": global memory: out of bounds"));
  ASSAY_LAUNCH(out_of_bounds, dim3{2}, dim3{32}, 0, nullptr, x, out, 39);
  EXPECT_EQ(fault_text(), "");
}

__global__ void shared_out_of_bounds(Global<int> out) {
  ASSAY_SHARED(int, values, 32);
  values[threadIdx.x + 1] = 1;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x];
}

TEST(Simt, SharedMemoryHasBoundsToo) {
  const Memory<int> out(32);
  ASSAY_LAUNCH(shared_out_of_bounds, dim3{1}, dim3{32}, 0, nullptr, out);
  EXPECT_THAT(fault_text(), HasSubstr("shared memory: out of bounds, byte 128 of 128"));
}

__global__ void misaligned(Global<const float> x, Global<float> out) {
  out[threadIdx.x] = load_as<float4>(x + (4 * threadIdx.x + 1)).x;
}

TEST(Simt, AMisalignedVectorLoadIsAFault) {
  const Memory<float> x(256), out(32);
  ASSAY_LAUNCH(misaligned, dim3{1}, dim3{32}, 0, nullptr, x, out);
  EXPECT_THAT(fault_text(), HasSubstr("misaligned access of 16 bytes"));
}

__global__ void never_written(Global<float> out) {
  ASSAY_SHARED(float, values, 64);
  if (threadIdx.x < 32) values[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x];
}

TEST(Simt, SharedMemoryThatNobodyWroteIsNotRead) {
  const Memory<float> out(64);
  ASSAY_LAUNCH(never_written, dim3{1}, dim3{64}, 0, nullptr, out);
  EXPECT_THAT(fault_text(), HasSubstr("of shared memory, which nobody has written"));
}

// What one block wrote is not there for the next.
TEST(Simt, SharedMemoryOfAnotherBlockIsNothing) {
  const Memory<float> x(512), out(64);
  ASSAY_LAUNCH(block_sum, dim3{4}, dim3{128}, 0, nullptr, x, out);
  EXPECT_EQ(fault_text(), "");
  ASSAY_LAUNCH(never_written, dim3{1}, dim3{64}, 0, nullptr, out);
  EXPECT_NE(fault_text(), "");
}

__global__ void absent_lane(Global<int> out) {
  if (threadIdx.x < 31) out[threadIdx.x] = __shfl_xor_sync(~0u, static_cast<int>(threadIdx.x), 1);
}

TEST(Simt, ACollectiveWaitsForAllLanesOfItsMask) {
  const Memory<int> out(32);
  ASSAY_LAUNCH(absent_lane, dim3{1}, dim3{32}, 0, nullptr, out);
  EXPECT_THAT(fault_text(), HasSubstr("__shfl_xor_sync waits for lanes (mask 0x80000000)"));
}

__global__ void two_collectives(Global<int> out) {
  const int own = static_cast<int>(threadIdx.x);
  out[own] = own < 16 ? __shfl_xor_sync(~0u, own, 1) : static_cast<int>(__ballot_sync(~0u, own));
}

TEST(Simt, LanesInDifferentCollectivesOfOneMaskAreAFault) {
  const Memory<int> out(32);
  ASSAY_LAUNCH(two_collectives, dim3{1}, dim3{32}, 0, nullptr, out);
  EXPECT_THAT(fault_text(), HasSubstr("while other lanes of the warp are in"));
}

__global__ void copy_through_shared(Global<const float> x, Global<float> out, bool wait) {
  ASSAY_SHARED(float, values, 128);
  copy_async_16(values + 4 * static_cast<int>(threadIdx.x), x + 4 * threadIdx.x);
  commit_copies();
  if (wait) wait_copies<0>();
  __syncthreads();
  out[threadIdx.x] = values[127 - threadIdx.x];
}

TEST(Simt, AnAsynchronousCopyIsThereAfterItsWaitAndNotBefore) {
  const Memory<float> x(128), out(32);
  std::iota(static_cast<float*>(x), x + 128, 0.0f);
  ASSAY_LAUNCH(copy_through_shared, dim3{1}, dim3{32}, 0, nullptr, x, out, true);
  EXPECT_EQ(fault_text(), "");
  EXPECT_EQ(out[0], 127);
  ASSAY_LAUNCH(copy_through_shared, dim3{1}, dim3{32}, 0, nullptr, x, out, false);
  EXPECT_THAT(fault_text(), HasSubstr("before its cp.async is waited for"));
}

__global__ void pipelined_copies(Global<const float> x, Global<float> out, bool all) {
  ASSAY_SHARED(float, values, 2 * 4);
  if (threadIdx.x == 0) {
    copy_async_16(values + 0, x + 0);
    commit_copies();
    copy_async_16(values + 4, x + 4);
    commit_copies();
    wait_copies<1>();
    out[0] = values[0];
    if (all) wait_copies<0>();
    out[1] = values[4];
  }
}

TEST(Simt, WaitingForAllButOneGroupLeavesTheLast) {
  const Memory<float> x(8), out(2);
  x[4] = 7;
  ASSAY_LAUNCH(pipelined_copies, dim3{1}, dim3{32}, 0, nullptr, x, out, true);
  EXPECT_EQ(fault_text(), "");
  EXPECT_EQ(out[1], 7);
  ASSAY_LAUNCH(pipelined_copies, dim3{1}, dim3{32}, 0, nullptr, x, out, false);
  EXPECT_THAT(fault_text(), HasSubstr("cp.async"));
}

// D = A · Bᵀ for A [16][16] and B [8][16], both bf16 and row-major, through shared memory.
__global__ void multiply(Global<const uint16_t> a, Global<const uint16_t> b, Global<float> d,
                         int fragment_shift) {
  ASSAY_SHARED(uint16_t, rows, 24 * 16);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 24 * 16; i += 32) rows[i] = i < 256 ? a[i] : b[i - 256];
  __syncthreads();
  // Matrices: rows 0–7 and 8–15 of A, of k 0–7, then of k 8–15.
  uint32_t fa[4], fb[4];
  load_matrices_4(fa, rows + (lane % 16) * 16 + lane / 16 * 8);
  // Both halves of k of B, twice.
  load_matrices_4(fb, rows + 256 + (lane % 8) * 16 + lane / 8 % 2 * 8);
  float sums[4] = {};
  mma_bf16(sums, fa, {fb[0], fb[1]});
  for (int i = 0; i < 4; ++i) {
    const int m = lane / 4 + i / 2 * 8, n = (lane % 4 * 2 + i % 2 + fragment_shift) % 8;
    d[m * 8 + n] = sums[i];
  }
}

uint16_t bf16_of(float value) { return static_cast<uint16_t>(pack_bf16(value, 0)); }

TEST(Simt, MmaMultipliesWithFragmentsFromLdmatrix) {
  const Memory<uint16_t> a(256), b(128);
  const Memory<float> d(128);
  for (int i = 0; i < 256; ++i) a[i] = bf16_of(static_cast<float>(i % 13 - 6));
  for (int i = 0; i < 128; ++i) b[i] = bf16_of(static_cast<float>(i % 7 - 3) * 0.5f);
  const auto is_right = [&] {
    for (int m = 0; m < 16; ++m) {
      for (int n = 0; n < 8; ++n) {
        float sum = 0;
        for (int k = 0; k < 16; ++k) {
          sum += simt::widen_bf16(a[m * 16 + k]) * simt::widen_bf16(b[n * 16 + k]);
        }
        if (d[m * 8 + n] != sum) return false;
      }
    }
    return true;
  };
  ASSAY_LAUNCH(multiply, dim3{1}, dim3{32}, 0, nullptr, a, b, d, 0);
  EXPECT_EQ(fault_text(), "");
  EXPECT_TRUE(is_right());
  ASSAY_LAUNCH(multiply, dim3{1}, dim3{32}, 0, nullptr, a, b, d, 1);
  EXPECT_FALSE(is_right()) << "a wrong fragment index must not go unseen";
}

__global__ void transpose(Global<const uint16_t> a, Global<uint32_t> out) {
  ASSAY_SHARED(uint16_t, rows, 32 * 8);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) rows[i] = a[i];
  __syncthreads();
  uint32_t fragment[4];
  load_matrices_4_transposed(fragment, rows + lane * 8);
  for (int m = 0; m < 4; ++m) out[m * 32 + lane] = fragment[m];
}

TEST(Simt, LdmatrixTransposes) {
  const Memory<uint16_t> a(256);
  const Memory<uint32_t> out(128);
  for (int i = 0; i < 256; ++i) a[i] = static_cast<uint16_t>(i);
  ASSAY_LAUNCH(transpose, dim3{1}, dim3{32}, 0, nullptr, a, out);
  EXPECT_EQ(fault_text(), "");
  for (int m = 0; m < 4; ++m) {
    for (int lane = 0; lane < 32; ++lane) {
      const int column = lane / 4, row = lane % 4 * 2;
      const auto first = static_cast<uint32_t>(m * 64 + row * 8 + column);
      EXPECT_EQ(out[m * 32 + lane], first | (first + 8) << 16);
    }
  }
}

__global__ void votes(Global<int> out) {
  const int lane = static_cast<int>(threadIdx.x);
  out[lane] = static_cast<int>(__ballot_sync(~0u, lane % 3 == 0)) == 0x49249249;
  out[32 + lane] = __any_sync(~0u, lane == 7) + 2 * __all_sync(~0u, lane >= 0);
  out[64 + lane] = static_cast<int>(__match_any_sync(~0u, lane / 8) >> (lane / 8 * 8));
  out[96 + lane] = static_cast<int>(__reduce_add_sync(~0u, static_cast<uint32_t>(lane)));
  out[128 + lane] = __shfl_up_sync(~0u, lane, 4);
  out[160 + lane] = __shfl_down_sync(~0u, lane, 4);
  out[192 + lane] = __syncthreads_count(lane < 5) + 100 * __syncthreads_or(lane == 3) +
                    1000 * __syncthreads_and(lane != 3);
  atomicAdd(&out[224], lane);
  atomicMax(&out[225], lane);
}

TEST(Simt, VotesMatchesAndAtomicsAreThoseOfTheGuide) {
  const Memory<int> out(226);
  ASSAY_LAUNCH(votes, dim3{1}, dim3{32}, 0, nullptr, out);
  EXPECT_EQ(fault_text(), "");
  for (int lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(out[lane], 1);
    EXPECT_EQ(out[32 + lane], 3);
    EXPECT_EQ(out[64 + lane], 0xFF);
    EXPECT_EQ(out[96 + lane], 496);
    EXPECT_EQ(out[128 + lane], lane < 4 ? lane : lane - 4);
    EXPECT_EQ(out[160 + lane], lane > 27 ? lane : lane + 4);
    EXPECT_EQ(out[192 + lane], 105);
  }
  EXPECT_EQ(out[224], 496);
  EXPECT_EQ(out[225], 31);
}

__global__ void dynamic_memory(Global<int> out) {
  const Shared<int> values = ASSAY_DYNAMIC_SHARED(int);
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] = values[31 - threadIdx.x];
}

TEST(Simt, DynamicSharedMemoryHasTheSizeOfTheLaunch) {
  const Memory<int> out(32);
  ASSAY_LAUNCH(dynamic_memory, dim3{1}, dim3{32}, 128, nullptr, out);
  EXPECT_EQ(fault_text(), "");
  EXPECT_EQ(out[0], 31);
  ASSAY_LAUNCH(dynamic_memory, dim3{1}, dim3{32}, 64, nullptr, out);
  EXPECT_THAT(fault_text(), HasSubstr("out of bounds"));
}

TEST(Simt, Bf16RoundsToTheNearestAndHalfToEven) {
  EXPECT_EQ(bf16_of(1.0f), 0x3F80);
  EXPECT_EQ(bf16_of(1.00390625f), 0x3F80);   // half way between 1 and the next
  EXPECT_EQ(bf16_of(1.01171875f), 0x3F82);   // half way between the next two
  EXPECT_EQ(bf16_of(3.4e38f), 0x7F80);       // over the largest: infinite
  EXPECT_EQ(bf16_of(NAN) & 0x7FFF, 0x7FFF);  // the hardware's not a number
}

}  // namespace
}  // namespace assay::emulated
