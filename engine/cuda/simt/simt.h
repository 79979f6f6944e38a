// What a kernel sees when the compiler of the host builds it: the words of CUDA C++, and the bodies
// of the wrappers that engine/cuda/device.h has PTX for. Semantics: CUDA C++ Programming Guide;
// fragments of mma and ldmatrix: PTX ISA, "Matrix Fragments for mma.m16n8k16" and "ldmatrix".
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <tuple>

#include "engine/cuda/simt/memory.h"

namespace assay::simt {

// An argument of a kernel when it runs: of a recorded launch, the allocation may be gone.
template <typename T>
T looked_up(const T& value) {
  return value;
}
template <typename T>
Global<T> looked_up(const Global<T>& pointer) {
  return Global<T>(pointer.raw());
}

template <typename... Params, typename... Args>
void launch(const char* kernel, Dim3 grid, Dim3 size, size_t shared_bytes, void (*body)(Params...),
            const Args&... args) {
  const std::tuple<Params...> params(static_cast<Params>(args)...);
  if (auto* recorded = recorded_launches()) {
    recorded->push_back([=] {
      const auto now = std::apply(
          [](const Params&... each) { return std::tuple<Params...>(looked_up(each)...); }, params);
      run_grid({kernel, grid, size, shared_bytes}, [&] { std::apply(body, now); });
    });
  } else {
    run_grid({kernel, grid, size, shared_bytes}, [&] { std::apply(body, params); });
  }
}

// Combines the lanes' values: `combine(values, mask, lane)` is each lane's result.
template <typename T, typename R, typename Combine>
R over_warp(uint32_t mask, const char* name, T value, Combine, const Where& where) {
  R result{};
  block().warp_operation(
      mask, name, &value, &result,
      [](uint32_t lanes, const void* const* in, void* const* out) {
        T values[kWarpLanes] = {};
        for (int i = 0; i < kWarpLanes; ++i) {
          if (lanes >> i & 1) values[i] = *static_cast<const T*>(in[i]);
        }
        for (int i = 0; i < kWarpLanes; ++i) {
          if (lanes >> i & 1) *static_cast<R*>(out[i]) = Combine()(values, lanes, i);
        }
      },
      where);
  return result;
}

template <typename T>
struct FromLane {
  T value;
  int lane;
};

// A lane outside of the mask gives an undefined value on the hardware, here a fault.
template <typename T>
T from_lane(uint32_t mask, const char* name, T value, int lane, const Where& where) {
  if (!(mask >> (lane & 31) & 1)) fault("shuffle from a lane that is not in the mask", where);
  return over_warp<FromLane<T>, T>(
      mask, name, {value, lane & 31},
      [](const FromLane<T>* values, uint32_t, int own) { return values[values[own].lane].value; },
      where);
}

// ldmatrix: lane 8 i + r gives the address of row r of matrix i; lane l gets the elements 2 (l % 4)
// and the next one of row l / 4 of each matrix, with .trans of column l / 4.
template <int kMatrices, bool kTransposed>
void load_matrices(uint32_t (&out)[kMatrices], Shared<const uint16_t> row, const Where& where) {
  struct In {
    const unsigned char* row;
  };
  In in{};
  if (block().thread->lane < 8 * kMatrices) {
    in.row = row.checked(row.offset(), 16, where);
    block().will_read(static_cast<size_t>(row.offset()), 16, where);
  }
  struct Out {
    uint32_t fragment[kMatrices];
  };
  Out result;
  block().warp_operation(
      ~0u, "ldmatrix", &in, &result,
      [](uint32_t, const void* const* ins, void* const* outs) {
        uint16_t rows[8 * kMatrices][8];
        for (int i = 0; i < 8 * kMatrices; ++i) {
          std::memcpy(rows[i], static_cast<const In*>(ins[i])->row, 16);
        }
        for (int lane = 0; lane < kWarpLanes; ++lane) {
          for (int m = 0; m < kMatrices; ++m) {
            const int line = lane / 4, at = lane % 4 * 2;
            const uint16_t low = kTransposed ? rows[8 * m + at][line] : rows[8 * m + line][at];
            const uint16_t high =
                kTransposed ? rows[8 * m + at + 1][line] : rows[8 * m + line][at + 1];
            static_cast<Out*>(outs[lane])->fragment[m] = low | uint32_t{high} << 16;
          }
        }
      },
      where);
  for (int m = 0; m < kMatrices; ++m) out[m] = result.fragment[m];
}

template <typename T>
struct MmaIn {
  uint32_t a[4], b[2];
  T c[4];
};
template <typename T>
struct MmaOut {
  T d[4];
};

template <WarpOperation::Apply kApply, typename T>
void mma(T (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const Where& where) {
  const MmaIn<T> in{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {d[0], d[1], d[2], d[3]}};
  MmaOut<T> out;
  block().warp_operation(~0u, "mma", &in, &out, kApply, where);
  for (int i = 0; i < 4; ++i) d[i] = out.d[i];
}

// D[16][8] = A[16][16] · B[16][8] + C of all lanes, bf16 or fp16 as `widen` reads them. The sum is
// rounded once; the hardware sums in an order of its own.
template <float (*widen)(uint16_t)>
void apply_mma(uint32_t, const void* const* in, void* const* out) {
  alignas(64) double a[16][16], b[16][8];
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const auto& own = *static_cast<const MmaIn<float>*>(in[lane]);
    const int group = lane / 4, pair = lane % 4 * 2;
    for (int i = 0; i < 2; ++i) {
      const auto at = [&](uint32_t bits) { return widen(static_cast<uint16_t>(bits >> 16 * i)); };
      a[group][pair + i] = at(own.a[0]);
      a[group + 8][pair + i] = at(own.a[1]);
      a[group][pair + 8 + i] = at(own.a[2]);
      a[group + 8][pair + 8 + i] = at(own.a[3]);
      b[pair + i][group] = at(own.b[0]);
      b[pair + 8 + i][group] = at(own.b[1]);
    }
  }
  alignas(64) double d[16][8];
  for (int m = 0; m < 16; ++m) {
    double sums[8] = {};
    for (int k = 0; k < 16; ++k) {
      for (int n = 0; n < 8; ++n) sums[n] += a[m][k] * b[k][n];
    }
    for (int n = 0; n < 8; ++n) d[m][n] = sums[n];
  }
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const auto& own = *static_cast<const MmaIn<float>*>(in[lane]);
    auto& result = *static_cast<MmaOut<float>*>(out[lane]);
    for (int i = 0; i < 4; ++i) {
      const int m = lane / 4 + i / 2 * 8, n = lane % 4 * 2 + i % 2;
      result.d[i] = static_cast<float>(d[m][n] + static_cast<double>(own.c[i]));
    }
  }
}

// D[16][8] = A[16][32] · B[32][8] + C of signed bytes; the fragments of m16n8k32.
inline void apply_mma_s8(uint32_t, const void* const* in, void* const* out) {
  int a[16][32], b[32][8];
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const auto& own = *static_cast<const MmaIn<int32_t>*>(in[lane]);
    const int group = lane / 4, first = lane % 4 * 4;
    for (int i = 0; i < 4; ++i) {
      const auto at = [&](uint32_t bits) { return int{static_cast<int8_t>(bits >> 8 * i)}; };
      a[group][first + i] = at(own.a[0]);
      a[group + 8][first + i] = at(own.a[1]);
      a[group][first + 16 + i] = at(own.a[2]);
      a[group + 8][first + 16 + i] = at(own.a[3]);
      b[first + i][group] = at(own.b[0]);
      b[first + 16 + i][group] = at(own.b[1]);
    }
  }
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const auto& own = *static_cast<const MmaIn<int32_t>*>(in[lane]);
    for (int i = 0; i < 4; ++i) {
      const int m = lane / 4 + i / 2 * 8, n = lane % 4 * 2 + i % 2;
      uint32_t sum = static_cast<uint32_t>(own.c[i]);  // wraps, as without .satfinite
      for (int k = 0; k < 32; ++k) sum += static_cast<uint32_t>(a[m][k] * b[k][n]);
      static_cast<MmaOut<int32_t>*>(out[lane])->d[i] = static_cast<int32_t>(sum);
    }
  }
}

inline float widen_bf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

inline void async_copy(int64_t shared_offset, const void* from, int bytes, const Where& where) {
  block().will_copy_into(static_cast<size_t>(shared_offset), static_cast<size_t>(bytes), where);
  AsyncCopy copy{static_cast<size_t>(shared_offset), bytes, block().thread->copy_group, {}};
  if (from != nullptr) std::memcpy(copy.data, from, static_cast<size_t>(bytes));
  block().thread->copies.push_back(copy);
}

}  // namespace assay::simt
