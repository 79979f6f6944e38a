#include "results/store.h"

#include <fmt/format.h>
#include <unistd.h>

#include "harness/base/file.h"
#include "harness/base/text.h"
#include "results/compress.h"
#include "results/sqlite.h"

namespace assay {
namespace {

// 1 had no measured values, 2 no thought_tokens.
constexpr int kSchemaVersion = 3;

constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS items(
  suite TEXT NOT NULL, item_id TEXT NOT NULL, ordinal INTEGER NOT NULL, gold TEXT NOT NULL,
  fields BLOB NOT NULL, prompt BLOB NOT NULL, prompt_ids BLOB NOT NULL,
  opens_thought INTEGER NOT NULL, PRIMARY KEY(suite, item_id));
CREATE TABLE IF NOT EXISTS samples(
  suite TEXT NOT NULL, item_id TEXT NOT NULL, sample_index INTEGER NOT NULL,
  token_ids BLOB NOT NULL, text BLOB NOT NULL, finish_reason TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, opens_thought INTEGER NOT NULL, logprob REAL NOT NULL,
  error TEXT NOT NULL, verdict TEXT NOT NULL, answer TEXT, rule TEXT NOT NULL,
  detail TEXT NOT NULL, scorer TEXT NOT NULL, measured TEXT NOT NULL DEFAULT '',
  thought_tokens INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(suite, item_id, sample_index));
CREATE TABLE IF NOT EXISTS sessions(
  wall_s REAL NOT NULL, generated_tokens INTEGER NOT NULL, prefill_tokens INTEGER NOT NULL);
)";

constexpr const char* kSelectSamples =
    "SELECT s.suite, s.item_id, s.sample_index, s.finish_reason, s.prompt_tokens, s.opens_thought, "
    "s.logprob, s.error, s.verdict, s.answer IS NOT NULL, s.answer, s.rule, s.detail, s.scorer, "
    "s.completion_tokens, s.token_ids, s.text, s.measured, s.thought_tokens FROM samples s ";
constexpr const char* kInRunOrder =
    "JOIN items i ON i.suite = s.suite AND i.item_id = s.item_id ORDER BY i.ordinal, "
    "s.sample_index";

// A row of kSelectSamples; token ids and text only when asked for.
Result<SampleRecord> read_record(const Statement& row, const std::string& place, bool with_text) {
  SampleRecord record;
  Completion& completion = record.completion;
  completion.id = {row.text(0), row.text(1), static_cast<int>(row.integer(2))};
  completion.prompt_tokens = static_cast<int>(row.integer(4));
  completion.opens_thought = row.integer(5) != 0;
  completion.logprob = row.real(6);
  completion.error = row.text(7);
  completion.counted_tokens = static_cast<int>(row.integer(14));
  completion.thought_tokens = static_cast<int>(row.integer(18));
  Verdict& verdict = record.verdict;
  if (!from_string(row.text(3), &completion.finish_reason) ||
      !from_string(row.text(8), &verdict.correctness)) {
    return Error{place +
                 ": holds a sample that this assay cannot read; use the version that wrote it"};
  }
  verdict.has_answer = row.integer(9) != 0;
  verdict.answer = row.text(10);
  verdict.rule = row.text(11);
  verdict.detail = row.text(12);
  record.scorer = row.text(13);
  if (const std::string measured = row.text(17); !measured.empty()) {
    ASSAY_TRY(const Json json, parse_json(measured, place));
    for (const auto& [name, value] : json.items()) {
      if (value.is_number()) verdict.values[name] = value.get<double>();
    }
  }
  if (with_text) {
    ASSAY_TRY(completion.token_ids, decompress_token_ids(row.text(15), place));
    ASSAY_TRY(completion.text, zstd_decompress(row.text(16), place));
  }
  return record;
}

std::string measured_text(const Verdict& verdict) {
  return verdict.values.empty() ? std::string() : dump_json(Json(verdict.values));
}

}  // namespace

struct RunStore::State {
  std::string folder, path;
  FileLock lock;
  Database database;
  std::unique_ptr<Statement> insert_sample, find_sample;
  std::string select_samples = kSelectSamples;
  bool in_transaction = false;

  Status begin() {
    if (in_transaction) return {};
    ASSAY_TRY_STATUS(database.execute("BEGIN IMMEDIATE"));
    in_transaction = true;
    return {};
  }
};

RunStore::RunStore() : state_(std::make_unique<State>()) {}
RunStore::RunStore(RunStore&&) noexcept = default;
RunStore& RunStore::operator=(RunStore&&) noexcept = default;
RunStore::~RunStore() = default;

Result<RunStore> RunStore::open(const std::string& folder, Mode mode) {
  RunStore store;
  State& state = *store.state_;
  state.folder = folder;
  state.path = folder + "/run.sqlite";
  if (mode == Mode::kRead && !file_exists(state.path)) {
    return Error{folder + ": holds no run (no run.sqlite); name the folder that `assay run` wrote"};
  }
  if (mode == Mode::kWrite) {
    ASSAY_TRY_STATUS(create_directories(folder));
    ASSAY_TRY(state.lock, FileLock::acquire(folder + "/run.lock"));
  }
  ASSAY_TRY(state.database, Database::open(state.path, mode == Mode::kWrite));
  if (mode == Mode::kWrite) {
    // FULL: a commit is on the disk, not only with the system, when it returns.
    ASSAY_TRY_STATUS(state.database.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"));
    ASSAY_TRY_STATUS(state.database.execute(kSchema));
    ASSAY_TRY_STATUS(state.database.execute(
        fmt::format("INSERT OR IGNORE INTO meta VALUES('schema', '{}')", kSchemaVersion)));
  }
  Statement schema(state.database, "SELECT value FROM meta WHERE key = 'schema'");
  ASSAY_TRY(const bool known, schema.step());
  const std::string version = known ? schema.text(0) : "";
  schema.reset();
  // What each older schema lacks, and what stands for it where it cannot be added.
  struct Addition {
    int schema;
    const char *column, *type, *stand_in;
  };
  static constexpr Addition kAdditions[] = {
      {2, "measured", "TEXT NOT NULL DEFAULT ''", "''"},
      {3, "thought_tokens", "INTEGER NOT NULL DEFAULT 0", "0"}};
  const int written = version == "1" ? 1 : version == "2" ? 2 : version == "3" ? 3 : 0;
  if (written == 0) {
    return Error{state.path + ": was written by another version of assay; use that one to read it"};
  }
  std::string migration;
  for (const Addition& addition : kAdditions) {
    if (addition.schema <= written) continue;
    migration +=
        fmt::format("ALTER TABLE samples ADD COLUMN {} {};", addition.column, addition.type);
    if (mode == Mode::kRead) {
      state.select_samples = replace_all(state.select_samples, fmt::format("s.{}", addition.column),
                                         addition.stand_in);
    }
  }
  if (mode == Mode::kWrite && !migration.empty()) {
    ASSAY_TRY_STATUS(state.database.execute(
        fmt::format("BEGIN IMMEDIATE; {} UPDATE meta SET value = '{}' WHERE key = 'schema'; COMMIT",
                    migration, kSchemaVersion)));
  }
  return store;
}

const std::string& RunStore::folder() const { return state_->folder; }

Result<std::optional<OrderedJson>> RunStore::manifest() {
  Statement select(state_->database, "SELECT value FROM meta WHERE key = 'manifest'");
  ASSAY_TRY(const bool found, select.step());
  if (!found) return std::optional<OrderedJson>();
  OrderedJson manifest = OrderedJson::parse(select.text(0), nullptr, false);
  if (manifest.is_discarded()) return Error{state_->path + ": its manifest is damaged"};
  return std::optional<OrderedJson>(std::move(manifest));
}

Status RunStore::set_manifest(const OrderedJson& manifest) {
  Statement insert(state_->database, "INSERT OR REPLACE INTO meta VALUES('manifest', ?)");
  return insert.bind(1, dump_json(manifest)).run();
}

Status RunStore::add_items(const std::vector<StoredItem>& items) {
  ASSAY_TRY_STATUS(state_->begin());
  Statement insert(state_->database, "INSERT OR IGNORE INTO items VALUES(?,?,?,?,?,?,?,?)");
  for (const StoredItem& stored : items) {
    const Json fields = stored.item.fields;
    insert.bind(1, stored.item.suite)
        .bind(2, stored.item.id)
        .bind(3, int64_t{stored.ordinal})
        .bind(4, stored.item.gold)
        .bind_blob(5, zstd_compress(dump_json(fields)))
        .bind_blob(6, zstd_compress(stored.prompt.text))
        .bind_blob(7, compress_token_ids(stored.prompt.token_ids))
        .bind(8, int64_t{stored.prompt.opens_thought});
    ASSAY_TRY_STATUS(insert.run());
  }
  return commit();
}

Result<std::vector<StoredItem>> RunStore::items() {
  Statement select(
      state_->database,
      "SELECT suite, item_id, ordinal, gold, fields, prompt, prompt_ids, opens_thought "
      "FROM items ORDER BY ordinal");
  std::vector<StoredItem> items;
  while (true) {
    ASSAY_TRY(const bool row, select.step());
    if (!row) return items;
    StoredItem stored;
    stored.item.suite = select.text(0);
    stored.item.id = select.text(1);
    stored.ordinal = static_cast<int>(select.integer(2));
    stored.item.gold = select.text(3);
    ASSAY_TRY(const std::string fields, zstd_decompress(select.text(4), state_->path));
    ASSAY_TRY(const Json json, parse_json(fields, state_->path));
    for (const auto& [name, value] : json.items()) {
      if (value.is_string()) stored.item.fields[name] = value.get<std::string>();
    }
    ASSAY_TRY(stored.prompt.text, zstd_decompress(select.text(5), state_->path));
    ASSAY_TRY(stored.prompt.token_ids, decompress_token_ids(select.text(6), state_->path));
    stored.prompt.opens_thought = select.integer(7) != 0;
    items.push_back(std::move(stored));
  }
}

Result<std::set<SampleId>> RunStore::sample_ids() {
  Statement select(state_->database, "SELECT suite, item_id, sample_index FROM samples");
  std::set<SampleId> ids;
  while (true) {
    ASSAY_TRY(const bool row, select.step());
    if (!row) return ids;
    ids.insert({select.text(0), select.text(1), static_cast<int>(select.integer(2))});
  }
}

RunStore::Encoded RunStore::encode(SampleRecord record) {
  Encoded encoded;
  encoded.token_ids = compress_token_ids(record.completion.token_ids);
  encoded.text = zstd_compress(record.completion.text);
  encoded.record = std::move(record);
  return encoded;
}

Status RunStore::insert(const Encoded& encoded) {
  ASSAY_TRY_STATUS(state_->begin());
  if (!state_->insert_sample) {
    state_->insert_sample = std::make_unique<Statement>(
        state_->database,
        "INSERT INTO samples "
        "VALUES(?1,?2,?3,?4,?5,?6,?7,?16,?8,?9,?10,?11,?12,?13,?14,?15,?17,?18)");
  }
  const Completion& completion = encoded.record.completion;
  const Verdict& verdict = encoded.record.verdict;
  Statement& insert = *state_->insert_sample;
  insert.bind(1, completion.id.suite)
      .bind(2, completion.id.item_id)
      .bind(3, int64_t{completion.id.sample_index})
      .bind_blob(4, encoded.token_ids)
      .bind_blob(5, encoded.text)
      .bind(6, to_string(completion.finish_reason))
      .bind(7, int64_t{completion.prompt_tokens})
      .bind(8, int64_t{completion.opens_thought})
      .bind(9, completion.logprob)
      .bind(10, completion.error)
      .bind(11, to_string(verdict.correctness))
      .bind(13, verdict.rule)
      .bind(14, verdict.detail)
      .bind(15, encoded.record.scorer)
      .bind(16, int64_t{completion.completion_tokens()})
      .bind(17, measured_text(verdict))
      .bind(18, int64_t{completion.thought_tokens});
  if (verdict.has_answer) {
    insert.bind(12, verdict.answer);
  } else {
    insert.bind_null(12);
  }
  return insert.run();
}

Status RunStore::commit() {
  if (!state_->in_transaction) return {};
  ASSAY_TRY_STATUS(state_->database.execute("COMMIT"));
  state_->in_transaction = false;
  return {};
}

Status RunStore::for_each(const std::function<Status(const SampleRecord&)>& visit) {
  const std::string sql = state_->select_samples + kInRunOrder;
  Statement select(state_->database, sql.c_str());
  while (true) {
    ASSAY_TRY(const bool row, select.step());
    if (!row) return {};
    ASSAY_TRY(const SampleRecord record, read_record(select, state_->path, true));
    ASSAY_TRY_STATUS(visit(record));
  }
}

Status RunStore::for_each_verdict(const std::function<Status(const SampleRecord&, int)>& visit) {
  const std::string sql = state_->select_samples + kInRunOrder;
  Statement select(state_->database, sql.c_str());
  while (true) {
    ASSAY_TRY(const bool row, select.step());
    if (!row) return {};
    ASSAY_TRY(const SampleRecord record, read_record(select, state_->path, false));
    ASSAY_TRY_STATUS(visit(record, static_cast<int>(select.integer(14))));
  }
}

Result<std::optional<SampleRecord>> RunStore::find(const SampleId& id) {
  if (!state_->find_sample) {
    const std::string sql =
        state_->select_samples + "WHERE s.suite = ? AND s.item_id = ? AND s.sample_index = ?";
    state_->find_sample = std::make_unique<Statement>(state_->database, sql.c_str());
  }
  Statement& select = *state_->find_sample;
  select.bind(1, id.suite).bind(2, id.item_id).bind(3, int64_t{id.sample_index});
  ASSAY_TRY(const bool row, select.step());
  std::optional<SampleRecord> found;
  if (row) {
    ASSAY_TRY(found, read_record(select, state_->path, true));
  }
  select.reset();
  return found;
}

Status RunStore::update_verdict(const SampleId& id, const Verdict& verdict,
                                const std::string& scorer) {
  ASSAY_TRY_STATUS(state_->begin());
  Statement update(state_->database,
                   "UPDATE samples SET verdict = ?, answer = ?, rule = ?, detail = ?, scorer = ?, "
                   "measured = ? WHERE suite = ? AND item_id = ? AND sample_index = ?");
  update.bind(1, to_string(verdict.correctness))
      .bind(3, verdict.rule)
      .bind(4, verdict.detail)
      .bind(5, scorer)
      .bind(6, measured_text(verdict))
      .bind(7, id.suite)
      .bind(8, id.item_id)
      .bind(9, int64_t{id.sample_index});
  if (verdict.has_answer) update.bind(2, verdict.answer);
  return update.run();
}

Status RunStore::add_session(const SessionStats& session) {
  Statement insert(state_->database, "INSERT INTO sessions VALUES(?,?,?)");
  return insert.bind(1, session.wall_s)
      .bind(2, static_cast<int64_t>(session.generated_tokens))
      .bind(3, static_cast<int64_t>(session.prefill_tokens))
      .run();
}

Result<SessionStats> RunStore::total_sessions() {
  Statement select(
      state_->database,
      "SELECT total(wall_s), total(generated_tokens), total(prefill_tokens) FROM sessions");
  ASSAY_TRY(const bool row, select.step());
  SessionStats total;
  if (row) {
    total.wall_s = select.real(0);
    total.generated_tokens = static_cast<uint64_t>(select.real(1));
    total.prefill_tokens = static_cast<uint64_t>(select.real(2));
  }
  return total;
}

}  // namespace assay
