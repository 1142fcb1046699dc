/**
 * Removing a container. One without mounts: its record goes first, in one write; a layer and files without a record are what
 * the next start collects. Else "removing" is recorded first, because only the record knows what it holds elsewhere, then all
 * goes, the record last: a crash in between is finished by removeLeftovers at the next start.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { ContainerRecord } from "../../core/container.ts";
import { codeOf, conflict, GantryError, messageOf, notFound, systemError } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { parsePrefix } from "../../lib/ip.ts";
import type { IpPrefix } from "../../lib/ip.ts";
import type { ContainersContext } from "./context.ts";
import { parseLink } from "./links.ts";
import { emit } from "./lifecycle/state.ts";
import { releaseImages } from "./mounts/images.ts";
import { releaseVolumes } from "./mounts/volumes.ts";
import { countsAsRunning, timesOf } from "./view/state.ts";

export interface RemoveOptions {
  /** Kill it first when it runs. */
  force: boolean;
  /** Remove a link's name, not a container. */
  link: boolean;
  /** Its anonymous volumes go, too. */
  volumes: boolean;
}

const MOST_RETRIES = 5;

/** By a user's wish. Throws Docker's refusals. */
export async function removeContainer(context: ContainersContext, ref: string, { force, link, volumes }: RemoveOptions): Promise<void> {
  if (link) return removeLink(context, ref);
  const found = context.store.find(ref);
  if (found.state.status === "removing") throw conflict(`removal of container ${ref} is already in progress`);
  const prefixed = (error: unknown): GantryError => new GantryError(codeOf(error), `cannot remove container ${JSON.stringify(ref)}: ${messageOf(error)}`, { cause: error });
  // Its policy or another client may start it again in between.
  for (let tries = 0; ; tries++) {
    if (force && countsAsRunning(found)) await kill(context, found).catch((error: unknown) => Promise.reject(prefixed(error)));
    const over = await context.store.withContainer(found.id, async () => {
      const record = context.store.get(found.id);
      if (!record) return true;
      if (record.state.status === "removing") throw conflict(`removal of container ${ref} is already in progress`);
      if (force && countsAsRunning(record) && tries < MOST_RETRIES) return false;
      try {
        requireStopped(record);
        await discard(context, record, { volumes });
        return true;
      } catch (error) {
        throw prefixed(error);
      }
    });
    if (over) return;
  }
}

/** "PARENT/ALIAS": the parent does not know the other container by that name any more. */
async function removeLink({ store, relinked }: ContainersContext, ref: string): Promise<void> {
  const [parent = "", alias] = ref.replace(/^\//, "").split("/");
  if (alias === undefined) {
    store.find(ref);
    throw systemError("Conflict, cannot remove the default link name of the container");
  }
  const { id } = store.find(parent);
  await store.withContainer(id, async () => {
    const record = store.find(id);
    const links = record.hostConfig.Links ?? [];
    const text = links.find((one) => parseLink(one).alias === alias);
    if (text === undefined) throw notFound(`No such container: ${ref}`);
    record.hostConfig.Links = links.filter((one) => one !== text);
    store.save(record);
    await relinked(record, addressesOf([...store.list()], parseLink(text).container));
  });
}

/** Of a linked container on the default network. */
function addressesOf(records: readonly ContainerRecord[], ref: string): IpPrefix[] {
  const child = records.find(({ id, name }) => name === ref || id.startsWith(ref));
  const endpoint = child?.network?.endpoints.find(({ networkName }) => networkName === "bridge");
  return [`${endpoint?.ipAddress}/32`, `${endpoint?.ipv6Address}/128`].flatMap((text) => parsePrefix(text) ?? []);
}

async function kill(context: ContainersContext, record: ContainerRecord): Promise<void> {
  try {
    await context.tasks.kill(record);
  } catch (error) {
    if (countsAsRunning(record)) throw new GantryError(codeOf(error), `could not kill container: ${messageOf(error)}`, { cause: error });
  }
}

function requireStopped(record: ContainerRecord): void {
  if (record.state.status === "paused") throw conflict("container is paused and must be unpaused first");
  if (countsAsRunning(record)) throw conflict(`container is ${record.state.status}: stop the container before removing or force remove`);
}

/** Removes a container that does not run. The caller holds its lock. When it fails the container is "dead" and can be removed again. */
export async function discard(context: ContainersContext, record: ContainerRecord, { volumes }: Pick<RemoveOptions, "volumes">): Promise<void> {
  const last = timesOf(record);
  record.state = { status: "removing", ...last, volumes };
  if (record.mounts.length > 0 || !eraseRow(context, record)) {
    markRemoving(context, record);
    faultPoint("remove-marked");
  }
  try {
    await context.layers.remove(record.id);
    await releaseImages(context, record);
    faultPoint("remove-layer");
    await context.tasks.forget(record);
    await releaseVolumes(context, record, { anonymous: volumes });
    faultPoint("remove-volumes");
  } catch (error) {
    record.state = { status: "dead", ...last, error: messageOf(error) };
    context.store.save(record);
    throw error;
  }
  await forgetRow(context, record);
  emit(context, record, "destroy");
}

/** False when that could not be written down. */
function eraseRow(context: ContainersContext, record: ContainerRecord): boolean {
  try {
    context.store.erase(record);
  } catch {
    return false;
  }
  faultPoint("remove-erased");
  return true;
}

/** On a full disk the mark is done without: removing is what makes room. */
function markRemoving(context: ContainersContext, record: ContainerRecord): void {
  try {
    context.store.save(record);
  } catch (error) {
    context.warn(`container ${record.id} is removed although that could not be written down first: ${messageOf(error)}`);
  }
}

const ROOM_ATTEMPTS = 50;
const ROOM_MILLISECONDS = 100;

/** The layer's files go in the background: on a full disk the room for this write comes with them. */
async function forgetRow(context: ContainersContext, record: ContainerRecord): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return context.store.remove(record);
    } catch (error) {
      if (attempt === ROOM_ATTEMPTS || !/disk is full/.test(messageOf(error))) throw error;
      await delay(ROOM_MILLISECONDS);
    }
  }
}

/** For the daemon's start: finishes removals that a crash cut off. */
export async function removeLeftovers(context: ContainersContext): Promise<void> {
  for (const record of [...context.store.list()]) {
    const { state } = record;
    if (state.status !== "removing") continue;
    await context.store.withContainer(record.id, () => discard(context, record, { volumes: state.volumes ?? false })).catch((error: unknown) => context.warn(`removing what is left of container ${record.id}: ${messageOf(error)}`));
  }
}
