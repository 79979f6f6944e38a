// The store of one run: RUN/run.sqlite, in WAL mode, texts compressed with zstd.
//
// A record is durable once commit() has returned; a process killed at any moment leaves a store
// that opens again with every committed record. One process writes a run at a time (RUN/run.lock).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "harness/base/json.h"
#include "harness/base/nouns.h"
#include "harness/base/result.h"

namespace assay {

// A question of the run as the store keeps it: enough to score again and to replay.
struct StoredItem {
  Item item;
  int ordinal = 0;  // place in the run
  Prompt prompt;
};

// What one session of generating cost.
struct SessionStats {
  double wall_s = 0;
  uint64_t generated_tokens = 0;
  uint64_t prefill_tokens = 0;
};

class RunStore {
 public:
  enum class Mode { kWrite, kRead };

  // kWrite creates folder and store where they are missing and takes the lock; kRead opens what is
  // there. An error says which folder and what to do.
  static Result<RunStore> open(const std::string& folder, Mode mode);
  RunStore(RunStore&&) noexcept;
  RunStore& operator=(RunStore&&) noexcept;
  ~RunStore();

  const std::string& folder() const;

  // The run's manifest; nothing for a new store.
  Result<std::optional<OrderedJson>> manifest();
  Status set_manifest(const OrderedJson& manifest);

  Status add_items(const std::vector<StoredItem>& items);
  Result<std::vector<StoredItem>> items();

  // The samples that are there.
  Result<std::set<SampleId>> sample_ids();

  // Compresses what insert() will write; thread-safe, so that it can run in parallel.
  struct Encoded {
    SampleRecord record;
    std::string token_ids, text;
  };
  static Encoded encode(SampleRecord record);
  // Adds to the open transaction, beginning one if there is none.
  Status insert(const Encoded& encoded);
  Status commit();

  // Every record in the order of the run's items and sample indices.
  Status for_each(const std::function<Status(const SampleRecord&)>& visit);
  // The same without token ids and texts, which scores do not need: `completion_tokens` is their
  // count.
  Status for_each_verdict(
      const std::function<Status(const SampleRecord&, int completion_tokens)>& visit);
  Result<std::optional<SampleRecord>> find(const SampleId& id);
  // Replaces the verdict of a stored sample; commit() as with insert().
  Status update_verdict(const SampleId& id, const Verdict& verdict, const std::string& scorer);

  Status add_session(const SessionStats& session);
  Result<SessionStats> total_sessions();

 private:
  struct State;
  RunStore();
  std::unique_ptr<State> state_;
};

}  // namespace assay
