#include "runtime/oci/json_patch.h"

#include <nlohmann/json.hpp>

#include "gtest/gtest.h"
#include "runtime/oci/json_pointer.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

struct Case {
  const char* name;
  const char* document;
  const char* patch;
  const char* result;  // null: an error
};

// The examples of RFC 6902, appendix A, and what they leave out.
const Case kCases[] = {
    {"A.1", R"({"foo":"bar"})", R"([{"op":"add","path":"/baz","value":"qux"}])",
     R"({"baz":"qux","foo":"bar"})"},
    {"A.2", R"({"foo":["bar","baz"]})", R"([{"op":"add","path":"/foo/1","value":"qux"}])",
     R"({"foo":["bar","qux","baz"]})"},
    {"A.3", R"({"baz":"qux","foo":"bar"})", R"([{"op":"remove","path":"/baz"}])",
     R"({"foo":"bar"})"},
    {"A.4", R"({"foo":["bar","qux","baz"]})", R"([{"op":"remove","path":"/foo/1"}])",
     R"({"foo":["bar","baz"]})"},
    {"A.5", R"({"baz":"qux"})", R"([{"op":"replace","path":"/baz","value":"boo"}])",
     R"({"baz":"boo"})"},
    {"A.6", R"({"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}})",
     R"([{"op":"move","from":"/foo/waldo","path":"/qux/thud"}])",
     R"({"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}})"},
    {"A.7", R"({"foo":["all","grass","cows","eat"]})",
     R"([{"op":"move","from":"/foo/1","path":"/foo/3"}])",
     R"({"foo":["all","cows","eat","grass"]})"},
    {"A.8", R"({"baz":"qux"})", R"([{"op":"test","path":"/baz","value":"qux"}])",
     R"({"baz":"qux"})"},
    {"A.9", R"({"baz":"qux"})", R"([{"op":"test","path":"/baz","value":"bar"}])", nullptr},
    {"A.12 no parent", R"({"foo":"bar"})", R"([{"op":"add","path":"/baz/bat","value":"qux"}])",
     nullptr},
    {"A.14 escapes", R"({"/":9,"~1":10})", R"([{"op":"test","path":"/~01","value":10}])",
     R"({"/":9,"~1":10})"},
    {"A.16 end of array", R"({"foo":["bar"]})", R"([{"op":"add","path":"/foo/-","value":["abc"]}])",
     R"({"foo":["bar",["abc"]]})"},
    {"copy", R"({"a":[1]})", R"([{"op":"copy","from":"/a","path":"/b"}])", R"({"a":[1],"b":[1]})"},
    {"whole document", R"({"a":1})", R"([{"op":"add","path":"","value":{"b":2}}])", R"({"b":2})"},
    {"leading zero", R"({"a":[1,2]})", R"([{"op":"remove","path":"/a/01"}])", nullptr},
    {"beyond the end", R"({"a":[1]})", R"([{"op":"add","path":"/a/2","value":0}])", nullptr},
    {"into itself", R"({"a":{"b":1}})", R"([{"op":"move","from":"/a","path":"/a/b"}])", nullptr},
    {"unknown operation", R"({})", R"([{"op":"increase","path":"","value":0}])", nullptr},
    {"no path", R"({})", R"([{"op":"add","value":0}])", nullptr},
    {"no value", R"({})", R"([{"op":"add","path":"/a"}])", nullptr},
    {"not an array", R"({})", R"({"op":"add"})", nullptr},
    {"replace of nothing", R"({})", R"([{"op":"replace","path":"/a","value":1}])", nullptr},
};

TEST(ApplyPatch, DoesWhatTheRfcSays) {
  for (const Case& test : kCases) {
    Json document = Json::parse(test.document);
    const absl::Status status = ApplyPatch(Json::parse(test.patch), document);
    EXPECT_EQ(status.ok(), test.result != nullptr) << test.name << ": " << status;
    EXPECT_EQ(document, Json::parse(test.result != nullptr ? test.result : test.document))
        << test.name;
  }
}

TEST(JsonPointer, EscapedTokensComeBack) {
  const std::string pointer = JoinPointer(JoinPointer("", "a/b~c"), 3);
  EXPECT_EQ(pointer, "/a~1b~0c/3");
  EXPECT_EQ(SplitPointer(pointer).value(), (std::vector<std::string>{"a/b~c", "3"}));
  EXPECT_EQ(SplitPointer("/").value(), (std::vector<std::string>{""}));
  EXPECT_FALSE(SplitPointer("a").ok());
  EXPECT_FALSE(SplitPointer("/~2").ok());
  EXPECT_FALSE(SplitPointer("/~").ok());
}

TEST(JsonPointer, ResolvesOnlyWhatIsThere) {
  const Json document = Json::parse(R"({"a":[{"":1}],"x":"y"})");
  EXPECT_EQ(*ResolvePointer(document, "/a/0/"), 1);
  EXPECT_EQ(ResolvePointer(document, ""), &document);
  for (const char* missing : {"/a/1", "/a/-", "/a/00", "/b", "/x/0", "/a/18446744073709551616"}) {
    EXPECT_EQ(ResolvePointer(document, missing), nullptr) << missing;
  }
}

}  // namespace
}  // namespace ocid
