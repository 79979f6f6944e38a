#include "harness/signals.h"

#include <unistd.h>
#include <csignal>

namespace assay {
namespace {

std::atomic<bool> stop_flag{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the handler may only touch lock-free state");

void on_signal(int signal) {
  if (stop_flag.exchange(true)) ::_exit(128 + signal);
}

}  // namespace

const std::atomic<bool>& stop_requested() { return stop_flag; }

void install_stop_handler() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace assay
