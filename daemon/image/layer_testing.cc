#include "daemon/image/layer_testing.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ocid {
namespace {

constexpr size_t kBlock = 512;

void PutOctal(char* field, size_t size, uint64_t value) {
  if (value >> (3 * (size - 1)) != 0) {  // base 256, as GNU tar does it
    for (size_t i = size; i-- > 0; value >>= 8) field[i] = static_cast<char>(value & 0xff);
    field[0] = static_cast<char>(0x80);
    return;
  }
  std::string digits(size - 1, '0');
  for (size_t i = digits.size(); i-- > 0; value >>= 3) digits[i] = static_cast<char>('0' + (value & 7));
  memcpy(field, digits.c_str(), size);
}

void Pad(std::string& tar) { tar.resize((tar.size() + kBlock - 1) / kBlock * kBlock, '\0'); }

void AppendHeader(std::string& tar, const TarEntry& entry, uint64_t size) {
  char block[kBlock] = {};
  memcpy(block, entry.path.data(), std::min<size_t>(entry.path.size(), 100));
  PutOctal(block + 100, 8, entry.mode);
  PutOctal(block + 108, 8, entry.uid);
  PutOctal(block + 116, 8, entry.gid);
  PutOctal(block + 124, 12, size);
  PutOctal(block + 136, 12, static_cast<uint64_t>(entry.mtime));
  memset(block + 148, ' ', 8);
  block[156] = entry.type;
  memcpy(block + 157, entry.link.data(), std::min<size_t>(entry.link.size(), 100));
  memcpy(block + 257, "ustar\00000", 8);
  PutOctal(block + 329, 8, entry.major);
  PutOctal(block + 337, 8, entry.minor);
  uint64_t sum = 0;
  for (const char byte : block) sum += static_cast<unsigned char>(byte);
  PutOctal(block + 148, 7, sum);
  tar.append(block, kBlock);
}

std::string PaxRecord(const std::string& key, const std::string& value) {
  // The length counts its own digits.
  size_t length = key.size() + value.size() + 3;
  size_t total = length + 1;
  while (std::to_string(total).size() + length != total) {
    total = std::to_string(total).size() + length;
  }
  return std::to_string(total) + " " + key + "=" + value + "\n";
}

}  // namespace

TarEntry Directory(std::string path, uint32_t mode) {
  return {.type = '5', .path = std::move(path), .mode = mode};
}
TarEntry File(std::string path, std::string content, uint32_t mode) {
  return {.type = '0', .path = std::move(path), .content = std::move(content), .mode = mode};
}
TarEntry Symlink(std::string path, std::string target) {
  return {.type = '2', .path = std::move(path), .link = std::move(target), .mode = 0777};
}
TarEntry HardLink(std::string path, std::string target) {
  return {.type = '1', .path = std::move(path), .link = std::move(target)};
}
TarEntry Whiteout(std::string path) { return File(std::move(path), ""); }

std::string MakeTar(const std::vector<TarEntry>& entries) {
  std::string tar;
  for (const TarEntry& entry : entries) {
    std::vector<std::pair<std::string, std::string>> pax = entry.pax;
    if (entry.path.size() > 100) pax.emplace_back("path", entry.path);
    if (entry.link.size() > 100) pax.emplace_back("linkpath", entry.link);
    if (!pax.empty()) {
      std::string records;
      for (const auto& [key, value] : pax) records += PaxRecord(key, value);
      AppendHeader(tar, {.type = 'x', .path = "PaxHeaders/x"}, records.size());
      tar += records;
      Pad(tar);
    }
    AppendHeader(tar, entry,
                 entry.lying_size >= 0 ? static_cast<uint64_t>(entry.lying_size)
                                       : entry.content.size());
    tar += entry.content;
    Pad(tar);
  }
  tar.append(2 * kBlock, '\0');
  return tar;
}

std::string Compress(std::string_view bytes, TestCompression compression) {
  archive* handle = archive_write_new();
  archive_write_set_format_raw(handle);
  if (compression == TestCompression::kGzip) {
    archive_write_add_filter_gzip(handle);
  } else {
    archive_write_add_filter_zstd(handle);
  }
  std::string out;
  const auto append = [](archive*, void* client, const void* buffer, size_t size) -> la_ssize_t {
    static_cast<std::string*>(client)->append(static_cast<const char*>(buffer), size);
    return static_cast<la_ssize_t>(size);
  };
  archive_write_set_bytes_in_last_block(handle, 1);
  archive_write_open(handle, &out, nullptr, append, nullptr);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_write_header(handle, entry);
  while (!bytes.empty()) {
    const la_ssize_t written = archive_write_data(handle, bytes.data(), bytes.size());
    if (written <= 0) abort();
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  archive_entry_free(entry);
  archive_write_close(handle);
  archive_write_free(handle);
  return out;
}

UniqueFd MemoryFile(std::string_view bytes) {
  UniqueFd file(memfd_create("layer", MFD_CLOEXEC));
  while (!bytes.empty()) {
    const ssize_t written = write(file.get(), bytes.data(), bytes.size());
    if (written <= 0) abort();
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  lseek(file.get(), 0, SEEK_SET);
  return file;
}

}  // namespace ocid
