#include "daemon/image/image_store.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "daemon/image/fresh_output.h"
#include "daemon/image/image_errors.h"
#include "daemon/image/image_files.h"
#include "daemon/image/image_import.h"
#include "daemon/image/store_files.h"
#include "runtime/base/error_details.h"

namespace ocid {
namespace {

constexpr uint64_t kMaxIndexBytes = uint64_t{256} << 20;

std::string ListNames(const std::vector<SourceImage>& images) {
  std::string list;
  for (const SourceImage& image : images) {
    for (const std::string& name : image.names) {
      if (!list.empty()) list += ", ";
      list += name;
    }
  }
  return list.empty() ? "none has a name" : list.substr(0, 1000);
}

// Which image of the source the request means, and the names it gets.
absl::StatusOr<std::pair<const SourceImage*, std::vector<std::string>>> ChooseImage(
    const std::vector<SourceImage>& images, const std::string& name) {
  using Choice = std::pair<const SourceImage*, std::vector<std::string>>;
  if (!name.empty()) {
    for (const SourceImage& image : images) {
      if (std::find(image.names.begin(), image.names.end(), name) != image.names.end()) {
        return Choice(&image, {name});
      }
    }
    if (images.size() == 1) return Choice(&images[0], {name});
  } else if (images.size() == 1 && !images[0].names.empty()) {
    return Choice(&images[0], images[0].names);
  }
  if (images.size() == 1) return ImageInvalid("the source does not name its image: give a name");
  return ImageInvalid("the source has " + std::to_string(images.size()) +
                      " images, name one of them: " + ListNames(images));
}

}  // namespace

std::string_view LayerStateName(LayerState state) {
  switch (state) {
    case LayerState::kWaiting:
      return "waiting";
    case LayerState::kFetching:
      return "fetching";
    case LayerState::kVerifying:
      return "verifying";
    case LayerState::kUnpacking:
      return "unpacking";
    case LayerState::kDone:
      return "done";
    case LayerState::kPresent:
      return "present";
  }
  return "";
}

ImageHold::~ImageHold() {
  MutexLock lock(store_.mutex_);
  const auto [begin, end] = store_.holders_.equal_range(image_.manifest);
  const auto mine = std::find_if(begin, end, [&](const auto& e) { return e.second == holder_; });
  if (mine != end) store_.holders_.erase(mine);
}

absl::StatusOr<std::unique_ptr<ImageStore>> ImageStore::Open(Options options) {
  std::unique_ptr<ImageStore> store(new ImageStore(std::move(options)));
  const std::string& directory = store->options_.directory;
  absl::StatusOr<UniqueFd> directory_fd = OpenOrMakeDirectory(directory);
  if (!directory_fd.ok()) return directory_fd.status();
  store->directory_ = *std::move(directory_fd);
  store->lock_.reset(openat(store->directory_.get(), "lock",
                            O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!store->lock_.valid()) return StoreFailed("open " + directory + "/lock", errno);
  if (flock(store->lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(directory + ": another process has it open");
  }
  absl::Status emptied = RemoveTreeAt(store->directory_, "staging");
  if (!emptied.ok()) return emptied;
  absl::StatusOr<UniqueFd> outputs = OpenOrMakeDirectoryAt(store->directory_, "outputs");
  if (!outputs.ok()) return outputs.status();
  store->outputs_ = *std::move(outputs);
  const absl::Status removed = FreshOutput::RemoveUnfinished(store->outputs_);
  if (!removed.ok()) {
    store->warnings_.push_back("what was left unfinished: " + std::string(removed.message()));
  }
  absl::StatusOr<std::unique_ptr<ContentStore>> content =
      ContentStore::Open(directory, store->options_.limits.blob_bytes);
  if (!content.ok()) return content.status();
  store->content_ = *std::move(content);
  absl::StatusOr<std::unique_ptr<LayerStore>> layers = LayerStore::Open(directory + "/layers");
  if (!layers.ok()) return layers.status();
  store->layers_ = *std::move(layers);
  absl::Status read = store->ReadIndex();
  if (!read.ok()) return read;
  return store;
}

absl::Status ImageStore::ReadIndex() {
  ImageRecords records;
  UniqueFd file(openat(directory_.get(), "index.json", O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid() && errno != ENOENT) return StoreFailed("open index.json", errno);
  if (file.valid()) {
    absl::StatusOr<std::string> text = ReadAll(file, kMaxIndexBytes, "index.json");
    absl::StatusOr<ImageRecords> parsed =
        text.ok() ? ParseRecords(*text) : absl::StatusOr<ImageRecords>(text.status());
    if (parsed.ok()) {
      records = *std::move(parsed);
    } else {
      // It was replaced whole, so this is the disk's doing. Images can be loaded again; containers
      // must not wait for that.
      const std::string aside =
          "index.json.unreadable." + std::to_string(absl::ToUnixSeconds(options_.clock()));
      if (renameat(directory_.get(), "index.json", directory_.get(), aside.c_str()) != 0) {
        return StoreFailed("rename index.json", errno);
      }
      warnings_.push_back("the index of images could not be read and is now " + aside + ": " +
                          std::string(parsed.status().message()));
    }
  }
  MutexLock lock(mutex_);
  records_ = std::make_shared<const ImageRecords>(std::move(records));
  return absl::OkStatus();
}

std::shared_ptr<const ImageRecords> ImageStore::Snapshot() const {
  MutexLock lock(mutex_);
  return records_;
}

absl::Status ImageStore::Change(const std::function<absl::Status(ImageRecords&)>& change) {
  MutexLock commit(commit_mutex_);
  ImageRecords changed = *Snapshot();
  absl::Status status = change(changed);
  if (status.ok()) status = ReplaceDurably(directory_, "index.json", SerializeRecords(changed));
  if (!status.ok()) return status;
  MutexLock lock(mutex_);
  records_ = std::make_shared<const ImageRecords>(std::move(changed));
  return absl::OkStatus();
}

absl::Status ImageStore::Record(ImageRecord record) {
  return Change([&](ImageRecords& records) {
    // A name belongs to one image: it moves to the newest.
    for (auto& [manifest, other] : records) {
      std::erase_if(other.names, [&](const std::string& name) {
        return std::find(record.names.begin(), record.names.end(), name) != record.names.end();
      });
    }
    if (const auto known = records.find(record.manifest); known != records.end()) {
      record.names.insert(record.names.end(), known->second.names.begin(),
                          known->second.names.end());
    }
    std::sort(record.names.begin(), record.names.end());
    record.names.erase(std::unique(record.names.begin(), record.names.end()), record.names.end());
    const Digest manifest = record.manifest;
    records.insert_or_assign(manifest, std::move(record));
    return absl::OkStatus();
  });
}

const ImageRecord* ImageStore::Find(const ImageRecords& records, std::string_view name) const {
  if (const absl::StatusOr<Digest> digest = Digest::Parse(name); digest.ok()) {
    const auto found = records.find(*digest);
    return found == records.end() ? nullptr : &found->second;
  }
  for (const auto& [manifest, record] : records) {
    if (std::binary_search(record.names.begin(), record.names.end(), name)) return &record;
  }
  return nullptr;
}

absl::StatusOr<ImageRecord> ImageStore::Import(ImageSource& source, const Descriptor& root,
                                               const ImportRequest& request) {
  for (const std::string& name : request.names) {
    absl::Status checked = CheckImageName(name);
    if (!checked.ok()) return checked;
  }
  return ImageImport(*this, source, request).Run(root);
}

absl::StatusOr<ImageRecord> ImageStore::Load(const std::string& path, const std::string& name,
                                             const Platform& platform,
                                             const ImportProgress& progress) {
  absl::StatusOr<std::unique_ptr<ImageFiles>> files =
      OpenImageFiles(path, options_.directory + "/staging");
  if (!files.ok()) return files.status();
  absl::StatusOr<FileSource> source = OpenFileSource(*std::move(files));
  if (!source.ok()) return Annotate(source.status(), path);
  auto chosen = ChooseImage(source->images, name);
  if (!chosen.ok()) return Annotate(chosen.status(), path);
  const auto& [image, names] = *chosen;
  absl::StatusOr<ImageRecord> record = Import(
      *source->source, image->root, {.names = names, .platform = platform, .progress = progress});
  if (record.ok()) {
    record->names = names;
    std::sort(record->names.begin(), record->names.end());
  }
  return record;
}

absl::StatusOr<ImageRecord> ImageStore::Get(std::string_view name) const {
  const std::shared_ptr<const ImageRecords> records = Snapshot();
  const ImageRecord* record = Find(*records, name);
  if (record == nullptr) return ImageNotFound(name);
  return *record;
}

absl::StatusOr<ImageDetails> ImageStore::Inspect(std::string_view name) const {
  absl::StatusOr<ImageRecord> record = Get(name);
  if (!record.ok()) return record.status();
  absl::StatusOr<std::string> manifest_json = content_->Read(record->manifest, kMaxManifestBytes);
  if (!manifest_json.ok()) return manifest_json.status();
  absl::StatusOr<std::string> config_json = content_->Read(record->config, kMaxConfigBytes);
  if (!config_json.ok()) return config_json.status();
  absl::StatusOr<ImageForms> forms = ReadConfig(*config_json, record->config_type);
  if (!forms.ok()) return forms.status();
  absl::StatusOr<Manifest> manifest = ParseManifest(*manifest_json, record->manifest_type);
  if (!manifest.ok()) return manifest.status();
  ImageDetails details{.record = *std::move(record),
                       .forms = *std::move(forms),
                       .manifest_json = *std::move(manifest_json),
                       .annotations = {}};
  if (auto* image = std::get_if<ImageManifest>(&*manifest); image != nullptr) {
    details.annotations = std::move(image->annotations);
  }
  return details;
}

absl::StatusOr<ImageRunConfig> ImageStore::RunConfig(std::string_view name) const {
  absl::StatusOr<ImageRecord> record = Get(name);
  if (!record.ok()) return record.status();
  absl::StatusOr<std::string> config_json = content_->Read(record->config, kMaxConfigBytes);
  if (!config_json.ok()) return config_json.status();
  absl::StatusOr<ImageForms> forms = ReadConfig(*config_json, record->config_type);
  if (!forms.ok()) return forms.status();
  std::optional<std::string> passwd;
  std::optional<std::string> group;
  if (!record->layers.empty()) {
    const Digest top = ChainOf(*record).back();
    absl::StatusOr<std::optional<std::string>> passwd_text = layers_->Passwd(top);
    if (!passwd_text.ok()) return passwd_text.status();
    absl::StatusOr<std::optional<std::string>> group_text = layers_->Group(top);
    if (!group_text.ok()) return group_text.status();
    passwd = *std::move(passwd_text);
    group = *std::move(group_text);
  }
  absl::StatusOr<ResolvedUser> user = ResolveUser(forms->config.user, passwd, group);
  if (!user.ok()) return user.status();
  return ImageRunConfig{.name = std::string(name),
                        .record = *std::move(record),
                        .config = std::move(forms->config),
                        .user = *std::move(user)};
}

std::vector<std::string> ImageStore::Holders(const Digest& manifest) const {
  std::vector<std::string> holders;
  {
    MutexLock lock(mutex_);
    const auto [begin, end] = holders_.equal_range(manifest);
    std::transform(begin, end, std::back_inserter(holders), [](const auto& e) { return e.second; });
  }
  std::sort(holders.begin(), holders.end());
  return holders;
}

absl::StatusOr<std::unique_ptr<ImageHold>> ImageStore::Hold(std::string_view name,
                                                            std::string holder) {
  MutexLock lock(mutex_);
  const ImageRecord* record = Find(*records_, name);
  if (record == nullptr || doomed_.contains(record->manifest)) return ImageNotFound(name);
  holders_.emplace(record->manifest, holder);
  return std::unique_ptr<ImageHold>(new ImageHold(*this, *record, std::move(holder)));
}

absl::StatusOr<uint64_t> ImageStore::Delete(std::string_view name) {
  absl::Status changed = Change([&](ImageRecords& records) -> absl::Status {
    const ImageRecord* record = Find(records, name);
    if (record == nullptr) return ImageNotFound(name);
    // By digest: all of its names.
    std::vector<std::string>& names = records.at(record->manifest).names;
    if (Digest::Parse(name).ok()) {
      names.clear();
    } else {
      std::erase(names, name);
    }
    return absl::OkStatus();
  });
  if (!changed.ok()) return changed;
  return CollectGarbage();
}

absl::StatusOr<ImageStore::PruneResult> ImageStore::Prune() {
  PruneResult result;
  absl::Status changed = Change([&](ImageRecords& records) {
    for (auto& [manifest, record] : records) {
      if (!Holders(manifest).empty()) continue;
      result.names.insert(result.names.end(), record.names.begin(), record.names.end());
      record.names.clear();
    }
    return absl::OkStatus();
  });
  if (!changed.ok()) return changed;
  absl::Status partial = content_->RemovePartial();
  if (!partial.ok()) return partial;
  absl::StatusOr<uint64_t> freed = CollectGarbage();
  if (!freed.ok()) return freed.status();
  result.freed_bytes = *freed;
  std::sort(result.names.begin(), result.names.end());
  return result;
}

void ImageStore::Pin(const Digest& digest) {
  MutexLock lock(mutex_);
  while (removing_ == digest) collected_.Wait(mutex_);
  pinned_.insert(digest);
}

void ImageStore::Unpin(const std::vector<Digest>& digests) {
  MutexLock lock(mutex_);
  while (collecting_) collected_.Wait(mutex_);
  for (const Digest& digest : digests) {
    const auto pin = pinned_.find(digest);
    if (pin != pinned_.end()) pinned_.erase(pin);
  }
}

absl::StatusOr<uint64_t> ImageStore::CollectGarbage() {
  {
    MutexLock lock(mutex_);
    while (collecting_) collected_.Wait(mutex_);
    collecting_ = true;
  }
  uint64_t freed = 0;
  absl::Status status = ForgetUnused();
  if (status.ok()) status = RemoveUnused(freed);
  {
    MutexLock lock(mutex_);
    collecting_ = false;
    doomed_.clear();
  }
  collected_.SignalAll();
  if (!status.ok()) return status;
  return freed;
}

absl::Status ImageStore::ForgetUnused() {
  std::set<Digest> doomed;
  {
    MutexLock lock(mutex_);
    for (const auto& [manifest, record] : *records_) {
      if (record.names.empty() && !holders_.contains(manifest)) doomed.insert(manifest);
    }
    if (doomed.empty()) return absl::OkStatus();
    doomed_ = doomed;
  }
  return Change([&](ImageRecords& records) {
    std::erase_if(records, [&](const auto& entry) {
      return entry.second.names.empty() && doomed.contains(entry.first);
    });
    return absl::OkStatus();
  });
}

absl::Status ImageStore::RemoveUnused(uint64_t& freed) {
  std::set<Digest> used;
  const std::shared_ptr<const ImageRecords> records = Snapshot();
  for (const auto& [manifest, record] : *records) {
    used.insert({manifest, record.root, record.config});
    for (const StoredLayer& layer : record.layers) used.insert(layer.digest);
    for (const Digest& chain_id : ChainOf(record)) used.insert(chain_id);
  }
  absl::StatusOr<std::vector<Digest>> blobs = content_->List();
  if (!blobs.ok()) return blobs.status();
  for (const Digest& digest : *blobs) {
    if (used.contains(digest)) continue;
    absl::Status removed = RemoveUnlessPinned(
        digest, [&](const Digest& d) { return content_->Remove(d); }, freed);
    if (!removed.ok()) return removed;
  }
  absl::StatusOr<std::vector<Digest>> layers = layers_->List();
  if (!layers.ok()) return layers.status();
  for (const Digest& chain_id : *layers) {
    if (used.contains(chain_id)) continue;
    absl::Status removed = RemoveUnlessPinned(
        chain_id, [&](const Digest& d) { return layers_->Remove(d); }, freed);
    if (!removed.ok()) return removed;
  }
  return absl::OkStatus();
}

template <class Remover>
absl::Status ImageStore::RemoveUnlessPinned(const Digest& digest, const Remover& remove,
                                            uint64_t& freed) {
  {
    MutexLock lock(mutex_);
    if (pinned_.contains(digest)) return absl::OkStatus();
    removing_ = digest;
  }
  absl::StatusOr<uint64_t> bytes = remove(digest);
  {
    MutexLock lock(mutex_);
    removing_.reset();
  }
  collected_.SignalAll();
  if (!bytes.ok()) return bytes.status();
  freed += *bytes;
  return absl::OkStatus();
}

}  // namespace ocid
