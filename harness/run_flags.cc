#include "harness/run_flags.h"

#include <fmt/format.h>

#include "datasets/fetch.h"
#include "harness/base/file.h"
#include "harness/base/text.h"
#include "scorers/code/sandbox.h"

namespace assay {

std::string default_data_folder() {
  const std::string folder = cached_data_folder();
  return is_directory(folder) ? folder : std::string();
}

void add_sandbox_flags(CLI::App& command, RunOptions& o) {
  command
      .add_option("--sandbox", o.sandbox,
                  "Where programs of a model run: jail; none, for machines that forbid namespaces "
                  "and may be lost")
      ->capture_default_str()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  command.add_flag("--i-understand-this-runs-model-code", o.understands_model_code,
                   "The word that --sandbox none wants");
}

Status use_sandbox(const RunOptions& options) {
  if (options.sandbox == "jail") return {};
  if (options.sandbox != "none") {
    return Error{
        fmt::format("--sandbox {}: must be jail or none", quote_for_message(options.sandbox))};
  }
  if (!options.understands_model_code) {
    return Error{
        "--sandbox none: runs programs that a model wrote with the rights of a user of this "
        "machine; say --i-understand-this-runs-model-code too"};
  }
  confine_shared_sandbox(Confinement::kBare);
  return {};
}

void add_engine_flags(CLI::App& app, RunOptions& o) {
  CLI::App* command = &app;
  const auto last = CLI::MultiOptionPolicy::TakeLast;
  command->add_option("--threads", o.threads, "Threads of the engine; 0: one for each core")
      ->capture_default_str()
      ->multi_option_policy(last);
  command->add_option("--batch-size", o.batch_size, "Sequences that are sampled together")
      ->capture_default_str()
      ->multi_option_policy(last);
  command
      ->add_option("--kv-cache-gib", o.kv_cache_gib,
                   "Memory of the KV cache; 0: half of what is available, on a GPU all that "
                   "--gpu-memory leaves")
      ->capture_default_str()
      ->multi_option_policy(last);
  command
      ->add_option("--gpu-memory", o.gpu_memory,
                   "Share of a GPU's free memory that weights and KV cache may take")
      ->capture_default_str()
      ->multi_option_policy(last);
  command
      ->add_option(
          "--device", o.device,
          "auto (a GPU if there is one), cpu, cuda, cuda:N, cuda:all (a replica on each), or "
          "simt: the GPU's kernels, emulated, for tests")
      ->capture_default_str()
      ->multi_option_policy(last);
  command
      ->add_option("--tensor-parallel", o.tensor_parallel,
                   "GPUs, from --device's on, that compute the model together")
      ->capture_default_str()
      ->multi_option_policy(last);
  command
      ->add_option("--gemm", o.gemm,
                   "Who multiplies 16-bit weights on a GPU: kernel (this program's) or cublaslt")
      ->capture_default_str()
      ->multi_option_policy(last);
  command
      ->add_option("--cpu-isa", o.cpu_isa,
                   "auto, avx512_vnni, avx512, avx2 or portable; all give the same tokens")
      ->capture_default_str()
      ->multi_option_policy(last);
  command
      ->add_option("--activations", o.activations,
                   "Arithmetic of products; on the CPU with quantized and BF16 weights fixed16 "
                   "(auto; fast, within 1e-3 of f32), f32, or int8 (as coarse as llama.cpp's), on "
                   "a GPU bf16x2 "
                   "(auto; 16 bits) or bf16")
      ->capture_default_str()
      ->multi_option_policy(last);
  command
      ->add_option("--kv-cache", o.kv_cache,
                   "Storage of keys and values: on the CPU fixed16 (auto), f32, twice the size, or "
                   "bf16, as on a GPU (auto); a GPU has int8 too, which is half of it")
      ->capture_default_str()
      ->multi_option_policy(last);
}

void add_question_flags(CLI::App& app, RunOptions& o) {
  app.add_option("--release", o.release,
                 "Release of a suite's data: v5, all that there was then; v4_v5, what these added");
  app.add_option("--from", o.from, "Only questions from this date on, as 2024-08");
  app.add_option("--to", o.to, "Only questions up to this date, as 2025-01");
  app.add_flag("--all-tests", o.all_tests,
               "Run a program's tests behind the first that fails, too, and tell the share passed");
}

void add_sampling_flags(CLI::App& app, RunOptions& o) {
  CLI::App* command = &app;
  const auto last = CLI::MultiOptionPolicy::TakeLast;
  command
      ->add_option("--tasks,-t", o.tasks, "Suites, separated by commas; suite:64 sets its samples")
      ->delimiter(',');
  command
      ->add_option("--judge", o.judges,
                   "Model that judges answers of suites that need one, named as with --model; may "
                   "be repeated")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--questions", o.questions, "Only the questions of these ids, by commas")
      ->delimiter(',');
  add_question_flags(app, o);
  command
      ->add_option("--scoring-threads", o.scoring_threads,
                   "Completions that are scored at a time; 0: one for each core")
      ->capture_default_str()
      ->multi_option_policy(last);
  add_sandbox_flags(app, o);
  command
      ->add_option(
          "--grader", o.grader,
          "default; strict: answers equal as written (no rounding, percent, ratio); guess: "
          "a letter by hash where none is found, as MMLU-Pro's script does")
      ->capture_default_str()
      ->multi_option_policy(last);
  command->add_option("--num-samples,-n,--repeats,--epochs", o.num_samples, "Samples a question")
      ->multi_option_policy(last);
  command
      ->add_option("--limit,-l", o.limit,
                   "Only the first questions of each suite, or of each of its groups")
      ->multi_option_policy(last);
  o.data = default_data_folder();
  command->add_option("--data", o.data, "Folder of the suites' data")
      ->envname("ASSAY_DATA")
      ->multi_option_policy(last);
  command->add_option("--seed", o.seed, "Seed of the run")
      ->capture_default_str()
      ->multi_option_policy(last);
  command->add_option("--temperature,--temp", o.temperature, "Sampling temperature; 0 is greedy")
      ->multi_option_policy(last);
  command
      ->add_option("--top-p,--top_p", o.top_p, "Keep the likeliest tokens up to this probability")
      ->multi_option_policy(last);
  command->add_option("--top-k,--top_k", o.top_k, "Keep this many of the likeliest tokens; 0: all")
      ->multi_option_policy(last);
  command
      ->add_option("--min-p,--min_p", o.min_p,
                   "Keep tokens of this share of the best one's probability")
      ->multi_option_policy(last);
  command
      ->add_option("--max-tokens,--max_tokens,--max-gen-toks", o.max_tokens,
                   "Tokens a completion may have")
      ->multi_option_policy(last);
  command
      ->add_option("--stop", o.stop, "Stop string, looked for after the thought; may be repeated")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command
      ->add_option("--think", o.think,
                   "Begin responses with <think> where the suite asks: auto (models that know it), "
                   "on, off")
      ->capture_default_str()
      ->multi_option_policy(last);
  command
      ->add_option("--first-sample", o.first_sample,
                   "Index of the first sample, to split a run: n 32 and n 32 from 32 are n 64")
      ->capture_default_str()
      ->multi_option_policy(last);
  add_engine_flags(app, o);
  command
      ->add_option("--template-of", o.template_of,
                   "Of a model behind a URL: render prompts here with the tokenizer and chat "
                   "template of this .gguf or folder, and send them as they are")
      ->multi_option_policy(last);
  command
      ->add_option("--server-profile", o.server_profile,
                   "Kind of server behind a URL: auto, openai, deepseek, vllm, sglang, "
                   "llama-server, ollama, other")
      ->capture_default_str()
      ->multi_option_policy(last);
  command
      ->add_option("--max-connections", o.max_connections,
                   "Requests in flight at servers; fewer when they say that it is too many")
      ->capture_default_str()
      ->multi_option_policy(last);
  command
      ->add_option("--requests-per-minute", o.requests_per_minute,
                   "Most requests a minute that servers get; 0: no limit")
      ->capture_default_str()
      ->multi_option_policy(last);
  command->add_flag("--stream", o.stream,
                    "Have servers send answers as they are made, so that no connection idles and "
                    "one over its limit is cut off");
  command
      ->add_option("--samples-per-request", o.samples_per_request,
                   "Samples of a question that a server is asked for together, where it can")
      ->capture_default_str()
      ->multi_option_policy(last);
  command->add_option("--request-timeout", o.request_timeout_s, "Seconds that a request may take")
      ->capture_default_str()
      ->multi_option_policy(last);
}

}  // namespace assay
