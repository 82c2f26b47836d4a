// DriftReport: what a look for drift found, fact by fact.
//
// A value; thread-compatible; nothing blocks.
#ifndef OCID_DAEMON_SPEC_DRIFT_DRIFT_REPORT_H_
#define OCID_DAEMON_SPEC_DRIFT_DRIFT_REPORT_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ocid {

struct SpecDrift {
  std::string pointer;  // of the final spec; of the place where it would be, for what is not in it
  std::string expected;
  std::string observed;
  std::string read_from;  // "/proc/4711/mountinfo"

  friend bool operator==(const SpecDrift&, const SpecDrift&) = default;
};

struct UncheckedFact {
  std::string pointer;
  std::string reason;
};

class DriftReport {
 public:
  // A fact that was looked at, and differs or not.
  void Compare(std::string pointer, std::string expected, std::string observed,
               std::string read_from) {
    if (expected == observed) {
      checked_.push_back(std::move(pointer));
    } else {
      Differs(std::move(pointer), std::move(expected), std::move(observed), std::move(read_from));
    }
  }
  void Holds(std::string pointer) { checked_.push_back(std::move(pointer)); }
  void Differs(std::string pointer, std::string expected, std::string observed,
               std::string read_from) {
    checked_.push_back(pointer);
    drifts_.push_back(
        {std::move(pointer), std::move(expected), std::move(observed), std::move(read_from)});
  }
  void CannotTell(std::string pointer, std::string reason) {
    unchecked_.push_back({std::move(pointer), std::move(reason)});
  }

  const std::vector<SpecDrift>& drifts() const { return drifts_; }
  const std::vector<std::string>& checked() const { return checked_; }
  const std::vector<UncheckedFact>& unchecked() const { return unchecked_; }

 private:
  std::vector<SpecDrift> drifts_;
  std::vector<std::string> checked_;
  std::vector<UncheckedFact> unchecked_;
};

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_DRIFT_DRIFT_REPORT_H_
