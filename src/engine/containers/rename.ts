import { endpointSettingsSchema } from "../../core/container-config.ts";
import type { ContainerRecord } from "../../core/container.ts";
import type { ContainersContext } from "./context.ts";
import { GantryError, codeOf, invalidParameter, messageOf } from "../../lib/errors.ts";
import { emit } from "./lifecycle/state.ts";
import { zero } from "../../lib/schema.ts";
import { dnsNames } from "../networks/sandbox-names.ts";
import { isUserDefined } from "./modes.ts";
import { checkName } from "./names.ts";

/** Gives a container another name. */
export async function renameContainer(context: ContainersContext, ref: string, newName: string): Promise<void> {
  const [from, to] = [ref.trim(), newName.trim()];
  if (from.replace(/^\//, "") === "" || to.replace(/^\//, "") === "") throw invalidParameter("Neither old nor new names may be empty");
  const { id } = context.store.find(from);
  await context.store.withContainer(id, async () => {
    const record = context.store.find(id);
    const previous = record.name;
    const slashed = to.startsWith("/") ? to : `/${to}`;
    if (slashed === `/${previous}`) throw invalidParameter("Renaming a container with the same name as its current name");
    try {
      const name = checkName(slashed);
      context.store.rename(record, name);
      if (nameEndpoints(record)) context.store.save(record);
    } catch (error) {
      throw new GantryError(codeOf(error), `Error when allocating new name: ${messageOf(error)}`, { cause: error });
    }
    await context.renamed(record);
    emit(context, record, "rename", { oldName: `/${previous}` });
  });
}

/** From a renaming while it runs on, a container shows its names in networks that tell nobody names, too. True when it has such. */
function nameEndpoints(record: ContainerRecord): boolean {
  const names = (record.network?.endpoints ?? []).map(({ networkName }) => networkName).filter((name) => !isUserDefined(name));
  if (names.length === 0) return false;
  const settings = (record.networkingConfig.EndpointsConfig ??= {});
  for (const name of names) {
    const endpoint = settings[name] ?? zero(endpointSettingsSchema);
    settings[name] = { ...endpoint, DNSNames: dnsNames(record, endpoint.Aliases) };
  }
  return true;
}
