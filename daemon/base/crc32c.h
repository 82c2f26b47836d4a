// CRC-32C (Castagnoli) of bytes, by which the daemon's own files are checked. Pure; thread-safe.
//
// Source: RFC 3720, appendix B.4.
#ifndef OCID_DAEMON_BASE_CRC32C_H_
#define OCID_DAEMON_BASE_CRC32C_H_

#include <cstdint>
#include <string_view>

namespace ocid {

// `initial`: the checksum of what goes before, 0 for nothing.
uint32_t Crc32c(std::string_view bytes, uint32_t initial = 0);

}  // namespace ocid

#endif  // OCID_DAEMON_BASE_CRC32C_H_
