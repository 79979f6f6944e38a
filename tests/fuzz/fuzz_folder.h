// A folder in memory for one fuzzed file.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>

#include "harness/base/check.h"

namespace assay {

class FuzzFolder {
 public:
  FuzzFolder() {
    char name[] = "/dev/shm/assay_fuzz_XXXXXX";
    CHECK(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  const std::string& path() const { return path_; }

  // Writes a file of the folder; returns its path.
  std::string write(const std::string& name, const uint8_t* data, size_t size) const {
    const std::string file = path_ + "/" + name;
    std::FILE* out = std::fopen(file.c_str(), "wb");
    CHECK(out != nullptr);
    CHECK(std::fwrite(data, 1, size, out) == size);
    std::fclose(out);
    return file;
  }

 private:
  std::string path_;
};

}  // namespace assay
