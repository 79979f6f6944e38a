#include <fmt/format.h>

#include <cstdlib>
#include <memory>

#include "harness/commands.h"
#include "harness/model.h"
#include "harness/run_flags.h"
#include "harness/serve/server.h"
#include "harness/signals.h"

namespace assay {
namespace {

struct ServeArguments {
  ServeOptions serve;
  RunOptions run;
  std::string name, api_key_env;
};

Status serve(ServeArguments& arguments) {
  ServeOptions& options = arguments.serve;
  if (options.port < 0 || options.port > 65535) {
    return Error{fmt::format("--port {}: must be from 0 (any) to 65535", options.port)};
  }
  if (arguments.run.tensor_parallel > 1) {
    return Error{"--tensor-parallel: a server has no ranks yet; --device cuda:all has replicas"};
  }
  if (!arguments.api_key_env.empty()) {
    const char* key = std::getenv(arguments.api_key_env.c_str());
    if (key == nullptr || *key == '\0') {
      return Error{fmt::format("--api-key-env {}: the environment has no such variable",
                               arguments.api_key_env)};
    }
    options.api_key = key;
  }
  ASSAY_TRY(const auto model, open_model(arguments.run));
  if (model->local_engine() == nullptr) {
    return Error{fmt::format("serve: {} is no model of this machine", arguments.run.model)};
  }
  options.model_name = arguments.name.empty() ? model->name() : arguments.name;
  ASSAY_TRY(const auto server,
            Server::create(options, *model->local_model(), *model->local_engine()));
  install_stop_handler();
  fmt::print(stderr, "assay: serves {} at http://{}:{}/v1\n", options.model_name, options.host,
             server->port());
  if (options.api_key.empty() && !options.host.starts_with("127.") && options.host != "::1") {
    fmt::print(stderr, "assay: whoever reaches this address may use it; see --api-key-env\n");
  }
  return server->run(stop_requested());
}

}  // namespace

void add_serve_command(CLI::App& app, int* exit_code) {
  auto arguments = std::make_shared<ServeArguments>();
  CLI::App* command =
      app.add_subcommand("serve", "Answer OpenAI-compatible requests with a model of this machine");
  command->add_option("model", arguments->run.model, "A model folder, a .gguf file or builtin")
      ->required();
  command->add_option("--name", arguments->name, "What the model is called in requests");
  command->add_option("--host", arguments->serve.host, "Address to listen on")
      ->capture_default_str();
  command->add_option("--port,-p", arguments->serve.port, "Port to listen on; 0: any")
      ->capture_default_str();
  command->add_option("--api-key-env", arguments->api_key_env,
                      "Variable of the environment with the key that clients must send");
  command
      ->add_option("--max-waiting", arguments->serve.most_waiting,
                   "Samples that may wait for a slot; more get 429")
      ->capture_default_str();
  command->add_option("--max-connections", arguments->serve.most_connections, "Open connections")
      ->capture_default_str();
  command->add_option("--max-body-bytes", arguments->serve.body_bytes, "Bytes of a request's body")
      ->capture_default_str();
  add_engine_flags(*command, arguments->run);
  command->footer(
      "Examples:\n"
      "  assay serve builtin\n"
      "  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\\n"
      "    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"What is 2 + 3?\"}]}'\n"
      "  assay run --model http://127.0.0.1:8000/v1 --tasks arithmetic");
  command->callback([arguments, exit_code] {
    const Status status = serve(*arguments);
    *exit_code = status.ok() ? kExitDone : fail(status.error());
  });
}

}  // namespace assay
