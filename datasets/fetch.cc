#include "datasets/fetch.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>

#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/json.h"
#include "harness/base/text.h"

namespace assay {
namespace {

constexpr int64_t kMostBytes = int64_t{8} << 30;  // of a file whose size nobody knows
constexpr int kRowsOfPage = 100;

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using FilePtr = std::unique_ptr<std::FILE, FileCloser>;
struct CurlCloser {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};

// One transfer: to a file, or into memory.
struct Transfer {
  std::FILE* file = nullptr;
  std::string* memory = nullptr;
  int64_t begun_at = 0, got = 0, most = kMostBytes;
  bool too_long = false, restart = false;
  CURL* curl = nullptr;
  const FetchOptions* options = nullptr;
  int64_t total = 0;
};

size_t take(char* data, size_t, size_t count, void* to) {
  Transfer& transfer = *static_cast<Transfer*>(to);
  long status = 0;
  curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &status);
  if (status >= 300) return count;  // an error's page
  // A server that does not know ranges begins again.
  if (status == 200 && transfer.begun_at > 0) {
    if (transfer.file != nullptr) {
      if (std::fseek(transfer.file, 0, SEEK_SET) != 0 || ftruncate(fileno(transfer.file), 0) != 0) {
        return 0;
      }
    }
    transfer.begun_at = 0;
  }
  transfer.got += static_cast<int64_t>(count);
  if (transfer.begun_at + transfer.got > transfer.most) {
    transfer.too_long = true;
    return 0;
  }
  if (transfer.memory != nullptr) {
    transfer.memory->append(data, count);
    return count;
  }
  return std::fwrite(data, 1, count, transfer.file);
}

int report(void* from, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const Transfer& transfer = *static_cast<Transfer*>(from);
  if (transfer.options->progress) {
    transfer.options->progress(transfer.begun_at + transfer.got, transfer.total);
  }
  return transfer.options->stop != nullptr && *transfer.options->stop ? 1 : 0;
}

std::string host_of(const std::string& url) {
  const size_t begin = url.find("://");
  if (begin == std::string::npos) return {};
  return url.substr(begin + 3, url.find_first_of("/:?", begin + 3) - begin - 3);
}

std::string mirrored(const std::string& url, const FetchOptions& options) {
  for (const auto& [from, to] : options.mirrors) {
    if (url.starts_with(from)) return to + url.substr(from.size());
  }
  return url;
}

struct Attempt {
  bool done = false;
  bool may_pass = false;  // worth another try
  std::string why;
};

// One request; `transfer` says where its bytes go and what is there already.
Attempt attempt(const std::string& url, const FetchOptions& options, Transfer& transfer) {
  const std::unique_ptr<CURL, CurlCloser> curl(curl_easy_init());
  if (!curl) return {false, false, "libcurl cannot be started"};
  transfer.curl = curl.get();
  transfer.options = &options;
  transfer.got = 0;
  char message[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, message);
  curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_MAXREDIRS, 10L);
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, "assay");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, 30L);
  // Slower than a byte a second for a minute is a connection that hangs.
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_TIME, 60L);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, report);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &transfer);
  if (transfer.begun_at > 0) {
    curl_easy_setopt(curl.get(), CURLOPT_RESUME_FROM_LARGE,
                     static_cast<curl_off_t>(transfer.begun_at));
  }
  const std::string host = host_of(url);
  if (!options.token.empty() && url.starts_with("https://") &&
      (host == "huggingface.co" || host.ends_with(".huggingface.co"))) {
    // libcurl does not pass it on to another host.
    curl_easy_setopt(curl.get(), CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(curl.get(), CURLOPT_XOAUTH2_BEARER, options.token.c_str());
  }
  const CURLcode code = curl_easy_perform(curl.get());
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (transfer.too_long) {
    return {false, false, fmt::format("it is longer than {} bytes", transfer.most)};
  }
  if (code == CURLE_ABORTED_BY_CALLBACK) return {false, false, "it was stopped"};
  if (code == CURLE_WRITE_ERROR) return {false, false, "it cannot be written; is the disk full?"};
  if (status == 416) {  // what is there already is no beginning of what the server has
    transfer.restart = true;
    return {false, true, "the server has no more than what is there already"};
  }
  if (code == CURLE_RANGE_ERROR) {
    transfer.restart = true;
    return {false, true, "the server does not go on where it stopped"};
  }
  if (status == 401 || status == 403) {
    return {false, false,
            fmt::format("the server answers {}: it wants an account that has agreed to the "
                        "terms; put its token into HF_TOKEN",
                        status)};
  }
  if (status >= 400) {
    return {false, status == 408 || status == 429 || status >= 500,
            fmt::format("the server answers {}", status)};
  }
  if (code != CURLE_OK) {
    const bool passes = code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_URL_MALFORMAT &&
                        code != CURLE_TOO_MANY_REDIRECTS && code != CURLE_PEER_FAILED_VERIFICATION;
    return {false, passes, *message != '\0' ? message : curl_easy_strerror(code)};
  }
  return {true, false, ""};
}

// Tries again, a little later each time, what may pass. `before` sets the transfer up.
Status transfer_all(const std::string& published, const FetchOptions& options, Transfer& transfer,
                    const std::function<Status(Transfer&)>& before) {
  const std::string url = mirrored(published, options);
  double delay_s = options.first_delay_s;
  for (int i = 1;; ++i) {
    ASSAY_TRY_STATUS(before(transfer));
    const Attempt made = attempt(url, options, transfer);
    if (made.done) return {};
    if (!made.may_pass || i >= options.max_attempts) {
      return Error{fmt::format("{}: {}{}", url, made.why,
                               i > 1 ? fmt::format(", after {} attempts", i) : "")};
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(delay_s));
    delay_s = std::min(2 * delay_s, 30.0);
  }
}

Status make_parent(const std::string& path) {
  return create_directories(path.substr(0, path.rfind('/')));
}

// An address's bytes as the file `path`, which may have the first of them already.
Status download(const std::string& url, const std::string& path, int64_t bytes,
                const FetchOptions& options) {
  const FilePtr file(std::fopen(path.c_str(), "ab+"));
  if (!file) return Error{path + ": cannot be written"};
  Transfer transfer;
  transfer.file = file.get();
  transfer.total = bytes;
  if (bytes > 0) transfer.most = bytes;
  const auto before = [&](Transfer& next) -> Status {
    bool ok = std::fflush(file.get()) == 0;
    if (std::exchange(next.restart, false)) ok = ok && ftruncate(fileno(file.get()), 0) == 0;
    if (!ok || std::fseek(file.get(), 0, SEEK_END) != 0) {
      return Error{path + ": cannot be written; is the disk full?"};
    }
    next.begun_at = std::ftell(file.get());
    return {};
  };
  ASSAY_TRY_STATUS(transfer_all(url, options, transfer, before));
  if (std::fflush(file.get()) == 0) return {};
  return Error{path + ": cannot be written; is the disk full?"};
}

Result<int64_t> size_of(const std::string& path) {
  if (!file_exists(path)) return int64_t{0};
  ASSAY_TRY(const MappedFile mapped, MappedFile::open(path));
  return static_cast<int64_t>(mapped.bytes().size());
}

Status write_gzip(std::string_view content, const std::string& path) {
  gzFile file = gzopen(path.c_str(), "wb6");
  if (file == nullptr) return Error{path + ": cannot be written"};
  bool ok = true;
  for (size_t at = 0; ok && at < content.size();) {
    const auto count = static_cast<unsigned>(std::min<size_t>(content.size() - at, 1 << 20));
    ok = gzwrite(file, content.data() + at, count) == static_cast<int>(count);
    at += count;
  }
  ok = gzclose(file) == Z_OK && ok;
  return ok ? Status() : Status(Error{path + ": cannot be written; is the disk full?"});
}

Error wrong_content(const ManifestEntry& entry, const std::string& what) {
  return Error{fmt::format(
      "{}: what came is not the file that the suite is defined on: {}; nothing was kept. Get it "
      "from {}",
      entry.file, what, entry.url)};
}

// Looks at what was fetched to `part` and gives it its name.
Status finish(const ManifestEntry& entry, const std::string& part, const std::string& path) {
  const ManifestEntry::Fetch& fetch = entry.fetch;
  std::string hash;
  int64_t bytes = 0;
  {
    ASSAY_TRY(const MappedFile mapped, MappedFile::open(part));
    bytes = static_cast<int64_t>(mapped.bytes().size());
    hash = sha256_hex(mapped.bytes());
    const std::string expected = fetch.content_sha256.empty() ? entry.sha256 : fetch.content_sha256;
    std::string wrong;
    if (fetch.bytes > 0 && bytes != fetch.bytes) {
      wrong = fmt::format("it has {} bytes in place of {}", bytes, fetch.bytes);
    } else if (!expected.empty() && hash != expected) {
      wrong = fmt::format("its sha256 is {}… in place of {}…", hash.substr(0, 12),
                          expected.substr(0, 12));
    } else if (bytes == 0) {
      wrong = "it is empty";
    }
    if (!wrong.empty()) {
      unlink(part.c_str());
      return wrong_content(entry, wrong);
    }
    if (!fetch.content_sha256.empty()) {
      const std::string packed = path + ".packed";
      ASSAY_TRY_STATUS(write_gzip(mapped.bytes(), packed));
      if (std::rename(packed.c_str(), path.c_str()) != 0) {
        return Error{path + ": cannot be written"};
      }
      unlink(part.c_str());
      return {};
    }
  }
  if (std::rename(part.c_str(), path.c_str()) == 0) return {};
  return Error{path + ": cannot be written"};
}

Status fetch_urls(const ManifestEntry& entry, const std::string& path,
                  const FetchOptions& options) {
  const std::string part = path + ".part";
  ASSAY_TRY_STATUS(make_parent(path));
  if (entry.fetch.urls.size() == 1) {
    ASSAY_TRY(const int64_t there, size_of(part));
    const int64_t bytes = entry.fetch.bytes;
    if (bytes > 0 && there > bytes) unlink(part.c_str());  // it is something else
    if (bytes == 0 || there != bytes) {
      ASSAY_TRY_STATUS(download(entry.fetch.urls[0], part, bytes, options));
    }
    return finish(entry, part, path);
  }
  // Of several, each comes whole into a file of its own before it is joined.
  unlink(part.c_str());
  const FilePtr joined(std::fopen(part.c_str(), "wb"));
  if (!joined) return Error{part + ": cannot be written"};
  std::vector<std::string> pieces;
  for (size_t i = 0; i < entry.fetch.urls.size(); ++i) {
    pieces.push_back(fmt::format("{}.part{}", path, i + 1));
    const std::string whole = pieces.back() + ".whole";
    if (!file_exists(whole)) {
      ASSAY_TRY_STATUS(download(entry.fetch.urls[i], pieces.back(), 0, options));
      std::rename(pieces.back().c_str(), whole.c_str());
    }
    ASSAY_TRY(const MappedFile mapped, MappedFile::open(whole));
    const std::string_view bytes = mapped.bytes();
    bool ok = std::fwrite(bytes.data(), 1, bytes.size(), joined.get()) == bytes.size();
    if (!bytes.empty() && bytes.back() != '\n') ok = std::fputc('\n', joined.get()) != EOF && ok;
    if (!ok) return Error{part + ": cannot be written; is the disk full?"};
  }
  if (std::fflush(joined.get()) != 0) return Error{part + ": cannot be written; is the disk full?"};
  ASSAY_TRY_STATUS(finish(entry, part, path));
  for (const std::string& piece : pieces) unlink((piece + ".whole").c_str());
  return {};
}

// {"rows": [{"row": {…}}, …], "num_rows_total": n}, a hundred at a time, as JSON lines.
Status fetch_rows(const ManifestEntry& entry, const std::string& path,
                  const FetchOptions& options) {
  ASSAY_TRY_STATUS(make_parent(path));
  std::string lines;
  int64_t count = 0, total = 1;
  while (count < total) {
    std::string body;
    Transfer transfer;
    transfer.memory = &body;
    transfer.most = int64_t{256} << 20;
    const std::string url =
        fmt::format("{}&offset={}&length={}", entry.fetch.rows_api, count, kRowsOfPage);
    const auto before = [&](Transfer& next) -> Status {
      body.clear();
      next.begun_at = 0;
      return {};
    };
    ASSAY_TRY_STATUS(transfer_all(url, options, transfer, before));
    ASSAY_TRY(const Json json, parse_json(body, url));
    const bool page = json.is_object() && json.contains("rows") && json["rows"].is_array() &&
                      json.contains("num_rows_total") && json["num_rows_total"].is_number_integer();
    if (!page || json["rows"].empty()) return Error{url + ": gives no rows"};
    total = json["num_rows_total"].get<int64_t>();
    for (const Json& row : json["rows"]) {
      if (!row.is_object() || !row.contains("row") || !row["row"].is_object()) {
        return Error{url + ": gives rows of another form"};
      }
      lines += dump_json(row["row"]) + "\n";
      ++count;
    }
    if (static_cast<int64_t>(lines.size()) > kMostBytes) return Error{url + ": has no end"};
    if (options.progress) options.progress(count, total);
  }
  if (entry.records > 0 && count != entry.records) {
    return wrong_content(entry, fmt::format("it has {} rows in place of {}", count, entry.records));
  }
  return write_file_atomically(path, lines);
}

}  // namespace

Result<Fetched> fetch_file(const ManifestEntry& entry, const FetchOptions& options) {
  const std::string path = options.folder + "/" + entry.file;
  if (file_exists(path)) return Fetched::kThere;
  const ManifestEntry::Fetch& fetch = entry.fetch;
  if (fetch.urls.empty() && fetch.rows_api.empty()) {
    return Error{fmt::format("{}: cannot be fetched; it comes from {}", entry.file, entry.url)};
  }
  if (options.offline) {
    return Error{fmt::format("{}: is not there, and --offline fetches nothing", path)};
  }
  if (!fetch.terms.empty() && !options.accept_terms) {
    return Error{fmt::format("{}: {}. Say --accept-terms if you agree", entry.file, fetch.terms)};
  }
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) return Error{"libcurl cannot be started"};
  ASSAY_TRY_STATUS(fetch.rows_api.empty() ? fetch_urls(entry, path, options)
                                          : fetch_rows(entry, path, options));
  return Fetched::kNew;
}

std::string cached_data_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (cache != nullptr && *cache != '\0') return std::string(cache) + "/assay/data";
  return home != nullptr && *home != '\0' ? std::string(home) + "/.cache/assay/data"
                                          : std::string();
}

}  // namespace assay
