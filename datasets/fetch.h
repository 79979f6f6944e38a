// Brings the data files of suites from where they are published.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "datasets/manifest.h"
#include "harness/base/result.h"

namespace assay {

struct FetchOptions {
  std::string folder;         // where the files go, as --data then names it
  bool offline = false;       // only looks at what is there
  bool accept_terms = false;  // of files whose owners ask for agreement
  std::string token;          // for huggingface.co alone; empty: none
  // Beginnings of addresses and what takes their place; the first that fits is used.
  std::vector<std::pair<std::string, std::string>> mirrors;
  int max_attempts = 6;  // of each address, when connections break or servers fail
  double first_delay_s = 0.5;
  // Bytes that are there, and in all (0: not known).
  std::function<void(int64_t, int64_t)> progress;
  const std::atomic<bool>* stop = nullptr;
};

enum class Fetched { kThere, kNew };

// The file of a manifest's entry. It is written under another name and takes its own only when it
// has the bytes and the SHA-256 that the manifest says; what a broken connection left is gone on
// with. Redirects are followed, to http and https only. An error says what to do.
Result<Fetched> fetch_file(const ManifestEntry& entry, const FetchOptions& options);

// $XDG_CACHE_HOME/assay/data, else ~/.cache/assay/data; empty without either.
std::string cached_data_folder();

}  // namespace assay
