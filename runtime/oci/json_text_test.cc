#include "runtime/oci/json_text.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "gtest/gtest.h"

namespace ocid {
namespace {

std::string ErrorOf(std::string_view text) {
  return std::string(ParseJson(text).status().message());
}

TEST(ParseJson, TellsWhereTheTextIsWrong) {
  EXPECT_NE(ErrorOf(R"({"a": [1, 2, }]})").find("at byte 14 in /a/2"), std::string::npos)
      << ErrorOf(R"({"a": [1, 2, }]})");
}

TEST(ParseJson, RefusesAMemberThatOccursTwice) {
  EXPECT_EQ(ErrorOf(R"({"x": {"a/b": 1, "a/b": 2}})"), "JSON in /x/a~1b: member occurs twice");
}

TEST(ParseJson, RefusesIntegersThatNo64BitsHold) {
  EXPECT_EQ(ErrorOf(R"({"n": 18446744073709551616})"),
            "JSON in /n: integer 18446744073709551616 does not fit 64 bits");
  EXPECT_TRUE(ParseJson(R"({"n": 18446744073709551615, "m": -9223372036854775808})").ok());
  EXPECT_FALSE(ParseJson(R"({"n": 1e999})").ok());
}

TEST(ParseJson, RefusesInvalidUtf8AndTrailingText) {
  EXPECT_FALSE(ParseJson("{\"a\": \"\xff\"}").ok());
  EXPECT_FALSE(ParseJson("{\"a\": \"\xed\xa0\x80\"}").ok());
  EXPECT_FALSE(ParseJson(R"({"a": "\ud800"})").ok());
  EXPECT_FALSE(ParseJson("{} {}").ok());
  EXPECT_FALSE(ParseJson("").ok());
}

TEST(ParseJson, RefusesWhatIsTooDeepTooLongOrTooMany) {
  EXPECT_TRUE(ParseJson(std::string(100, '[') + std::string(100, ']')).ok());
  EXPECT_NE(ErrorOf(std::string(101, '[') + std::string(101, ']')).find("deeper"),
            std::string::npos);
  EXPECT_FALSE(ParseJson("[1,1,1,1]", {.values = 4}).ok());
  EXPECT_FALSE(ParseJson("[1]", {.bytes = 2}).ok());
}

TEST(ParseJson, HostileTextFailsFast) {
  std::string duplicates = "{";
  for (int i = 0; i < 20000; ++i) duplicates += "\"a\":1,";
  for (const std::string& text :
       {std::string(100'000, '['), std::string(100'000, '{'), duplicates,
        "[" + std::string(100'000, '9'), "\"" + std::string(99'000, '\\')}) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_FALSE(ParseJson(text).ok());
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(500));
  }
}

TEST(CanonicalJson, SortsMembersAndIsCompact) {
  const auto document = ParseJson(R"({"b": [1, 2.50, -3, 1e3], "a": {"z": null, "y": true}})");
  ASSERT_TRUE(document.ok());
  EXPECT_EQ(CanonicalJson(*document), R"({"a":{"y":true,"z":null},"b":[1,2.5,-3,1000.0]})");
}

TEST(CanonicalJson, ReadsBackAsTheSameDocument) {
  const auto document = ParseJson(
      R"({"s": "\u0000\u001f\"\\\n\t/é😀", "n": [0.1, 1e-7, 1e300, 18446744073709551615]})");
  ASSERT_TRUE(document.ok());
  const std::string text = CanonicalJson(*document);
  const auto again = ParseJson(text);
  ASSERT_TRUE(again.ok()) << text;
  EXPECT_EQ(*again, *document);
  EXPECT_EQ(CanonicalJson(*again), text);
}

TEST(CanonicalJson, AgreesWithTheLibraryOnSpecs) {
  const auto document = ParseJson(R"({"ociVersion":"1.2.0","x":[true,{"é":"\u0001"}],"n":-5})");
  ASSERT_TRUE(document.ok());
  EXPECT_EQ(CanonicalJson(*document), document->dump());
}

TEST(Sha256Digest, KnowsTheStandardVector) {
  EXPECT_EQ(Sha256Digest("abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(IsValidUtf8, KnowsTheEdges) {
  for (const char* good : {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsValidUtf8(good));
  }
  for (const char* bad : {"\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "a\xff"}) {
    EXPECT_FALSE(IsValidUtf8(bad));
  }
}

}  // namespace
}  // namespace ocid
