import { messageOf } from "../../../lib/errors.ts";
import { path } from "../../api/client.ts";
import { restartPolicy } from "../../create/body.ts";
import { requireGantry } from "../../api/require-gantry.ts";
import { checkLabel, CREATE_CHECKS } from "../../create/checks.ts";
import { parseDevice } from "../../create/devices.ts";
import { keyValues, withOwnValue } from "../../create/key-values.ts";
import { parseMount } from "../../create/mounts.ts";
import { nanoCpus } from "../../create/numbers.ts";
import { parsePorts } from "../../create/ports.ts";
import { parseRamSize } from "../../../lib/units.ts";
import type { FlagCheck } from "../../flag-types.ts";
import type { Session } from "../../session.ts";

export const checks: Record<string, FlagCheck> = { cpus: CREATE_CHECKS["cpus"] as FlagCheck, "memory-swap": CREATE_CHECKS["memory-swap"] as FlagCheck, "label-add": checkLabel, "env-add": CREATE_CHECKS["env"] as FlagCheck, "mount-add": CREATE_CHECKS["mount"] as FlagCheck, "device-add": parseDevice };

export async function run(session: Session): Promise<void> {
  const { flags, args } = session;
  if (flags.said().length === 0) throw new Error("you must provide one or more flags when using this command");
  const bytes = (name: string): number => (flags.string(name) === "-1" ? -1 : parseRamSize(flags.string(name)));
  const body = {
    BlkioWeight: flags.int("blkio-weight"),
    CpusetCpus: flags.string("cpuset-cpus"),
    CpusetMems: flags.string("cpuset-mems"),
    CpuShares: flags.int("cpu-shares"),
    Memory: bytes("memory"),
    MemoryReservation: bytes("memory-reservation"),
    MemorySwap: bytes("memory-swap"),
    CpuPeriod: flags.int("cpu-period"),
    CpuQuota: flags.int("cpu-quota"),
    CpuRealtimePeriod: flags.int("cpu-rt-period"),
    CpuRealtimeRuntime: flags.int("cpu-rt-runtime"),
    NanoCpus: flags.changed("cpus") ? nanoCpus(flags.string("cpus")) : 0,
    PidsLimit: flags.int("pids-limit") === 0 ? null : flags.int("pids-limit"),
    RestartPolicy: restartPolicy(flags.string("restart")),
    ...bindings("PublishAdd", flags.list("publish-add")),
    ...bindings("PublishRemove", flags.list("publish-rm")),
    ...given("LabelAdd", keyValues(flags.list("label-add")), flags.changed("label-add")),
    ...given("LabelRemove", flags.list("label-rm"), flags.changed("label-rm")),
    ...given("EnvAdd", flags.list("env-add").map(withOwnValue), flags.changed("env-add")),
    ...given("LogOptAdd", keyValues(flags.list("log-opt-add")), flags.changed("log-opt-add")),
    ...given("LogOptRemove", flags.list("log-opt-rm"), flags.changed("log-opt-rm")),
    ...given("DeviceAdd", flags.list("device-add").map(parseDevice), flags.changed("device-add")),
    ...given("DeviceRemove", flags.list("device-rm"), flags.changed("device-rm")),
    ...given("MountAdd", flags.list("mount-add").map(parseMount), flags.changed("mount-add")),
    ...given("MountRemove", flags.list("mount-rm"), flags.changed("mount-rm")),
    ...given("EnvRemove", flags.list("env-rm"), flags.changed("env-rm")),
  };
  const own = OWN_FLAGS.find((flag) => flags.changed(flag));
  if (own !== undefined) await requireGantry(session, `--${own}`);
  const warnings: string[] = [];
  const errors: string[] = [];
  for (const name of args) {
    try {
      const answer = await session.client.json<{ Warnings?: string[] | null }>("POST", path`/containers/${name}/update`, { json: body });
      session.out.line(name);
      warnings.push(...(answer.Warnings ?? []));
    } catch (thrown) {
      errors.push(messageOf(thrown));
    }
  }
  if (warnings.length > 0) session.out.line(warnings.join("\n"));
  if (errors.length > 0) throw new Error(errors.join("\n"));
}

const OWN_FLAGS = ["device-add", "device-rm", "env-add", "env-rm", "label-add", "label-rm", "log-opt-add", "log-opt-rm", "mount-add", "mount-rm", "publish-add", "publish-rm"];
const given = (field: string, value: unknown, present: boolean): object => (present ? { [field]: value } : {});

/** As --publish has them. Engines that do not know the field must not be sent it. */
const bindings = (field: string, publish: string[]): object => (publish.length > 0 ? { [field]: parsePorts(publish, []).bindings } : {});
