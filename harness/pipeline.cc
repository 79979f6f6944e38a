#include "harness/pipeline.h"

#include <tbb/flow_graph.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <vector>

#include "harness/base/parallel.h"

namespace assay {
namespace {

constexpr int kMaxUnderWay = 512;  // completions between the engine and the disk
constexpr size_t kMaxBatch = 256;  // records in one transaction

}  // namespace

SampleRecord judge(const Pipeline::Judge& judge, Completion completion) {
  SampleRecord record;
  record.verdict = judge.scorer->score(*judge.item, completion);
  record.scorer = judge.scorer->id();
  record.completion = std::move(completion);
  return record;
}

struct Pipeline::Graph {
  // What the nodes pass on; a node reads a copy that another thread may have made.
  template <typename T>
  class Message {
   public:
    Message() = default;
    explicit Message(std::shared_ptr<T> content) : content_(std::move(content)) {}
    Message(const Message& other) : content_(other.content()) { done_at(this); }
    Message& operator=(const Message& other) {
      content_ = other.content();
      done_at(this);
      return *this;
    }
    ~Message() = default;

    const std::shared_ptr<T>& content() const {
      seen_at(this);
      return content_;
    }

   private:
    std::shared_ptr<T> content_;
  };

  using EncodedPtr = std::shared_ptr<RunStore::Encoded>;
  using CompletionMessage = Message<Completion>;
  using EncodedMessage = Message<RunStore::Encoded>;

  Graph(const Judges& all_judges, RunStore& run_store, Progress& run_progress, int threads)
      : judges(all_judges),
        store(run_store),
        progress(run_progress),
        arena(std::max(1, threads), 0) {
    // An arena of its own: the engine's threads never wait for a scorer.
    arena.execute([&] {
      graph.emplace();
      score_node.emplace(*graph, static_cast<size_t>(std::max(1, threads)),
                         [this](const CompletionMessage& message) {
                           return EncodedMessage(score(std::move(*message.content())));
                         });
      store_node.emplace(*graph, tbb::flow::serial,
                         [this](const EncodedMessage& message) { return keep(message.content()); });
      tbb::flow::make_edge(*score_node, *store_node);
    });
  }

  EncodedPtr score(Completion completion) const {
    const Judge& found = judges.at({completion.id.suite, completion.id.item_id});
    return std::make_shared<RunStore::Encoded>(
        RunStore::encode(judge(found, std::move(completion))));
  }

  tbb::flow::continue_msg keep(const EncodedPtr& encoded) {
    seen_at(this);
    if (!failed) {
      Status status = store.insert(*encoded);
      if (status.ok()) uncommitted.push_back(encoded);
      // Commit when nothing waits behind this record, or when enough have gathered.
      bool last = false;
      {
        const std::lock_guard lock(mutex);
        last = under_way == 1;
      }
      if (status.ok() && (last || uncommitted.size() >= kMaxBatch)) status = commit();
      if (!status.ok()) fail(status.error());
    }
    {
      const std::lock_guard lock(mutex);
      --under_way;
    }
    room.notify_one();
    done_at(this);
    return {};
  }

  Status commit() {
    ASSAY_TRY_STATUS(store.commit());
    for (const EncodedPtr& encoded : uncommitted) progress.add(encoded->record);
    uncommitted.clear();
    return {};
  }

  void fail(const Error& what) {
    const std::lock_guard lock(mutex);
    if (!error) error = what;
    failed = true;
  }

  const Judges& judges;
  RunStore& store;
  Progress& progress;
  std::mutex mutex;
  std::condition_variable room;
  int under_way = 0;
  std::atomic<bool> failed{false};
  std::optional<Error> error;
  std::vector<EncodedPtr> uncommitted;  // touched by the store node only
  tbb::task_arena arena;
  std::optional<tbb::flow::graph> graph;
  std::optional<tbb::flow::function_node<CompletionMessage, EncodedMessage>> score_node;
  std::optional<tbb::flow::function_node<EncodedMessage, tbb::flow::continue_msg>> store_node;
};

Pipeline::Pipeline(const Judges& judges, RunStore& store, Progress& progress, int threads)
    : graph_(std::make_unique<Graph>(judges, store, progress, threads)) {}

Pipeline::~Pipeline() { graph_->graph->wait_for_all(); }

Status Pipeline::accept(Completion completion) {
  {
    std::unique_lock lock(graph_->mutex);
    graph_->room.wait(lock, [this] { return graph_->under_way < kMaxUnderWay; });
    if (graph_->error) return *graph_->error;
    ++graph_->under_way;
  }
  graph_->score_node->try_put(
      Graph::CompletionMessage(std::make_shared<Completion>(std::move(completion))));
  return {};
}

Status Pipeline::finish() {
  graph_->graph->wait_for_all();
  seen_at(graph_.get());
  if (!graph_->error) {
    const Status status = graph_->commit();
    if (!status.ok()) graph_->fail(status.error());
  }
  if (graph_->error) return *graph_->error;
  return {};
}

}  // namespace assay
