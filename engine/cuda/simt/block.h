// How the emulator runs a block: one fiber for each thread of it, all on one thread of the host.
// What kernels see is in simt.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace assay::simt {

// A line of a kernel. As a default argument current() is the line of the call, like
// std::source_location, which Clang 14 lacks.
struct Where {
  const char* file = "";
  int line = 0;

  static constexpr Where current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;

  uint64_t count() const { return uint64_t{x} * y * z; }
};

std::string to_text(const Dim3& d);  // "(x,y,z)"

constexpr int kWarpLanes = 32;
constexpr int kMaxBlockThreads = 1024;
constexpr size_t kMaxSharedBytes = 227 * 1024;  // what a block of sm_90 may have

// A mistake in a kernel: the first that its launch made.
struct Fault {
  std::string kernel, what, file;
  int line = 0;
  Dim3 block, thread;

  // "kernel linear, block (0,1,0), thread (5,0,0), linear.cu:42: out of bounds …"
  std::string text() const;
};

// Thrown through a kernel's frames to leave it; nobody else catches it.
struct Abandon {};

// Ends the current thread's launch with a fault.
[[noreturn]] void fault(std::string what, const Where& where);

// One granule of shared memory and who touched it last, to find races and reads of what nobody has
// written. An access belongs to an interval between two barriers of the block, and within that to
// one between two __syncwarp of its warp.
struct SharedCell {
  static constexpr size_t kBytes = 2;
  static constexpr uint16_t kManyThreads = 0xFFFF;

  uint64_t write_interval = 0, read_interval = 0;  // 0: never
  uint32_t writer_sync = 0, reader_sync = 0;
  uint16_t writer = 0, reader = 0;
  uint16_t reader_warp = 0;  // or kManyThreads
  bool pending = false;      // an asynchronous copy into it has not been waited for
};

struct AsyncCopy {
  size_t offset;  // in shared memory
  int bytes, group;
  alignas(16) unsigned char data[16];
};

struct Thread {
  enum class State { kReady, kAtBarrier, kInWarpOperation, kDone };

  Dim3 index;
  int linear = 0, warp = 0, lane = 0;
  State state = State::kReady;
  Where where;               // of the barrier or operation that it waits in
  const char* waiting = "";  // its name
  int barrier_value = 0;
  std::vector<AsyncCopy> copies;
  int copy_group = 0;
};

// Lanes that have come to an operation of their warp. `in` and `out` point to the lanes' own
// stacks; the lane that comes last applies the operation for all of them.
struct WarpOperation {
  using Apply = void (*)(uint32_t mask, const void* const* in, void* const* out);

  uint32_t mask = 0, arrived = 0;
  Apply apply = nullptr;
  Where where;
  const char* name = "";
  const void* in[kWarpLanes];
  void* out[kWarpLanes];
};

// The block that this thread of the host runs.
class Block {
 public:
  Dim3 grid, size, index;
  Thread* thread = nullptr;  // the running one
  unsigned char* shared = nullptr;
  SharedCell* cells = nullptr;
  size_t dynamic_begin = 0, dynamic_bytes = 0;

  // Bytes of a __shared__ variable, which is known by its address `id`; the same for all threads.
  size_t shared_variable(const void* id, size_t bytes, const Where& where);

  // Waits for all threads of the block; returns how many passed a value that is not 0.
  int barrier(int value, const char* name, const Where& where);
  void warp_operation(uint32_t mask, const char* name, const void* in, void* out,
                      WarpOperation::Apply apply, const Where& where);
  void warp_sync(uint32_t mask, const Where& where);

  void will_read(size_t offset, size_t bytes, const Where& where);
  void will_write(size_t offset, size_t bytes, const Where& where);
  void will_copy_into(size_t offset, size_t bytes, const Where& where);
  void finish_copies(int groups_left, const Where& where);

 protected:
  struct Variable {
    const void* id;
    size_t offset, bytes;
  };

  void check_order(const SharedCell& cell, bool writes, size_t offset, const Where& where);
  // Lets other threads run until this one is ready again.
  virtual void wait(Thread::State state, const char* name, const Where& where) = 0;

  std::vector<Variable> variables_;
  size_t static_bytes_ = 0;
  uint64_t interval_ = 0;  // of the block, counted on over all blocks of a host thread
  uint64_t first_interval_ = 0;
  std::vector<uint32_t> warp_syncs_;
  std::vector<std::vector<WarpOperation>> operations_;  // [warp], those under way
  std::vector<Thread> threads_;
  int barrier_result_ = 0;
};

Block& block();

struct LaunchConfig {
  const char* kernel = "";
  Dim3 grid, size;
  size_t dynamic_shared_bytes = 0;
};

// Runs `body` for every thread of every block, blocks in parallel (oneTBB). The order in which
// warps and lanes run between two barriers is drawn from the runtime's seed.
void run_grid(const LaunchConfig& config, const std::function<void()>& body);

// Where launches of this thread of the host are put, instead of being done; null: nowhere.
void record_launches(std::vector<std::function<void()>>* to);
std::vector<std::function<void()>>* recorded_launches();

// The order seed of the launches that follow; results must not depend on it.
void set_order_seed(uint64_t seed);
// Launches of this process so far.
int64_t launch_count();
// After `count` more launches the device is lost: the next one ends in a fault. Negative: it is
// not.
void lose_device_after(int64_t count);
// The first fault since the last call, as the runtime of CUDA keeps an error.
std::optional<Fault> take_fault();

// Global memory. An access outside of an allocation is a fault.
void* allocate(size_t bytes);  // zero, 256-byte aligned
void release(void* data);
struct Extent {
  const std::byte *begin = nullptr, *end = nullptr;
};
// Of the allocation that holds `address`; empty if none does.
Extent extent_of(const void* address);

}  // namespace assay::simt
