// Ctrl-C: the first stops the run cleanly, the second ends the process at once.
#pragma once

#include <atomic>

namespace assay {

// Set by SIGINT and SIGTERM after install_stop_handler().
const std::atomic<bool>& stop_requested();
void install_stop_handler();

}  // namespace assay
