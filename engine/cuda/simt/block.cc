// What a block's threads may do together, and what they may touch: barriers, warp operations, and
// the checks of shared memory.
#include "engine/cuda/simt/block.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace assay::simt {

size_t Block::shared_variable(const void* id, size_t bytes, const Where& where) {
  for (const Variable& variable : variables_) {
    if (variable.id == id) return variable.offset;
  }
  const size_t offset = static_bytes_;
  static_bytes_ += (bytes + 15) / 16 * 16;
  if (static_bytes_ > dynamic_begin) {
    fault(fmt::format("the block's shared memory is over {} bytes", kMaxSharedBytes), where);
  }
  std::memset(shared + offset, 0xFF, bytes);
  variables_.push_back({id, offset, bytes});
  return offset;
}

int Block::barrier(int value, const char* name, const Where& where) {
  thread->barrier_value = value;
  wait(Thread::State::kAtBarrier, name, where);
  return barrier_result_;
}

void Block::warp_operation(uint32_t mask, const char* name, const void* in, void* out,
                           WarpOperation::Apply apply, const Where& where) {
  const int lane = thread->lane, warp = thread->warp;
  if (!(mask >> lane & 1)) fault(fmt::format("{}: the mask lacks the calling lane", name), where);
  std::vector<WarpOperation>& operations = operations_[warp];
  auto found = std::find_if(operations.begin(), operations.end(),
                            [&](const WarpOperation& each) { return (each.mask & mask) != 0; });
  if (found == operations.end()) {
    WarpOperation fresh;
    fresh.mask = mask;
    fresh.apply = apply;
    fresh.where = where;
    fresh.name = name;
    operations.push_back(fresh);
    found = std::prev(operations.end());
  } else if (found->mask != mask || found->apply != apply || found->where.line != where.line) {
    fault(fmt::format("{} (mask {:#x}) while other lanes of the warp are in {} (mask {:#x}) in "
                      "line {}",
                      name, mask, found->name, found->mask, found->where.line),
          where);
  }
  found->in[lane] = in;
  found->out[lane] = out;
  found->arrived |= 1u << lane;
  if (found->arrived != mask) return wait(Thread::State::kInWarpOperation, name, where);
  const WarpOperation whole = *found;
  operations.erase(found);
  whole.apply(mask, whole.in, whole.out);
  for (int i = 0; i < kWarpLanes; ++i) {
    if (i != lane && (mask >> i & 1)) {
      threads_[static_cast<size_t>(warp) * kWarpLanes + i].state = Thread::State::kReady;
    }
  }
}

void Block::warp_sync(uint32_t mask, const Where& where) {
  const uint32_t before = warp_syncs_[thread->warp];
  warp_operation(
      mask, "__syncwarp", nullptr, nullptr, [](uint32_t, const void* const*, void* const*) {},
      where);
  // The first lane that goes on begins the interval; part of a warp orders nothing for the others.
  const auto lanes = static_cast<int>(threads_.size()) - thread->warp * kWarpLanes;
  const uint32_t all = lanes >= kWarpLanes ? ~0u : (1u << lanes) - 1;
  if (mask == all && warp_syncs_[thread->warp] == before) ++warp_syncs_[thread->warp];
}

void Block::check_order(const SharedCell& cell, bool writes, size_t offset, const Where& where) {
  const int own = thread->linear, warp = thread->warp;
  const uint32_t sync = warp_syncs_[warp];
  const auto race = [&](const char* what, int other) {
    fault(fmt::format("race: {} byte {} of shared memory, which thread {} {} since the last "
                      "barrier",
                      writes ? "writes" : "reads", offset,
                      other == SharedCell::kManyThreads ? std::string("of several")
                                                        : to_text(threads_[other].index),
                      what),
          where);
  };
  if (cell.write_interval == interval_ && cell.writer != own) {
    const bool ordered = threads_[cell.writer].warp == warp && cell.writer_sync < sync;
    if (!ordered) race("wrote", cell.writer);
  }
  if (writes && cell.read_interval == interval_ && cell.reader != own) {
    const bool ordered = cell.reader_warp == warp && cell.reader_sync < sync;
    if (!ordered) race("read", cell.reader);
  }
}

void Block::will_read(size_t offset, size_t bytes, const Where& where) {
  const uint32_t sync = warp_syncs_[thread->warp];
  for (size_t i = offset / SharedCell::kBytes; i * SharedCell::kBytes < offset + bytes; ++i) {
    SharedCell& cell = cells[i];
    const size_t at = i * SharedCell::kBytes;
    if (cell.pending && cell.write_interval >= first_interval_) {
      fault(fmt::format("reads byte {} of shared memory before its cp.async is waited for", at),
            where);
    }
    if (cell.write_interval < first_interval_) {
      fault(fmt::format("reads byte {} of shared memory, which nobody has written", at), where);
    }
    check_order(cell, false, at, where);
    const auto own = static_cast<uint16_t>(thread->linear);
    const auto warp = static_cast<uint16_t>(thread->warp);
    if (cell.read_interval != interval_) {
      cell.reader = own;
      cell.reader_warp = warp;
    } else {
      if (cell.reader != own) cell.reader = SharedCell::kManyThreads;
      if (cell.reader_warp != warp) cell.reader_warp = SharedCell::kManyThreads;
    }
    cell.read_interval = interval_;
    cell.reader_sync = sync;
  }
}

void Block::will_write(size_t offset, size_t bytes, const Where& where) {
  for (size_t i = offset / SharedCell::kBytes; i * SharedCell::kBytes < offset + bytes; ++i) {
    SharedCell& cell = cells[i];
    check_order(cell, true, i * SharedCell::kBytes, where);
    cell.write_interval = interval_;
    cell.writer_sync = warp_syncs_[thread->warp];
    cell.writer = static_cast<uint16_t>(thread->linear);
    cell.pending = false;
  }
}

void Block::will_copy_into(size_t offset, size_t bytes, const Where& where) {
  will_write(offset, bytes, where);
  for (size_t i = offset / SharedCell::kBytes; i * SharedCell::kBytes < offset + bytes; ++i) {
    cells[i].pending = true;
  }
  std::memset(shared + offset, 0xFF, bytes);
}

void Block::finish_copies(int groups_left, const Where& where) {
  std::vector<AsyncCopy>& copies = thread->copies;
  const int last = thread->copy_group - groups_left;  // groups before it are done
  std::erase_if(copies, [&](const AsyncCopy& copy) {
    if (copy.group >= last) return false;
    will_write(copy.offset, static_cast<size_t>(copy.bytes), where);
    std::memcpy(shared + copy.offset, copy.data, static_cast<size_t>(copy.bytes));
    return true;
  });
}

}  // namespace assay::simt
