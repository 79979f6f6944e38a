#include "scorers/code/sandbox.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

// Boost 1.81's headers of process v2 lack some of what they use.
#define BOOST_PROCESS_USE_STD_FS
#include <boost/optional.hpp>
#include <boost/type_traits.hpp>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/readable_pipe.hpp>
#include <boost/asio/writable_pipe.hpp>
#include <boost/process/v2/process.hpp>
#include <boost/process/v2/stdio.hpp>
#include <filesystem>
#include <thread>

#include "harness/base/clock.h"
#include "harness/base/file.h"
#include "harness/base/resources.h"
#include "harness/base/text.h"
#include "scorers/code/jail_group.h"

namespace assay {
namespace {

namespace asio = boost::asio;
namespace process = boost::process::v2;

// Beside the running program, or one folder up, where the tests' program finds it.
Result<std::string> jail_program() {
  std::error_code code;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", code);
  for (const std::filesystem::path& folder :
       {self.parent_path(), self.parent_path().parent_path()}) {
    const std::string path = (folder / "assay_jail").string();
    if (file_exists(path)) return path;
  }
  return Error{"assay_jail is not beside the program; build or install assay as a whole"};
}

}  // namespace

class Sandbox::Jail {
 public:
  static Result<std::unique_ptr<Jail>> start(Confinement confinement) {
    ASSAY_TRY(const std::string program, jail_program());
    ASSAY_TRY(const std::string zygote, find_resource("scorers/code/zygote.py"));
    auto jail = std::make_unique<Jail>();
    try {
      asio::writable_pipe requests(jail->context_);
      asio::readable_pipe answers(jail->context_);
      std::vector<std::string> arguments = {zygote, "/usr/bin/python3",
                                            confinement == Confinement::kBare ? "bare" : "jail"};
      jail->group_ = JailGroup::make(JailGroup::own_folders(), kMostProcesses);
      if (jail->group_) {
        const std::vector<std::string>& entrances = jail->group_->entrances();
        arguments.insert(arguments.end(), entrances.begin(), entrances.end());
      }
      jail->process_ = std::make_unique<process::process>(
          jail->context_, program, arguments, process::process_stdio{requests, answers, nullptr});
      jail->requests_ = requests.release();
      jail->answers_ = answers.release();
    } catch (const std::exception& error) {
      return Error{fmt::format("{}: cannot be started: {}", program, error.what())};
    }
    ASSAY_TRY(const Json ready, jail->receive(20));
    if (ready.value("status", "") != "ready") {
      return Error{"the sandbox cannot be made: " + ready.value("detail", std::string("?"))};
    }
    return jail;
  }

  ~Jail() {
    if (requests_ >= 0) close(requests_);
    if (answers_ >= 0) close(answers_);
    if (!process_) return;
    // Without requests the zygote ends by itself. What does not is asked to, so that a bare jail's
    // keeper still ends what is inside, and then made to.
    boost::system::error_code code;
    const auto ends_within = [&](double limit_s) {
      const double until_s = monotonic_s() + limit_s;
      while (process_->running(code) && !code && monotonic_s() < until_s) usleep(500);
      return !process_->running(code);
    };
    if (ends_within(0.5)) return;
    process_->request_exit(code);
    if (!ends_within(5)) process_->terminate(code);
  }

  // All processes of a program together get twice what one of them may have, as program and checker
  // may each have it, and what the jail itself takes.
  void limit_memory(int64_t bytes) {
    if (group_) (void)group_->limit_memory(2 * bytes + (int64_t{256} << 20));
  }
  bool limits_memory_of_all() const { return group_ && group_->limits_memory(); }
  int64_t killed_for_memory() const { return group_ ? group_->killed_for_memory() : 0; }

  Result<Json> ask(const Json& request, const std::string& part, double timeout_s) {
    const std::string body = dump_json(request);
    ASSAY_TRY_STATUS(send(fmt::format("{:08x}", body.size()) + body + part, timeout_s));
    return receive(timeout_s);
  }

 private:
  Status send(std::string_view bytes, double timeout_s) {
    const double until_s = monotonic_s() + timeout_s;
    while (!bytes.empty()) {
      ASSAY_TRY_STATUS(wait(requests_, POLLOUT, until_s));
      const ssize_t count = write(requests_, bytes.data(), std::min<size_t>(bytes.size(), 4096));
      if (count <= 0) return Error{"the jail takes no requests"};
      bytes.remove_prefix(static_cast<size_t>(count));
    }
    return {};
  }

  Result<Json> receive(double timeout_s) {
    const double until_s = monotonic_s() + timeout_s;
    ASSAY_TRY(const std::string header, receive_bytes(8, until_s));
    size_t size = 0;
    if (std::sscanf(header.c_str(), "%8zx", &size) != 1) return Error{"the jail answers nonsense"};
    ASSAY_TRY(const std::string body, receive_bytes(size, until_s));
    return parse_json(body, "the jail's answer");
  }

  Result<std::string> receive_bytes(size_t size, double until_s) {
    std::string bytes;
    std::vector<char> part(1 << 16);
    while (bytes.size() < size) {
      ASSAY_TRY_STATUS(wait(answers_, POLLIN, until_s));
      const ssize_t count = read(answers_, part.data(), std::min(part.size(), size - bytes.size()));
      if (count <= 0) return Error{"the jail ended"};
      bytes.append(part.data(), static_cast<size_t>(count));
    }
    return bytes;
  }

  static Status wait(int descriptor, short events, double until_s) {
    while (true) {
      const double left_s = until_s - monotonic_s();
      if (left_s <= 0) return Error{"the jail does not answer"};
      pollfd entry{descriptor, events, 0};
      const int ready = poll(&entry, 1, static_cast<int>(std::min(left_s, 3600.0) * 1000) + 1);
      if (ready > 0) return {};
      if (ready < 0 && errno != EINTR) return Error{"the jail cannot be waited for"};
    }
  }

  static constexpr int kMostProcesses = 48;  // a program's and the jail's

  std::unique_ptr<JailGroup> group_;
  asio::io_context context_;
  std::unique_ptr<process::process> process_;
  int requests_ = -1, answers_ = -1;
};

Result<std::unique_ptr<Sandbox>> Sandbox::start(int jails, Confinement confinement) {
  std::unique_ptr<Sandbox> sandbox(new Sandbox);
  sandbox->confinement_ = confinement;
  sandbox->most_ =
      jails > 0 ? jails : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  ASSAY_TRY(std::unique_ptr<Jail> first, Jail::start(confinement));
  sandbox->limits_memory_of_all_ = first->limits_memory_of_all();
  sandbox->there_ = 1;
  sandbox->idle_.push_back(std::move(first));
  return sandbox;
}

Sandbox::~Sandbox() = default;

Result<std::unique_ptr<Sandbox::Jail>> Sandbox::take() {
  {
    std::unique_lock lock(mutex_);
    free_.wait(lock, [this] { return !idle_.empty() || there_ < most_; });
    if (!idle_.empty()) {
      std::unique_ptr<Jail> jail = std::move(idle_.back());
      idle_.pop_back();
      return jail;
    }
    ++there_;
  }
  auto jail = Jail::start(confinement_);
  if (!jail.ok()) give_back(nullptr);
  return jail;
}

void Sandbox::give_back(std::unique_ptr<Jail> jail) {
  const std::lock_guard lock(mutex_);
  if (jail) {
    idle_.push_back(std::move(jail));
  } else {
    --there_;
  }
  free_.notify_one();
}

Result<ProgramOutcome> Sandbox::attempt(const Json& request, const std::string& part, double wall_s,
                                        bool foresee) {
  ASSAY_TRY(std::unique_ptr<Jail> jail, take());
  Json timed = request;
  timed["wall_s"] = wall_s;
  timed["foresee"] = foresee;
  jail->limit_memory(request.value("memory_bytes", int64_t{0}));
  const int64_t killed_before = jail->killed_for_memory();
  // The zygote keeps the wall limit itself; it has as much again for what comes before and after.
  const auto answer = jail->ask(timed, part, 2 * wall_s + 30);
  const bool too_much = jail->killed_for_memory() > killed_before;
  if (!answer.ok()) {
    jail.reset();
    give_back(nullptr);
    if (!too_much) return answer.error();
    ProgramOutcome outcome;
    outcome.status = "memory";
    outcome.detail = "all processes together, and the jail with them";
    return outcome;
  }
  give_back(std::move(jail));
  ProgramOutcome outcome;
  outcome.status = answer->value("status", std::string("unscored"));
  outcome.detail = answer->value("detail", std::string());
  outcome.output = answer->value("stdout", std::string());
  if (answer->contains("binary")) outcome.output = answer->value("binary", std::string());
  for (const Json& output : answer->value("outputs", Json::array())) {
    if (output.is_string()) outcome.outputs.push_back(output.get<std::string>());
  }
  if (too_much && outcome.status != "ok") {
    outcome.status = "memory";
    outcome.detail = "all processes together";
  }
  outcome.cpu_s = answer->value("cpu_s", 0.0);
  outcome.wall_s = answer->value("wall_s", 0.0);
  return outcome;
}

ProgramOutcome Sandbox::run_request(Json request, const std::string& part,
                                    const ProgramLimits& limits) {
  request["cpu_s"] = limits.cpu_s;
  request["memory_bytes"] = limits.memory_bytes;
  request["output_bytes"] = limits.output_bytes;
  if (!part.empty()) request["part_bytes"] = part.size();
  {
    const std::shared_lock shared(alone_);
    auto outcome = attempt(request, part, limits.wall_s, true);
    // A test made another call than its text seemed to say.
    if (outcome.ok() && outcome->status == "not foreseen") {
      outcome = attempt(request, part, limits.wall_s, false);
    }
    if (outcome.ok() && outcome->status != "wall") return *outcome;
  }
  // Whoever was slow on a busy machine, or lost its jail, gets the machine for itself. One that
  // computes all the time, which other programs of the machine may slow down, gets more time.
  const std::unique_lock exclusive(alone_);
  auto outcome = attempt(request, part, limits.wall_s, false);
  if (outcome.ok() && outcome->status == "wall" && outcome->cpu_s > 0.1 * outcome->wall_s) {
    outcome = attempt(request, part, 5 * limits.wall_s, false);
  }
  if (outcome.ok()) return *outcome;
  ProgramOutcome lost;
  lost.status = "unscored";
  lost.detail = outcome.error().message;
  return lost;
}

ProgramOutcome Sandbox::run(const std::string& source, const std::string& input,
                            const ProgramLimits& limits) {
  return run_request({{"mode", "stdin"}, {"source", source}, {"stdin", input}}, "", limits);
}

ProgramOutcome Sandbox::compile(const std::string& source) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = compiled_.find(source); found != compiled_.end()) return found->second;
  }
  const ProgramLimits limits{.cpu_s = 60, .wall_s = 130, .memory_bytes = int64_t{2} << 30};
  ProgramOutcome outcome = run_request({{"mode", "compile"}, {"source", source}}, "", limits);
  const std::lock_guard lock(mutex_);
  constexpr size_t kMostKept = 256;  // some 30 MB
  if (compiled_.size() >= kMostKept) compiled_.clear();
  if (outcome.status != "unscored") compiled_[source] = outcome;
  return outcome;
}

ProgramOutcome Sandbox::run_binary(const std::string& binary, const std::string& input,
                                   const ProgramLimits& limits) {
  return run_request({{"mode", "stdin"}, {"source", ""}, {"binary", binary}, {"stdin", input}}, "",
                     limits);
}

ProgramOutcome Sandbox::check(const std::string& mode, const std::string& source,
                              const std::string& entry, const std::string& part,
                              const ProgramLimits& limits) {
  return run_request({{"mode", mode}, {"source", source}, {"entry", entry}}, part, limits);
}

namespace {
std::atomic<Confinement> shared_confinement{Confinement::kJail};
}

void confine_shared_sandbox(Confinement confinement) { shared_confinement = confinement; }
bool shared_sandbox_is_bare() { return shared_confinement == Confinement::kBare; }

Result<Sandbox*> shared_sandbox() {
  static const Result<std::unique_ptr<Sandbox>> sandbox = Sandbox::start(0, shared_confinement);
  if (!sandbox.ok()) return sandbox.error();
  return sandbox->get();
}

}  // namespace assay
