// Models behind URLs: what a server does to a request, no sample is lost or doubled by it.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "engine/remote/openai.h"
#include "engine/remote/remote_engine.h"
#include "harness/base/file.h"
#include "harness/base/text.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

// tests/engine/remote/fault_server.py in a process of its own.
class FaultServer {
 public:
  FaultServer(const testing::TemporaryFolder& folder, const std::string& name,
              const std::string& faults, int dies_after = 0) {
    const std::string port_file = folder / (name + ".port");
    const std::string script = testing::tests_path("engine/remote/fault_server.py");
    const std::string limit = std::to_string(dies_after);
    process_ = fork();
    if (process_ == 0) {
      execlp("python3", "python3", script.c_str(), port_file.c_str(), faults.c_str(), limit.c_str(),
             nullptr);
      _exit(127);
    }
    for (int i = 0; i < 1000 && !file_exists(port_file); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    const auto port = read_file(port_file);
    url_ = "http://127.0.0.1:" + (port.ok() ? *port : "1") + "/v1";
  }
  ~FaultServer() {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  const std::string& url() const { return url_; }

 private:
  pid_t process_ = -1;
  std::string url_;
};

class Remote : public ::testing::Test {
 protected:
  testing::ProgramResult run(const std::string& model, const std::string& name,
                             const std::string& flags = "") {
    return testing::run_program("run --model " + model + " --tasks arithmetic:4 --limit 12 -o " +
                                (folder_ / name) + " --request-timeout 1 " + flags);
  }
  std::string exported(const std::string& name) {
    return testing::run_program("export " + (folder_ / name) + " --format jsonl").out;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(Remote, FaultsLoseNoSampleAndDoubleNone) {
  const FaultServer good(folder_, "good", "");
  const auto clean = run(good.url(), "clean");
  ASSERT_EQ(clean.exit_code, 0) << clean.err;
  const FaultServer bad(folder_, "bad", "429,500,reset,garbage,shape,slow,hang");
  const auto faulty = run(bad.url(), "faulty");
  ASSERT_EQ(faulty.exit_code, 0) << faulty.err;
  EXPECT_EQ(exported("faulty"), exported("clean"));
  const Json results = testing::load_json(folder_ / "faulty/results.json");
  EXPECT_EQ(results["suites"][0]["samples"], 48);
  EXPECT_GT(results["suites"][0]["tokens"]["mean"].get<double>(), 10);
  EXPECT_GT(results["suites"][0]["tokens"]["thought"].get<int64_t>(), 0);
}

TEST_F(Remote, AServerThatDiesLeavesItsWorkToTheOther) {
  const FaultServer good(folder_, "good", "");
  ASSERT_EQ(run(good.url(), "one").exit_code, 0);
  const FaultServer dying(folder_, "dying", "", 20);
  const auto two = run(good.url() + "#fake," + dying.url() + "#fake", "two");
  ASSERT_EQ(two.exit_code, 0) << two.err;
  EXPECT_EQ(exported("two"), exported("one"));
}

TEST_F(Remote, AServerThatVanishesFromTheNetworkIsWaitedFor) {
  if (std::system("unshare -Urn ip link set lo up > /dev/null 2>&1") != 0) {
    GTEST_SKIP() << "no network namespaces here (unshare, ip)";
  }
  const std::string command =
      "unshare -Urn '" + testing::tests_path("engine/remote/vanishing_server.sh") + "' '" +
      testing::program() + "' '" + testing::tests_path("engine/remote/fault_server.py") + "' '" +
      folder_.path() + "' > '" + (folder_ / "out") + "' 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0);
  const auto out = read_file(folder_ / "out");
  ASSERT_OK(out);
  EXPECT_TRUE(out->ends_with("same\n")) << *out;
}

TEST_F(Remote, WhatWillNotPassEndsTheRunAndIsSaid) {
  const FaultServer server(folder_, "server", "bad");
  const auto refused = run(server.url(), "refused");
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("400 maximum context length is 10"));
  const auto nobody = run("http://127.0.0.1:9/v1", "nobody");
  EXPECT_EQ(nobody.exit_code, 2);
  EXPECT_THAT(nobody.err, HasSubstr("is the server running?"));
  EXPECT_THAT(run("http://key@127.0.0.1:9/v1", "key").err, HasSubstr("ASSAY_API_KEY"));
}

TEST_F(Remote, TheKeyComesFromTheEnvironmentAndIsNotStored) {
  setenv("FAULT_SERVER_KEY", "Bearer sk-secret-7", 1);
  const FaultServer server(folder_, "server", "");
  unsetenv("FAULT_SERVER_KEY");
  const auto without = run(server.url(), "without");
  EXPECT_EQ(without.exit_code, 2);
  EXPECT_THAT(without.err, HasSubstr("ASSAY_API_KEY"));
  setenv("ASSAY_API_KEY", "sk-secret-7", 1);
  const auto with = run(server.url(), "with");
  unsetenv("ASSAY_API_KEY");
  EXPECT_EQ(with.exit_code, 0) << with.err;
  const auto store = read_file(folder_ / "with/run.sqlite");
  ASSERT_OK(store);
  EXPECT_EQ(store->find("sk-secret"), std::string::npos);
  EXPECT_EQ(with.err.find("sk-secret"), std::string::npos);
}

TEST_F(Remote, AThoughtIsBegunWhereTheServerLetsIt) {
  const FaultServer server(folder_, "server", "");
  const auto forced = run(server.url(), "forced", "--think on");
  EXPECT_EQ(forced.exit_code, 0) << forced.err;
  EXPECT_THAT(exported("forced"), HasSubstr("\"verdict\""));
  const auto cannot = run(server.url(), "cannot", "--think on --server-profile openai");
  EXPECT_EQ(cannot.exit_code, 2);
  EXPECT_EQ(run(server.url(), "x", "--server-profile tgi").exit_code, 2);
  EXPECT_EQ(run(server.url(), "y", "--max-connections 0").exit_code, 2);
}

TEST(ChatProtocol, BodiesSayWhatTheServerUnderstands) {
  auto sampling = std::make_shared<SamplingParams>();
  sampling->top_k = 20;
  sampling->stop = {"Q:"};
  auto prompt = std::make_shared<Prompt>();
  prompt->text = R"([{"role":"user","content":"é"}])";
  prompt->opens_thought = true;
  const Request request{{"suite", "item", 3}, prompt, sampling, {1, 4294967295}, nullptr};
  const auto body_of = [&](const char* name) {
    const auto profile = find_profile(name);
    EXPECT_TRUE(profile.ok());
    BodyOptions options;
    options.seed = 7;
    return Json::parse(request_body(*profile, "m", request, options));
  };
  EXPECT_EQ(body_of("vllm")["top_k"], 20);
  EXPECT_EQ(body_of("vllm")["continue_final_message"], true);
  EXPECT_EQ(body_of("openai")["max_completion_tokens"], 32768);
  EXPECT_FALSE(body_of("openai").contains("top_k"));
  EXPECT_FALSE(body_of("deepseek").contains("seed"));
  EXPECT_EQ(body_of("vllm")["seed"], 7);
  EXPECT_EQ(body_of("assay")["philox"].dump(), R"({"key":[1,4294967295],"sample_index":3})");
  EXPECT_EQ(body_of("llama-server")["samplers"][0], "temperature");
  EXPECT_EQ(body_of("other")["messages"][0]["content"], "é");
}

TEST(ChatProtocol, RenderedPromptsGoAsTokensOrAsTextWithoutBos) {
  auto sampling = std::make_shared<SamplingParams>();
  auto prompt = std::make_shared<Prompt>();
  prompt->text = "<s>Hello<think>\n";
  prompt->token_ids = {1, 7, 9};
  const Request request{{"suite", "item", 3}, prompt, sampling, {1, 2}, nullptr};
  const auto body_of = [&](const char* name) {
    const auto profile = find_profile(name);
    EXPECT_TRUE(profile.ok());
    BodyOptions options;
    options.text = true;
    options.bos = "<s>";
    return Json::parse(request_body(*profile, "m", request, options));
  };
  EXPECT_EQ(body_of("vllm")["prompt"].dump(), "[1,7,9]");
  EXPECT_EQ(body_of("other")["prompt"], "Hello<think>\n");
  EXPECT_EQ(body_of("openai")["max_tokens"], 32768);
  EXPECT_FALSE(body_of("vllm").contains("messages"));
  const ReplyForm form{true, false};
  const auto replies = parse_replies(
      R"({"choices":[{"text":"a</think>b","finish_reason":"length"}],"usage":{"prompt_tokens":3,)"
      R"("completion_tokens":4}})",
      form);
  ASSERT_OK(replies);
  ASSERT_EQ(replies->size(), 1u);
  EXPECT_EQ((*replies)[0].text, "a</think>b");
  EXPECT_EQ((*replies)[0].finish_reason, FinishReason::kLength);
  EXPECT_EQ((*replies)[0].completion_tokens, 4);
  const auto several = parse_replies(
      R"({"choices":[{"text":"aaa"},{"text":"b"}],"usage":{"completion_tokens":8}})", form);
  ASSERT_OK(several);
  EXPECT_EQ((*several)[0].completion_tokens, 6);
  EXPECT_EQ((*several)[1].completion_tokens, 2);
  for (const char* wrong :
       {R"({"choices":[{"finish_reason":"stop"}]})", R"({"choices":[{"text":3}]})", "[]", "",
        R"({"choices":[{"text":"a","finish_reason":"tool"}]})"}) {
    EXPECT_FALSE(parse_replies(wrong, form).ok()) << wrong;
  }
}

TEST(ChatProtocol, StreamsAreReadToTheirEndAndNoFurther) {
  const std::string thought = R"(data: {"choices":[{"delta":{"reasoning_content":"t"}}]})";
  const std::string answer = R"(data: {"choices":[{"delta":{"content":"a"}}]})";
  const std::string end = R"(data: {"choices":[{"delta":{},"finish_reason":"stop"}]})";
  const std::string usage =
      R"(data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9}})";
  const auto whole = parse_stream(thought + "\n\n" + answer + "\n\n: ping\n\n" + answer +
                                      "\r\n\r\n" + end + "\n\n" + usage + "\n\ndata: [DONE]\n\n",
                                  {}, false);
  ASSERT_OK(whole);
  EXPECT_EQ(whole->text, "<think>\nt\n</think>\n\naa");
  EXPECT_EQ(whole->finish_reason, FinishReason::kStop);
  EXPECT_EQ(whole->completion_tokens, 9);
  EXPECT_FALSE(parse_stream(answer + "\n\n", {}, false).ok());
  EXPECT_FALSE(parse_stream("", {}, false).ok());
  EXPECT_FALSE(parse_stream("data: {\n\n" + end, {}, false).ok());
  EXPECT_FALSE(parse_stream("data: {\"error\":{}}\n\n" + end, {}, false).ok());
  const auto cut = parse_stream(answer + "\n\n" + answer + "\n\ndata: {\"cho", {}, true);
  ASSERT_OK(cut);
  EXPECT_EQ(cut->text, "aa");
  EXPECT_EQ(cut->finish_reason, FinishReason::kLength);
  EXPECT_EQ(cut->completion_tokens, 2);
  const auto text = parse_stream(R"(data: {"choices":[{"text":"b","finish_reason":"length"}]})",
                                 {true, false}, false);
  ASSERT_OK(text);
  EXPECT_EQ(text->text, "b");
  EXPECT_EQ(text->finish_reason, FinishReason::kLength);
}

TEST_F(Remote, StreamsLoseNothingAndOneOverItsLimitIsCutOff) {
  const FaultServer good(folder_, "good", "");
  ASSERT_EQ(run(good.url(), "whole").exit_code, 0);
  const FaultServer bad(folder_, "bad", "cut,429,reset");
  const auto streamed = run(bad.url(), "streamed", "--stream");
  ASSERT_EQ(streamed.exit_code, 0) << streamed.err;
  const auto verdicts = [&](const std::string& name) {
    std::vector<std::string> out;
    for (const std::string& line : split(exported(name), '\n')) {
      if (!line.empty()) out.push_back(Json::parse(line)["answer"].dump());
    }
    return out;
  };
  EXPECT_EQ(verdicts("streamed").size(), 48u);
  EXPECT_EQ(verdicts("streamed"), verdicts("whole"));
  EXPECT_EQ(
      testing::load_json(
          folder_ /
          "streamed/results.json")["manifest"]["environment"]["learned"]["system_fingerprint"],
      "fp");
  const FaultServer endless(folder_, "endless", "endless");
  const auto cut = run(endless.url(), "cut", "--stream --max-tokens 50");
  ASSERT_EQ(cut.exit_code, 0) << cut.err;
  int truncated = 0;
  for (const std::string& line : split(exported("cut"), '\n')) {
    if (!line.empty() && Json::parse(line)["finish_reason"] == "length") ++truncated;
  }
  EXPECT_EQ(truncated, 24);
}

TEST_F(Remote, SeveralSamplesOfARequestAreAllDeliveredOnce) {
  const FaultServer server(folder_, "server", "few,429");
  const auto result = run(server.url(), "several", "--samples-per-request 3");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(testing::load_json(folder_ / "several/results.json")["suites"][0]["samples"], 48);
  EXPECT_EQ(run(server.url(), "none", "--samples-per-request 0").exit_code, 2);
}

TEST(ChatProtocol, RepliesOfManyFormsAreReadAndOthersAreErrors) {
  const auto text_of = [](const std::string& message, const std::string& reason, bool opens) {
    const auto replies = parse_replies(
        R"({"choices":[{"message":)" + message + R"(,"finish_reason":")" + reason + "\"}]}",
        {false, opens});
    return replies.ok() ? replies->front().text : "error: " + replies.error().message;
  };
  EXPECT_EQ(text_of(R"({"content":"a"})", "stop", false), "a");
  EXPECT_EQ(text_of(R"({"content":"b","reasoning_content":"t"})", "stop", false),
            "<think>\nt\n</think>\n\nb");
  EXPECT_EQ(text_of(R"({"content":"b","reasoning":"t"})", "stop", true), "t\n</think>\n\nb");
  EXPECT_EQ(text_of(R"({"content":null,"reasoning_content":"t"})", "length", false), "<think>\nt");
  EXPECT_EQ(text_of(R"({"content":"<think>\nt</think>b","reasoning_content":""})", "stop", false),
            "<think>\nt</think>b");
  EXPECT_THAT(text_of(R"({"content":"a"})", "content_filter", false), HasSubstr("content_filter"));
  for (const char* body :
       {"", "null", "[]", "{}", R"({"choices":[]})", R"({"choices":[3]})", R"({"choices":{"a":1}})",
        R"({"choices":[{"message":[]}]})", "{\"choices\":[{\"message\":{\"content\":\"\xff\"}}]"}) {
    EXPECT_FALSE(parse_replies(body, {}).ok()) << body;
  }
  EXPECT_FALSE(parse_replies(std::string(200'000, '['), {}).ok());
  EXPECT_EQ(error_message(R"({"error":{"message":"a\nb"}})"), "a b");
  EXPECT_EQ(error_message("<html>"), "<html>");
}

}  // namespace
}  // namespace assay
