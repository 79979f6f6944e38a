// What `assay run` was asked to do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace assay {

struct RunOptions {
  std::string model;               // DIR, FILE.gguf, "builtin" or "replay:RUN"
  std::string model_name;          // of completions that were imported; empty: the file's
  std::vector<std::string> tasks;  // "math500" or "math500:64"
  std::string data;                // --data, else ASSAY_DATA
  std::string output_dir;          // the run's folder; empty: runs/<model>-<tasks>-<fingerprint>
  std::vector<std::string> questions;  // only the items of these ids; empty: all
  std::string release;                 // of a suite's data, as v5; empty: the suite's
  std::string from, to;                // dates of questions: 2024-08 or 2024-08-15, both inclusive
  std::optional<int> num_samples, limit, max_tokens, top_k;
  std::optional<double> temperature, top_p, min_p;
  std::vector<std::string> stop;
  std::vector<std::string> judges;      // models that judge, named like `model`
  std::string sandbox = "jail";         // or none; see scorers/code/bare.h
  bool understands_model_code = false;  // the word that "none" wants
  int scoring_threads = 0;              // 0: one for each core
  bool all_tests = false;               // of a program, not only up to the first that fails
  std::string grader = "default";       // default, strict or official; see make_scorer
  std::string think = "auto";           // auto, on, off; see render_prompt
  int first_sample = 0;
  uint64_t seed = 0;
  int threads = 0;  // 0: one for each core
  int batch_size = 64;
  double kv_cache_gib = 0, gpu_memory = 0.9;
  int tensor_parallel = 1;
  std::string gemm = "kernel";  // or cublaslt: who multiplies 16-bit weights on a GPU
  std::string cpu_isa = "auto";
  std::string device = "auto";                          // see engine/runtime/local_engine.h
  std::string activations = "auto", kv_cache = "auto";  // see engine/ops.h
  // Of models behind a URL.
  std::string template_of;              // --template-of: a .gguf or folder; see remote_model.h
  std::string server_profile = "auto";  // see engine/remote/profiles.json
  int max_connections = 64;
  bool stream = false;
  int samples_per_request = 1;
  double requests_per_minute = 0, request_timeout_s = 3600;
  bool dry_run = false;
  std::string shard = "auto";  // see harness/shard.h
  std::string config;          // --config; its flags are already among the others
};

}  // namespace assay
