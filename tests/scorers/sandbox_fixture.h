// For tests that run programs.
#pragma once

#include <gtest/gtest.h>

#include "scorers/code/code.h"

// Skips a test where this machine makes no jail, and says why.
#define ASSAY_NEED_SANDBOX()                                          \
  if (const Status assay_able = can_run_programs(); !assay_able.ok()) \
  GTEST_SKIP() << assay_able.error().message
