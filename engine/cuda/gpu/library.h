// A library that is loaded when it is asked for.
#pragma once

#include <dlfcn.h>

namespace assay {

// Looks up the functions of a library that dlopen() has loaded, or not: null.
class DynamicLibrary {
 public:
  explicit DynamicLibrary(const char* name) : library_(dlopen(name, RTLD_NOW | RTLD_LOCAL)) {}

  template <typename Function>
  void find(const char* name, Function& function) {
    function = library_ == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(library_, name));
    complete_ = complete_ && function != nullptr;
  }
  // Whether all that was looked for is there.
  bool complete() const { return complete_; }

 private:
  void* library_;  // stays for the life of the program
  bool complete_ = true;
};

}  // namespace assay
