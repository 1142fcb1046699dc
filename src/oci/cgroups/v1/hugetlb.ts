import type { Controller } from "../controller.ts";

/** Documentation/admin-guide/cgroup-v1/hugetlb.rst. Reservations are limited too where the kernel can (5.7). */
export const hugetlb: Controller = {
  name: "hugetlb",
  field: "hugepageLimits",
  writes: ({ hugepageLimits = [] }) =>
    hugepageLimits.flatMap(({ pageSize, limit }) => [
      { file: `hugetlb.${pageSize}.limit_in_bytes`, data: String(limit) },
      { file: `hugetlb.${pageSize}.rsvd.limit_in_bytes`, data: String(limit), optional: ["ENOENT"] },
    ]),
};
