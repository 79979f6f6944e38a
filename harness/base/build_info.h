// What this program is, for manifests and --version.
#pragma once

#include <string>

namespace assay {

struct BuildInfo {
  std::string version;   // "0.1.0"
  std::string commit;    // git describe, "unknown" outside a checkout
  std::string compiler;  // "gcc 12.2.0"
  std::string build_type;
};

BuildInfo build_info();
// "AMD EPYC …, 2 cores"
std::string machine_description();

}  // namespace assay
