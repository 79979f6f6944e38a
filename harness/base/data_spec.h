// Where a suite's questions are and how one is read from a row of the data; the "data" of a suite.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace assay {

enum class GoldKind {
  kText,     // the field as it is
  kLastBox,  // the last \boxed{} of the field, a worked solution
  kIndex,    // the option of that number, from 0; the gold is its letter
  kFirst,    // the first of the options: the gold is "A"
};

// Worked examples before the question: the field {{examples}}.
struct ExamplesSpec {
  std::string file;   // may hold {group}; empty: there are none
  std::string after;  // a text file: what stands behind this
  // A JSONL file: the rows whose field `key` equals the item's field `of`, each written as `text`,
  // in which {{field}} is a field of the row.
  std::string key, of, text;
  // For each field: a pattern (re2) and what takes its place, before `text` is filled in.
  struct Rewrite {
    std::string field, pattern, replacement;
  };
  std::vector<Rewrite> rewrites;
};

// A field whose value stands in another file: of the row whose `key` is the item's field of that
// name. A key with {{…}} is put together of the row's fields and is the item's id.
struct JoinSpec {
  std::string field, file, key, value;
  std::string rows;       // of a JSON file: the key of the list of rows; empty: the file is JSONL
  bool optional = false;  // without such a row, or without the file, the field is empty
};

struct DataSpec {
  std::string suite;
  // Under --data; {group} stands for each of `groups`, {release} for what each of `releases` added.
  std::string file;
  bool in_tree = false;             // under assay's own datasets/
  bool partial = false;             // not all of the official questions; reports say so
  std::vector<std::string> groups;  // parts with a file each; an id is then "group/id"
  // Releases of the data in their order, and what {release} is for the file that each one added.
  // Read are the files up to the last one here.
  std::vector<std::pair<std::string, std::string>> releases;
  std::string release;      // that the suite is defined on
  std::string format;       // jsonl, json or csv; a .gz or .zst file is unpacked
  std::string rows;         // json: the key of the list of rows; empty: the document
  std::string inner;        // a list in each row: its members, with the row's own fields
  std::string id_field;     // empty: the row's number, from 1
  std::string ids_file;     // a JSON list of the rows' ids, in their order; may be empty
  std::string group_field;  // what parts the items if there are no `groups`; may be empty
  std::string gold_field;
  GoldKind gold = GoldKind::kText;
  // One field that holds a list, or a field an option. The item's field "options" is then a JSON
  // list.
  std::vector<std::string> options;
  bool shuffle_options = false;
  std::vector<std::string> fields;
  ExamplesSpec examples;
  std::vector<JoinSpec> joins;
  std::vector<std::pair<std::string, std::string>> where;  // only rows whose fields are so
  // How the item's field "tests" is read. "livecodebench": from such a record; "assertions": the
  // row's field "test" is Python that uses the class Solution.
  std::string tests;
  // What --from and --to look at: 2024-08-01…, or seconds since 1970; may be empty.
  std::string date_field;
};

}  // namespace assay
