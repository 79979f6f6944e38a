// Runs the threads of blocks on fibers, and keeps the emulated device's memory and first fault.
#include "engine/cuda/simt/block.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>
#include <cstring>
#include <map>
#include <mutex>
#include <numeric>
#include <random>
#include <span>

#include "harness/base/check.h"
#include "harness/base/parallel.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#define ASSAY_FIBERS_WITH_ASAN
#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define ASSAY_FIBERS_WITH_TSAN
#endif

namespace assay::simt {

std::string to_text(const Dim3& d) { return fmt::format("({},{},{})", d.x, d.y, d.z); }

namespace {

#if defined(ASSAY_FIBERS_WITH_ASAN) || defined(ASSAY_FIBERS_WITH_TSAN)
constexpr size_t kStackBytes = 512 * 1024;
#else
constexpr size_t kStackBytes = 64 * 1024;
#endif

Dim3 index_of(uint64_t linear, const Dim3& size) {
  return {static_cast<unsigned>(linear % size.x), static_cast<unsigned>(linear / size.x % size.y),
          static_cast<unsigned>(linear / size.x / size.y)};
}

struct RuntimeState {
  std::mutex mutex;
  std::optional<Fault> first_fault;
  uint64_t seed = 0;
  int64_t launches = 0, lost_at = -1;
  std::map<const std::byte*, const std::byte*> allocations;  // begin -> end
};

RuntimeState& runtime() {
  static RuntimeState& state = *new RuntimeState;  // for what statics free at the end
  return state;
}

class Worker;
thread_local Worker* current_worker = nullptr;

// A fiber for each thread of a block; kept for the blocks that follow.
class Worker : public Block {
 public:
  Worker()
      : shared_memory_(new unsigned char[kMaxSharedBytes + 16]),
        shared_cells_(kMaxSharedBytes / SharedCell::kBytes) {
    const auto address = reinterpret_cast<uintptr_t>(shared_memory_.get());
    shared = shared_memory_.get() + (16 - address % 16) % 16;
    cells = shared_cells_.data();
  }
  ~Worker() { leave_fibers(); }

  std::optional<Fault> run_block(const LaunchConfig& config, const Dim3& block_index, uint64_t seed,
                                 const std::function<void()>& body);
  void report(std::string what, const Where& where);

 protected:
  void wait(Thread::State state, const char* name, const Where& where) override;

 private:
  struct Fiber {
    boost::context::fiber self, caller;
#ifdef ASSAY_FIBERS_WITH_ASAN
    const void* stack = nullptr;
    void* fake_stack = nullptr;
#elif defined(ASSAY_FIBERS_WITH_TSAN)
    void* known = __tsan_create_fiber(0);
    ~Fiber() { __tsan_destroy_fiber(known); }
#endif
  };

  void add_fiber();
  void resume(Thread& next);
  void yield(int linear);
  void run_warp(int warp, std::span<const int> lanes);
  void release_barrier();
  void describe_standstill();
  void leave_fibers();

  std::unique_ptr<unsigned char[]> shared_memory_;
  std::vector<SharedCell> shared_cells_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  const std::function<void()>* body_ = nullptr;
  const char* kernel_ = "";
  std::optional<Fault> fault_;
  bool leaving_ = false;  // fibers end instead of running another block
#ifdef ASSAY_FIBERS_WITH_ASAN
  void* main_fake_stack_ = nullptr;
  const void* main_stack_ = nullptr;
  size_t main_stack_bytes_ = 0;
#elif defined(ASSAY_FIBERS_WITH_TSAN)
  void* main_fiber_ = __tsan_get_current_fiber();
#endif
};

void Worker::add_fiber() {
  const int linear = static_cast<int>(fibers_.size());
  fibers_.push_back(std::make_unique<Fiber>());
  Fiber& fiber = *fibers_.back();
  boost::context::fixedsize_stack allocator(kStackBytes);
#ifdef ASSAY_FIBERS_WITH_ASAN
  // The stack's lowest address, which AddressSanitizer is told at each switch.
  boost::context::stack_context stack = allocator.allocate();
  fiber.stack = static_cast<const char*>(stack.sp) - stack.size;
  const boost::context::preallocated where(stack.sp, stack.size, stack);
  fiber.self = boost::context::fiber(
      std::allocator_arg, where, allocator,
#else
  fiber.self = boost::context::fiber(std::allocator_arg, allocator,
#endif
      [this, linear](boost::context::fiber&& caller) {
        Fiber& own = *fibers_[linear];
        own.caller = std::move(caller);
#ifdef ASSAY_FIBERS_WITH_ASAN
        __sanitizer_finish_switch_fiber(nullptr, &main_stack_, &main_stack_bytes_);
#endif
        while (!leaving_) {
          try {
            if (!fault_) (*body_)();
          } catch (const Abandon&) {
          }
          threads_[linear].state = Thread::State::kDone;
          yield(linear);
        }
#ifdef ASSAY_FIBERS_WITH_ASAN
        __sanitizer_start_switch_fiber(nullptr, main_stack_, main_stack_bytes_);
#elif defined(ASSAY_FIBERS_WITH_TSAN)
                                       __tsan_switch_to_fiber(main_fiber_, 0);
#endif
        return std::move(own.caller);
      });
}

void Worker::resume(Thread& next) {
  Fiber& fiber = *fibers_[next.linear];
  thread = &next;
#ifdef ASSAY_FIBERS_WITH_ASAN
  __sanitizer_start_switch_fiber(&main_fake_stack_, fiber.stack, kStackBytes);
#elif defined(ASSAY_FIBERS_WITH_TSAN)
  __tsan_switch_to_fiber(fiber.known, 0);
#endif
  fiber.self = std::move(fiber.self).resume();
#ifdef ASSAY_FIBERS_WITH_ASAN
  __sanitizer_finish_switch_fiber(main_fake_stack_, nullptr, nullptr);
#endif
}

void Worker::yield(int linear) {
  Fiber& fiber = *fibers_[linear];
#ifdef ASSAY_FIBERS_WITH_ASAN
  __sanitizer_start_switch_fiber(&fiber.fake_stack, main_stack_, main_stack_bytes_);
#elif defined(ASSAY_FIBERS_WITH_TSAN)
  __tsan_switch_to_fiber(main_fiber_, 0);
#endif
  fiber.caller = std::move(fiber.caller).resume();
#ifdef ASSAY_FIBERS_WITH_ASAN
  __sanitizer_finish_switch_fiber(fiber.fake_stack, &main_stack_, &main_stack_bytes_);
#endif
}

void Worker::leave_fibers() {
  leaving_ = true;
  threads_.resize(fibers_.size());
  for (size_t i = 0; i < fibers_.size(); ++i) {
    threads_[i].linear = static_cast<int>(i);
    if (fibers_[i]->self) resume(threads_[i]);
  }
}

void Worker::wait(Thread::State state, const char* name, const Where& where) {
  if (fault_) throw Abandon();
  Thread& waiter = *thread;
  waiter.state = state;
  waiter.waiting = name;
  waiter.where = where;
  yield(waiter.linear);
  if (fault_) throw Abandon();
}

void Worker::report(std::string what, const Where& where) {
  if (fault_) return;
  const std::string_view file = where.file;
  fault_ = Fault{kernel_,    std::move(what), std::string(file.substr(file.find_last_of('/') + 1)),
                 where.line, index,           thread->index};
}

void Worker::run_warp(int warp, std::span<const int> lanes) {
  bool ran = true;
  while (ran && !fault_) {
    ran = false;
    for (const int lane : lanes) {
      const size_t linear = static_cast<size_t>(warp) * kWarpLanes + lane;
      if (linear >= threads_.size() || threads_[linear].state != Thread::State::kReady) continue;
      resume(threads_[linear]);
      ran = true;
      if (fault_) return;
    }
  }
}

void Worker::release_barrier() {
  barrier_result_ = 0;
  for (Thread& each : threads_) {
    if (each.where.line != threads_[0].where.line ||
        std::strcmp(each.where.file, threads_[0].where.file) != 0) {
      thread = &each;
      return report(fmt::format("divergent barrier: thread {} waits in line {}",
                                to_text(threads_[0].index), threads_[0].where.line),
                    each.where);
    }
    if (each.barrier_value != 0) ++barrier_result_;
  }
  for (Thread& each : threads_) each.state = Thread::State::kReady;
  ++interval_;
}

// Nobody can run: says who waits, for whom.
void Worker::describe_standstill() {
  const auto find = [&](auto matches) -> Thread* {
    const auto found = std::find_if(threads_.begin(), threads_.end(), matches);
    return found == threads_.end() ? nullptr : &*found;
  };
  for (Thread& each : threads_) {
    if (each.state != Thread::State::kInWarpOperation) continue;
    thread = &each;
    for (const WarpOperation& operation : operations_[each.warp]) {
      if (!(operation.mask >> each.lane & 1)) continue;
      const uint32_t absent = operation.mask & ~operation.arrived;
      return report(fmt::format("{} waits for lanes (mask {:#x}) that do not come to it",
                                each.waiting, absent),
                    each.where);
    }
  }
  thread = find([](const Thread& each) { return each.state == Thread::State::kAtBarrier; });
  CHECK(thread != nullptr);
  const Thread* gone = find([](const Thread& each) { return each.state == Thread::State::kDone; });
  report(fmt::format("{} waits for thread {}, which has {}", thread->waiting,
                     gone == nullptr ? "?" : to_text(gone->index), "returned from the kernel"),
         thread->where);
}

std::optional<Fault> Worker::run_block(const LaunchConfig& config, const Dim3& block_index,
                                       uint64_t seed, const std::function<void()>& body) {
  const int count = static_cast<int>(config.size.count());
  const int warps = (count + kWarpLanes - 1) / kWarpLanes;
  grid = config.grid;
  size = config.size;
  index = block_index;
  kernel_ = config.kernel;
  body_ = &body;
  fault_.reset();
  variables_.clear();
  static_bytes_ = 0;
  dynamic_bytes = config.dynamic_shared_bytes;
  dynamic_begin = kMaxSharedBytes - (dynamic_bytes + 15) / 16 * 16;
  first_interval_ = ++interval_;
  warp_syncs_.assign(static_cast<size_t>(warps), 1);
  operations_.resize(static_cast<size_t>(warps));
  for (auto& operations : operations_) operations.clear();
  threads_.resize(static_cast<size_t>(count));
  while (static_cast<int>(fibers_.size()) < count) add_fiber();
  for (int i = 0; i < count; ++i) {
    threads_[i] = Thread();
    threads_[i].index = index_of(static_cast<uint64_t>(i), config.size);
    threads_[i].linear = i;
    threads_[i].warp = i / kWarpLanes;
    threads_[i].lane = i % kWarpLanes;
  }
  // A value that nobody wrote is not a number, of any width.
  std::memset(shared + dynamic_begin, 0xFF, dynamic_bytes);

  std::mt19937_64 random(seed);
  std::vector<int> order(static_cast<size_t>(warps)), lanes(kWarpLanes);
  std::iota(order.begin(), order.end(), 0);
  std::iota(lanes.begin(), lanes.end(), 0);
  while (!fault_) {
    std::shuffle(order.begin(), order.end(), random);
    for (const int warp : order) {
      std::shuffle(lanes.begin(), lanes.end(), random);
      run_warp(warp, lanes);
      if (fault_) break;
    }
    if (fault_) break;
    size_t at_barrier = 0, done = 0;
    for (const Thread& each : threads_) {
      at_barrier += each.state == Thread::State::kAtBarrier ? 1 : 0;
      done += each.state == Thread::State::kDone ? 1 : 0;
    }
    if (done == threads_.size()) break;
    if (at_barrier == threads_.size()) {
      release_barrier();
    } else {
      describe_standstill();
    }
  }
  if (fault_) {  // every thread leaves its kernel
    for (Thread& each : threads_) {
      if (each.state != Thread::State::kDone) resume(each);
    }
  }
  body_ = nullptr;
  return std::move(fault_);
}

Worker& worker() {
#ifdef ASSAY_FIBERS_WITH_ASAN
  // Threads of oneTBB end while the process does, and leave their fibers then; LeakSanitizer does
  // not look at a fiber's stack, where what is being freed is still known.
  const __lsan::ScopedDisabler ended_with_the_thread;
#endif
  thread_local Worker own;
  current_worker = &own;
  return own;
}

}  // namespace

Block& block() { return *current_worker; }

void fault(std::string what, const Where& where) {
  current_worker->report(std::move(what), where);
  throw Abandon();
}

std::string Fault::text() const {
  return fmt::format("kernel {}, block {}, thread {}, {}:{}: {}", kernel, to_text(block),
                     to_text(thread), file, line, what);
}

void run_grid(const LaunchConfig& config, const std::function<void()>& body) {
  CHECK(config.size.count() > 0 && config.size.count() <= kMaxBlockThreads);
  CHECK(config.dynamic_shared_bytes <= kMaxSharedBytes);
  RuntimeState& state = runtime();
  const uint64_t seed = state.seed;
  {
    const std::scoped_lock lock(state.mutex);
    if (state.launches++ == state.lost_at && !state.first_fault) {
      state.first_fault =
          Fault{config.kernel, "the device was lost", "worker.cc", __LINE__, {}, {}};
    }
  }
  parallel_for(static_cast<int64_t>(config.grid.count()), [&](int64_t index) {
    const auto i = static_cast<uint64_t>(index);
    {
      const std::scoped_lock lock(state.mutex);
      if (state.first_fault) return;
    }
    std::optional<Fault> fault =
        worker().run_block(config, index_of(i, config.grid), seed * 0x9E3779B97F4A7C15u + i, body);
    if (!fault) return;
    const std::scoped_lock lock(state.mutex);
    if (!state.first_fault) state.first_fault = std::move(fault);
  });
}

namespace {
thread_local std::vector<std::function<void()>>* recorded = nullptr;
}

void record_launches(std::vector<std::function<void()>>* to) { recorded = to; }
std::vector<std::function<void()>>* recorded_launches() { return recorded; }

void set_order_seed(uint64_t seed) { runtime().seed = seed; }

int64_t launch_count() {
  const std::scoped_lock lock(runtime().mutex);
  return runtime().launches;
}

void lose_device_after(int64_t count) {
  const std::scoped_lock lock(runtime().mutex);
  runtime().lost_at = count < 0 ? -1 : runtime().launches + count;
}

std::optional<Fault> take_fault() {
  const std::scoped_lock lock(runtime().mutex);
  return std::exchange(runtime().first_fault, std::nullopt);
}

void* allocate(size_t bytes) {
  constexpr std::align_val_t kAlignment{256};
  auto* data = static_cast<std::byte*>(::operator new(std::max<size_t>(bytes, 1), kAlignment));
  std::memset(data, 0, bytes);
  const std::scoped_lock lock(runtime().mutex);
  runtime().allocations[data] = data + bytes;
  return data;
}

void release(void* data) {
  if (data == nullptr) return;
  {
    const std::scoped_lock lock(runtime().mutex);
    CHECK(runtime().allocations.erase(static_cast<std::byte*>(data)) == 1);
  }
  ::operator delete (data, std::align_val_t{256});
}

Extent extent_of(const void* address) {
  const auto* at = static_cast<const std::byte*>(address);
  const std::scoped_lock lock(runtime().mutex);
  auto found = runtime().allocations.upper_bound(at);
  if (found == runtime().allocations.begin()) return {};
  --found;
  return at < found->second || at == found->first ? Extent{found->first, found->second} : Extent{};
}

}  // namespace assay::simt
