#include "harness/base/build_info.h"

#include <fstream>
#include <thread>

#include "harness/base/text.h"

namespace assay {

BuildInfo build_info() {
#ifdef __clang__
  const std::string compiler = "clang " __clang_version__;
#else
  const std::string compiler = "gcc " __VERSION__;
#endif
  return {ASSAY_VERSION, ASSAY_COMMIT, compiler, ASSAY_BUILD_TYPE};
}

std::string machine_description() {
  std::ifstream info("/proc/cpuinfo");
  std::string line, name = "unknown CPU";
  while (std::getline(info, line)) {
    if (line.starts_with("model name") && line.find(':') != std::string::npos) {
      name = std::string(trim(line.substr(line.find(':') + 1)));
      break;
    }
  }
  return name + ", " + std::to_string(std::thread::hardware_concurrency()) + " cores";
}

}  // namespace assay
