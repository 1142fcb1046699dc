/** POST /images/{name}/push. Errors come in the stream, with status 200, once it has begun. */
import type { ImageService } from "../../engine/images/service.ts";
import { isDigest } from "../../lib/digest.ts";
import { invalidParameter } from "../../lib/errors.ts";
import { isTag, parseReference, type Reference } from "../../lib/reference.ts";
import type { Call } from "../route.ts";
import { registryAccess } from "../wire/registry-auth.ts";
import { platformQuery } from "./platform-query.ts";
import { ProgressStream } from "./progress.ts";

export async function pushImage(images: ImageService, call: Call): Promise<void> {
  const reference = pushReference(call.params["name"] ?? "", call.query.get("tag") ?? "");
  const platform = platformQuery(call, 46);
  const progress = new ProgressStream(call);
  try {
    await images.push({ reference, platform, access: registryAccess(call), signal: call.signal, report: (message) => progress.write(message) });
  } catch (error) {
    if (!progress.started) throw error;
    progress.fail(error);
  }
  progress.end();
}

/** Without a tag: all of the repository, unless the name has its own. */
function pushReference(name: string, tag: string): Reference {
  const reference = parseReference(name);
  if (tag === "") return reference;
  if (isDigest(tag)) return { domain: reference.domain, path: reference.path, digest: tag };
  if (!isTag(tag)) throw invalidParameter("invalid tag format");
  return { domain: reference.domain, path: reference.path, tag };
}
