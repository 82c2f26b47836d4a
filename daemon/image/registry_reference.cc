#include "daemon/image/registry_reference.h"

#include <algorithm>

#include "daemon/image/image_errors.h"

namespace ocid {
namespace {

// Of HOST/REPOSITORY, as registries have it; and of all that a reference may say around it.
constexpr size_t kMaxNameBytes = 255;
constexpr size_t kMaxReferenceBytes = 1024;

bool IsLowerAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool IsHostCharacter(char c) {
  return IsLowerAlnum(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == ':' ||
         c == '[' || c == ']';
}

// [a-z0-9]+ parts joined by '.', '_', '__' or dashes.
bool IsRepositoryPart(std::string_view part) {
  if (part.empty() || !IsLowerAlnum(part.front()) || !IsLowerAlnum(part.back())) return false;
  for (size_t i = 0; i < part.size(); ++i) {
    const char c = part[i];
    if (IsLowerAlnum(c) || c == '-') continue;
    if (c != '.' && c != '_') return false;
    const bool pair = i + 1 < part.size() && (part[i + 1] == '.' || part[i + 1] == '_');
    const bool two_underscores =
        pair && c == '_' && part[i + 1] == '_' && IsLowerAlnum(part[i + 2]);
    if (pair && !two_underscores) return false;
    if (two_underscores) ++i;
  }
  return true;
}

bool IsTag(std::string_view tag) {
  const auto word = [](char c) { return IsLowerAlnum(c) || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !tag.empty() && tag.size() <= 128 && word(tag.front()) &&
         std::all_of(tag.begin(), tag.end(),
                     [&](char c) { return word(c) || c == '.' || c == '-'; });
}

}  // namespace

absl::StatusOr<RegistryReference> RegistryReference::Parse(std::string_view text) {
  const auto fail = [&](std::string_view why) {
    return ImageInvalid("reference \"" + std::string(text.substr(0, 200)) + "\": " +
                        std::string(why));
  };
  std::string_view rest = text;
  RegistryReference reference;
  if (rest.size() > kMaxReferenceBytes) return fail("too long");
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    absl::StatusOr<Digest> digest = Digest::Parse(rest.substr(at + 1));
    if (!digest.ok()) return digest.status();
    reference.digest = *std::move(digest);
    rest = rest.substr(0, at);
  }
  const size_t slash = rest.find('/');
  const std::string_view host = rest.substr(0, slash);
  const bool names_host = host.find_first_of(".:") != std::string_view::npos || host == "localhost";
  if (slash == std::string_view::npos || !names_host) {
    return fail("names no registry: write it as docker.io/library/NAME:TAG");
  }
  if (!std::all_of(host.begin(), host.end(), IsHostCharacter)) return fail("not a host name");
  reference.host = std::string(host);
  rest = rest.substr(slash + 1);
  if (const size_t colon = rest.rfind(':'); colon != std::string_view::npos) {
    reference.tag = std::string(rest.substr(colon + 1));
    if (!IsTag(reference.tag)) return fail("not a tag");
    rest = rest.substr(0, colon);
  }
  if (reference.tag.empty() && !reference.digest.has_value()) reference.tag = "latest";
  reference.repository = std::string(rest);
  for (std::string_view parts = rest;;) {
    const size_t end = parts.find('/');
    if (!IsRepositoryPart(parts.substr(0, end))) return fail("not a repository's name");
    if (end == std::string_view::npos) break;
    parts = parts.substr(end + 1);
  }
  if (reference.host == "docker.io" && rest.find('/') == std::string_view::npos) {
    reference.repository = "library/" + reference.repository;
  }
  // Of the complete name, so that what is taken here is taken again.
  if (reference.host.size() + 1 + reference.repository.size() > kMaxNameBytes) {
    return fail("a name of more than 255 bytes");
  }
  return reference;
}

std::string RegistryReference::ToString() const {
  std::string text = host + "/" + repository;
  if (!tag.empty()) text += ":" + tag;
  if (digest.has_value()) text += "@" + digest->ToString();
  return text;
}

bool IsLoopbackHost(std::string_view host) {
  if (host.starts_with("[::1]")) return true;
  host = host.substr(0, host.find(':'));
  if (host == "localhost") return true;
  // Numbers alone: "127.0.0.1.example.com" is somebody else.
  return host.starts_with("127.") &&
         std::all_of(host.begin(), host.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

}  // namespace ocid
