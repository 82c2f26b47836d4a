#include "runtime/oci/json_identity.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "runtime/oci/json_patch.h"
#include "runtime/oci/json_text.h"
#include "runtime/oci/random_spec.h"

namespace ocid {
namespace {

using Json = nlohmann::json;

Json Mounts(std::initializer_list<const char*> destinations) {
  Json mounts = Json::array();
  for (const char* destination : destinations) {
    mounts.push_back({{"destination", destination}, {"type", "tmpfs"}});
  }
  return {{"mounts", mounts}};
}

TEST(Diff, EqualDocumentsHaveAnEmptyPatch) {
  EXPECT_EQ(Diff(Mounts({"/a", "/b"}), Mounts({"/a", "/b"})), Json::array());
}

TEST(Diff, AMountAddedInTheMiddleIsOneAdd) {
  EXPECT_EQ(Diff(Mounts({"/a", "/c"}), Mounts({"/a", "/b", "/c"})),
            Json::parse(R"([{"op":"add","path":"/mounts/1",
                             "value":{"destination":"/b","type":"tmpfs"}}])"));
}

TEST(Diff, AMountRemovedFromTheMiddleIsOneRemove) {
  EXPECT_EQ(Diff(Mounts({"/a", "/b", "/c"}), Mounts({"/a", "/c"})),
            Json::parse(R"([{"op":"remove","path":"/mounts/1"}])"));
}

TEST(Diff, AnElementThatGoesFromFrontToBackIsOneMove) {
  EXPECT_EQ(Diff(Mounts({"/a", "/b", "/c", "/d"}), Mounts({"/b", "/c", "/d", "/a"})),
            Json::parse(R"([{"op":"move","from":"/mounts/0","path":"/mounts/3"}])"));
}

TEST(Diff, AChangedVariableIsOneReplaceWhateverElseMoves) {
  const Json before = Json::parse(R"({"process":{"env":["A=1","B=2","C=3"]}})");
  const Json after = Json::parse(R"({"process":{"env":["A=1","X=0","B=5","C=3"]}})");
  EXPECT_EQ(Diff(before, after), Json::parse(R"([{"op":"add","path":"/process/env/1","value":"X=0"},
                            {"op":"replace","path":"/process/env/2","value":"B=5"}])"));
}

TEST(Diff, AChangeInsideAMountNamesOnlyTheMember) {
  Json after = Mounts({"/a", "/b"});
  after["mounts"][1]["source"] = "/srv";
  EXPECT_EQ(Diff(Mounts({"/a", "/b"}), after),
            Json::parse(R"([{"op":"add","path":"/mounts/1/source","value":"/srv"}])"));
}

TEST(Diff, ArgumentsAreReplacedAsAWhole) {
  const Json before = Json::parse(R"({"process":{"args":["sh","-c","true"]}})");
  const Json after = Json::parse(R"({"process":{"args":["sh","-c","false"]}})");
  EXPECT_EQ(
      Diff(before, after),
      Json::parse(R"([{"op":"replace","path":"/process/args","value":["sh","-c","false"]}])"));
}

TEST(Diff, AHookPutInFrontIsOneAdd) {
  const Json before = Json::parse(R"({"hooks":{"poststop":[{"path":"/b"},{"path":"/c"}]}})");
  const Json after =
      Json::parse(R"({"hooks":{"poststop":[{"path":"/a"},{"path":"/b"},{"path":"/c"}]}})");
  EXPECT_EQ(Diff(before, after),
            Json::parse(R"([{"op":"add","path":"/hooks/poststop/0","value":{"path":"/a"}}])"));
}

TEST(Diff, AnIntegerThatBecomesAFloatIsAChange) {
  EXPECT_EQ(Diff(Json{{"x", 1}}, Json{{"x", 1.0}}).size(), 1u);
}

TEST(Diff, EqualDestinationsAreToldApartByTheirOrder) {
  Json before = Mounts({"/a", "/a", "/b"});
  Json after = Mounts({"/a", "/a", "/a", "/b"});
  const Json patch = Diff(before, after);
  EXPECT_EQ(patch.size(), 1u);
  ASSERT_TRUE(ApplyPatch(patch, before).ok());
  EXPECT_EQ(before, after);
}

// ---- Properties, over random documents with the arrays that have rules

TEST(DiffProperty, ApplyingTheDifferenceGivesTheSecondDocument) {
  for (uint32_t seed = 0; seed < 3000; ++seed) {
    RandomSpec random(seed);
    const Json before = random.Make();
    const Json after = random.Make();
    const Json patch = Diff(before, after);
    Json patched = before;
    ASSERT_TRUE(ApplyPatch(patch, patched).ok()) << "seed " << seed << ": " << patch.dump();
    ASSERT_EQ(CanonicalJson(patched), CanonicalJson(after)) << "seed " << seed;
    // Somebody else's implementation agrees.
    ASSERT_EQ(CanonicalJson(before.patch(patch)), CanonicalJson(after)) << "seed " << seed;
  }
}

TEST(DiffProperty, AShuffledArrayIsPutInOrder) {
  for (uint32_t seed = 0; seed < 500; ++seed) {
    std::mt19937 random(seed);
    Json before = Json::array();
    for (int i = 0; i < 300; ++i) before.push_back({{"destination", "/" + std::to_string(i)}});
    Json after = before;
    const int swaps = static_cast<int>(random() % 200);
    for (int i = 0; i < swaps; ++i) std::swap(after[random() % 300], after[random() % 300]);
    Json patched = {{"mounts", before}};
    ASSERT_TRUE(ApplyPatch(Diff(patched, {{"mounts", after}}), patched).ok());
    ASSERT_EQ(patched["mounts"], after) << "seed " << seed;
  }
}

}  // namespace
}  // namespace ocid
