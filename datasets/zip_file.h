// Files inside a zip archive (libzip; Zstandard, method 93, by libzstd).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace assay {

class ZipFile {
 public:
  // Not a zip, or a damaged one, is an error.
  static Result<ZipFile> open(const std::string& path);
  ZipFile(ZipFile&&) noexcept;
  ZipFile& operator=(ZipFile&&) noexcept;
  ~ZipFile();

  // In the archive's order. Names are only looked at, never made into paths.
  const std::vector<std::string>& names() const;
  // Unpacked, in memory; over `most_bytes` is an error. `password`: of an encrypted entry.
  Result<std::string> read(const std::string& name, const std::string& password = {},
                           uint64_t most_bytes = uint64_t{1} << 30) const;

 private:
  struct Archive;
  explicit ZipFile(std::unique_ptr<Archive> archive);
  std::unique_ptr<Archive> archive_;
};

}  // namespace assay
