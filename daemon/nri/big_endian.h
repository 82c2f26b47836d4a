// Numbers as they are on the wire of mux and ttrpc.
#ifndef OCID_DAEMON_NRI_BIG_ENDIAN_H_
#define OCID_DAEMON_NRI_BIG_ENDIAN_H_

#include <endian.h>

#include <cstdint>
#include <cstring>

namespace ocid {

inline void PutBigEndian32(uint32_t value, char* out) {
  const uint32_t wire = htobe32(value);
  std::memcpy(out, &wire, sizeof(wire));
}

inline uint32_t GetBigEndian32(const char* in) {
  uint32_t wire = 0;
  std::memcpy(&wire, in, sizeof(wire));
  return be32toh(wire);
}

}  // namespace ocid

#endif  // OCID_DAEMON_NRI_BIG_ENDIAN_H_
