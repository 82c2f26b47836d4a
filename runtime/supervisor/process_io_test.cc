#include "runtime/supervisor/process_io.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "runtime/base/unique_fd.h"
#include "runtime/supervisor/clock.h"

namespace ocid {
namespace {

// An exec's input and output; the test plays the process, with the child's ends of the pipes, and
// the client.
class ExecIo : public testing::Test {
 protected:
  ExecIo() {
    signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(loop_.Open(), 0);
    io_ = std::make_unique<ProcessIo>(&loop_, nullptr);
    EXPECT_EQ(io_->MakePipes(/*open_stdin=*/true, &child_), 0);
    for (const UniqueFd* end : {&child_.standard_output, &child_.standard_error}) {
      fcntl(end->get(), F_SETFL, O_NONBLOCK);
    }
  }

  void Attach(uint64_t stdout_offset = 0, uint64_t stderr_offset = 0) {
    const uint64_t offsets[2] = {stdout_offset, stderr_offset};
    ASSERT_EQ(io_->Attach(offsets, &client_), 0);
    // The first frame.
    char bytes[sizeof(AttachFrameHeader) + sizeof(AttachOpened)];
    ASSERT_EQ(recv(client_.get(), bytes, sizeof(bytes), 0), static_cast<ssize_t>(sizeof(bytes)));
    memcpy(&opened_, bytes + sizeof(AttachFrameHeader), sizeof(opened_));
  }

  void Confirm(uint64_t stdout_offset) {
    const ReceivedBody body = {.offsets = {stdout_offset, 0}};
    SendFrame(AttachFrameType::kReceived,
              std::string(reinterpret_cast<const char*>(&body), sizeof(body)));
  }

  // As much as fits, letting the supervisor's side work meanwhile.
  size_t Write(const UniqueFd& end, const std::string& bytes) {
    size_t done = 0;
    for (int idle = 0; done < bytes.size() && idle < 20; ++idle) {
      const ssize_t size = write(end.get(), bytes.data() + done, bytes.size() - done);
      if (size > 0) {
        done += static_cast<size_t>(size);
        idle = 0;
      }
      loop_.RunOnce(0);
    }
    Settle();
    return done;
  }

  void Settle() {
    for (int i = 0; i < 20; ++i) loop_.RunOnce(0);
  }

  struct Frame {
    AttachFrameHeader header;
    std::string payload;
  };

  // False when none is waiting; type kDetached with length ~0 at the end of the stream.
  bool ReadFrame(Frame* frame) {
    char buffer[sizeof(AttachFrameHeader) + kMaxAttachPayload];
    const ssize_t size = recv(client_.get(), buffer, sizeof(buffer), 0);
    if (size <= 0) return false;
    EXPECT_TRUE(ParseFrame(buffer, static_cast<size_t>(size), &frame->header));
    frame->payload.assign(buffer + sizeof(AttachFrameHeader), frame->header.length);
    Settle();
    return true;
  }

  // Everything of one stream that is waiting; its frames must follow one another.
  std::string ReadAll(AttachFrameType type, uint64_t* first_offset = nullptr) {
    std::string all;
    uint64_t next = 0;
    Frame frame;
    while (ReadFrame(&frame)) {
      last_type_ = static_cast<AttachFrameType>(frame.header.type);
      if (last_type_ != type) continue;
      if (all.empty()) {
        next = frame.header.offset;
        if (first_offset != nullptr) *first_offset = next;
      }
      EXPECT_EQ(frame.header.offset, next);
      next += frame.payload.size();
      all += frame.payload;
    }
    return all;
  }

  void SendFrame(AttachFrameType type, const std::string& payload) {
    AttachFrameHeader header;
    header.type = static_cast<uint32_t>(type);
    header.length = static_cast<uint32_t>(payload.size());
    const std::string bytes =
        std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + payload;
    ASSERT_EQ(send(client_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    Settle();
  }

  static std::string Numbered(size_t size) {
    std::string text;
    for (int i = 0; text.size() < size; ++i) text += std::to_string(i) + "\n";
    text.resize(size);
    return text;
  }

  EventLoop loop_;
  std::unique_ptr<ProcessIo> io_;
  ChildEnds child_;
  UniqueFd client_;
  AttachOpened opened_;
  AttachFrameType last_type_ = AttachFrameType::kStdin;
};

TEST_F(ExecIo, OutputWrittenBeforeAnAttachIsKept) {
  Write(child_.standard_output, "early");
  Write(child_.standard_error, "warning");
  Attach();
  Frame frame;
  ASSERT_TRUE(ReadFrame(&frame));
  EXPECT_EQ(frame.payload, "early");
  ASSERT_TRUE(ReadFrame(&frame));
  EXPECT_EQ(frame.header.type, static_cast<uint32_t>(AttachFrameType::kStderr));
  EXPECT_EQ(frame.payload, "warning");
}

TEST_F(ExecIo, AnAttachResumesAtItsOffset) {
  Attach();
  Write(child_.standard_output, "0123456789");
  EXPECT_EQ(ReadAll(AttachFrameType::kStdout), "0123456789");
  client_.reset();
  Settle();
  Write(child_.standard_output, "abcdef");
  uint64_t offset = 0;
  Attach(/*stdout_offset=*/7);
  EXPECT_EQ(ReadAll(AttachFrameType::kStdout, &offset), "789abcdef");
  EXPECT_EQ(offset, 7u);
}

TEST_F(ExecIo, AClientThatWasLostWithFramesUnreadCanResumeWithoutAGap) {
  Attach();
  const std::string text = Numbered(300000);
  const size_t written = Write(child_.standard_output, text);
  ASSERT_LT(written, text.size());  // nobody reads
  Frame frame;
  ASSERT_TRUE(ReadFrame(&frame));
  const uint64_t seen = frame.header.offset + frame.payload.size();
  client_.reset();
  Settle();
  Attach(/*stdout_offset=*/seen);
  uint64_t offset = 0;
  const std::string rest = ReadAll(AttachFrameType::kStdout, &offset);
  EXPECT_EQ(offset, seen);
  EXPECT_TRUE(rest == text.substr(seen, rest.size()));
  EXPECT_GE(seen + rest.size(), written);
}

TEST_F(ExecIo, AClientThatSaysWhatItReceivedCanResumeWhateverWasOnTheWay) {
  Attach();
  Confirm(0);
  const std::string text = Numbered(1000000);
  const size_t written = Write(child_.standard_output, text);
  // The one who attached takes everything, and is lost before it has passed on a byte.
  std::string taken = ReadAll(AttachFrameType::kStdout);
  EXPECT_LE(taken.size(), Scrollback::kCapacity);
  client_.reset();
  Settle();
  uint64_t offset = 1;
  Attach(/*stdout_offset=*/0);
  const std::string again = ReadAll(AttachFrameType::kStdout, &offset);
  EXPECT_EQ(offset, 0u);
  EXPECT_TRUE(again == text.substr(0, again.size()));
  EXPECT_GE(again.size(), taken.size());
  EXPECT_LT(written, text.size());
}

TEST_F(ExecIo, WhatWasReceivedMakesRoomForMore) {
  Attach();
  Confirm(0);
  const std::string text = Numbered(1000000);
  size_t written = Write(child_.standard_output, text);
  std::string got = ReadAll(AttachFrameType::kStdout);
  for (int i = 0; i < 50 && got.size() < text.size(); ++i) {
    Confirm(got.size());
    written += Write(child_.standard_output, text.substr(written));
    got += ReadAll(AttachFrameType::kStdout);
  }
  EXPECT_TRUE(got == text);
}

TEST_F(ExecIo, AClientThatReceivedWhatWasNeverSentIsDropped) {
  Attach();
  Confirm(1);
  char byte;
  EXPECT_EQ(recv(client_.get(), &byte, 1, 0), 0);
}

TEST_F(ExecIo, InputIsCountedOverAllClientsAndToldAsTheProcessTakesIt) {
  Attach();
  const std::string block(60000, 'i');
  for (int i = 0; i < 4; ++i) SendFrame(AttachFrameType::kStdin, block);
  client_.reset();
  Settle();
  Attach();
  EXPECT_EQ(opened_.stdin_accepted, 4 * block.size());
  EXPECT_LT(opened_.stdin_taken, opened_.stdin_accepted);
  std::string got(4 * block.size(), '\0');
  for (size_t done = 0; done < got.size();) {
    const ssize_t size = read(child_.standard_input.get(), got.data() + done, got.size() - done);
    ASSERT_GT(size, 0);
    done += static_cast<size_t>(size);
    Settle();
  }
  uint64_t taken = 0;
  Frame frame;
  while (ReadFrame(&frame)) {
    EXPECT_EQ(frame.header.type, static_cast<uint32_t>(AttachFrameType::kStdinTaken));
    taken = frame.header.offset;
  }
  EXPECT_EQ(taken, 4 * block.size());
}

TEST_F(ExecIo, AClientThatSendsMoreInputThanThereIsRoomForIsDropped) {
  Attach();
  const std::string block(60000, 'i');
  for (int i = 0; i < 8; ++i) {
    AttachFrameHeader header;
    header.type = static_cast<uint32_t>(AttachFrameType::kStdin);
    header.length = static_cast<uint32_t>(block.size());
    const std::string bytes =
        std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + block;
    static_cast<void>(send(client_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
    Settle();
  }
  Frame frame;
  while (ReadFrame(&frame)) {
  }
  EXPECT_EQ(recv(client_.get(), &frame.header, sizeof(frame.header), 0), 0);
}

TEST_F(ExecIo, AClientThatDoesNotReadHoldsTheProcessUpAndLosesNothing) {
  Attach();
  const std::string text = Numbered(1000000);
  const size_t written = Write(child_.standard_output, text);
  EXPECT_LT(written, 300000u);
  // The other stream still gets through to the supervisor's side.
  EXPECT_EQ(Write(child_.standard_error, "x"), 1u);
  std::string got = ReadAll(AttachFrameType::kStdout);
  EXPECT_TRUE(got == text.substr(0, written));
}

TEST_F(ExecIo, WithoutAClientTheProcessIsNeverHeldUp) {
  const std::string text = Numbered(1000000);
  EXPECT_EQ(Write(child_.standard_output, text), text.size());
  Attach();
  uint64_t offset = 0;
  const std::string last = ReadAll(AttachFrameType::kStdout, &offset);
  EXPECT_EQ(last.size(), Scrollback::kCapacity);
  EXPECT_EQ(offset, text.size() - last.size());
  EXPECT_TRUE(last == text.substr(offset));
}

TEST_F(ExecIo, AClientThatDoesNotComeBackIsNotWaitedForLong) {
  Attach();
  const std::string text = Numbered(1000000);
  const size_t written = Write(child_.standard_output, text);
  client_.reset();
  Settle();
  EXPECT_EQ(Write(child_.standard_output, text), 0u);
  const int64_t due = io_->Tick(MonotonicNow());
  EXPECT_GT(due, 0);
  io_->Tick(due);
  EXPECT_EQ(Write(child_.standard_output, text.substr(written)), text.size() - written);
}

TEST_F(ExecIo, TheExitIsTheLastFrameAfterAllOutput) {
  Attach();
  ASSERT_EQ(write(child_.standard_output.get(), "last words", 10), 10);
  child_ = ChildEnds();
  ExitRecord exit;
  exit.code = 3;
  io_->ProcessExited(exit, MonotonicNow());
  EXPECT_TRUE(io_->drained());
  EXPECT_EQ(ReadAll(AttachFrameType::kStdout), "last words");
  EXPECT_EQ(last_type_, AttachFrameType::kExit);
}

TEST_F(ExecIo, ALateAttachGetsTheScrollbackAndTheExit) {
  Write(child_.standard_output, "done\n");
  child_ = ChildEnds();
  io_->ProcessExited(ExitRecord(), MonotonicNow());
  Attach();
  EXPECT_EQ(ReadAll(AttachFrameType::kStdout), "done\n");
  EXPECT_EQ(last_type_, AttachFrameType::kExit);
}

TEST_F(ExecIo, AStragglerDelaysTheExitFrameOnlyForAWhile) {
  Attach();
  Write(child_.standard_output, "parent\n");
  const int64_t now = MonotonicNow();
  io_->ProcessExited(ExitRecord(), now);
  EXPECT_FALSE(io_->drained());
  EXPECT_EQ(ReadAll(AttachFrameType::kStdout), "parent\n");
  EXPECT_EQ(last_type_, AttachFrameType::kStdout);
  const int64_t due = io_->Tick(now);
  EXPECT_GT(due, now);
  io_->Tick(due);
  EXPECT_EQ(ReadAll(AttachFrameType::kStdout), "");
  EXPECT_EQ(last_type_, AttachFrameType::kExit);
}

TEST_F(ExecIo, ANewClientReplacesTheOldOneAndTellsIt) {
  Attach();
  UniqueFd first(client_.release());
  Attach();
  AttachFrameHeader header;
  ASSERT_EQ(recv(first.get(), &header, sizeof(header), 0), static_cast<ssize_t>(sizeof(header)));
  EXPECT_EQ(header.type, static_cast<uint32_t>(AttachFrameType::kDetached));
  EXPECT_EQ(recv(first.get(), &header, sizeof(header), 0), 0);
}

TEST_F(ExecIo, InputArrivesInOrderAndItsEndClosesThePipe) {
  Attach();
  std::string sent;
  for (int i = 0; i < 20; ++i) {
    const std::string piece = std::string(16000, static_cast<char>('a' + i));
    sent += piece;
    // The socket holds what the pipe does not take.
    if (i < 8) SendFrame(AttachFrameType::kStdin, piece);
  }
  SendFrame(AttachFrameType::kStdinEnd, "");
  std::string got;
  char buffer[5000];
  while (true) {
    const ssize_t size = read(child_.standard_input.get(), buffer, sizeof(buffer));
    if (size <= 0) break;
    got.append(buffer, static_cast<size_t>(size));
    Settle();
  }
  EXPECT_TRUE(got == sent.substr(0, 8 * 16000));
}

TEST_F(ExecIo, InputGoesOnThroughAnotherClient) {
  Attach();
  SendFrame(AttachFrameType::kStdin, "one ");
  client_.reset();
  Settle();
  Attach();
  SendFrame(AttachFrameType::kStdin, "two");
  io_->CloseStdin();
  char buffer[100];
  EXPECT_EQ(read(child_.standard_input.get(), buffer, sizeof(buffer)), 7);
  EXPECT_EQ(std::string(buffer, 7), "one two");
  EXPECT_EQ(read(child_.standard_input.get(), buffer, sizeof(buffer)), 0);
}

TEST_F(ExecIo, InputThatNobodyReadsAnyMoreIsDropped) {
  Attach();
  child_.standard_input.reset();
  SendFrame(AttachFrameType::kStdin, "lost");
  SendFrame(AttachFrameType::kStdin, "lost too");
  Write(child_.standard_output, "still here");
  EXPECT_EQ(ReadAll(AttachFrameType::kStdout), "still here");
}

TEST_F(ExecIo, AMalformedFrameEndsTheClientAndNothingElse) {
  Attach();
  ASSERT_EQ(send(client_.get(), "junk", 4, MSG_NOSIGNAL), 4);
  Settle();
  char byte;
  EXPECT_EQ(recv(client_.get(), &byte, 1, 0), 0);
  EXPECT_EQ(Write(child_.standard_output, "fine"), 4u);
}

TEST_F(ExecIo, ResizeNeedsAConsole) { EXPECT_EQ(io_->Resize(24, 80), ENOTTY); }

TEST(ConsoleIo, SurvivesTheMomentsWhenNobodyHasItOpen) {
  EventLoop loop;
  ASSERT_EQ(loop.Open(), 0);
  UniqueFd master(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_EQ(unlockpt(master.get()), 0);
  char name[64];
  ASSERT_EQ(ptsname_r(master.get(), name, sizeof(name)), 0);
  ProcessIo io(&loop, nullptr);
  ASSERT_EQ(io.AdoptConsole(std::move(master)), 0);
  for (const char* text : {"once", "again"}) {
    const UniqueFd terminal(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_EQ(write(terminal.get(), text, strlen(text)), static_cast<ssize_t>(strlen(text)));
    for (int i = 0; i < 5; ++i) loop.RunOnce(10);
  }
  for (int i = 0; i < 5; ++i) loop.RunOnce(0);
  EXPECT_FALSE(io.drained());
  EXPECT_EQ(io.Resize(50, 132), 0);
  UniqueFd client;
  ASSERT_EQ(io.Attach({0, 0}, &client), 0);
  char frame[64];
  ASSERT_GT(recv(client.get(), frame, sizeof(frame), 0), 0);  // kOpened
  const ssize_t size = recv(client.get(), frame, sizeof(frame), 0);
  EXPECT_EQ(std::string(frame + sizeof(AttachFrameHeader), size - sizeof(AttachFrameHeader)),
            "onceagain");
  io.ProcessExited(ExitRecord(), MonotonicNow());
  EXPECT_TRUE(io.drained());
}

TEST(InitIo, RunsOnWithoutAClientThatLags) {
  EventLoop loop;
  ASSERT_EQ(loop.Open(), 0);
  std::string path = testing::TempDir() + "/init_io_XXXXXX";
  const UniqueFd dir(open(mkdtemp(path.data()), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto log = std::make_unique<LogWriter>();
  ASSERT_EQ(log->Open(dir.get(), 0, 1), 0);
  ProcessIo io(&loop, log.get());
  ChildEnds child;
  ASSERT_EQ(io.MakePipes(/*open_stdin=*/false, &child), 0);
  EXPECT_FALSE(child.standard_input.valid());
  UniqueFd client;
  ASSERT_EQ(io.Attach({0, 0}, &client), 0);
  fcntl(child.standard_output.get(), F_SETFL, O_NONBLOCK);
  const std::string block(4096, 'x');
  const auto fill = [&] {
    uint64_t written = 0;
    for (int idle = 0; idle < 50 && written < 2000000; ++idle) {
      const ssize_t size = write(child.standard_output.get(), block.data(), block.size());
      if (size > 0) {
        written += static_cast<uint64_t>(size);
        idle = 0;
      }
      loop.RunOnce(0);
    }
    return written;
  };
  EXPECT_LT(fill(), 2000000u);  // for a second it waits
  const int64_t due = io.Tick(MonotonicNow());
  ASSERT_GT(due, 0);
  io.Tick(due);
  EXPECT_GE(fill(), 2000000u);
  EXPECT_EQ(log->dropped_bytes(), 0u);
}

}  // namespace
}  // namespace ocid
