import type { Controller } from "../controller.ts";

/** Shared by v1 and v2: Documentation/admin-guide/cgroup-v1/rdma.rst. */
export const rdma: Controller = {
  name: "rdma",
  field: "rdma",
  writes: ({ rdma = {} }) =>
    Object.entries(rdma).map(([device, limits]) => {
      const parts = [device];
      if (limits.hcaHandles !== undefined) parts.push(`hca_handle=${limits.hcaHandles}`);
      if (limits.hcaObjects !== undefined) parts.push(`hca_object=${limits.hcaObjects}`);
      return { file: "rdma.max", data: parts.join(" ") };
    }),
};
