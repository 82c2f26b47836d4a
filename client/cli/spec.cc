#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/container_flags.h"
#include "client/cli/proto_json.h"
#include "client/cli/spec_text.h"
#include "client/spec_history.h"

namespace ocid::cli {
namespace {

struct Flags {
  std::string view = "final";
  uint32_t generation = 0;
  bool redact = false;
  bool raw = false;
  bool documents = false;
  bool all = false;
  std::string color = "auto";
  std::string id;
  std::string other_id;
  std::string generations;  // "2", or "1..2"
  std::string pointer;
  ContainerFlags container;
};

v1::SpecView ParseView(const std::string& view) {
  if (view == "original") return v1::SPEC_VIEW_ORIGINAL;
  if (view == "diff") return v1::SPEC_VIEW_DIFF;
  if (view == "full") return v1::SPEC_VIEW_FULL;
  return v1::SPEC_VIEW_FINAL;
}

absl::StatusOr<v1::OciSpecHistory> Fetch(Context& context, const Flags& flags, v1::SpecView view) {
  v1::InspectOciSpecRequest request;
  request.set_container_id(flags.id);
  request.set_generation(flags.generation);
  request.set_view(view);
  request.set_redact(flags.redact);
  request.set_include_documents(flags.documents);
  return context.client().containers().InspectOciSpec(request, context.call());
}

bool UseColor(Context& context, const Flags& flags) {
  return flags.color == "always" || (flags.color == "auto" && context.out().is_terminal());
}

int PrintDiff(Context& context, const Flags& flags, const v1::OciSpecHistory& history, bool all) {
  const absl::StatusOr<std::string> text =
      FormatSpecDiff(history, {.color = UseColor(context, flags), .all_steps = all});
  if (!text.ok()) return context.Fail(flags.id, text.status());
  context.out().Write(*text);
  if (text->empty()) {
    context.Note("No device and no plugin changed the spec; --all shows what made it.");
  }
  return kSuccess;
}

// Documents are JSON in either format; histories are text for people and JSON for programs. Texts
// are made from the full history: old values stand in no patch.
template <typename FetchView>
int Print(Context& context, const Flags& flags, FetchView fetch) {
  const v1::SpecView view = ParseView(flags.view);
  const bool is_document = view == v1::SPEC_VIEW_FINAL || view == v1::SPEC_VIEW_ORIGINAL;
  const bool as_text = !is_document && !context.json();
  const absl::StatusOr<v1::OciSpecHistory> history = fetch(as_text ? v1::SPEC_VIEW_FULL : view);
  if (!history.ok()) return context.Fail(flags.id, history.status());
  if (as_text) return PrintDiff(context, flags, *history, view == v1::SPEC_VIEW_FULL);
  if (flags.raw && is_document) {
    context.out().Write(view == v1::SPEC_VIEW_FINAL ? history->final().json()
                                                    : history->original().json());
  } else {
    context.out().Write(PrettyJson(HistoryJson(*history, view)));
  }
  return kSuccess;
}

int Show(Context& context, const Flags& flags) {
  return Print(context, flags, [&](v1::SpecView view) { return Fetch(context, flags, view); });
}

int Render(Context& context, const Flags& flags) {
  absl::StatusOr<v1::ContainerConfig> config =
      BuildContainerConfig(flags.container, context.tail());
  if (!config.ok()) return context.Usage(config.status());
  return Print(context, flags, [&](v1::SpecView view) {
    v1::RenderOciSpecRequest request;
    request.set_container_id(flags.id);
    *request.mutable_config() = *config;
    request.set_view(view);
    request.set_redact(flags.redact);
    request.set_include_documents(flags.documents);
    return context.client().containers().RenderOciSpec(request, context.call());
  });
}

struct Generations {
  uint32_t first = 0;
  uint32_t second = 0;  // 0: there is one alone
};

absl::StatusOr<Generations> ParseGenerations(const std::string& text) {
  Generations generations;
  const size_t dots = text.find("..");
  const std::string first = text.substr(0, dots);
  const auto parse = [](const std::string& number, uint32_t& out) {
    return absl::SimpleAtoi(number, &out) && out > 0;
  };
  bool good = text.empty() || parse(first, generations.first);
  if (dots != std::string::npos) good = good && parse(text.substr(dots + 2), generations.second);
  if (good) return generations;
  return absl::InvalidArgumentError(
      absl::StrCat("--generation ", text, ": is neither N nor N..M, from 1"));
}

// Two final specs: of two containers, or of two starts of one.
int DiffFinals(Context& context, Flags from_flags, Flags to_flags) {
  const auto from = Fetch(context, from_flags, v1::SPEC_VIEW_FULL);
  if (!from.ok()) return context.Fail(from_flags.id, from.status());
  const auto to = Fetch(context, to_flags, v1::SPEC_VIEW_FULL);
  if (!to.ok()) return context.Fail(to_flags.id, to.status());
  nlohmann::json patch;
  const auto changes = CompareFinals(*from, *to, patch);
  if (!changes.ok()) return context.Fail(from_flags.id, changes.status());
  if (context.json()) {
    context.out().Write(PrettyJson(FinalChangesJson(*from, *to, *changes, patch)));
    return kSuccess;
  }
  context.out().Write(FormatFinalChanges(*from, *to, *changes, UseColor(context, from_flags)));
  if (changes->empty()) context.Note("The final specs are the same.");
  return kSuccess;
}

int Diff(Context& context, const Flags& given) {
  Flags flags = given;
  const absl::StatusOr<Generations> generations = ParseGenerations(flags.generations);
  if (!generations.ok()) return context.Usage(generations.status());
  flags.generation = generations->first;
  if (generations->second != 0 || !flags.other_id.empty()) {
    if (generations->second != 0 && !flags.other_id.empty()) {
      return context.Usage(
          absl::InvalidArgumentError("two generations are compared of one container, not of two"));
    }
    Flags to = flags;
    if (!flags.other_id.empty()) to.id = flags.other_id;
    if (generations->second != 0) to.generation = generations->second;
    return DiffFinals(context, flags, to);
  }
  const auto history =
      Fetch(context, flags, context.json() && !flags.all ? v1::SPEC_VIEW_DIFF : v1::SPEC_VIEW_FULL);
  if (!history.ok()) return context.Fail(flags.id, history.status());
  if (!context.json()) return PrintDiff(context, flags, *history, flags.all);
  context.out().Write(PrettyJson(HistoryJson(*history, v1::SPEC_VIEW_DIFF)));
  return kSuccess;
}

int Blame(Context& context, const Flags& flags) {
  const auto history = Fetch(context, flags, v1::SPEC_VIEW_FULL);
  if (!history.ok()) return context.Fail(flags.id, history.status());
  const auto lines = BlameHistory(*history, flags.pointer == "/" ? "" : flags.pointer);
  if (!lines.ok()) return context.Fail(flags.id, lines.status());
  context.out().Write(context.json() ? PrettyJson(BlameJson(*history, *lines))
                                     : FormatBlame(*history, *lines));
  return kSuccess;
}

int Verify(Context& context, const Flags& flags) {
  const auto history = Fetch(context, flags, v1::SPEC_VIEW_FULL);
  if (!history.ok()) return context.Fail(flags.id, history.status());
  int code = kSuccess;
  auto list = nlohmann::ordered_json::array();
  Table table({"RESULT", "WHAT", "DIGEST"});
  for (const SpecCheck& check : VerifyHistory(*history)) {
    if (!check.passed) code = kFailure;
    table.AddRow({check.passed ? "ok" : "FAILED", check.subject, check.detail});
    list.push_back(
        {{"subject", check.subject}, {"passed", check.passed}, {"detail", check.detail}});
  }
  context.out().Write(context.json()
                          ? PrettyJson(nlohmann::ordered_json{{"verified", code == kSuccess},
                                                              {"checks", std::move(list)}})
                          : table.Format());
  return code;
}

int Drift(Context& context, const Flags& flags) {
  v1::DetectDriftRequest request;
  request.set_container_id(flags.id);
  request.set_redact(flags.redact);
  const auto response = context.client().containers().DetectDrift(request, context.call());
  if (!response.ok()) return context.Fail(flags.id, response.status());
  if (context.json()) {
    context.out().Write(PrettyJson(ToJson(*response)));
  } else if (response->drifts().empty()) {
    context.out().Write(absl::StrCat("No drift in ", response->checked_size(), " facts\n"));
  } else {
    Table table({"POINTER", "EXPECTED", "OBSERVED", "READ FROM"});
    for (const v1::SpecDrift& drift : response->drifts()) {
      table.AddRow({drift.pointer(), drift.expected(), drift.observed(), drift.read_from()});
    }
    context.out().Write(table.Format());
  }
  if (!context.json() && !response->unchecked().empty()) {
    std::string note = absl::StrCat(response->unchecked_size(), " facts could not be looked at:\n");
    for (const auto& fact : response->unchecked()) {
      absl::StrAppend(&note, "  ", Printable(fact.pointer()), ": ", Printable(fact.reason()), "\n");
    }
    note.pop_back();
    context.Note(note);
  }
  return response->drifts().empty() ? kSuccess : kFailure;
}

void AddView(CLI::App& app, Flags& flags) {
  app.add_option(
         "--view", flags.view,
         "final (default), original (before the first device or plugin), diff (what devices "
         "and plugins changed) or full (every step)")
      ->type_name("VIEW")
      ->check(CLI::IsMember({"final", "original", "diff", "full"}))
      ->type_name("VIEW");
  app.add_flag("--redact", flags.redact, "Hide the values of environment variables");
  app.add_flag("--raw", flags.raw, "The document's own bytes, of which its digest is made");
  app.add_flag("--documents", flags.documents, "With --format json: the document after each step");
}

void AddColor(CLI::App& app, Flags& flags) {
  app.add_option("--color", flags.color, "auto (default: on a terminal), always or never")
      ->type_name("WHEN")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->type_name("WHEN");
}

void AddGeneration(CLI::App& app, Flags& flags) {
  app.add_option("--generation", flags.generation, "Which start of it, from 1. Default: the newest")
      ->type_name("N");
}

void AddId(CLI::App& app, Flags& flags) {
  app.add_option("ID", flags.id, "A container")->required();
}

template <int (*kRun)(Context&, const Flags&)>
Action With(std::shared_ptr<Flags> flags) {
  return [flags](Context& context) { return kRun(context, *flags); };
}

Action DefineShow(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  AddView(app, *flags);
  AddGeneration(app, *flags);
  AddColor(app, *flags);
  AddId(app, *flags);
  return With<Show>(flags);
}

Action DefineDiff(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_flag("-a,--all", flags->all, "Also the steps before the first device or plugin");
  app.add_flag("--redact", flags->redact, "Hide the values of environment variables");
  app.add_option("--generation", flags->generations,
                 "Which start of it, from 1, or two to compare: 1..2. Default: the newest")
      ->type_name("N|N..M");
  AddColor(app, *flags);
  AddId(app, *flags);
  app.add_option("ID2", flags->other_id, "Another container: compares the two final specs");
  return With<Diff>(flags);
}

Action DefineBlame(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  AddGeneration(app, *flags);
  app.add_flag("--redact", flags->redact, "Hide the values of environment variables");
  AddId(app, *flags);
  app.add_option("POINTER", flags->pointer, "A JSON pointer: /process/env. Default: everything");
  return With<Blame>(flags);
}

Action DefineVerify(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  AddGeneration(app, *flags);
  AddId(app, *flags);
  return With<Verify>(flags);
}

Action DefineRender(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  AddView(app, *flags);
  AddColor(app, *flags);
  AddContainerFlags(app, flags->container);
  app.add_option("ID", flags->id, "Id to render for. Default: \"render\" stands in");
  return With<Render>(flags);
}

Action DefineDrift(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_flag("--redact", flags->redact, "Hide the values of environment variables");
  AddId(app, *flags);
  return With<Drift>(flags);
}

constexpr CommandSpec kShow = {
    .name = "show",
    .summary = "The spec a container runs with (what `spec ID` means)",
    .details =
        "The final and the original spec are printed as JSON. diff and full are text for people,\n"
        "or JSON with --format json: {original, final, steps}.",
    .examples =
        "$ ocictl spec web | jq .mounts\n"
        "$ ocictl spec web --view full --format json | jq '.steps[].actor'\n"
        "# The digest, computed here\n"
        "$ ocictl spec web --raw | sha256sum",
    .completes = Completes::kContainers,
    .define = DefineShow,
};
constexpr CommandSpec kDiff = {
    .name = "diff",
    .summary = "What each device and plugin changed; or two specs, compared",
    .details =
        "With one container: what each device and plugin changed, with old and new values, and what\n"
        "they ignored or overrode. With two containers, or two starts of one (--generation 1..2):\n"
        "what differs between the final specs, grouped by who wrote it.",
    .examples =
        "$ ocictl spec diff web\n"
        "# What the second start ran differently\n"
        "$ ocictl spec diff web --generation 1..2\n"
        "$ ocictl spec diff web web-old\n"
        "# Every step, from the empty document on\n"
        "$ ocictl spec diff --all web",
    .completes = Completes::kContainers,
    .define = DefineDiff,
};
constexpr CommandSpec kBlame = {
    .name = "blame",
    .summary = "Who wrote each value of the final spec, last and before",
    .examples = "$ ocictl spec blame web /process/env",
    .completes = Completes::kContainers,
    .define = DefineBlame,
};
constexpr CommandSpec kVerify = {
    .name = "verify",
    .summary = "Replay the patches here and check every digest",
    .details =
        "Believes nothing but the patches: applies them to the empty document, computes each "
        "step's\n"
        "digest, and compares the end with the final spec and with what the executor reports it "
        "was\n"
        "handed. Exits 1 where anything differs.",
    .examples = "$ ocictl spec verify web",
    .completes = Completes::kContainers,
    .define = DefineVerify,
};
constexpr CommandSpec kRender = {
    .name = "render",
    .summary = "The spec that create would run with; nothing is created",
    .details = "Takes create's options and runs the daemon's same code.",
    .examples = "$ ocictl spec render --bundle ./web --device vendor.com/gpu=0 --view diff",
    .takes_tail = true,
    .define = DefineRender,
};
constexpr CommandSpec kDrift = {
    .name = "drift",
    .summary = "Where the kernel disagrees with the spec now",
    .details =
        "Compares the final spec of a container that runs with its processes, mounts, namespaces,\n"
        "cgroup, device nodes, and with the CDI files that its devices came from. Exits 1 where\n"
        "something differs.",
    .examples = "$ ocictl spec drift web",
    .completes = Completes::kContainers,
    .define = DefineDrift,
};
constexpr const CommandSpec* kSubcommands[] = {&kShow,   &kDiff,   &kBlame,
                                               &kVerify, &kRender, &kDrift};

}  // namespace

const CommandSpec kSpecCommand = {
    .name = "spec",
    .group = "Looking",
    .summary = "The OCI spec it runs with, and who changed what in it",
    .details =
        "`ocictl spec ID` is short for `ocictl spec show ID`; a container with a subcommand's "
        "name\n"
        "needs the long form.",
    .examples =
        "$ ocictl spec web\n"
        "$ ocictl spec diff web\n"
        "$ ocictl spec blame web /linux/devices",
    .completes = Completes::kContainers,
    .subcommands = kSubcommands,
    .default_subcommand = &kShow,
};

}  // namespace ocid::cli
