#include "daemon/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace ocid {
namespace {

absl::StatusOr<Invocation> Read(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "ocid");
  return ReadInvocation(static_cast<int>(arguments.size()), arguments.data());
}

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text)
      : path_(testing::TempDir() + "/ocid-config-" + std::to_string(getpid()) + ".yaml") {
    std::ofstream(path_) << text;
  }
  ~ConfigFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }
  std::string argument() const { return "--config=" + path_; }

 private:
  std::string path_;
};

TEST(Config, DefaultsAreThoseOfTheManual) {
  const absl::StatusOr<Invocation> invocation = Read({});
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  EXPECT_EQ(invocation->action, Invocation::Action::kServe);
  EXPECT_EQ(invocation->config.root, "/var/lib/ocid");
  EXPECT_EQ(invocation->config.state, "/run/ocid");
  EXPECT_EQ(invocation->config.listen, std::vector<std::string>{"unix:///run/ocid/ocid.sock"});
  EXPECT_EQ(invocation->config.cdi_spec_dirs,
            (std::vector<std::string>{"/etc/cdi", "/var/run/cdi"}));
}

TEST(Config, FlagsReplaceWhatTheFileSays) {
  const ConfigFile file("root: /file\nstate: /file-state\nlisten: [unix:///f1, unix:///f2]\n");
  const std::string argument = file.argument();
  const absl::StatusOr<Invocation> invocation =
      Read({argument.c_str(), "--root", "/flag", "--listen", "unix:///c1", "--listen=unix:///c2"});
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  EXPECT_EQ(invocation->config.root, "/flag");
  EXPECT_EQ(invocation->config.state, "/file-state");
  EXPECT_EQ(invocation->config.listen, (std::vector<std::string>{"unix:///c1", "unix:///c2"}));
}

TEST(Config, EveryKeyOfTheFileIsRead) {
  DaemonConfig config;
  const absl::Status status = ApplyConfigText(
      "root: /r\nstate: /s\nlisten: unix:///l\nlisten-group: staff\ncgroup-manager: cgroupfs\n"
      "cgroup-parent: mine\nallow-missing-controllers: true\ncdi-spec-dir:\n- /a\n- /b\n"
      "supervisor: /x/ocid-supervisor\nlog-level: debug\nlog-format: json\nmax-threads: 7\n"
      "registry-auth-file: [/a.json]\nregistry-certs-dir: /certs\n"
      "registry-mirror: [docker.io=https://mirror.example/]\nregistry-plain-http: [r.example:5000]\n"
      "image-max-manifest: 1m\nimage-max-blob: 2GiB\nimage-max-layer: 3000\n"
      "seccomp-profile: /p.json\ncontainer-queue: 8\nlaunch-timeout: 2m\ndrain-timeout: 1500ms\n",
      "f", config);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(config.listen, std::vector<std::string>{"unix:///l"});
  EXPECT_EQ(config.listen_group, "staff");
  EXPECT_EQ(config.cgroup_manager, "cgroupfs");
  EXPECT_EQ(config.cgroup_parent, "mine");
  EXPECT_TRUE(config.allow_missing_controllers);
  EXPECT_EQ(config.cdi_spec_dirs, (std::vector<std::string>{"/a", "/b"}));
  EXPECT_EQ(config.supervisor, "/x/ocid-supervisor");
  EXPECT_EQ(config.log_level, LogLevel::kDebug);
  EXPECT_EQ(config.log_format, LogFormat::kJson);
  EXPECT_EQ(config.seccomp_profile, "/p.json");
  EXPECT_EQ(config.registry_auth_files, std::vector<std::string>{"/a.json"});
  EXPECT_EQ(config.registry_certs_dir, "/certs");
  EXPECT_EQ(config.registry_mirrors, std::vector<std::string>{"docker.io=https://mirror.example/"});
  EXPECT_EQ(config.registry_plain_http, std::vector<std::string>{"r.example:5000"});
  EXPECT_EQ(config.image_max_manifest_bytes, 1U << 20);
  EXPECT_EQ(config.image_max_blob_bytes, uint64_t{2} << 30);
  EXPECT_EQ(config.image_max_layer_bytes, 3000U);
  EXPECT_EQ(config.max_threads, 7);
  EXPECT_EQ(config.container_queue, 8);
  EXPECT_EQ(config.launch_timeout, absl::Minutes(2));
  EXPECT_EQ(config.drain_timeout, absl::Milliseconds(1500));

  DaemonConfig again;
  ASSERT_TRUE(ApplyConfigText(DescribeConfig(config), "f", again).ok());
  EXPECT_EQ(DescribeConfig(again), DescribeConfig(config));
}

struct BadText {
  const char* text;
  const char* error;
};

TEST(Config, AWrongFileIsRefusedWithFileLineAndKey) {
  for (const BadText& bad : {
           BadText{"root: /r\nrooot: /x\n", "f:2: unknown key \"rooot\""},
           BadText{"root: /r\n\nroot: /x\n", "f:3: \"root\" stands here twice"},
           BadText{"root: relative\n", "f:1: root: \"relative\" is not an absolute path"},
           BadText{"root: [/a, /b]\n", "f:1: root: one value is wanted"},
           BadText{"listen:\n- {a: b}\n", "f:2: listen: a list of plain values is wanted"},
           BadText{"max-threads: 0\n", "f:1: max-threads: \"0\" is not a number from 1 to 4096"},
           BadText{"log-level: loud\n",
                   "f:1: log-level: \"loud\" is not a log level (debug, info, warning, error)"},
           BadText{"allow-missing-controllers: yes\n",
                   "f:1: allow-missing-controllers: \"yes\" is neither true nor false"},
           BadText{"image-max-layer: 9x\n",
                   "f:1: image-max-layer: \"9x\" is not a size from 1KiB to 1024TiB"},
           BadText{"image-max-manifest: 1g\n",
                   "f:1: image-max-manifest: \"1g\" is not a size from 1KiB to 16MiB"},
           BadText{"registry-mirror: docker.io\n",
                   "f:1: registry-mirror: \"docker.io\" is not a mirror such as "
                   "\"docker.io=https://mirror.example\""},
           BadText{"registry-plain-http: http://x\n",
                   "f:1: registry-plain-http: \"http://x\" is not a registry such as "
                   "\"registry.example:5000\""},
           BadText{"- root\n", "f:1: a mapping of keys to values is wanted"},
       }) {
    DaemonConfig config;
    EXPECT_EQ(ApplyConfigText(bad.text, "f", config).message(), bad.error) << bad.text;
  }
}

TEST(Config, WhatIsNotYamlIsRefusedWithItsLine) {
  DaemonConfig config;
  const absl::Status status = ApplyConfigText("root: /r\nstate: [\n", "f", config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message().substr(0, 2), "f:") << status;
}

TEST(Config, ADescriptionReadsBackWhateverTheValues) {
  DaemonConfig config;
  config.root = "/a: b #c \"d\"";
  config.cdi_spec_dirs.clear();
  config.cgroup_parent = "true";
  DaemonConfig again;
  const absl::Status status = ApplyConfigText(DescribeConfig(config), "f", again);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(again.root, config.root);
  EXPECT_TRUE(again.cdi_spec_dirs.empty());
}

TEST(Config, AnEmptyFileChangesNothing) {
  DaemonConfig config;
  EXPECT_TRUE(ApplyConfigText("", "f", config).ok());
  EXPECT_TRUE(ApplyConfigText("# nothing\n", "f", config).ok());
  EXPECT_EQ(DescribeConfig(config), DescribeConfig(DaemonConfig()));
}

TEST(Config, PlaintextTcpIsRefusedAndTheRefusalSaysWhatIsNeeded) {
  const absl::Status status = Read({"--listen", "tcp://0.0.0.0:7777"}).status();
  EXPECT_NE(status.message().find("mutual TLS"), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("--listen"), absl::string_view::npos) << status;
}

TEST(Config, UnixAddressesAreAbsoluteAndFitIntoASocketAddress) {
  EXPECT_EQ(*ParseUnixAddress("unix:///run/x.sock"), "/run/x.sock");
  EXPECT_FALSE(ParseUnixAddress("unix://run/x.sock").ok());
  EXPECT_FALSE(ParseUnixAddress("/run/x.sock").ok());
  EXPECT_TRUE(ParseUnixAddress("unix:///" + std::string(106, 'x')).ok());
  EXPECT_FALSE(ParseUnixAddress("unix:///" + std::string(107, 'x')).ok());
}

TEST(Config, WrongCommandLinesAreRefused) {
  EXPECT_FALSE(Read({"--no-such-option"}).ok());
  EXPECT_FALSE(Read({"--root", "/a", "--root", "/b"}).ok());
  EXPECT_FALSE(Read({"stray"}).ok());
  EXPECT_FALSE(Read({"--listen", "unix:///a", "stray"}).ok());
  EXPECT_EQ(Read({"--max-threads", "many"}).status().message(),
            "--max-threads: \"many\" is not a number from 1 to 4096");
  EXPECT_FALSE(Read({"--config", "/no/such/file"}).ok());
}

TEST(Config, HelpNamesEveryKeyAndTheExitCodes) {
  const absl::StatusOr<Invocation> invocation = Read({"--help"});
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  EXPECT_EQ(invocation->action, Invocation::Action::kPrint);
  for (const char* part : {"--root", "--cdi-spec-dir", "--check-config", "Exit:", "SIGTERM"}) {
    EXPECT_NE(invocation->text.find(part), std::string::npos) << part;
  }
}

TEST(Config, CheckConfigPrintsWhatIsInForce) {
  const absl::StatusOr<Invocation> invocation = Read({"--check-config", "--root", "/here"});
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  EXPECT_EQ(invocation->action, Invocation::Action::kCheckConfig);
  EXPECT_NE(invocation->text.find("root: /here\n"), std::string::npos);
}

}  // namespace
}  // namespace ocid
