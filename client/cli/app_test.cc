// ocictl against a daemon that is a fake: real command lines, a real socket, real exit codes.
#include "client/cli/app.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "client/cli/completion.h"
#include "client/spec_history.h"
#include "client/testing/fake_daemon.h"
#include "gtest/gtest.h"
#include "runtime/base/unique_fd.h"

namespace ocid::cli {
namespace {

using nlohmann::json;

struct Result {
  int code;
  std::string out;
  std::string err;
};

UniqueFd MemoryFile(const std::string& content) {
  UniqueFd fd(memfd_create("stdio", MFD_CLOEXEC));
  EXPECT_EQ(::write(fd.get(), content.data(), content.size()),
            static_cast<ssize_t>(content.size()));
  lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

std::string Content(const UniqueFd& fd) {
  std::string content(static_cast<size_t>(lseek(fd.get(), 0, SEEK_END)), '\0');
  EXPECT_EQ(::pread(fd.get(), content.data(), content.size(), 0),
            static_cast<ssize_t>(content.size()));
  return content;
}

class AppTest : public ::testing::Test {
 protected:
  AppTest() {
    std::signal(SIGPIPE, SIG_IGN);
    setenv("OCID_ADDRESS", daemon_.address().c_str(), 1);
  }

  Result Run(const std::vector<std::string>& arguments, const std::string& input = "") {
    const UniqueFd in = MemoryFile(input);
    const UniqueFd out = MemoryFile("");
    const UniqueFd err = MemoryFile("");
    const int code = RunApp(arguments, {.in = in.get(), .out = out.get(), .err = err.get()});
    return {code, Content(out), Content(err)};
  }

  void AddContainer(const std::string& id,
                    v1::ContainerState state = v1::CONTAINER_STATE_CREATED) {
    v1::Container container;
    container.set_id(id);
    container.set_state(state);
    container.set_etag("e1");
    if (state == v1::CONTAINER_STATE_RUNNING) container.set_pid(4711);
    daemon_.AddContainer(container);
  }

  testing::FakeDaemon daemon_;
};

TEST_F(AppTest, CreateSendsAnAbsoluteBundleAndPrintsTheId) {
  const Result result = Run({"create", "--bundle", "x/../web", "--device", "v.com/gpu=0", "--device",
                             "v.com/gpu=1", "-e", "A=1", "--cpus", "1.5", "--memory", "64m", "web"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "web\n");
  const v1::ContainerConfig config = daemon_.last_create().config();
  EXPECT_EQ(config.bundle(), std::filesystem::current_path().string() + "/web");
  ASSERT_EQ(config.cdi_devices_size(), 2);
  EXPECT_EQ(config.cdi_devices(1), "v.com/gpu=1");
  EXPECT_EQ(config.env().at("A"), "1");
  EXPECT_EQ(config.resources().cpu().quota_us(), 150'000);
  EXPECT_EQ(config.resources().memory().limit_bytes(), 64 << 20);
  EXPECT_FALSE(config.has_terminal());
}

TEST_F(AppTest, CreateTakesTheWorkingDirectoryForTheBundle) {
  EXPECT_EQ(Run({"create", "web"}).code, 0);
  EXPECT_EQ(daemon_.last_create().config().bundle(), std::filesystem::current_path().string());
}

TEST_F(AppTest, ADryRunOnlyValidates) {
  EXPECT_EQ(Run({"create", "--dry-run", "web"}).out, "web: would be created\n");
  EXPECT_TRUE(daemon_.last_create().validate_only());
  EXPECT_EQ(Run({"list", "-q"}).out, "");
}

TEST_F(AppTest, AnErrorNamesSubjectCauseAndReason) {
  const Result result = Run({"create", "--bundle", "/x/missing", "web"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err,
            "ocictl: create web: bundle /x/missing: config.json: no such file (BUNDLE_INVALID)\n");
}

TEST_F(AppTest, FieldViolationsAreOneALine) {
  const Result result = Run({"create", "--bundle", "/x/broken", "web"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err,
            "ocictl: create web: the spec breaks the schema (SPEC_INVALID)\n"
            "  /process/cwd: required\n"
            "  /root/path: not a string\n");
}

TEST_F(AppTest, NobodyThereIsSaidWithTheAddressAndAHint) {
  const Result result = Run({"list", "--address", "unix:///nowhere/ocid.sock"});
  EXPECT_EQ(result.code, 125);
  EXPECT_NE(result.err.find("unix:///nowhere/ocid.sock: No such file or directory"),
            std::string::npos)
      << result.err;
  EXPECT_NE(result.err.find("ocid --listen"), std::string::npos);
}

TEST_F(AppTest, WrongCommandLinesExitWithTwo) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {},
           {"nonsense"},
           {"create"},
           {"create", "--bogus", "web"},
           {"create", "--memory", "lots", "web"},
           {"list", "--format", "xml"},
           {"list", "--timeout", "soon"},
           {"list", "--address", "nonsense"},
           {"spec"},
           {"device", "nonsense"},
           {"update", "web"},
           {"exec", "web"},
           {"completion", "tcsh"}}) {
    const Result result = Run(arguments);
    EXPECT_EQ(result.code, 2) << ::testing::PrintToString(arguments);
    EXPECT_NE(result.err, "");
  }
}

TEST_F(AppTest, HelpIsThereForEveryCommandAndNeedsNoDaemon) {
  setenv("OCID_ADDRESS", "unix:///nowhere", 1);
  EXPECT_NE(Run({"--help"}).out.find("Exit codes"), std::string::npos);
  for (const char* command : {"create", "run", "spec", "device"}) {
    const Result result = Run({command, "--help"});
    EXPECT_EQ(result.code, 0);
    EXPECT_NE(result.out.find("Usage: ocictl"), std::string::npos) << command;
  }
  EXPECT_EQ(Run({"help", "list"}).out, Run({"list", "-h"}).out);
}

TEST_F(AppTest, ListPrintsEveryPage) {
  for (const char* id : {"a", "b", "c", "d", "e"}) AddContainer(id);
  EXPECT_EQ(Run({"list", "-q"}).out, "a\nb\nc\nd\ne\n");
  EXPECT_EQ(json::parse(Run({"--format", "json", "list"}).out).size(), 5u);
  EXPECT_EQ(json::parse(Run({"list", "--format=json"}).out)[4]["id"], "e");
}

TEST_F(AppTest, DeleteGoesOnWhereOneFails) {
  AddContainer("a");
  AddContainer("c");
  const Result result = Run({"delete", "a", "b", "c"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.out, "a\nc\n");
  EXPECT_NE(result.err.find("delete b: "), std::string::npos);
  EXPECT_EQ(daemon_.deleted(), (std::vector<std::string>{"a", "c"}));
}

TEST_F(AppTest, WaitExitsWithTheContainersCode) {
  AddContainer("job");
  daemon_.SetProcess("", "", 42);
  EXPECT_EQ(Run({"wait", "job"}).code, 42);
  EXPECT_EQ(Run({"wait", "nothing"}).code, 125);
}

TEST_F(AppTest, WaitEndsWithItsTimeout) {
  EXPECT_EQ(Run({"wait", "--timeout", "0.1", "forever"}).code, 124);
}

TEST_F(AppTest, RunJoinsTheStreamsAndExitsWithTheContainersCode) {
  daemon_.SetProcess("to stdout\n", "to stderr\n", 7);
  const Result result = Run({"run", "--rm", "web", "--", "/bin/prog", "--flag"});
  EXPECT_EQ(result.code, 7);
  EXPECT_EQ(result.out, "to stdout\n");
  EXPECT_EQ(result.err, "to stderr\n");
  const v1::ContainerConfig config = daemon_.last_create().config();
  ASSERT_EQ(config.args_size(), 2);
  EXPECT_EQ(config.args(1), "--flag");
  EXPECT_TRUE(config.auto_delete());
  EXPECT_EQ(daemon_.deleted(), std::vector<std::string>{"web"});
}

TEST_F(AppTest, RunSendsStandardInputToItsEnd) {
  const std::string input(100'000, 'x');
  EXPECT_EQ(Run({"run", "-i", "web"}, input).code, 0);
  EXPECT_EQ(daemon_.received_stdin(), input);
}

TEST_F(AppTest, RunAttachesAgainWhereTheDaemonGoesAway) {
  daemon_.SetProcess("every byte once", "", 5);
  const Result result = Run({"run", "flaky"});
  EXPECT_EQ(result.code, 5) << result.err;
  EXPECT_EQ(result.out, "every byte once");
}

TEST_F(AppTest, RunOfAMissingProgramExits127AndRemovesTheContainer) {
  const Result result = Run({"run", "--rm", "noexec"});
  EXPECT_EQ(result.code, 127);
  EXPECT_NE(result.err.find("EXECUTABLE_NOT_FOUND"), std::string::npos) << result.err;
  EXPECT_EQ(daemon_.deleted(), std::vector<std::string>{"noexec"});
}

TEST_F(AppTest, DashesBeforeTheIdEndTheOptionsOnly) {
  EXPECT_EQ(Run({"run", "--", "-web"}).code, 0);
  EXPECT_EQ(daemon_.last_create().container_id(), "-web");
  EXPECT_EQ(daemon_.last_create().config().args_size(), 0);
}

TEST_F(AppTest, RunInTheBackgroundPrintsTheId) {
  EXPECT_EQ(Run({"run", "-d", "web"}).out, "web\n");
}

TEST_F(AppTest, ExecTakesTheCommandBehindTheIdWithAndWithoutDashes) {
  AddContainer("web", v1::CONTAINER_STATE_RUNNING);
  daemon_.SetProcess("out", "err", 3);
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"exec", "-e", "A=1", "-u", "1:2", "web", "--", "ls", "-l"},
           {"exec", "-e", "A=1", "-u", "1:2", "web", "ls", "-l"}}) {
    const Result result = Run(arguments);
    EXPECT_EQ(result.code, 3) << result.err;
    EXPECT_EQ(result.out, "out");
    EXPECT_EQ(result.err, "err");
    const v1::ExecConfig config = daemon_.last_exec().config();
    ASSERT_EQ(config.args_size(), 2);
    EXPECT_EQ(config.args(1), "-l");
    EXPECT_EQ(config.user().gid(), 2u);
  }
}

TEST_F(AppTest, ExecInTheBackgroundPrintsTheExecsId) {
  AddContainer("web", v1::CONTAINER_STATE_RUNNING);
  EXPECT_EQ(Run({"exec", "-d", "web", "sleep", "1"}).out, "made-up\n");
  EXPECT_TRUE(daemon_.last_exec().start());
}

TEST_F(AppTest, LogsKeepTheStreamsApart) {
  const Result result = Run({"logs", "web"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "first\nlast");
  EXPECT_EQ(result.err, "problem\n");
}

TEST_F(AppTest, LogsAsJsonAreOneObjectALine) {
  const std::string out = Run({"logs", "--format", "json", "web"}).out;
  const json first = json::parse(out.substr(0, out.find('\n')));
  EXPECT_EQ(first["stream"], "stdout");
  EXPECT_EQ(first["data"], "first\n");
}

TEST_F(AppTest, AClosedReaderEndsQuietly) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd write_end(ends[1]);
  close(ends[0]);
  const UniqueFd err = MemoryFile("");
  EXPECT_EQ(RunApp({"logs", "web"}, {.in = 0, .out = write_end.get(), .err = err.get()}), 141);
  EXPECT_EQ(Content(err), "problem\n");
}

TEST_F(AppTest, EventsNameWhatHappened) {
  const Result result = Run({"events", "--from", "7"});
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.out.find("7  state_changed  web  running -> stopped, exit code 3"),
            std::string::npos)
      << result.out;
}

TEST_F(AppTest, UpdateNamesWhatItChanges) {
  AddContainer("web");
  EXPECT_EQ(Run({"update", "--memory", "1g", "--label", "tier=web", "web"}).code, 0);
  const v1::UpdateContainerRequest request = daemon_.last_update();
  ASSERT_EQ(request.update_mask().paths_size(), 2);
  EXPECT_EQ(request.update_mask().paths(0), "resources.memory.limit_bytes");
  EXPECT_EQ(request.update_mask().paths(1), "labels");
  EXPECT_EQ(request.etag(), "e1");
}

TEST_F(AppTest, VersionNamesBothSides) {
  const json version = json::parse(Run({"version", "--format", "json"}).out);
  EXPECT_EQ(version["server"]["version"], "9.8.7");
  EXPECT_EQ(version["client"]["api_version"], "ocid.v1");
}

TEST_F(AppTest, WhatTheDaemonDoesNotHaveIsSaidAsItSaysIt) {
  const Result result = Run({"info"});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("UNIMPLEMENTED"), std::string::npos) << result.err;
}

class SpecTest : public AppTest {
 protected:
  SpecTest() {
    AddContainer("web");
    AddContainer("diff");
    v1::OciSpecHistory history;
    history.set_container_id("web");
    json document = json::object();
    std::string digest = Sha256Digest("{}");
    const auto step = [&](v1::SpecStep::ActorKind kind, const char* actor, const char* patch) {
      v1::SpecStep& out = *history.add_steps();
      out.set_index(static_cast<uint32_t>(history.steps_size() - 1));
      out.set_actor_kind(kind);
      out.set_actor(actor);
      out.set_json_patch(patch);
      out.set_digest_before(digest);
      document = document.patch(json::parse(patch));
      digest = Sha256Digest(document.dump());
      out.set_digest_after(digest);
    };
    const auto set = [&](v1::SpecDocument& out) {
      out.set_json(document.dump());
      out.set_sha256(digest);
    };
    step(v1::SpecStep::BUNDLE, "config.json", R"([{"op":"add","path":"/hostname","value":"a"}])");
    set(*history.mutable_original());
    step(v1::SpecStep::CDI, "v.com/gpu=0", R"([{"op":"replace","path":"/hostname","value":"b"}])");
    set(*history.mutable_final());
    history.set_executor_sha256(digest);
    history_ = history;
    daemon_.SetHistory(history);
  }

  v1::OciSpecHistory history_;
};

TEST_F(SpecTest, TheFinalSpecIsPrintedAsADocument) {
  EXPECT_EQ(json::parse(Run({"spec", "web"}).out)["hostname"], "b");
  EXPECT_EQ(json::parse(Run({"spec", "--view", "original", "web"}).out)["hostname"], "a");
  EXPECT_EQ(Run({"spec", "web", "--raw"}).out, R"({"hostname":"b"})");
}

TEST_F(SpecTest, AContainerNamedLikeASubcommandIsReachable) {
  EXPECT_EQ(json::parse(Run({"spec", "show", "diff"}).out)["hostname"], "b");
  EXPECT_EQ(Run({"spec", "diff", "diff"}).code, 0);
}

TEST_F(SpecTest, FullIsDocumentsAndSteps) {
  const json full = json::parse(Run({"spec", "web", "--view", "full", "--format", "json"}).out);
  EXPECT_EQ(full["original"]["hostname"], "a");
  EXPECT_EQ(full["final"]["hostname"], "b");
  EXPECT_EQ(full["steps"][1]["actor"], "v.com/gpu=0");
}

TEST_F(SpecTest, DiffShowsOldAndNewValuesWithoutColorInAFile) {
  EXPECT_EQ(Run({"spec", "diff", "web"}).out, "cdi v.com/gpu=0\n  ~ /hostname  \"a\" -> \"b\"\n");
}

TEST_F(SpecTest, BlameNamesTheWriter) {
  EXPECT_NE(Run({"spec", "blame", "web"}).out.find("cdi v.com/gpu=0  /hostname"),
            std::string::npos);
  EXPECT_EQ(Run({"spec", "blame", "web", "/nothing"}).code, 1);
}

TEST_F(SpecTest, VerifyBelievesOnlyWhatItCanCompute) {
  const Result good = Run({"spec", "verify", "web"});
  EXPECT_EQ(good.code, 0) << good.out;
  history_.set_executor_sha256(Sha256Digest("other"));
  daemon_.SetHistory(history_);
  const Result bad = Run({"spec", "verify", "web"});
  EXPECT_EQ(bad.code, 1);
  EXPECT_NE(bad.out.find("FAILED"), std::string::npos);
}

TEST_F(SpecTest, InspectHasThreeSections) {
  const json document = json::parse(Run({"inspect", "web"}).out);
  EXPECT_EQ(document["id"], "web");
  EXPECT_EQ(document["state"], "created");
  EXPECT_TRUE(document["exit_code"].is_null());
  EXPECT_TRUE(document["pid"].is_number());
  EXPECT_TRUE(document.contains("requested"));
  EXPECT_EQ(document["effective"]["spec"]["hostname"], "b");
  EXPECT_EQ(document["observed"]["state"], "created");
}

TEST(CompletionScript, ShellsThatAreHereAcceptTheirs) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto script = CompletionScript(shell);
    ASSERT_TRUE(script.ok()) << script.status();
    EXPECT_NE(script->find("ocictl list -q"), std::string::npos) << shell;
    if (std::system((std::string("command -v ") + shell + " >/dev/null").c_str()) != 0) continue;
    const std::string path = ::testing::TempDir() + "/completion." + shell;
    const UniqueFd fd(open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600));
    ASSERT_EQ(::write(fd.get(), script->data(), script->size()),
              static_cast<ssize_t>(script->size()));
    EXPECT_EQ(std::system((std::string(shell) + " -n " + path).c_str()), 0) << shell;
  }
}

TEST(CompletionScript, BashCompletesCommandsOptionsAndIds) {
  const std::string path = ::testing::TempDir() + "/ocictl.bash";
  const std::string program =
      CompletionScript("bash").value() +
      R"sh(
ocictl() { if [ "$1 $2" = "list -q" ]; then printf 'web\ndb\n'; fi; }
check() {
  local want="$1"; shift
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
  _ocictl
  if [ "${COMPREPLY[*]}" != "$want" ]; then echo "$*: ${COMPREPLY[*]}, not $want" >&2; exit 1; fi
}
check "start stop stats" ocictl st
check "web db" ocictl stop ""
check "web" ocictl --address unix:/x stop w
check "json" ocictl list --format j
check "--bundle" ocictl create --b
check "diff drift db" ocictl spec d
check "db" ocictl spec show d
check "web" ocictl exec -e A=1 w
check "" ocictl exec web l
check "final full" ocictl spec --view f
)sh";
  const UniqueFd fd(open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600));
  ASSERT_EQ(::write(fd.get(), program.data(), program.size()),
            static_cast<ssize_t>(program.size()));
  EXPECT_EQ(std::system(("bash " + path).c_str()), 0);
}

}  // namespace
}  // namespace ocid::cli
