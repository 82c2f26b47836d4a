#include "daemon/access/tls_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace ocid {
namespace {

// Certificates of openssl(1), as an operator would make them.
class TlsFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/ocid-tls-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    Authority("ca");
    Issue("ca", "server", "/CN=server", "");
    Issue("ca", "alice", "/OU=deploy/CN=alice", "subjectAltName=URI:spiffe://example/alice");
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void Run(const std::string& arguments) {
    const std::string command = absl::StrCat("cd ", directory_, " && openssl ", arguments, " 2>log");
    ASSERT_EQ(std::system(command.c_str()), 0) << command << "\n" << Text("log");
  }
  void Authority(const std::string& name) {
    Run(absl::StrCat("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=",
                     name, " -keyout ", name, ".key -out ", name, ".pem"));
  }
  void Issue(const std::string& authority, const std::string& name, const std::string& subject,
             const std::string& extension) {
    Run(absl::StrCat("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj ", subject,
                     " -keyout ", name, ".key -out ", name, ".csr"));
    std::ofstream(directory_ + "/extensions") << extension << "\n";
    Run(absl::StrCat("x509 -req -in ", name, ".csr -days 1 -CA ", authority, ".pem -CAkey ", authority,
                     ".key -CAcreateserial -extfile extensions -out ", name, ".pem"));
  }
  std::string Text(const std::string& name) const {
    std::ifstream file(directory_ + "/" + name);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  void Copy(const std::string& from, const std::string& to) const {
    std::filesystem::copy_file(directory_ + "/" + from, directory_ + "/" + to,
                               std::filesystem::copy_options::overwrite_existing);
  }
  absl::StatusOr<std::unique_ptr<TlsFiles>> Open(const std::string& key = "server.key") {
    const std::string at = directory_ + "/";
    return TlsFiles::Open({at + "server.pem", at + key, at + "ca.pem", ""}, at + "published");
  }

  std::string directory_;
};

TEST_F(TlsFilesTest, ABelievedCertificateSaysWhoItIs) {
  const auto files = Open();
  ASSERT_TRUE(files.ok()) << files.status();
  const absl::StatusOr<Identity> alice = (*files)->trust()->Check(Text("alice.pem"), absl::Now());
  ASSERT_TRUE(alice.ok()) << alice.status();
  EXPECT_EQ(alice->name, "cn:alice");
  EXPECT_EQ(alice->units, std::vector<std::string>{"deploy"});
  EXPECT_EQ(alice->alternative_names, std::vector<std::string>{"uri:spiffe://example/alice"});
}

TEST_F(TlsFilesTest, AnExpiredCertificateOrOneOfAnotherAuthorityIsNot) {
  const auto files = Open();
  ASSERT_TRUE(files.ok()) << files.status();
  const auto trust = (*files)->trust();
  EXPECT_EQ(trust->Check(Text("alice.pem"), absl::Now() + absl::Hours(25)).status().code(),
            absl::StatusCode::kUnauthenticated);
  Authority("other");
  Issue("other", "mallory", "/CN=alice", "");
  EXPECT_FALSE(trust->Check(Text("mallory.pem"), absl::Now()).ok());
  EXPECT_FALSE(trust->Check("", absl::Now()).ok());
  EXPECT_FALSE(trust->Check("-----BEGIN CERTIFICATE-----\nx\n", absl::Now()).ok());
}

TEST_F(TlsFilesTest, ACertificateForServersAloneIsNotAClients) {
  Issue("ca", "web", "/CN=web", "extendedKeyUsage=serverAuth");
  const auto files = Open();
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_FALSE((*files)->trust()->Check(Text("web.pem"), absl::Now()).ok());
}

TEST_F(TlsFilesTest, ARevokedCertificateIsNotAndTheCacheForgetsItWithTheTrust) {
  std::ofstream(directory_ + "/ca.cnf")
      << "[ca]\ndefault_ca=d\n[d]\ndatabase=index\ndefault_md=sha256\ndefault_crl_days=1\n";
  std::ofstream(directory_ + "/index");
  Run("ca -config ca.cnf -keyfile ca.key -cert ca.pem -gencrl -out crl.pem");
  const std::string at = directory_ + "/";
  const auto files = TlsFiles::Open(
      {at + "server.pem", at + "server.key", at + "ca.pem", at + "crl.pem"}, at + "published");
  ASSERT_TRUE(files.ok()) << files.status();
  CertificateCache cache;
  const std::string alice = Text("alice.pem");
  EXPECT_TRUE(cache.Check((*files)->trust(), alice, absl::Now()).ok());
  Run("ca -config ca.cnf -keyfile ca.key -cert ca.pem -revoke alice.pem");
  Run("ca -config ca.cnf -keyfile ca.key -cert ca.pem -gencrl -out crl.pem");
  const absl::StatusOr<bool> changed = (*files)->Reload();
  ASSERT_TRUE(changed.ok() && *changed);
  EXPECT_FALSE(cache.Check((*files)->trust(), alice, absl::Now()).ok());
  // A list that is too old cannot say who is not on it.
  EXPECT_FALSE((*files)->trust()->Check(Text("server.pem"), absl::Now() + absl::Hours(25)).ok());
}

TEST_F(TlsFilesTest, AKeyThatIsNotTheCertificatesIsRefusedAtTheStart) {
  EXPECT_FALSE(Open("alice.key").ok());
}

TEST_F(TlsFilesTest, HalfOfAChangeLeavesWhatWasInForce) {
  const auto files = Open();
  ASSERT_TRUE(files.ok()) << files.status();
  const std::string before = Text("published/identity.pem");
  Copy("alice.pem", "server.pem");
  EXPECT_FALSE((*files)->Reload().ok());
  EXPECT_EQ(Text("published/identity.pem"), before);
  Copy("alice.key", "server.key");
  const absl::StatusOr<bool> changed = (*files)->Reload();
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_TRUE(*changed);
  EXPECT_NE(Text("published/identity.pem"), before);
  EXPECT_FALSE(*(*files)->Reload());
}

TEST_F(TlsFilesTest, NobodyElseCanReadTheCopies) {
  const auto files = Open();
  ASSERT_TRUE(files.ok()) << files.status();
  struct stat status;
  ASSERT_EQ(stat((directory_ + "/published").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  ASSERT_EQ(stat((*files)->identity_path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

}  // namespace
}  // namespace ocid
