import type { OciThrottle } from "../../../lib/oci-spec.ts";
import type { CgroupWrite, Controller } from "../controller.ts";
import { deviceKey, unsupported } from "../controller.ts";

/** Documentation/admin-guide/cgroup-v1/blkio-controller.rst. Weights need the bfq scheduler (or cfq, on kernels before 5.0). */
export const blkio: Controller = {
  name: "blkio",
  field: "blockIO",
  writes({ blockIO = {} }, { files }) {
    const writes: CgroupWrite[] = [];
    const weightFile = (name: string, field: string): string => {
      const file = [`blkio.${name}`, `blkio.bfq.${name}`].find((candidate) => files.has(candidate));
      return file ?? unsupported(`blockIO.${field}`, "this kernel has no weights of block devices (no blkio.weight, no bfq scheduler)");
    };
    if (blockIO.weight) writes.push({ file: weightFile("weight", "weight"), data: String(blockIO.weight) });
    if (blockIO.leafWeight) writes.push({ file: weightFile("leaf_weight", "leafWeight"), data: String(blockIO.leafWeight) });
    for (const device of blockIO.weightDevice ?? []) {
      if (device.weight) writes.push({ file: weightFile("weight_device", "weightDevice"), data: `${deviceKey(device)} ${device.weight}` });
      if (device.leafWeight) writes.push({ file: weightFile("leaf_weight_device", "weightDevice"), data: `${deviceKey(device)} ${device.leafWeight}` });
    }
    const throttle = (file: string, rules: OciThrottle[] = []): void => {
      for (const rule of rules) writes.push({ file: `blkio.throttle.${file}`, data: `${deviceKey(rule)} ${rule.rate}` });
    };
    throttle("read_bps_device", blockIO.throttleReadBpsDevice);
    throttle("write_bps_device", blockIO.throttleWriteBpsDevice);
    throttle("read_iops_device", blockIO.throttleReadIOPSDevice);
    throttle("write_iops_device", blockIO.throttleWriteIOPSDevice);
    return writes;
  },
};
