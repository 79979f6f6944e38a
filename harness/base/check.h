// CHECK states what our own code guarantees; a failing one is a bug in assay, never bad input.
#pragma once

#include <cstdio>
#include <cstdlib>

#define CHECK(condition)                                                                      \
  do {                                                                                        \
    if (!(condition)) {                                                                       \
      std::fprintf(stderr,                                                                    \
                   "assay: internal error at %s:%d: %s does not hold; please report this.\n", \
                   __FILE__, __LINE__, #condition);                                           \
      std::abort();                                                                           \
    }                                                                                         \
  } while (false)
