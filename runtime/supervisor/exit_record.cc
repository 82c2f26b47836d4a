#include "runtime/supervisor/exit_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>  // renameat
#include <string.h>
#include <unistd.h>

#include "runtime/base/unique_fd.h"
#include "runtime/supervisor/fixed_text.h"

namespace ocid {
namespace {

constexpr char kMagic[] = "ocid-exit=1\n";
constexpr char kChecksumKey[] = "crc32=";
constexpr size_t kChecksumLine = sizeof(kChecksumKey) - 1 + 8 + 1;
constexpr char kTemporaryName[] = "exit.tmp";

uint32_t Crc32(const char* data, size_t size) {
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < size; ++i) {
    crc ^= static_cast<unsigned char>(data[i]);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
  }
  return crc ^ 0xffffffffu;
}

bool ParseSigned(const char* text, size_t size, int64_t* value) {
  const bool negative = size > 0 && text[0] == '-';
  size_t at = negative ? 1 : 0;
  if (at == size) return false;
  int64_t result = 0;
  for (; at < size; ++at) {
    if (text[at] < '0' || text[at] > '9') return false;
    const bool overflow = __builtin_mul_overflow(result, 10, &result) ||
                          __builtin_add_overflow(result, text[at] - '0', &result);
    if (overflow) return false;
  }
  *value = negative ? -result : result;
  return true;
}

constexpr size_t kFields = 10;
constexpr size_t kRequiredFields = 9;  // the first ones

struct Field {
  const char* key;
  int64_t value;
};

struct Fields {
  explicit Fields(const ExitRecord& record)
      : all{
            {"code=", record.code},
            {"signal=", record.signal},
            {"core_dumped=", record.core_dumped},
            {"pid=", record.pid},
            {"time_unix_ns=", record.time_unix_ns},
            {"time_boot_ns=", record.time_boot_ns},
            {"user_time_us=", record.user_time_us},
            {"system_time_us=", record.system_time_us},
            {"max_rss_kib=", record.max_rss_kib},
            {"oom_kills=", record.oom_kills},
        } {}

  ExitRecord ToRecord() const {
    ExitRecord record;
    record.code = static_cast<int32_t>(all[0].value);
    record.signal = static_cast<int32_t>(all[1].value);
    record.core_dumped = static_cast<uint32_t>(all[2].value);
    record.pid = all[3].value;
    record.time_unix_ns = all[4].value;
    record.time_boot_ns = all[5].value;
    record.user_time_us = all[6].value;
    record.system_time_us = all[7].value;
    record.max_rss_kib = all[8].value;
    record.oom_kills = static_cast<uint32_t>(all[9].value);
    return record;
  }

  Field all[kFields];
};

int WriteAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t written = write(fd, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    data += written;
    size -= static_cast<size_t>(written);
  }
  return 0;
}

}  // namespace

size_t FormatExitRecord(const ExitRecord& record, char* out, size_t size) {
  const Fields fields(record);
  FixedText text(out, size);
  text.Text(kMagic);
  for (const Field& field : fields.all) text.Text(field.key).Signed(field.value).Text("\n");
  const uint32_t checksum = Crc32(text.data(), text.length());
  text.Text(kChecksumKey).Hex(checksum, 8).Text("\n");
  return text.ok() ? text.length() : 0;
}

bool ParseExitRecord(const char* text, size_t size, ExitRecord* record) {
  constexpr size_t kMagicSize = sizeof(kMagic) - 1;
  if (size < kMagicSize + kChecksumLine || size > kMaxExitRecordSize) return false;
  if (memcmp(text, kMagic, kMagicSize) != 0) return false;

  const size_t body = size - kChecksumLine;
  char expected[kChecksumLine];
  FixedText checksum(expected, sizeof(expected));
  checksum.Text(kChecksumKey).Hex(Crc32(text, body), 8).Text("\n");
  if (memcmp(text + body, expected, kChecksumLine) != 0) return false;

  Fields fields{ExitRecord{}};
  bool seen[kFields] = {};
  for (size_t at = kMagicSize; at < body;) {
    const char* line = text + at;
    const char* end = static_cast<const char*>(memchr(line, '\n', body - at));
    if (end == nullptr) return false;
    const size_t length = static_cast<size_t>(end - line);
    for (size_t i = 0; i < kFields; ++i) {
      const size_t key = strlen(fields.all[i].key);
      if (length < key || memcmp(line, fields.all[i].key, key) != 0) continue;
      if (!ParseSigned(line + key, length - key, &fields.all[i].value)) return false;
      seen[i] = true;
    }
    at += length + 1;
  }
  for (size_t i = 0; i < kRequiredFields; ++i) {
    if (!seen[i]) return false;
  }
  *record = fields.ToRecord();
  return true;
}

int WriteExitRecord(int dir_fd, const ExitRecord& record) {
  char text[kMaxExitRecordSize];
  const size_t length = FormatExitRecord(record, text, sizeof(text));
  if (length == 0) return EOVERFLOW;
  const UniqueFd fd(
      openat(dir_fd, kTemporaryName, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return errno;
  const int error = WriteAll(fd.get(), text, length);
  if (error != 0) return error;
  return renameat(dir_fd, kTemporaryName, dir_fd, kExitRecordName) == 0 ? 0 : errno;
}

int ReadExitRecord(int dir_fd, ExitRecord* record) {
  const UniqueFd fd(openat(dir_fd, kExitRecordName, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return errno;
  char text[kMaxExitRecordSize + 1];
  size_t size = 0;
  while (size < sizeof(text)) {
    const ssize_t got = read(fd.get(), text + size, sizeof(text) - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  return ParseExitRecord(text, size, record) ? 0 : EBADMSG;
}

}  // namespace ocid
