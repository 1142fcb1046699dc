import type { OciThrottle } from "../../../lib/oci-spec.ts";
import type { CgroupWrite, Controller } from "../controller.ts";
import { deviceKey, unsupported } from "../controller.ts";

/** Documentation/admin-guide/cgroup-v2.rst, "IO Interface Files". */
export const io: Controller = {
  name: "io",
  field: "blockIO",
  writes({ blockIO = {} }, { files }) {
    if (blockIO.leafWeight) unsupported("blockIO.leafWeight", "cgroup v2 has no leaf weights");
    const writes: CgroupWrite[] = [];
    const bfq = files.has("io.bfq.weight");
    const weight = (value: number, device = ""): CgroupWrite =>
      bfq ? { file: "io.bfq.weight", data: device + value } : { file: "io.weight", data: (device || "default ") + weightOf(value) };
    if (blockIO.weight) writes.push(weight(blockIO.weight));
    for (const device of blockIO.weightDevice ?? []) {
      if (device.leafWeight) unsupported("blockIO.weightDevice", "cgroup v2 has no leaf weights");
      if (device.weight) writes.push(weight(device.weight, `${deviceKey(device)} `));
    }
    const throttle = (key: string, rules: OciThrottle[] = []): void => {
      for (const rule of rules) writes.push({ file: "io.max", data: `${deviceKey(rule)} ${key}=${rule.rate || "max"}` });
    };
    throttle("rbps", blockIO.throttleReadBpsDevice);
    throttle("wbps", blockIO.throttleWriteBpsDevice);
    throttle("riops", blockIO.throttleReadIOPSDevice);
    throttle("wiops", blockIO.throttleWriteIOPSDevice);
    return writes;
  },
};

/** blkio.weight (10 to 1000) on the scale of io.weight (1 to 10000), linearly, as runc and crun convert it. */
export const weightOf = (weight: number): number => 1 + Math.floor(((weight - 10) * 9999) / 990);
