import type { ContainersContext } from "./context.ts";
import { GantryError, codeOf, invalidParameter, messageOf } from "../../lib/errors.ts";
import { emit } from "./lifecycle/state.ts";
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
    } catch (error) {
      throw new GantryError(codeOf(error), `Error when allocating new name: ${messageOf(error)}`, { cause: error });
    }
    await context.renamed(record);
    emit(context, record, "rename", { oldName: `/${previous}` });
  });
}
