#include <gmock/gmock.h>

#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/json.h"
#include "harness/base/philox.h"
#include "harness/base/text.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

// Known answers of the Random123 distribution (kat_vectors, philox4x32 10).
TEST(Philox, GivesTheKnownAnswersOfRandom123) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32_10({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
      (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformsLieInTheHalfOpenUnitInterval) {
  double sum = 0;
  for (uint32_t i = 0; i < 10000; ++i) {
    const double u = philox_uniform({i, 0, 0, 0}, {1, 2});
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.01);
}

TEST(StreamKey, DependsOnSeedSuiteAndItem) {
  EXPECT_EQ(stream_key(1, "a", "b"), stream_key(1, "a", "b"));
  EXPECT_NE(stream_key(1, "a", "b"), stream_key(2, "a", "b"));
  EXPECT_NE(stream_key(1, "a", "b"), stream_key(1, "a", "c"));
  EXPECT_NE(stream_key(1, "ab", "c"), stream_key(1, "a", "bc"));
}

TEST(Sha256, IsThatOfFips180) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Utf8, ACutCharacterIsNotInTheCompletePrefix) {
  const std::string text = "a漢";  // 1 + 3 bytes
  EXPECT_EQ(complete_utf8_prefix(text), 4u);
  EXPECT_EQ(complete_utf8_prefix(text.substr(0, 3)), 1u);
  EXPECT_EQ(complete_utf8_prefix(text.substr(0, 2)), 1u);
  EXPECT_EQ(complete_utf8_prefix("\xF0\x9F\x98"), 0u);
  EXPECT_EQ(complete_utf8_prefix("\xFFzz"), 3u);
}

TEST(Utf8, InvalidBytesBecomeReplacementCharacters) {
  EXPECT_EQ(to_valid_utf8("a\xFF"
                          "b"),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(to_valid_utf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // surrogate
  EXPECT_EQ(to_valid_utf8("\xC0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD");                  // overlong
  EXPECT_EQ(to_valid_utf8("é漢😀"), "é漢😀");
}

TEST(Json, AnErrorSaysLineAndColumn) {
  const auto json = parse_json("{\n  \"a\": 1,\n  \"b\" 2\n}", "x.json");
  ASSERT_FALSE(json.ok());
  EXPECT_THAT(json.error().message, HasSubstr("x.json: not valid JSON at line 3"));
}

TEST(Json, DeepNestingIsRefusedBeforeItIsParsed) {
  const auto json = parse_json(std::string(1'000'000, '['), "deep.json");
  ASSERT_FALSE(json.ok());
  EXPECT_THAT(json.error().message, HasSubstr("nested over"));
}

TEST(Json, AnUnknownKeyIsNamedWithAGuess) {
  const Json object = {{"temprature", 1}};
  JsonReader reader(object, "s.json: sampling");
  (void)reader.number_or("temperature", 0);
  const Status status = reader.no_other_keys();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message,
            "s.json: sampling: unknown key \"temprature\"; did you mean \"temperature\"?");
}

TEST(File, AtomicWritesReplaceTheWholeFile) {
  const testing::TemporaryFolder folder;
  ASSERT_OK(write_file_atomically(folder / "f", "old"));
  ASSERT_OK(write_file_atomically(folder / "f", "new"));
  EXPECT_EQ(*read_file(folder / "f"), "new");
}

TEST(File, AMissingFileIsNamed) {
  const auto file = read_file("/nonexistent/file");
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(file.error().message, HasSubstr("/nonexistent/file: cannot open"));
}

TEST(File, ALockIsHeldByOneOwner) {
  const testing::TemporaryFolder folder;
  auto first = FileLock::acquire(folder / "lock");
  ASSERT_OK(first);
  EXPECT_FALSE(FileLock::acquire(folder / "lock").ok());
  *first = FileLock();
}

TEST(Text, NumbersAndDurationsReadWell) {
  EXPECT_EQ(with_commas(1234567), "1,234,567");
  EXPECT_EQ(with_commas(12), "12");
  EXPECT_EQ(format_duration(3725), "1h02m");
  EXPECT_EQ(format_duration(65), "1m05s");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
}

}  // namespace
}  // namespace assay
