#include "datasets/livecodebench.h"

#include <fmt/format.h>
#include <zlib.h>

#include <cstdint>

#include "harness/base/text.h"

namespace assay {
namespace {

constexpr size_t kMostBytes = size_t{1} << 30;

Result<std::string> base64(std::string_view text, const std::string& place) {
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    int value = 0;
    if (c >= 'A' && c <= 'Z') {
      value = c - 'A';
    } else if (c >= 'a' && c <= 'z') {
      value = c - 'a' + 26;
    } else if (c >= '0' && c <= '9') {
      value = c - '0' + 52;
    } else if (c == '+' || c == '/') {
      value = c == '+' ? 62 : 63;
    } else if (c == '=' || c == '\n') {
      continue;
    } else {
      return Error{place + ": private_test_cases are neither JSON nor base64"};
    }
    bits = bits << 6 | static_cast<uint32_t>(value);
    if ((count += 6) >= 8) {
      count -= 8;
      bytes += static_cast<char>(bits >> count & 0xFF);
    }
  }
  return bytes;
}

Result<std::string> inflated(std::string_view bytes, const std::string& place) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return Error{place + ": out of memory"};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string text, part(size_t{1} << 20, '\0');
  int status = Z_OK;
  while (status == Z_OK && text.size() < kMostBytes) {
    stream.next_out = reinterpret_cast<Bytef*>(part.data());
    stream.avail_out = static_cast<uInt>(part.size());
    status = inflate(&stream, Z_NO_FLUSH);
    text.append(part, 0, part.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  if (status != Z_STREAM_END) return Error{place + ": private_test_cases are no whole zlib data"};
  return text;
}

Result<Json> private_cases(const std::string& text, const std::string& place) {
  if (trim(text).starts_with('[')) return parse_json(text, place);
  ASSAY_TRY(const std::string packed, base64(text, place));
  ASSAY_TRY(const std::string pickle, inflated(packed, place));
  ASSAY_TRY(const std::string json, pickled_text(pickle, place));
  return parse_json(json, place);
}

Result<std::string> text_member(const Json& record, const char* key, const std::string& place) {
  if (!record.contains(key) || !record[key].is_string()) {
    return Error{fmt::format("{}: field \"{}\" must be text", place, key)};
  }
  return record[key].get<std::string>();
}

// The arguments of one call: a line of JSON each.
Result<Json> arguments_of(const std::string& input, const std::string& place) {
  Json arguments = Json::array();
  for (const std::string& line : split(input, '\n')) {
    if (trim(line).empty()) continue;
    ASSAY_TRY(Json argument, parse_json(line, place));
    arguments.push_back(std::move(argument));
  }
  return arguments;
}

}  // namespace

std::string livecodebench_format(const std::string& starter_code) {
  if (!starter_code.empty()) {
    return "You will use the following starter code to write the solution to the problem and "
           "enclose your code within delimiters.\n```python\n" +
           starter_code + "\n```\n\n";
  }
  return "Read the inputs from stdin solve the problem and write the answer to stdout (do not "
         "directly test on the sample inputs). Enclose your code within delimiters as follows. "
         "Ensure that when the python program runs, it reads the inputs, runs the algorithm and "
         "writes output to STDOUT.\n```python\n# YOUR CODE HERE\n```\n\n";
}

Result<std::string> pickled_text(std::string_view pickle, const std::string& place) {
  const auto wrong = [&] {
    return Error{place + ": private_test_cases are a pickle of something else than one text"};
  };
  const auto little_endian = [&](size_t at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; ++i) {
      value |= static_cast<uint64_t>(static_cast<unsigned char>(pickle[at + i])) << (8 * i);
    }
    return value;
  };
  std::string text;
  bool found = false;
  for (size_t at = 0; at < pickle.size();) {
    const char opcode = pickle[at++];
    size_t skip = 0, length_bytes = 0;
    switch (opcode) {
      case '\x80':  // PROTO
      case 'q':     // BINPUT
        skip = 1;
        break;
      case 'r':  // LONG_BINPUT
        skip = 4;
        break;
      case '\x95':  // FRAME
        skip = 8;
        break;
      case '\x94':  // MEMOIZE
        break;
      case '\x8c':  // SHORT_BINUNICODE
        length_bytes = 1;
        break;
      case 'X':  // BINUNICODE
        length_bytes = 4;
        break;
      case '\x8d':  // BINUNICODE8
        length_bytes = 8;
        break;
      case '.':  // STOP
        if (!found) return wrong();
        return text;
      default:
        return wrong();
    }
    if (pickle.size() - at < skip + length_bytes) return wrong();
    at += skip;
    if (length_bytes == 0) continue;
    const uint64_t length = little_endian(at, length_bytes);
    at += length_bytes;
    if (found || length > pickle.size() - at) return wrong();
    found = true;
    text = std::string(pickle.substr(at, length));
    at += length;
  }
  return wrong();
}

Result<std::string> livecodebench_tests(const Json& record, const std::string& place) {
  ASSAY_TRY(const std::string open_text, text_member(record, "public_test_cases", place));
  ASSAY_TRY(const std::string hidden_text, text_member(record, "private_test_cases", place));
  ASSAY_TRY(Json cases, parse_json(open_text, place + ": public_test_cases"));
  ASSAY_TRY(const Json hidden, private_cases(hidden_text, place));
  if (!cases.is_array() || !hidden.is_array()) return Error{place + ": the tests are no list"};
  cases.insert(cases.end(), hidden.begin(), hidden.end());
  Json metadata;
  if (record.contains("metadata") && record["metadata"].is_string()) {
    metadata = Json::parse(record["metadata"].get<std::string>(), nullptr, false);
  }
  std::string function;
  if (metadata.is_object() && metadata.contains("func_name") && metadata["func_name"].is_string()) {
    function = metadata["func_name"].get<std::string>();
  }
  Json tests = Json::array(), inputs = Json::array(), outputs = Json::array();
  for (const Json& test : cases) {
    ASSAY_TRY(const std::string input, text_member(test, "input", place));
    ASSAY_TRY(const std::string output, text_member(test, "output", place));
    if (function.empty()) {
      tests.push_back({{"input", input}, {"output", output}});
      continue;
    }
    ASSAY_TRY(Json arguments, arguments_of(input, place + ": a test's input"));
    ASSAY_TRY(Json value, parse_json(output, place + ": a test's output"));
    inputs.push_back(std::move(arguments));
    outputs.push_back(std::move(value));
  }
  if (function.empty()) return dump_json(tests);
  return dump_json(Json{{"fn_name", function}, {"inputs", inputs}, {"outputs", outputs}});
}

}  // namespace assay
