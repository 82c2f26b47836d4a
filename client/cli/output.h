// What ocictl writes: a buffered descriptor that survives its reader, tables, and JSON.
//
// Output is thread-compatible; writes block as the descriptor does.
#ifndef OCID_CLIENT_CLI_OUTPUT_H_
#define OCID_CLIENT_CLI_OUTPUT_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace ocid::cli {

// The descriptors a command works with; tests put pipes and files here.
struct Stdio {
  int in = 0;
  int out = 1;
  int err = 2;
};

class Output {
 public:
  explicit Output(int fd) : fd_(fd) {}
  ~Output() { Flush(); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void Write(std::string_view text);
  void Flush();

  // The reader is gone (EPIPE): `ocictl logs web | head -1`. What is written from then on is
  // dropped.
  bool closed() const { return closed_; }
  // errno of a write that failed for another reason; 0: none did.
  int error() const { return error_; }
  bool is_terminal() const;

 private:
  void WriteThrough(std::string_view text);

  int fd_;
  std::string buffer_;
  bool closed_ = false;
  int error_ = 0;
};

// Rows under headings, columns as wide as their widest cell, two spaces apart.
class Table {
 public:
  explicit Table(std::vector<std::string> headings);
  void AddRow(std::vector<std::string> cells);
  std::string Format() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// Indented by two spaces, with a newline. Bytes that are no UTF-8 become U+FFFD.
std::string PrettyJson(const nlohmann::ordered_json& value);
std::string PrettyJson(const nlohmann::json& value);
// On one line, with a newline: for streams.
std::string LineJson(const nlohmann::ordered_json& value);

// `text` with control characters as \xNN, so that what a container wrote cannot drive the terminal.
std::string Printable(std::string_view text);

}  // namespace ocid::cli

#endif  // OCID_CLIENT_CLI_OUTPUT_H_
