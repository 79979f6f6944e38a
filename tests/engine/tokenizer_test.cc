#include "engine/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <sstream>

#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/text.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

// llama.cpp's own test strings and token ids, as its vocabularies give them.
class LlamaCppVectors : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Vocabularies, LlamaCppVectors,
                         ::testing::Values("gpt-2", "llama-bpe", "qwen2", "deepseek-llm",
                                           "deepseek-coder"),
                         [](const auto& tested) { return replace_all(tested.param, "-", "_"); });

TEST_P(LlamaCppVectors, EncodeToTheRecordedIds) {
  ASSAY_NEED_DATA(std::string("engine/vocab/ggml-vocab-") + GetParam() + ".gguf");
  const auto gguf = GgufFile::open(data_path);
  ASSERT_OK(gguf);
  const auto tokenizer = Tokenizer::from_gguf(*gguf);
  ASSERT_OK(tokenizer);
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::string input = *read_file(data_path + ".inp");
  std::vector<std::string> texts;
  for (size_t at; (at = input.find(separator)) != std::string::npos;) {
    texts.push_back(input.substr(0, at));
    input.erase(0, at + separator.size());
  }
  std::istringstream lines(*read_file(data_path + ".out"));
  std::string line;
  size_t count = 0;
  for (const std::string& text : texts) {
    ASSERT_TRUE(std::getline(lines, line));
    std::istringstream ids(line);
    const std::vector<int32_t> expected{std::istream_iterator<int32_t>(ids), {}};
    EXPECT_EQ(tokenizer->encode(text, false), expected) << quote_for_message(text, 200);
    EXPECT_EQ(tokenizer->decode(expected), text);
    ++count;
  }
  EXPECT_GT(count, 30u);
}

// 2,000 questions of the data sets against PyPI's tokenizers, by hashes of their ids.
class DataSetLines : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Vocabularies, DataSetLines,
                         ::testing::Values("gpt-2", "llama-bpe", "qwen2", "deepseek-coder"),
                         [](const auto& tested) { return replace_all(tested.param, "-", "_"); });

TEST_P(DataSetLines, EncodeLikeTheTokenizersPackage) {
  ASSAY_NEED_DATA(std::string("engine/vocab/ggml-vocab-") + GetParam() + ".gguf");
  const auto gguf = GgufFile::open(data_path);
  ASSERT_OK(gguf);
  const auto tokenizer = Tokenizer::from_gguf(*gguf);
  ASSERT_OK(tokenizer);
  std::string file;
  std::vector<std::string> lines;
  int checked = 0;
  for (const Json& row : testing::load_jsonl(testing::tests_path("cases/tokenizer_lines.jsonl"))) {
    if (!row.contains("file")) continue;
    if (file != row["file"]) {
      file = row["file"];
      const auto content = read_file(testing::data_dir() + "/" + file);
      ASSERT_OK(content);
      lines = split(*content, '\n');
    }
    const Json item = Json::parse(lines.at(row["line"].get<size_t>() - 1));
    const std::string text = item[row["field"].get<std::string>()];
    const std::vector<int32_t> ids = tokenizer->encode(text, false);
    Sha256 hash;
    hash.update({reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int32_t)});
    EXPECT_EQ(hash.hex().substr(0, 16), row[GetParam()].get<std::string>())
        << file << ":" << row["line"] << " " << quote_for_message(text, 200);
    ++checked;
  }
  EXPECT_EQ(checked, 2000);
}

TEST(BuiltinTokenizer, EncodesLikeTheTokenizersPackage) {
  const auto tokenizer = Tokenizer::from_folder(testing::tests_path("../engine/builtin"));
  ASSERT_OK(tokenizer);
  const auto rows = testing::load_jsonl(testing::tests_path("cases/builtin_tokenizer.jsonl"));
  ASSERT_GT(rows.size(), 50u);
  for (size_t i = 1; i < rows.size(); ++i) {
    const auto text = rows[i]["text"].get<std::string>();
    EXPECT_EQ(tokenizer->encode(text, true), rows[i]["ids"].get<std::vector<int32_t>>())
        << quote_for_message(text, 200);
  }
}

TEST(BuiltinTokenizer, ControlTokensInPlainTextStayText) {
  const auto tokenizer = Tokenizer::from_folder(testing::tests_path("../engine/builtin"));
  ASSERT_OK(tokenizer);
  EXPECT_EQ(tokenizer->encode("<|im_end|>", true).size(), 1u);
  EXPECT_GT(tokenizer->encode("<|im_end|>", false).size(), 1u);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("<|im_end|>", false)), "<|im_end|>");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("a<|im_end|>", true)), "a");
}

TEST(BuiltinTokenizer, DecodingNeverSplitsACharacter) {
  const auto tokenizer = Tokenizer::from_folder(testing::tests_path("../engine/builtin"));
  ASSERT_OK(tokenizer);
  const auto ids = tokenizer->encode("漢字😀", true);  // one token a byte here
  for (size_t count = 0; count <= ids.size(); ++count) {
    const std::string text = tokenizer->decode(std::span(ids).first(count));
    EXPECT_EQ(text, to_valid_utf8(text));
    EXPECT_THAT(text, ::testing::Not(HasSubstr("\xEF\xBF\xBD")));
  }
}

TEST(BuiltinTokenizer, AMillionEqualBytesEncodeInBoundedTime) {
  const auto tokenizer = Tokenizer::from_folder(testing::tests_path("../engine/builtin"));
  ASSERT_OK(tokenizer);
  const std::string text(1'000'000, 'a');
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, true)), text);
}

class DamagedTokenizer : public ::testing::Test {
 protected:
  // The built-in tokenizer after `change`.
  Error error_after(const std::function<void(Json&)>& change) {
    Json json = testing::load_json(testing::tests_path("../engine/builtin/tokenizer.json"));
    change(json);
    EXPECT_TRUE(write_file_atomically(folder_ / "tokenizer.json", json.dump()).ok());
    const auto tokenizer = Tokenizer::from_folder(folder_.path());
    EXPECT_FALSE(tokenizer.ok());
    return tokenizer.ok() ? Error{} : tokenizer.error();
  }
  testing::TemporaryFolder folder_;
};

TEST_F(DamagedTokenizer, AGapInTheIdsIsNamed) {
  const Error error = error_after([](Json& json) {
    Json& vocab = json["model"]["vocab"];
    for (auto& [token, id] : vocab.items()) {
      if (id == 300) {
        vocab.erase(token);
        break;
      }
    }
    json["model"]["merges"] = Json::array();
  });
  EXPECT_THAT(error.message, HasSubstr("gap: no token has id 300"));
}

TEST_F(DamagedTokenizer, AnIdThatStandsTwiceIsNamed) {
  const Error error = error_after([](Json& json) { json["model"]["vocab"]["a"] = 5; });
  EXPECT_THAT(error.message, HasSubstr("id 5 stands twice"));
}

TEST_F(DamagedTokenizer, AMergeOfUnknownTokensIsNamed) {
  const Error error = error_after([](Json& json) { json["model"]["merges"][0] = "zzz qqq"; });
  EXPECT_THAT(error.message, HasSubstr("merge 0"));
}

TEST_F(DamagedTokenizer, AnotherModelTypeIsRefused) {
  const Error error = error_after([](Json& json) { json["model"]["type"] = "Unigram"; });
  EXPECT_THAT(error.message, HasSubstr("BPE"));
}

TEST_F(DamagedTokenizer, EveryWrongTypeInTheFileIsAnErrorAndNoCrash) {
  const Json original = testing::load_json(testing::tests_path("../engine/builtin/tokenizer.json"));
  for (const char* pointer :
       {"/model", "/model/vocab", "/model/merges", "/pre_tokenizer", "/pre_tokenizer/type",
        "/pre_tokenizer/pretokenizers", "/added_tokens", "/added_tokens/0", "/added_tokens/0/id",
        "/model/merges/0", "/normalizer", "/model/type",
        "/pre_tokenizer/pretokenizers/0/pattern"}) {
    for (const Json& wrong : {Json(-1), Json("x"), Json::array({1}), Json::object({{"a", 1}})}) {
      Json json = original;
      json[Json::json_pointer(pointer)] = wrong;
      ASSERT_TRUE(write_file_atomically(folder_ / "tokenizer.json", json.dump()).ok());
      const auto tokenizer = Tokenizer::from_folder(folder_.path());
      if (!tokenizer.ok()) {
        EXPECT_THAT(tokenizer.error().message, HasSubstr("tokenizer.json"));
      }
    }
  }
}

}  // namespace
}  // namespace assay
