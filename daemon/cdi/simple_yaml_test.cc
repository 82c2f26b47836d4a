#include "daemon/cdi/simple_yaml.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace ocid {
namespace {

constexpr char kGenerated[] = R"(---
# by a generator
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
    - name: "0"
      containerEdits:
        deviceNodes:
            - path: /dev/nvidia0
              hostPath: /dev/nvidia0   # with a comment
            - {path: /dev/dri/card1, major: 226, minor: 1}
        hooks:
            - hookName: createContainer
              path: /usr/bin/nvidia-cdi-hook
              args:
                - nvidia-cdi-hook
                - create-symlinks
                - --link
                - ../card1::/dev/dri/by-path/pci-0000:01:00.0-card
              env: [NVIDIA_CTK_DEBUG=false, 'A=b c', "C=d#e"]
    -
      name: all
      containerEdits:
        env:
        - A=b
        - null
containerEdits:
    env:
        - NVIDIA_VISIBLE_DEVICES=void
    mounts: []
    intelRdt: {}
annotations:
)";

// One line per node, lines included but for what is missing: the full parser has it where the next
// thing stands.
std::string Describe(const YamlNode& node, int depth = 0) {
  const char* const kinds[] = {"null", "scalar", "sequence", "map"};
  std::string text = std::string(static_cast<size_t>(depth), ' ') +
                     kinds[static_cast<int>(node.kind)] + " " +
                     std::to_string(node.kind == YamlNode::Kind::kNull ? 0 : node.line) +
                     (node.quoted ? " quoted " : " ") + node.text + "\n";
  for (const YamlNode& element : node.elements) text += Describe(element, depth + 1);
  for (const YamlMember& member : node.members) {
    text += member.key + ":\n" + Describe(member.value, depth + 1);
  }
  return text;
}

// Whatever the fast reader reads, the full one reads alike. True if it read it.
bool Agrees(const std::string& text) {
  const std::optional<YamlNode> simple = ParseSimpleYaml(text, {});
  if (!simple.has_value()) return false;
  const absl::StatusOr<YamlNode> full = ParseAnyYaml(text);
  EXPECT_TRUE(full.ok()) << full.status() << "\n" << text;
  if (!full.ok()) return true;
  EXPECT_EQ(Describe(*simple), Describe(*full)) << text;
  return true;
}

TEST(ParseSimpleYaml, ReadsWhatGeneratorsWrite) { EXPECT_TRUE(Agrees(kGenerated)); }

TEST(ParseSimpleYaml, ReadsTheseOrLeavesThem) {
  const std::vector<std::string> kTexts = {
      "a: b", "a: b\n", "a:\n", "a:\n  b:\n", "a:\n- b\n- c\nd: e\n", "- a\n- b\n", "- - a\n  - b\n- c\n",
      "-\n  a: b\n", "- a: b\n  c: d\n-   e: f\n    g: h\n", "a: [b, c]\n", "a: [ b , c ] # d\n",
      "a: {b: c, d: [e, {f: g}]}\n", "a: 'b'\n", "a: \"b\"\n", "a: b#c\n", "a: b #c\n", "a: #c\n  b: c\n",
      "a: http://x\n", "a: 1:2\n", "a: b c  d   \n", "a: ~\n", "a: null\nb: NULL\n", "null: a\n", "a: -1\n",
      "a: - b\n", "a: b: c\n", "a: b:\n", "a:b\n", "a : b\n", "a: [b,c]\n", "a: [b,]\n", "a: {b}\n",
      "a: {b:c}\n", "a: {b: }\n", "a: [a: b]\n", "a: b\n  c\n", "a: b\n c: d\n", "  a: b\n  c: d\n",
      "  a: b\nc: d\n", "a:\n  b: c\n d: e\n", "a: 'b''c'\n", "a: \"b\\n\"\n", "a: 'b' c\n", "a: \"b\"c\n",
      "a: 'b'#c\n", "a: 'b' #c\n", "a: |\n  b\n", "a: &x b\n", "a: *x\n", "a: !x b\n", "a: b\na: c\n",
      "a: {b: c, b: d}\n", "---\na: b\n---\nc: d\n", "--- a\n", "a: b\n...\n", "%YAML 1.2\n---\na: b\n",
      "a:\tb\n", "a: b\r\n", "a: \xc3\xa9\n", "? a\n: b\n", "a\n", "\"a\": b\n", "a: [b\n  , c]\n", "a: @b\n",
      "a: `b\n", "a: %b\n", "a: ?b\n", "a: :b\n", "a: ,b\n", "a: ]b\n", "a: [b]c\n", "a: +1\n", "a: .5\n",
      "a: =\n", "a: <<\n", "<<: a\n", "a: /b/c,d\n", "a: [/b/c:d, e=f]\n", "a: [b c, d]\n", "a: [ ]\n",
      "a: { }\n", "-\n-\n", "-\na: b\n", "a:\n-\n", "a:\n- b\n  c: d\n", "- b\n  c\n", "- [a, b]\n- {c: d}\n",
      "a: b # c: d\n", "a: b# c\n", "---   \na: b\n", "---\n", "# only\n", "\n\n", "a: b\n\n\n# c\n\nd: e\n",
      "a:\n- b\nc:\n- d\n- e:\n  - f\n  g:\n  - h\n", "a:\n- b\n c: d\n", "- a:\n  - b\n- c\n",
      "a:\n    - b:\n        - c\n      d: e\n", "a: [-1, -b]\n", "a: -\n", "a: --b\n", "- --b\n", "- -b\n", "a: 0x10\n",
      "a: \"\"\n", "a: ''\n", "a.b/c-d: e\n", "-a: b\n", "a: b,c\n", "a: b[c]\n", "a: b{c}\n", "a: [b{c]\n"};
  size_t read = 0;
  for (const std::string& text : kTexts) read += Agrees(text) ? 1 : 0;
  EXPECT_GT(read, kTexts.size() / 3);
  for (const char* refused : {"a: b\na: c\n", "a: |\n  b\n", "a: &x b\n", "a:\tb\n", "a: b\n---\n"}) {
    EXPECT_FALSE(ParseSimpleYaml(refused, {}).has_value()) << refused;
  }
}

TEST(ParseSimpleYaml, NeverReadsADamagedTextInItsOwnWay) {
  std::mt19937 random(1);
  const std::string alphabet = "ab:-# \n[]{},'\"/.=~0&*!|>?%@\t";
  size_t read = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = kGenerated;
    if (round % 2 == 0) text = text.substr(0, random() % text.size());
    for (int i = static_cast<int>(random() % 4); i >= 0; --i) {
      const size_t at = random() % (text.size() + 1);
      if (random() % 2 == 0 && at < text.size()) {
        text[at] = alphabet[random() % alphabet.size()];
      } else {
        text.insert(at, 1, alphabet[random() % alphabet.size()]);
      }
    }
    read += Agrees(text) ? 1 : 0;
    if (HasFailure()) return;
  }
  EXPECT_GT(read, 2000u);
}

TEST(ParseSimpleYaml, KeepsTheLimits) {
  YamlLimits few;
  few.nodes = 10;
  EXPECT_FALSE(ParseSimpleYaml(kGenerated, few).has_value());
  YamlLimits flat;
  flat.depth = 3;
  EXPECT_FALSE(ParseSimpleYaml(kGenerated, flat).has_value());
  EXPECT_FALSE(ParseSimpleYaml(std::string(1000, '['), {}).has_value());
  EXPECT_FALSE(ParseSimpleYaml("a: " + std::string(1000, '['), {}).has_value());
}

}  // namespace
}  // namespace ocid
