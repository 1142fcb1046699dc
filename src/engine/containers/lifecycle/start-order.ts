/** The order in which containers are started together: after those whose namespaces they join and those that they are linked to. Pure. */
import type { ContainerRecord } from "../../../core/container.ts";
import { parseLink } from "../links.ts";
import { containerOf } from "../modes.ts";

type Dependent = Pick<ContainerRecord, "id" | "hostConfig">;

/** Otherwise as given. Of those in a circle the first one comes first. */
export function inStartOrder<Record extends Dependent>(records: readonly Record[], find: (ref: string) => Dependent | undefined): Record[] {
  const byId = new Map(records.map((record) => [record.id, record]));
  const seen = new Set<string>();
  const order: Record[] = [];
  const visit = (record: Record): void => {
    if (seen.has(record.id)) return;
    seen.add(record.id);
    for (const ref of needs(record)) {
      const other = byId.get(find(ref)?.id ?? "");
      if (other) visit(other);
    }
    order.push(record);
  };
  for (const record of records) visit(record);
  return order;
}

function needs({ hostConfig }: Dependent): string[] {
  const joined = [hostConfig.NetworkMode, hostConfig.IpcMode, hostConfig.PidMode].flatMap((mode) => containerOf(mode) ?? []);
  return [...joined, ...(hostConfig.Links ?? []).map((link) => parseLink(link).container)];
}
