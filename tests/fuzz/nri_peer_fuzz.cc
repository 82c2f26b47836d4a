// What an NRI plugin may send: frames of the multiplexer, ttrpc messages in them, and answers in those.
//
// The same bytes are taken whole and in two pieces: the messages must be the same. Every message is then
// read as whatever an answer or a request may be, and what plugins ask for is claimed and applied.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/nri/adjustment_apply.h"
#include "daemon/nri/adjustment_claims.h"
#include "daemon/nri/adjustment_policy.h"
#include "daemon/nri/mux_frame.h"
#include "daemon/nri/ttrpc_frame.h"
#include "proto/internal/nri/ttrpc.pb.h"
#include "tests/fuzz/fuzz_input.h"

namespace ocid {
namespace {

// The messages of both streams, and whether the bytes were refused.
struct Taken {
  std::vector<std::string> messages;
  bool refused = false;

  friend bool operator==(const Taken&, const Taken&) = default;
};

Taken Take(const std::vector<std::string_view>& pieces) {
  Taken taken;
  MuxParser mux;
  TtrpcParser streams[2];
  for (const std::string_view piece : pieces) {
    const absl::Status fed = mux.Feed(piece, [&](uint32_t stream, std::string_view bytes) {
      return streams[stream - kMuxPluginStream].Feed(
          bytes, [&](const TtrpcHeader& header, std::string_view data) {
            FUZZ_CHECK(header.length == data.size(), "a message is not as long as it says");
            taken.messages.emplace_back(data);
            return absl::OkStatus();
          });
    });
    taken.refused = taken.refused || !fed.ok();
    if (taken.refused) break;
  }
  return taken;
}

void Adjust(const std::string& payload) {
  nri::CreateContainerResponse answer;
  if (!answer.ParseFromString(payload)) return;
  (void)NriJson(answer);
  AdjustmentClaims claims("web");
  if (!claims.ClaimAdjustment("10-fuzz", answer.adjust()).ok()) return;
  if (!claims.ClaimUpdates("10-fuzz", answer.update()).ok()) return;
  nlohmann::json document = {{"process", {{"args", {"sh"}}}}, {"linux", nlohmann::json::object()}};
  std::vector<NriIgnoredEdit> ignored;
  (void)ApplyAdjustment(answer.adjust(), {}, document, ignored);
}

}  // namespace
}  // namespace ocid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const ocid::Taken whole = ocid::Take({bytes});
  const size_t cut = size == 0 ? 0 : data[size / 2] % (size + 1);
  const ocid::Taken pieces = ocid::Take({bytes.substr(0, cut), bytes.substr(cut)});
  FUZZ_CHECK(whole == pieces, "the messages depend on how the bytes come");
  for (const std::string& message : whole.messages) {
    ttrpc::Response response;
    if (response.ParseFromString(message)) ocid::Adjust(response.payload());
    ttrpc::Request request;
    if (!request.ParseFromString(message)) continue;
    ocid::nri::UpdateContainersRequest update;
    (void)update.ParseFromString(request.payload());
  }
  ocid::Adjust(std::string(bytes));
  return 0;
}
