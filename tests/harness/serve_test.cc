// The server as clients see it, over sockets; the protocol by itself.
#include <gmock/gmock.h>

#include <random>

#include "harness/base/file.h"
#include "harness/serve/protocol.h"
#include "tests/harness/serve_fixture.h"

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::run_program;
using testing::ServeProcess;
using ::testing::StartsWith;

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kText = "/v1/completions";

// The texts of an export, one a line.
std::vector<std::string> texts_of(const std::string& run) {
  std::istringstream lines(run_program("export " + run).out);
  std::vector<std::string> texts;
  for (std::string line; std::getline(lines, line);) {
    const Json row = Json::parse(line);
    texts.push_back(row["item_id"].get<std::string>() + row["sample_index"].dump() +
                    row["text"].get<std::string>() + row["finish_reason"].get<std::string>());
  }
  return texts;
}

TEST(Serve, ARunThroughTheServerHasTheSamplesOfARunWithoutIt) {
  const ServeProcess server({"--batch-size", "7"});
  const testing::TemporaryFolder folder;
  const std::string flags = " --think on --tasks arithmetic:4 --limit 20 --seed 3 -o ";
  ASSERT_EQ(run_program("run --model builtin" + flags + (folder / "local")).exit_code, 0);
  const auto served = run_program("run --model " + server.url() + flags + (folder / "served"));
  ASSERT_EQ(served.exit_code, 0) << served.err;
  const auto local = texts_of(folder / "local");
  EXPECT_EQ(local.size(), 80u);
  EXPECT_EQ(texts_of(folder / "served"), local);
  for (const std::string how : {"--stream", "--samples-per-request 3"}) {
    const std::string run = folder / ("with" + std::to_string(how.size()));
    const auto other = run_program("run --model " + server.url() + " " + how + flags + run);
    ASSERT_EQ(other.exit_code, 0) << other.err;
    EXPECT_EQ(texts_of(run), local) << how;
  }
}

TEST(Serve, PromptsThatAreRenderedHereNeedNoFlagsToBeTheSame) {
  const ServeProcess server;
  const testing::TemporaryFolder folder;
  const std::string flags = " --tasks arithmetic:3 --limit 10 --seed 4 -o ";
  ASSERT_EQ(run_program("run --model builtin" + flags + (folder / "local")).exit_code, 0);
  const std::string remote = "run --model " + server.url() + " --template-of builtin";
  const auto served = run_program(remote + flags + (folder / "served"));
  ASSERT_EQ(served.exit_code, 0) << served.err;
  EXPECT_EQ(texts_of(folder / "served"), texts_of(folder / "local"));
  const Json manifest =
      testing::load_json(folder / "served/results.json")["manifest"]["identity"]["model"];
  EXPECT_EQ(manifest["api"], "completions of tokens");
  EXPECT_THAT(served.out,
              HasSubstr("model builtin, through a server (assay), prompts rendered here"));
  // A server that takes texts alone adds BOS itself; the built-in model has none.
  const auto texts = run_program(remote + " --server-profile other" + flags + (folder / "texts"));
  EXPECT_EQ(texts.exit_code, 0) << texts.err;
  EXPECT_EQ(texts_of(folder / "texts").size(), 30u);
  EXPECT_EQ(run_program("run --model " + server.url() + " --template-of " + (folder / "none") +
                        flags + (folder / "x"))
                .exit_code,
            2);
}

TEST(Serve, AStreamSaysWhatTheWholeAnswerDoes) {
  const ServeProcess server;
  const std::string ask =
      R"("messages": [{"role": "user", "content": "What is 17 + 25?"}], "seed": 5, "n": 3, )"
      R"("temperature": 1, "stop": ["boxed", "zzz"], "max_tokens": 40)";
  const Json whole = server.answer(kChat, "{" + ask + "}");
  ASSERT_EQ(whole["choices"].size(), 3u);
  const std::string reply = server.post(
      kChat, "{" + ask + R"(, "stream": true, "stream_options": {"include_usage": true}})");
  EXPECT_THAT(reply, AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("text/event-stream"),
                           HasSubstr("data: [DONE]\n\n")));
  std::vector<std::string> texts(3), reasons(3);
  Json usage;
  for (size_t at = 0; (at = reply.find("data: {", at)) != std::string::npos; ++at) {
    const Json event = Json::parse(reply.substr(at + 6, reply.find("\n\n", at) - at - 6));
    EXPECT_EQ(event["object"], "chat.completion.chunk");
    if (event.contains("usage")) usage = event["usage"];
    for (const Json& choice : event["choices"]) {
      const size_t index = choice["index"];
      texts[index] += choice["delta"].value("content", "");
      if (choice["finish_reason"].is_string()) reasons[index] += choice["finish_reason"];
    }
  }
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(texts[i], whole["choices"][i]["message"]["content"]);
    EXPECT_EQ(reasons[i], whole["choices"][i]["finish_reason"]);
  }
  EXPECT_EQ(usage, whole["usage"]);
}

TEST(Serve, CompletionsTakeTextsAndTokensAndSayTheirLogprobs) {
  const ServeProcess server;
  const Json answer = server.answer(
      kText, R"({"prompt": ["1 + 1 =", [5, 6, 7]], "n": 2, "temperature": 0, "max_tokens": 3,
                 "logprobs": 1, "seed": 1})");
  ASSERT_EQ(answer["choices"].size(), 4u) << answer;
  EXPECT_EQ(answer["choices"][0]["text"], answer["choices"][1]["text"]);
  EXPECT_EQ(answer["choices"][2]["index"], 2);
  const Json& logprobs = answer["choices"][3]["logprobs"];
  EXPECT_EQ(logprobs["tokens"].size(), 3u);
  EXPECT_LE(logprobs["token_logprobs"][0].get<double>(), 0);
  EXPECT_EQ(answer["usage"]["completion_tokens"], 12);
  const Json echoed = server.answer(
      kText, R"({"prompt": "1 + 1 =", "echo": true, "temperature": 0, "max_tokens": 3})");
  EXPECT_EQ(echoed["choices"][0]["text"],
            "1 + 1 =" + answer["choices"][0]["text"].get<std::string>());
}

TEST(Serve, WhatCannotBeAnsweredIsSaidAndTheServerGoesOn) {
  const ServeProcess server({"--max-body-bytes", "100000"});
  const std::string message = R"("messages": [{"role": "user", "content": "1"}])";
  const auto expect = [&](const char* path, const std::string& body, const std::string& status,
                          const std::string& text) {
    EXPECT_THAT(server.post(path, body), AllOf(StartsWith("HTTP/1.1 " + status), HasSubstr(text)))
        << body.substr(0, 200);
  };
  expect(kChat, "", "400", "the body");
  expect(kChat, "[1]", "400", "must be a JSON object");
  expect(kChat, "{}", "400", "messages: must be a list");
  expect(kChat, R"({"messages": [{"role": "robot", "content": "1"}]})", "400", "role");
  expect(kChat, R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})", "400",
         "text parts");
  expect(kChat, "{" + message + R"(, "n": 100000})", "400", "n");
  expect(kChat, "{" + message + R"(, "temperature": "hot"})", "400", "temperature");
  expect(kChat, "{" + message + R"(, "top_p": 0})", "400", "top_p");
  expect(kChat, "{" + message + R"(, "presence_penalty": 0.5})", "400", "presence_penalty");
  expect(kChat, "{" + message + R"(, "response_format": {"type": "json_object"}})", "400",
         "response_format");
  expect(kChat, "{" + message + R"(, "logprobs": 5})", "400", "logprobs");
  expect(kChat, "{" + message + R"(, "continue_final_message": true})", "400", "assistant");
  expect(kText, R"({"prompt": []})", "400", "prompt");
  expect(kText, R"({"prompt": [[-1]]})", "400", "prompt");
  expect(kText, R"({"prompt": [[99999999]]})", "400", "not in the vocabulary");
  expect(kText, R"({"prompt": ")" + std::string(50000, 'a') + "\"}", "400", "context is 1024");
  expect(kText, std::string(90000, '['), "400", "nest");
  expect("/v1/embeddings", "{}", "404", "/v1/completions");
  expect(kText, std::string(200000, ' '), "413", "100000 bytes");
  EXPECT_THAT(server.exchange(ServeProcess::request(kText, "{}", "")), StartsWith("HTTP/1.1 415"));
  EXPECT_THAT(server.get(kText), StartsWith("HTTP/1.1 405"));
  // No HTTP at all: the server only hangs up.
  for (const char* junk : {"\x16\x03\x01\x02", "GET\r\n\r\n", "POST / HTTP/9.9\r\n\r\n",
                           "POST /v1/completions HTTP/1.1\r\nContent-Length: -4\r\n\r\n"}) {
    (void)server.exchange(junk);
  }
  // What changes nothing, or is null, is taken.
  expect(kChat, "{" + message + R"(, "user": "me", "tools": [], "presence_penalty": 0, "seed": null,
                          "max_completion_tokens": 2, "response_format": {"type": "text"}})",
         "200", "\"finish_reason\":\"length\"");
  EXPECT_THAT(server.get("/health"), HasSubstr("\"ok\""));
}

TEST(Serve, AClientThatGoesAwayFreesItsSlots) {
  const ServeProcess server({"--batch-size", "4"});
  // Samples for many seconds.
  for (const bool stream : {false, true}) {
    const double cancelled = server.metric("cancelled_requests_total");
    const std::string body =
        std::string(R"({"prompt": [[5, 6, 7]], "n": 1024, "temperature": 30, "max_tokens": 1000)") +
        (stream ? R"(, "stream": true})" : "}");
    const int socket = server.connect();
    const std::string bytes = ServeProcess::request(kText, body);
    ASSERT_EQ(::send(socket, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    double active = 0;
    for (int i = 0; i < 1000 && active < 1; ++i) {
      active = server.metric("active_sequences");
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_GE(active, 1);
    close(socket);
    for (int i = 0; i < 1000; ++i) {
      if (server.metric("active_sequences") == 0 && server.metric("waiting_samples") == 0 &&
          server.metric("cancelled_requests_total") > cancelled) {
        break;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_EQ(server.metric("active_sequences"), 0);
    EXPECT_EQ(server.metric("cancelled_requests_total"), cancelled + 1);
  }
}

TEST(Serve, MoreThanMayWaitIsRefusedForNowAndARunLosesNothingByIt) {
  const ServeProcess server({"--max-waiting", "2", "--batch-size", "1"});
  EXPECT_THAT(server.post(kText, R"({"prompt": "a", "n": 3})"),
              AllOf(StartsWith("HTTP/1.1 429"), HasSubstr("Retry-After: 1")));
  const testing::TemporaryFolder folder;
  const auto result = run_program("run --model " + server.url() +
                                  " --tasks arithmetic:4 --limit 4 -o " + (folder / "run"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(texts_of(folder / "run").size(), 16u);
}

TEST(Serve, AKeyIsAskedForWhereOneIsSet) {
  setenv("SERVE_TEST_KEY", "secret", 1);
  const ServeProcess server({"--api-key-env", "SERVE_TEST_KEY"});
  const std::string body = R"({"prompt": "a", "max_tokens": 1})";
  const std::string type = "Content-Type: application/json\r\n";
  EXPECT_THAT(server.post(kText, body), StartsWith("HTTP/1.1 401"));
  for (const char* wrong : {"Bearer ", "Bearer secre", "Bearer secrets", "secret"}) {
    EXPECT_THAT(server.exchange(
                    ServeProcess::request(kText, body, type + "Authorization: " + wrong + "\r\n")),
                StartsWith("HTTP/1.1 401"));
  }
  EXPECT_THAT(server.exchange(
                  ServeProcess::request(kText, body, type + "Authorization: Bearer secret\r\n")),
              StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(server.get("/health"), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(run_program("serve builtin --api-key-env SERVE_TEST_NONE").exit_code, 2);
  unsetenv("SERVE_TEST_KEY");
}

TEST(Serve, EndsCleanlyWhenAskedTo) {
  ServeProcess server;
  const int idle = server.connect();
  EXPECT_EQ(server.stop(SIGTERM), 0) << server.log();
  close(idle);
  EXPECT_EQ(run_program("serve builtin --port 99999").exit_code, 2);
  EXPECT_EQ(run_program("serve builtin --host example.org").exit_code, 2);
  EXPECT_EQ(run_program("serve replay:nothing").exit_code, 2);
}

// A proxy (nghttpx) speaks TLS and HTTP/2 before the server.
TEST(Serve, BehindAProxyWithTlsAndHttp2TheSamplesAreTheSame) {
  if (std::system("command -v nghttpx openssl > /dev/null") != 0) {
    GTEST_SKIP() << "needs nghttpx: run scripts/packages --slurm";
  }
  const ServeProcess server;
  const testing::TemporaryFolder folder;
  const std::string certify =
      "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=assay-test -addext "
      "subjectAltName=IP:127.0.0.1 -keyout '" +
      (folder / "key.pem") + "' -out '" + (folder / "cert.pem") + "' 2> /dev/null";
  ASSERT_EQ(std::system(certify.c_str()), 0);
  const int port = testing::free_port();
  const testing::ChildProcess proxy(
      {"nghttpx", "--conf=/dev/null", "--frontend=127.0.0.1," + std::to_string(port),
       "--backend=127.0.0.1," + std::to_string(server.port()), "--workers=1",
       "--accesslog-file=" + (folder / "access"), "--errorlog-file=" + (folder / "error"),
       folder / "key.pem", folder / "cert.pem"},
      folder / "log");
  ASSERT_TRUE(testing::answers(port));

  const std::string flags = " --think on --tasks arithmetic:4 --limit 20 --seed 3 -o ";
  ASSERT_EQ(run_program("run --model builtin" + flags + (folder / "local")).exit_code, 0);
  const std::string remote =
      "run --model https://127.0.0.1:" + std::to_string(port) + "/v1" + flags;
  const auto stranger = run_program(remote + (folder / "refused") + " --limit 1");
  EXPECT_NE(stranger.exit_code, 0);
  EXPECT_THAT(stranger.err, HasSubstr("certificate"));
  for (const std::string how : {"", " --stream"}) {
    const std::string run = folder / ("through" + std::to_string(how.size()));
    const auto through =
        run_program(remote + run + how, "env CURL_CA_BUNDLE='" + (folder / "cert.pem") + "'");
    ASSERT_EQ(through.exit_code, 0) << through.err;
    EXPECT_EQ(texts_of(run), texts_of(folder / "local"));
  }
  const auto access = read_file(folder / "access");
  ASSERT_OK(access);
  EXPECT_THAT(*access, HasSubstr("POST /v1/chat/completions HTTP/2\" 200"));
  EXPECT_THAT(*access, ::testing::Not(HasSubstr("HTTP/1.1\" 200")));
}

// Greedy, so that no random numbers are needed: the peers' texts are those of assay run.
TEST(Serve, PeersGetTheCompletionsOfARun) {
  ASSAY_NEED_PEERS();
  const ServeProcess server;
  const testing::TemporaryFolder folder;
  ASSERT_EQ(run_program("run --model builtin --think off --tasks arithmetic:1 --limit 20 "
                        "--temperature 0 --max-tokens 100 -o " +
                        (folder / "run"))
                .exit_code,
            0);
  std::map<std::string, std::string> own;
  std::istringstream lines(run_program("export " + (folder / "run")).out);
  for (std::string line; std::getline(lines, line);) {
    const Json row = Json::parse(line);
    own[row["item_id"]] = row["text"];
  }
  ASSERT_EQ(own.size(), 20u);
  const std::string head = "head -n 20 '" +
                           testing::tests_path("../datasets/samples/arithmetic.jsonl") + "' > '" +
                           (folder / "questions.jsonl") + "'";
  ASSERT_EQ(std::system(head.c_str()), 0);
  for (const std::string peer : {"openai", "lm-eval", "inspect"}) {
    const std::string command = "'" + testing::peers_python() + "' '" +
                                testing::tests_path("peers/ask_server.py") + "' " + peer + " " +
                                server.url() + " '" + (folder / "questions.jsonl") + "' '" +
                                (folder / peer) + "' > '" + (folder / "log") + "' 2>&1";
    ASSERT_EQ(std::system(command.c_str()), 0) << *read_file(folder / "log");
    size_t count = 0;
    for (const Json& row : testing::load_jsonl(folder / peer)) {
      EXPECT_EQ(row["completion"], own[row["id"]]) << peer;
      ++count;
    }
    EXPECT_EQ(count, own.size()) << peer;
  }
}

// Whatever the bytes, what has been shown is the beginning of the final text, whole characters
// only, and nothing of a stop string.
TEST(ServeProtocol, AStreamedTextIsNeverTakenBack) {
  std::mt19937 random(4);
  const std::vector<std::string> parts = {
      "a", "b", "é", "日本", "\xF0\x9F\x98\x80", "STOP", "ST", "\xFF", "\xE2\x82", " ", "</think>"};
  const std::vector<std::string> stop = {"STOP", "bé"};
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (size_t i = random() % 12; i > 0; --i) bytes += parts[random() % parts.size()];
    size_t end = bytes.size();
    for (const std::string& text : stop) end = std::min(end, bytes.find(text));
    const std::string final_text = to_valid_utf8(bytes.substr(0, end));
    TextStream stream(stop, false);
    std::string shown;
    // To the token that completes the stop string.
    for (size_t at = 0; at < bytes.size() && at < end + 3;) {
      const size_t count = std::min<size_t>(1 + random() % 3, bytes.size() - at);
      shown += stream.add(std::string_view(bytes).substr(at, count));
      at += count;
      EXPECT_EQ(to_valid_utf8(shown), shown);
      EXPECT_TRUE(final_text.starts_with(shown)) << bytes << " | " << shown;
    }
    shown += stream.finish(final_text);
    EXPECT_EQ(shown, final_text);
  }
}

}  // namespace
}  // namespace assay
