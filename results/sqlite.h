// A thin layer over SQLite: statements that clean up, errors that say what to do.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "harness/base/result.h"

namespace assay {

class Database {
 public:
  static Result<Database> open(const std::string& path, bool create);
  Database() = default;
  Database(Database&& other) noexcept;
  Database& operator=(Database&& other) noexcept;
  ~Database();

  Status execute(const std::string& sql);
  // The last error, with the file and a hint.
  Error error(std::string_view doing) const;
  sqlite3* get() const { return handle_; }

 private:
  sqlite3* handle_ = nullptr;
  std::string path_;
};

// A prepared statement. Bind, then step() until it says that no row is left.
class Statement {
 public:
  Statement(const Database& database, const char* sql);
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  // Indices count from 1. Texts and blobs are copied.
  Statement& bind(int index, int64_t value);
  Statement& bind(int index, double value);
  Statement& bind(int index, std::string_view text);
  Statement& bind_null(int index);
  Statement& bind_blob(int index, std::string_view bytes);
  // True when there is a row, false when done.
  Result<bool> step();
  Status run();  // for statements without rows; ready for the next bind
  void reset();

  int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;  // also of a blob

 private:
  const Database& database_;
  sqlite3_stmt* handle_ = nullptr;
};

}  // namespace assay
