// Against an HTTP server in the test, which misbehaves as it is told.
#include "daemon/image/registry_source.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "daemon/image/content_store.h"
#include "runtime/base/error_details.h"
#include "runtime/base/unique_fd.h"

namespace ocid {
namespace {

using nlohmann::json;

struct Answer {
  int code = 200;
  std::vector<std::string> headers = {};
  std::string body = {};
  size_t cut_after = std::string::npos;  // bytes of the body that are sent before the end
};

// One request per connection, one connection at a time.
class FakeServer {
 public:
  using Handler = std::function<Answer(const std::string& path, const std::string& head)>;

  explicit FakeServer(Handler handler)
      : handler_(std::move(handler)), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
    listen(listener_.get(), 16);
    socklen_t size = sizeof(address);
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    host_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
    thread_ = std::thread([this] { Run(); });
  }
  ~FakeServer() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  const std::string& host() const { return host_; }
  int requests() const { return requests_; }

 private:
  void Run() {
    for (;;) {
      const UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client.valid()) return;
      std::string head;
      char byte = 0;
      while (!head.ends_with("\r\n\r\n") && read(client.get(), &byte, 1) == 1) head += byte;
      ++requests_;
      const size_t begin = head.find(' ') + 1;
      const Answer answer = handler_(head.substr(begin, head.find(' ', begin) - begin), head);
      std::string text = absl::StrCat("HTTP/1.1 ", answer.code, " X\r\nConnection: close\r\n",
                                      "Content-Length: ", answer.body.size(), "\r\n");
      for (const std::string& header : answer.headers) text += header + "\r\n";
      text += "\r\n" + answer.body.substr(0, answer.cut_after);
      static_cast<void>(send(client.get(), text.data(), text.size(), MSG_NOSIGNAL));
    }
  }

  const Handler handler_;
  UniqueFd listener_;
  std::string host_;
  std::atomic<int> requests_ = 0;
  std::thread thread_;
};

const std::string kManifest = json{
    {"schemaVersion", 2},
    {"config", {{"mediaType", kOciConfigType}, {"digest", Digest::Sha256Of("{}").ToString()},
                {"size", 2}}},
    {"layers", json::array()}}.dump();
const std::string kBlob = [] {
  std::string blob;
  for (int i = 0; i < 20000; ++i) absl::StrAppend(&blob, i, " ");
  return blob;
}();

Answer ManifestAnswer() {
  return {.headers = {"Content-Type: " + std::string(kOciManifestType)}, .body = kManifest};
}
Answer BlobAnswer(const std::string& head) {
  const size_t range = head.find("Range: bytes=");
  if (range == std::string::npos) return {.body = kBlob};
  const size_t offset = std::stoul(head.substr(range + 13));
  return {.code = 206, .headers = {}, .body = kBlob.substr(offset)};
}

class RegistrySourceTest : public testing::Test {
 protected:
  RegistrySourceTest()
      : directory_(testing::TempDir() + "/registry-" +
                   testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(directory_);
    content_ = ContentStore::Open(directory_).value();
  }
  ~RegistrySourceTest() override { std::filesystem::remove_all(directory_); }

  static absl::StatusOr<std::unique_ptr<RegistrySource>> Open(const std::string& host,
                                                              RegistryOptions options = {}) {
    options.first_pause = absl::Milliseconds(1);
    return RegistrySource::Open(RegistryReference::Parse(host + "/team/web:1").value(),
                                /*plain_http=*/true, std::move(options));
  }
  absl::Status Fetch(RegistrySource& source) {
    const Descriptor descriptor{.media_type = {}, .digest = Digest::Sha256Of(kBlob),
                                .size_bytes = kBlob.size(), .platform = {}, .annotations = {}};
    absl::StatusOr<std::unique_ptr<BlobWriter>> writer =
        content_->Write(descriptor.digest, descriptor.size_bytes);
    if (!writer.ok() || *writer == nullptr) return writer.status();
    absl::Status status =
        source.Fetch(descriptor, **writer, [](uint64_t) { return absl::OkStatus(); });
    return status.ok() ? std::move(**writer).Commit() : status;
  }

  const std::string directory_;
  std::unique_ptr<ContentStore> content_;
};

TEST_F(RegistrySourceTest, ResolvesATagAndFetchesABlob) {
  FakeServer server([](const std::string& path, const std::string& head) {
    if (path == "/v2/team/web/manifests/1") return ManifestAnswer();
    if (path.starts_with("/v2/team/web/blobs/")) return BlobAnswer(head);
    return Answer{.code = 404};
  });
  auto source = Open(server.host());
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->root().digest, Digest::Sha256Of(kManifest));
  EXPECT_TRUE(Fetch(**source).ok());
}

TEST_F(RegistrySourceTest, ABlobThatBreaksOffAnywhereGoesOn) {
  for (const size_t cut : {size_t{0}, size_t{1}, kBlob.size() / 2, kBlob.size() - 1}) {
    int blobs = 0;
    FakeServer server([&](const std::string& path, const std::string& head) {
      if (path.find("/manifests/") != std::string::npos) return ManifestAnswer();
      Answer answer = BlobAnswer(head);
      if (++blobs == 1) answer.cut_after = cut;
      return answer;
    });
    auto source = Open(server.host());
    ASSERT_TRUE(source.ok()) << source.status();
    const absl::Status fetched = Fetch(**source);
    EXPECT_TRUE(fetched.ok()) << cut << fetched;
    EXPECT_EQ(blobs, 2);
    ASSERT_TRUE(content_->Remove(Digest::Sha256Of(kBlob)).ok());
  }
}

TEST_F(RegistrySourceTest, AServerThatKnowsNoRangesSendsTheWhole) {
  int blobs = 0;
  FakeServer server([&](const std::string& path, const std::string&) {
    if (path.find("/manifests/") != std::string::npos) return ManifestAnswer();
    return Answer{.body = kBlob, .cut_after = ++blobs == 1 ? size_t{1000} : std::string::npos};
  });
  auto source = Open(server.host());
  ASSERT_TRUE(source.ok());
  EXPECT_TRUE(Fetch(**source).ok());
}

TEST_F(RegistrySourceTest, WrongContentIsRefused) {
  FakeServer server([](const std::string& path, const std::string&) {
    if (path.find("/manifests/") != std::string::npos) return ManifestAnswer();
    return Answer{.body = std::string(kBlob.size(), 'x')};
  });
  auto source = Open(server.host());
  ASSERT_TRUE(source.ok());
  EXPECT_EQ(GetReason(Fetch(**source)), "IMAGE_INVALID");
  EXPECT_FALSE(content_->Contains(Digest::Sha256Of(kBlob)));
}

TEST_F(RegistrySourceTest, AManifestByDigestMustHaveIt) {
  FakeServer server([](const std::string&, const std::string&) { return ManifestAnswer(); });
  const std::string name = server.host() + "/team/web@" + Digest::Sha256Of("other").ToString();
  EXPECT_EQ(GetReason(RegistrySource::Open(RegistryReference::Parse(name).value(), true, {}).status()),
            "IMAGE_INVALID");
}

TEST_F(RegistrySourceTest, WhatMayPassIsTriedAgainAndWhatMayNotIsNot) {
  std::atomic<int> count = 0;
  FakeServer flaky([&](const std::string&, const std::string&) {
    return ++count < 3 ? Answer{.code = 503} : ManifestAnswer();
  });
  EXPECT_TRUE(Open(flaky.host()).ok());
  FakeServer missing([](const std::string&, const std::string&) {
    return Answer{.code = 404, .headers = {},
                  .body = R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})"};
  });
  const absl::Status status = Open(missing.host()).status();
  EXPECT_EQ(GetReason(status), "IMAGE_NOT_FOUND");
  EXPECT_NE(status.message().find("manifest unknown"), std::string::npos);
  EXPECT_EQ(missing.requests(), 1);
}

TEST_F(RegistrySourceTest, ATokenIsFetchedWhereTheRegistrySaysSo) {
  std::string host;
  FakeServer server([&](const std::string& path, const std::string& head) {
    if (path.starts_with("/token?")) {
      EXPECT_NE(path.find("service=the%20service"), std::string::npos) << path;
      EXPECT_NE(path.find("scope=repository%3Ateam%2Fweb%3Apull"), std::string::npos) << path;
      EXPECT_NE(head.find("Authorization: Basic " + absl::Base64Escape("ann:secret")),
                std::string::npos);
      return Answer{.body = R"({"token":"abc"})"};
    }
    if (head.find("Authorization: Bearer abc") == std::string::npos) {
      return Answer{.code = 401,
                    .headers = {"WWW-Authenticate: Bearer realm=\"http://" + host +
                                "/token\",service=\"the service\",scope=\"x\""}};
    }
    return ManifestAnswer();
  });
  host = server.host();
  const std::string auth_file = directory_ + "/auth.json";
  const json auths = {{"auths", {{host, {{"auth", absl::Base64Escape("ann:secret")}}}}}};
  FILE* file = fopen(auth_file.c_str(), "w");
  fputs(auths.dump().c_str(), file);
  fclose(file);
  const auto source = Open(host, {.auth_files = {auth_file}});
  EXPECT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(server.requests(), 3);
}

TEST_F(RegistrySourceTest, BasicAuthenticationNeedsCredentials) {
  FakeServer server([](const std::string&, const std::string& head) {
    if (head.find("Authorization: Basic") != std::string::npos) return ManifestAnswer();
    return Answer{.code = 401, .headers = {"WWW-Authenticate: Basic realm=\"x\""}};
  });
  EXPECT_EQ(Open(server.host()).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(RegistrySourceTest, AMirrorIsAskedFirstAndTheRegistryWhereItFails) {
  FakeServer registry([](const std::string&, const std::string&) { return ManifestAnswer(); });
  FakeServer good([](const std::string&, const std::string&) { return ManifestAnswer(); });
  FakeServer bad([](const std::string&, const std::string&) { return Answer{.code = 404}; });
  EXPECT_TRUE(Open(registry.host(), {.mirrors = {{registry.host(), {"http://" + good.host()}}}}).ok());
  EXPECT_EQ(registry.requests(), 0);
  EXPECT_TRUE(Open(registry.host(), {.mirrors = {{registry.host(), {"http://" + bad.host()}}}}).ok());
  EXPECT_EQ(registry.requests(), 1);
}

TEST_F(RegistrySourceTest, PlainHttpIsForLoopbackAlone) {
  EXPECT_EQ(GetReason(RegistrySource::Open(RegistryReference::Parse("example.com/a:1").value(), true,
                                           {}).status()),
            "IMAGE_INVALID");
}

TEST_F(RegistrySourceTest, ACallerThatWantsNoMoreEndsIt) {
  FakeServer server([](const std::string&, const std::string&) { return Answer{.code = 503}; });
  int polls = 0;
  const absl::Status status =
      Open(server.host(), {.poll = [&] {
             return ++polls > 3 ? absl::CancelledError("enough") : absl::OkStatus();
           }}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

TEST(RegistryReferenceTest, ParsesReferences) {
  const RegistryReference plain = RegistryReference::Parse("docker.io/busybox").value();
  EXPECT_EQ(plain.ToString(), "docker.io/library/busybox:latest");
  const RegistryReference port = RegistryReference::Parse("localhost:5000/a/b_c:v1.2").value();
  EXPECT_EQ(port.host, "localhost:5000");
  EXPECT_EQ(port.repository, "a/b_c");
  EXPECT_EQ(port.tag, "v1.2");
  const std::string digest = Digest::Sha256Of("").ToString();
  EXPECT_EQ(RegistryReference::Parse("r.example/a@" + digest)->ManifestName(), digest);
}

TEST(RegistryReferenceTest, RefusesWhatIsNone) {
  for (const char* text :
       {"", "busybox", "library/busybox", "r.example/", "r.example/A", "r.example/a:", "r.example/a b",
        "r.example/../a", "r.example/a//b", "r.example/a:t/../x", "r.ex?/a", "r.example/a@sha256:1",
        "user@r.example/a", "r.example/a:-x", "r.example/.a", "r.example/a..b"}) {
    EXPECT_FALSE(RegistryReference::Parse(text).ok()) << text;
  }
}

TEST(RegistryReferenceTest, BoundsTheCompleteName) {
  const std::string most(255 - std::string_view("docker.io/library/").size(), 'a');
  const absl::StatusOr<RegistryReference> taken = RegistryReference::Parse("docker.io/" + most);
  ASSERT_TRUE(taken.ok());
  EXPECT_TRUE(RegistryReference::Parse(taken->ToString()).ok());
  EXPECT_FALSE(RegistryReference::Parse("docker.io/a" + most).ok());
}

TEST(RegistryReferenceTest, KnowsLoopback) {
  for (const char* host : {"localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:80"}) {
    EXPECT_TRUE(IsLoopbackHost(host)) << host;
  }
  for (const char* host : {"localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "[::2]"}) {
    EXPECT_FALSE(IsLoopbackHost(host)) << host;
  }
}

TEST(ParseChallengeTest, ReadsQuotedParameters) {
  auto parameters = ParseChallenge(R"(Bearer realm="https://a/t?x=1,2",service=s, scope="a:b")");
  EXPECT_EQ(parameters[""], "bearer");
  EXPECT_EQ(parameters["realm"], "https://a/t?x=1,2");
  EXPECT_EQ(parameters["service"], "s");
  EXPECT_EQ(parameters["scope"], "a:b");
  for (const char* text : {"", "Bearer", "Bearer realm", "Bearer realm=\"", "=,=,\""}) {
    ParseChallenge(text);
  }
}

}  // namespace
}  // namespace ocid
