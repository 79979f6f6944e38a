#include "results/sqlite.h"

#include <fmt/format.h>

#include <utility>

namespace assay {

namespace {

// A database in WAL mode on a folder that cannot be written opens only as one that nobody changes.
std::string immutable_uri(const std::string& path) {
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '?' || c == '#' || c == '%') {
      uri += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    } else {
      uri += c;
    }
  }
  return uri + "?immutable=1";
}

}  // namespace

Result<Database> Database::open(const std::string& path, bool create) {
  Database database;
  database.path_ = path;
  const int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
  int code = sqlite3_open_v2(path.c_str(), &database.handle_, flags, nullptr);
  if (!create && (code == SQLITE_CANTOPEN ||
                  (code == SQLITE_OK && sqlite3_db_readonly(database.handle_, "main") == 1))) {
    sqlite3_close(database.handle_);
    code = sqlite3_open_v2(immutable_uri(path).c_str(), &database.handle_,
                           SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, nullptr);
  }
  if (code != SQLITE_OK) return database.error("open");
  sqlite3_busy_timeout(database.handle_, 10'000);
  return database;
}

Database::Database(Database&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), path_(std::move(other.path_)) {}

Database& Database::operator=(Database&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(path_, other.path_);
  return *this;
}

Database::~Database() { sqlite3_close(handle_); }

Error Database::error(std::string_view doing) const {
  const int code = handle_ == nullptr ? SQLITE_NOMEM : sqlite3_errcode(handle_);
  std::string hint;
  switch (code & 0xFF) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
      hint =
          "; the disk may be full: what is stored is safe, free some space and run the same "
          "command again";
      break;
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      hint = "; check that the folder is there and can be written";
      break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      hint = "; the file is damaged or not a run of assay";
      break;
    case SQLITE_BUSY:
      hint = "; another program holds it";
      break;
    default:
      break;
  }
  const char* what = handle_ == nullptr ? "out of memory" : sqlite3_errmsg(handle_);
  return Error{fmt::format("{}: cannot {}: {}{}", path_, doing, what, hint)};
}

Status Database::execute(const std::string& sql) {
  if (sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return error("write");
  }
  return {};
}

Statement::Statement(const Database& database, const char* sql) : database_(database) {
  // A failure shows at the first step.
  sqlite3_prepare_v2(database.get(), sql, -1, &handle_, nullptr);
}

Statement::~Statement() { sqlite3_finalize(handle_); }

Statement& Statement::bind(int index, int64_t value) {
  sqlite3_bind_int64(handle_, index, value);
  return *this;
}

Statement& Statement::bind(int index, double value) {
  sqlite3_bind_double(handle_, index, value);
  return *this;
}

Statement& Statement::bind(int index, std::string_view text) {
  sqlite3_bind_text(handle_, index, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
  return *this;
}

Statement& Statement::bind_null(int index) {
  sqlite3_bind_null(handle_, index);
  return *this;
}

Statement& Statement::bind_blob(int index, std::string_view bytes) {
  sqlite3_bind_blob(handle_, index, bytes.data(), static_cast<int>(bytes.size()), SQLITE_TRANSIENT);
  return *this;
}

Result<bool> Statement::step() {
  if (handle_ == nullptr) return database_.error("read");
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return database_.error(sqlite3_stmt_readonly(handle_) != 0 ? "read" : "write");
}

Status Statement::run() {
  const auto result = step();
  if (!result.ok()) return result.error();
  reset();
  return {};
}

void Statement::reset() { sqlite3_reset(handle_); }

int64_t Statement::integer(int column) const { return sqlite3_column_int64(handle_, column); }

double Statement::real(int column) const { return sqlite3_column_double(handle_, column); }

std::string Statement::text(int column) const {
  const void* data = sqlite3_column_blob(handle_, column);
  const int size_bytes = sqlite3_column_bytes(handle_, column);
  if (data == nullptr) return {};
  return std::string(static_cast<const char*>(data), static_cast<size_t>(size_bytes));
}

}  // namespace assay
