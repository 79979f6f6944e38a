// Pointers of kernels, checked: Global<T> into an allocation of the device, Shared<T> into the
// block's shared memory. nvcc compiles both as T*.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <cstring>
#include <type_traits>

#include "engine/cuda/simt/block.h"

namespace assay::simt {

// An index that knows the line that it is written in.
struct Index {
  int64_t value;
  Where where;

  template <std::integral T>
  Index(T v, Where at = Where::current()) : value(static_cast<int64_t>(v)), where(at) {}
};

template <typename T>
class Global {
 public:
  Global() = default;
  Global(std::nullptr_t) {}
  Global(T* data) : at_(data) {
    if (data != nullptr) extent_ = extent_of(data);
  }
  template <typename U>
  requires std::is_convertible_v<U*, T*> Global(const Global<U>& other)
      : at_(other.raw()), extent_(other.extent()) {}

  T& operator[](Index i) const {
    T* at = at_ + i.value;
    check(at, sizeof(T), i.where);
    return *at;
  }
  Global operator+(int64_t n) const { return Global(at_ + n, extent_); }
  Global& operator+=(int64_t n) {
    at_ += n;
    return *this;
  }
  bool operator==(std::nullptr_t) const { return at_ == nullptr; }

  T* raw() const { return at_; }
  const Extent& extent() const { return extent_; }

  // Reads or writes sizeof(V) bytes at once, as a vector access of the hardware.
  template <typename V>
  V load(const Where& where) const {
    check(at_, sizeof(V), where);
    check_aligned(at_, sizeof(V), where);
    V value;
    std::memcpy(&value, at_, sizeof(V));
    return value;
  }
  template <typename V>
  void store(const V& value, const Where& where) const {
    check(at_, sizeof(V), where);
    check_aligned(at_, sizeof(V), where);
    std::memcpy(at_, &value, sizeof(V));
  }

  template <typename U>
  Global<U> as() const {
    return Global<U>(reinterpret_cast<U*>(at_), extent_);
  }

  Global(T* at, const Extent& extent) : at_(at), extent_(extent) {}

 private:
  void check(const void* at, size_t bytes, const Where& where) const {
    const auto* first = static_cast<const std::byte*>(at);
    if (first < extent_.begin || first + bytes > extent_.end) {
      fault(extent_.begin == nullptr
                ? std::string("global memory: the pointer is not into an allocation")
                : fmt::format("global memory: out of bounds, byte {} of {}", first - extent_.begin,
                              extent_.end - extent_.begin),
            where);
    }
  }
  static void check_aligned(const void* at, size_t bytes, const Where& where) {
    if (reinterpret_cast<uintptr_t>(at) % bytes != 0) {
      fault(fmt::format("global memory: misaligned access of {} bytes", bytes), where);
    }
  }

  T* at_ = nullptr;
  Extent extent_;
};

template <typename T>
class SharedRef;

template <typename T>
class Shared {
 public:
  Shared() = default;
  Shared(int64_t offset, int64_t begin, int64_t end) : offset_(offset), begin_(begin), end_(end) {}

  SharedRef<T> operator[](Index i) const {
    return SharedRef<T>(offset_ + i.value * static_cast<int64_t>(sizeof(T)), *this, i.where);
  }
  Shared operator+(int64_t n) const {
    return Shared(offset_ + n * static_cast<int64_t>(sizeof(T)), begin_, end_);
  }
  template <typename U>
  Shared<U> as() const {
    return Shared<U>(offset_, begin_, end_);
  }

  template <typename V>
  V load(const Where& where) const {
    V value;
    std::memcpy(&value, checked(offset_, sizeof(V), where), sizeof(V));
    block().will_read(static_cast<size_t>(offset_), sizeof(V), where);
    return value;
  }
  template <typename V>
  void store(const V& value, const Where& where) const {
    unsigned char* at = checked(offset_, sizeof(V), where);
    block().will_write(static_cast<size_t>(offset_), sizeof(V), where);
    std::memcpy(at, &value, sizeof(V));
  }
  unsigned char* checked(int64_t offset, size_t bytes, const Where& where) const {
    if (offset < begin_ || offset + static_cast<int64_t>(bytes) > end_) {
      fault(fmt::format("shared memory: out of bounds, byte {} of {}", offset - begin_,
                        end_ - begin_),
            where);
    }
    if (offset % static_cast<int64_t>(bytes) != 0) {
      fault(fmt::format("shared memory: misaligned access of {} bytes", bytes), where);
    }
    return block().shared + offset;
  }
  int64_t offset() const { return offset_; }

 private:
  int64_t offset_ = 0, begin_ = 0, end_ = 0;
};

// An element, read or written.
template <typename T>
class SharedRef {
 public:
  SharedRef(int64_t offset, const Shared<T>& memory, const Where& where)
      : at_(memory.checked(offset, sizeof(T), where)), offset_(offset), where_(where) {}
  operator T() const {
    block().will_read(static_cast<size_t>(offset_), sizeof(T), where_);
    T value;
    std::memcpy(&value, at_, sizeof(T));
    return value;
  }
  T operator=(T value) const {
    block().will_write(static_cast<size_t>(offset_), sizeof(T), where_);
    std::memcpy(at_, &value, sizeof(T));
    return value;
  }
  T operator=(const SharedRef& other) const { return *this = static_cast<T>(other); }
  T operator+=(T value) const { return *this = static_cast<T>(*this) + value; }

 private:
  unsigned char* at_;
  int64_t offset_;
  Where where_;
};

template <typename T>
Shared<T> shared_variable(const void* id, int64_t count, Where where = Where::current()) {
  const auto bytes = static_cast<size_t>(count) * sizeof(T);
  const auto offset = static_cast<int64_t>(block().shared_variable(id, bytes, where));
  return Shared<T>(offset, offset, offset + static_cast<int64_t>(bytes));
}

template <typename T>
Shared<T> dynamic_shared() {
  const auto begin = static_cast<int64_t>(block().dynamic_begin);
  return Shared<T>(begin, begin, begin + static_cast<int64_t>(block().dynamic_bytes));
}

}  // namespace assay::simt
