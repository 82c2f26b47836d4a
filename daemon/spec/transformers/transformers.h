// The transformers that the daemon's pipeline is made of, one file each.
//
// In the order of their phases:
//   bundle       kBase      the bundle's config.json, as it is
//   image_config kBase      in its place, what an image's configuration says; see image_config.cc
//   upgrade      kBase      nulls stripped, an old version brought to today's form
//   defaults     kDefaults  what a bundle may leave out; see below
//   request      kRequest   the overrides of the request
//   cdi_devices  kDevices   one step for each CDI file's own edits, one for each device
//   nri_plugins  kPlugins   one step for each plugin, one for each CDI device that a plugin asks
//   for finalize     kFinal     normalisation, then validation
//
// Defaults never override what a bundle says: its config.json is its author's word, and an author
// who leaves out masked paths, mounts or a seccomp profile may mean it. So a default only completes
// what has no meaning without it, each in a step of its own:
//   defaults:root-path      /root/path made absolute, relative to the bundle
//   defaults:mount-sources  sources of bind mounts likewise
//   defaults:cgroups-path   /linux/cgroupsPath, where the bundle has none
//   defaults:seccomp        /linux/seccomp, for a container of an image: an image cannot say
//
// All are safe to use from several threads.
#ifndef OCID_DAEMON_SPEC_TRANSFORMERS_TRANSFORMERS_H_
#define OCID_DAEMON_SPEC_TRANSFORMERS_TRANSFORMERS_H_

#include <vector>

#include "daemon/nri/adjustment_apply.h"
#include "daemon/nri/default_validator.h"
#include "daemon/spec/spec_transformer.h"

namespace ocid {

class CdiRegistry;

SpecTransformer MakeBundleTransformer();
SpecTransformer MakeImageConfigTransformer();
SpecTransformer MakeUpgradeTransformer();
SpecTransformer MakeDefaultsTransformer();
SpecTransformer MakeRequestTransformer();
// `registry` must outlive the transformer. Null: a request for a device fails.
SpecTransformer MakeCdiDevicesTransformer(CdiRegistry* registry);

struct NriPluginsOptions {
  AdjustmentHost host = {};
  DefaultValidatorOptions validator = {};
};

// Asks the request's plugins. What each asked for is its step, whether it changed anything or not;
// what they asked of other containers is done when nobody has rejected the whole. Fails with
//   PLUGIN_FAILED     a plugin answered an error, or asked what cannot be
//   DEVICE_CONFLICT   two plugins want the same thing
//   PLUGIN_REJECTED   a validator does not accept: metadata "plugin", "reason"
SpecTransformer MakeNriPluginsTransformer(CdiRegistry* registry, NriPluginsOptions options);
SpecTransformer MakeFinalizeTransformer();

// All of them.
std::vector<SpecTransformer> DefaultTransformers(CdiRegistry* registry,
                                                 NriPluginsOptions plugins = {});

}  // namespace ocid

#endif  // OCID_DAEMON_SPEC_TRANSFORMERS_TRANSFORMERS_H_
