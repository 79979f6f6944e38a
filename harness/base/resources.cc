#include "harness/base/resources.h"

#include <cstdlib>
#include <filesystem>
#include <vector>

namespace assay {

Result<std::string> find_resource(const std::string& relative_path) {
  std::vector<std::filesystem::path> roots;
  if (const char* home = std::getenv("ASSAY_HOME")) {
    roots = {home};
  } else {
    std::error_code code;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", code);
    if (!code) roots.push_back(program.parent_path().parent_path() / "share/assay");
    roots.push_back(ASSAY_SOURCE_DIR);
  }
  for (const auto& root : roots) {
    std::error_code code;
    if (std::filesystem::exists(root / relative_path, code)) return (root / relative_path).string();
  }
  return Error{relative_path + ": not found under " + roots.back().string() +
               "; set ASSAY_HOME to the folder that holds assay's suites and datasets"};
}

}  // namespace assay
