// The one seam to the file system. Paths are UTF-8; every error names the path.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "harness/base/result.h"

namespace assay {

// A whole file mapped read-only; unmapped on destruction. Views into it must not outlive it.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::string& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    return *this;
  }
  ~MappedFile();

  std::string_view bytes() const { return {data_, size_bytes_}; }
  // The pages read so far need not stay in memory; reading them again is only slower.
  void drop_pages() const;

 private:
  const char* data_ = nullptr;
  size_t size_bytes_ = 0;
};

// An exclusive lock on a file, held until destruction or the end of the process.
class FileLock {
 public:
  // Fails at once if another process holds it.
  static Result<FileLock> acquire(const std::string& path);
  FileLock() = default;
  FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileLock& operator=(FileLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~FileLock();

 private:
  int descriptor_ = -1;
};

// A file that replaces `path` at once when it is finished, or leaves the old one: written beside
// it, synced, renamed. Not finished, it is removed.
class AtomicFile {
 public:
  static Result<AtomicFile> create(const std::string& path);
  AtomicFile(AtomicFile&& other) noexcept
      : path_(std::move(other.path_)),
        temporary_(std::move(other.temporary_)),
        descriptor_(std::exchange(other.descriptor_, -1)) {}
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  Status append(std::string_view bytes);
  Status finish();

 private:
  AtomicFile() = default;
  std::string path_, temporary_;
  int descriptor_ = -1;
};

Result<std::string> read_file(const std::string& path);
Status write_file_atomically(const std::string& path, std::string_view content);
Status create_directories(const std::string& path);
bool file_exists(const std::string& path);
bool is_directory(const std::string& path);

}  // namespace assay
