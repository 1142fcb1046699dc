/** POST /images/create: a pull (fromImage) or an import (fromSrc). */
import type { ImageService } from "../../engine/images/service.ts";
import { repositoryAndTag } from "../../engine/images/tag.ts";
import { isDigest } from "../../lib/digest.ts";
import { GantryError, invalidParameter } from "../../lib/errors.ts";
import { type Platform, parsePlatform } from "../../lib/platform.ts";
import { type Reference, familiarRepository, isTag, parseReference } from "../../lib/reference.ts";
import { bodyOf } from "../body.ts";
import { atLeast, type Call } from "../route.ts";
import { registryAccess } from "../wire/registry-auth.ts";
import { ProgressStream } from "./progress.ts";
import { remoteBody } from "./remote.ts";

export async function createImage(images: ImageService, call: Call): Promise<void> {
  const { query } = call;
  const platformText = atLeast(call.version, 32) ? (query.get("platform") ?? "") : "";
  const platform = platformText === "" ? undefined : parsePlatform(platformText);
  const progress = new ProgressStream(call);
  try {
    const from = query.get("fromImage") ?? "";
    if (from === "") await importImage(images, call, platform, progress);
    else await images.pull({ reference: pullReference(from, query.get("tag") ?? ""), platform, access: registryAccess(call), signal: call.signal, report: (message) => progress.write(message) });
  } catch (error) {
    if (!progress.started) throw error;
    progress.fail(error);
  }
  progress.end();
}

function pullReference(from: string, tag: string): Reference {
  /* Old clients ask for all tags with a colon at the end. */
  const reference = parseReference(from.replace(/:$/, ""));
  if (familiarRepository(reference) === "scratch") throw new GantryError("forbidden", "'scratch' is a reserved name");
  if (tag === "") return reference;
  const { domain, path } = reference;
  if (isDigest(tag)) return { domain, path, digest: tag };
  if (!isTag(tag)) throw invalidParameter("invalid tag format");
  return { ...reference, tag };
}

async function importImage(images: ImageService, call: Call, platform: Platform | undefined, progress: ProgressStream): Promise<void> {
  const { query } = call;
  const source = query.get("fromSrc") ?? "";
  const reference = repositoryAndTag(query.get("repo") ?? "", query.get("tag") ?? "");
  const body = source === "-" ? bodyOf(call) : await remoteBody(source, call.signal, (url) => progress.write({ status: `Downloading from ${url}` }));
  const message = query.get("message") ?? "";
  const id = await images.import(body, { reference, platform, message: message === "" ? `Imported from ${source}` : message, changes: query.getAll("changes") });
  progress.write({ status: id });
}
