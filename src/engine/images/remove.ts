/** `docker rmi`: names first, then the image when its last name went. Docker's conflicts, in its words. */
import { type Digest, hexOf } from "../../lib/digest.ts";
import { conflict, notFound } from "../../lib/errors.ts";
import { type Reference, canonicalName, familiarName, parseAnyReference, parseReference, repositoryOf, truncatedId, withDefaultTag } from "../../lib/reference.ts";
import { faultPoint } from "../../lib/fault.ts";
import type { Descriptor } from "../../lib/oci-image.ts";
import type { Platform } from "../../lib/platform.ts";
import { collect, roomIsBack } from "./collect.ts";
import type { ImageContext } from "./context.ts";
import { emitImage, emitUntag } from "./events.ts";
import { missing } from "./find.ts";
import { hasChildren, parentsOf } from "./parents.ts";
import { removePlatforms } from "./remove-platforms.ts";
import { type ImageName, isDangling } from "./store.ts";
import { keepDangling } from "./tag.ts";

export type RemovalRecord = { Untagged: string } | { Deleted: string };

interface Conflicts {
  activeReference: boolean;
  stoppedContainer: boolean;
  keepParents: boolean;
}

export interface RemoveOptions {
  force?: boolean;
  /** Images without a name that this one was committed from stay. */
  keepParents?: boolean;
  /** Only these of an image. */
  platforms?: readonly Platform[];
}

/** Ends when what went takes no room any more. Throws not-found, or conflict when containers or further names hold the image and `force` is false. */
export async function removeImage(context: ImageContext, text: string, { force = false, keepParents = false, platforms = [] }: RemoveOptions): Promise<RemovalRecord[]> {
  const removed = platforms.length > 0 ? removePlatforms(context, text, { platforms, force }) : [];
  const whole = platforms.length === 0 ? text : removed.find((digest) => context.store.namesOf(digest).length > 0);
  const records = whole === undefined ? removed.map((digest) => ({ Deleted: digest })) : removeNames(context, whole, { force, keepParents });
  faultPoint("image-remove-unnamed");
  const { blobs, snapshots } = await collect(context);
  if (blobs.size + snapshots.size > 0) await roomIsBack(context);
  return records;
}

function removeNames(context: ImageContext, text: string, { force, keepParents }: { force: boolean; keepParents: boolean }): RemovalRecord[] {
  const { named, all } = findAll(context, text);
  const [first] = all;
  if (!first) throw missing(parseReference(text));
  const id = first.target.digest;
  const conflicts: Conflicts = { activeReference: !force, stoppedContainer: !force, keepParents };
  const byId = isIdPrefix(id, text);
  if (!named) {
    const reference = byId ? undefined : parseReference(text);
    const same = sameReferences(reference, all);
    if (same.length === 0 && reference) throw missing(reference);
    if (same.length === all.length) conflicts.activeReference = false;
    return reference && same.length > 0 && same.length !== all.length ? untag(context, same) : deleteAll(context, all, conflicts);
  }
  if (byId) return deleteAll(context, all, conflicts);
  const reference = parseReference(named.name);
  const same = sameReferences(reference, all);
  if (same.length !== all.length) return untag(context, same);
  if (all.length > 1) conflicts.activeReference = false;
  const [user] = context.containersUsing(id);
  if (!user) return deleteAll(context, all, conflicts);
  if (!force) throw conflict(`conflict: unable to delete ${familiarName(reference)} (must be forced) - container ${user.containerId.slice(0, 12)} is using its referenced image ${hexOf(id).slice(0, 12)}`);
  keepDangling(context.store, named);
  return untag(context, [named]);
}

/** The image of that very name, and all names of the same image. */
function findAll({ store }: ImageContext, text: string): { named: ImageName | undefined; all: ImageName[] } {
  const any = parseAnyReference(text);
  if (any.kind === "id") {
    const all = store.namesOf(any.digest);
    if (all.length === 0) throw notFound(`No such image: ${any.digest}`);
    return { named: undefined, all };
  }
  const { reference } = any;
  const named = store.get(canonicalName(withDefaultTag(reference)));
  const digits = truncatedId(text);
  if (digits !== undefined) {
    const targets = new Set([...store.targets()].filter((digest) => digest.startsWith(`sha256:${digits}`)));
    if (named) targets.add(named.target.digest);
    if (targets.size > 1) throw notFound("ambiguous reference");
    return { named, all: [...targets].flatMap((digest) => store.namesOf(digest)) };
  }
  const digest = named?.target.digest ?? reference.digest;
  const all = digest === undefined ? [] : store.namesOf(digest);
  if (all.length === 0) throw missing(reference);
  return { named, all };
}

const isIdPrefix = (id: Digest, text: string): boolean => id.startsWith(text) || hexOf(id).startsWith(text);

/** Names that go together: the same repository and tag, its digest names when no other tag is left, and the dangling one. */
function sameReferences(wanted: Reference | undefined, all: readonly ImageName[]): ImageName[] {
  let named = wanted;
  let tag = wanted?.tag;
  const allTags = wanted !== undefined && wanted.tag === undefined && wanted.digest !== undefined;
  const same: ImageName[] = [];
  let byDigest: ImageName[] | undefined = [];
  for (const image of all) {
    const reference = isDangling(image) ? undefined : parseReference(image.name);
    if (reference && !named) {
      named = reference;
      tag = reference.tag;
    } else if (reference && named) {
      if (repositoryOf(reference) !== repositoryOf(named)) continue;
      if (!allTags && reference.tag === undefined) {
        byDigest?.push(image);
        continue;
      }
      if (!allTags) {
        tag ??= reference.tag;
        if (tag !== reference.tag) {
          byDigest = undefined;
          continue;
        }
      }
    }
    same.push(image);
  }
  return [...same, ...(byDigest ?? [])];
}

function untag(context: ImageContext, images: readonly ImageName[]): RemovalRecord[] {
  return images.flatMap((image) => {
    context.store.delete(image.name);
    if (isDangling(image)) return [];
    const name = familiarName(parseReference(image.name));
    emitUntag(context, image, name);
    return [{ Untagged: name }];
  });
}

function deleteAll(context: ImageContext, all: readonly ImageName[], conflicts: Conflicts): RemovalRecord[] {
  const [first] = all;
  if (!first) return [];
  refuseConflicts(context, all, conflicts);
  const parents = conflicts.keepParents ? [] : parentsOf(context, first.target);
  /* An image that others were committed from stays without a name, unless it is forced. */
  if (all.length === 1 && conflicts.activeReference && !isDangling(first) && hasChildren(context, first.target.digest)) keepDangling(context.store, first);
  const records = untag(context, all);
  emitImage(context, "delete", first, first.target.digest);
  return [...records, { Deleted: first.target.digest }, ...removeParents(context, parents)];
}

/** Nearest first, as long as they have no name and nobody uses them. */
function removeParents(context: ImageContext, parents: readonly Descriptor[]): RemovalRecord[] {
  const records: RemovalRecord[] = [];
  for (const { digest } of parents) {
    const [only, ...others] = context.store.namesOf(digest);
    if (!only || others.length > 0 || !isDangling(only) || context.containersUsing(digest).length > 0) break;
    untag(context, [only]);
    emitImage(context, "delete", only, digest);
    records.push({ Deleted: digest });
  }
  return records;
}

function refuseConflicts(context: ImageContext, all: readonly ImageName[], conflicts: Conflicts): void {
  const id = all[0]?.target.digest;
  if (id === undefined) return;
  const refuse = (forcing: "cannot" | "must", why: string): Error => conflict(`conflict: unable to delete ${hexOf(id).slice(0, 12)} (${forcing} be forced) - ${why}`);
  const users = context.containersUsing(id);
  const running = users.find((user) => user.running);
  if (running) throw refuse("cannot", `image is being used by running container ${running.containerId.slice(0, 12)}`);
  const [stopped] = users;
  if (stopped && conflicts.stoppedContainer) throw refuse("must", `image is being used by stopped container ${stopped.containerId.slice(0, 12)}`);
  if (all.length > 1 && conflicts.activeReference) throw refuse("must", "image is referenced in multiple repositories");
}
