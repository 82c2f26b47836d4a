#include "runtime/supervisor/scrollback.h"

#include <random>
#include <string>

#include "gtest/gtest.h"

namespace ocid {
namespace {

std::string ReadFrom(const Scrollback& kept, uint64_t offset) {
  std::string text;
  while (offset < kept.end()) {
    size_t size = 0;
    const char* piece = kept.Piece(offset, &size);
    text.append(piece, size);
    offset += size;
  }
  return text;
}

void Append(Scrollback& kept, const std::string& bytes) { kept.Append(bytes.data(), bytes.size()); }

TEST(Scrollback, OnlyCountsUntilItIsToldToKeep) {
  Scrollback kept;
  Append(kept, "gone");
  EXPECT_EQ(kept.begin(), 4u);
  EXPECT_EQ(kept.end(), 4u);
  kept.Keep();
  Append(kept, "here");
  EXPECT_EQ(kept.begin(), 4u);
  EXPECT_EQ(ReadFrom(kept, 4), "here");
}

TEST(Scrollback, HoldsTheLastBytesOfWhateverWasAppended) {
  std::mt19937 random(3);
  Scrollback kept;
  kept.Keep();
  std::string all;
  for (int round = 0; round < 200; ++round) {
    std::string bytes(random() % 9000, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    Append(kept, bytes);
    all += bytes;
    ASSERT_EQ(kept.end(), all.size());
    ASSERT_EQ(kept.begin(),
              all.size() > Scrollback::kCapacity ? all.size() - Scrollback::kCapacity : 0);
    ASSERT_EQ(ReadFrom(kept, kept.begin()), all.substr(kept.begin()));
  }
}

TEST(Scrollback, OneAppendMayBeLargerThanItsCapacity) {
  Scrollback kept;
  kept.Keep();
  Append(kept, "abc");
  const std::string large(Scrollback::kCapacity + 10, 'x');
  Append(kept, large + "end");
  EXPECT_EQ(kept.end(), 3 + large.size() + 3);
  EXPECT_EQ(kept.begin(), kept.end() - Scrollback::kCapacity);
  EXPECT_EQ(ReadFrom(kept, kept.end() - 4), "xend");
}

}  // namespace
}  // namespace ocid
