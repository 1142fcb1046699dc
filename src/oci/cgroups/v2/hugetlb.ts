import type { Controller } from "../controller.ts";

export const hugetlb: Controller = {
  name: "hugetlb",
  field: "hugepageLimits",
  writes: ({ hugepageLimits = [] }) =>
    hugepageLimits.flatMap(({ pageSize, limit }) => [
      { file: `hugetlb.${pageSize}.max`, data: String(limit) },
      { file: `hugetlb.${pageSize}.rsvd.max`, data: String(limit), optional: ["ENOENT"] },
    ]),
};
