#include "daemon/container/oci_resources.h"

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace ocid {
namespace {

TEST(OciResources, UnsetFieldsHaveNoMember) {
  EXPECT_EQ(ToOciResources({}).dump(), "{}");
  v1::Resources resources;
  resources.mutable_memory()->set_limit_bytes(0);
  EXPECT_EQ(ToOciResources(resources).dump(), R"({"memory":{"limit":0}})");
}

TEST(OciResources, EveryFieldHasTheNameOfTheSpecification) {
  v1::Resources r;
  r.mutable_memory()->set_swap_bytes(-1);
  r.mutable_memory()->set_disable_oom_killer(true);
  r.mutable_cpu()->set_quota_us(50000);
  r.mutable_cpu()->set_realtime_runtime_us(1);
  r.mutable_cpu()->set_cpus("0-1");
  r.mutable_pids()->set_limit(-1);
  auto* throttle = r.mutable_block_io()->add_throttle_read_iops();
  throttle->set_major(8);
  throttle->set_rate(100);
  auto* huge = r.add_hugepage_limits();
  huge->set_page_size("2MB");
  huge->set_limit_bytes(1);
  auto* rule = r.add_devices();
  rule->set_allow(true);
  rule->set_type("c");
  rule->set_major(1);
  rule->set_access("rw");
  (*r.mutable_rdma())["mlx5"].set_hca_handles(3);
  (*r.mutable_unified())["memory.high"] = "max";
  EXPECT_EQ(ToOciResources(r), nlohmann::json::parse(R"({
    "memory": {"swap": -1, "disableOOMKiller": true},
    "cpu": {"quota": 50000, "realtimeRuntime": 1, "cpus": "0-1"},
    "pids": {"limit": -1},
    "blockIO": {"throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 100}]},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
    "devices": [{"allow": true, "type": "c", "major": 1, "access": "rw"}],
    "rdma": {"mlx5": {"hcaHandles": 3}},
    "unified": {"memory.high": "max"}
  })"));
}

}  // namespace
}  // namespace ocid
