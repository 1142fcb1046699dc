/** GET /distribution/{name}/json: what a registry has under a name, without pulling it. */
import type { Registries, RemoteManifest, Repository } from "../../core/registry.ts";
import { codeOf, invalidParameter, messageOf, notFound, systemError } from "../../lib/errors.ts";
import { mediaTypes, mostConfigBytes, readImageDocument, readManifest } from "../../lib/oci-image.ts";
import type { Platform } from "../../lib/platform.ts";
import { familiarName, parseAnyReference, withDefaultTag } from "../../lib/reference.ts";
import { type Call, sendJson } from "../route.ts";
import { registryAccess } from "../wire/registry-auth.ts";

const schema1 = "application/vnd.docker.distribution.manifest.v1";

export async function inspectRemote(registries: Registries, call: Call): Promise<void> {
  const named = parseAnyReference(call.params["name"] ?? "");
  if (named.kind === "id") throw systemError("no manifest found for full image ID");
  const reference = withDefaultTag(named.reference);
  const { signal } = call;
  const repository = registries.repository(reference, registryAccess(call));
  const { mediaType, digest, bytes } = await manifestOf(repository, reference.digest ?? reference.tag ?? "", signal);
  if (mediaType.startsWith(schema1)) throw invalidParameter(deprecated(familiarName(reference)));
  const platforms = await platformsOf(repository, { mediaType, bytes }, signal);
  sendJson(call, 200, { Descriptor: { mediaType, digest, size: bytes.length }, Platforms: platforms.length === 0 ? null : platforms });
}

async function manifestOf(repository: Repository, reference: string, signal: AbortSignal): Promise<RemoteManifest> {
  try {
    return await repository.manifest(reference, { signal });
  } catch (error) {
    if (codeOf(error) === "not-found" && !messageOf(error).includes("access denied")) throw notFound("manifest unknown: manifest unknown", error);
    throw error;
  }
}

/** Of an index all; of Docker's manifests the configuration tells. */
async function platformsOf(repository: Repository, { mediaType, bytes }: Pick<RemoteManifest, "mediaType" | "bytes">, signal: AbortSignal): Promise<Platform[]> {
  const manifest = readManifest(bytes);
  if (manifest.kind === "index") return manifest.manifests.map(({ platform }) => platform ?? { os: "", architecture: "" });
  if (mediaType !== mediaTypes.dockerManifest || manifest.config.size > mostConfigBytes) return [];
  const chunks: Uint8Array[] = [];
  for await (const chunk of repository.openBlob(manifest.config, { signal })) chunks.push(Uint8Array.from(chunk));
  const { os, architecture, variant } = readImageDocument(Buffer.concat(chunks));
  return os === "" && architecture === "" ? [] : [{ architecture, os, ...(variant === undefined ? {} : { variant }) }];
}

const deprecated = (name: string): string =>
  `Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed. Suggest the author of ${name} to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2. More information at https://docs.docker.com/go/deprecated-image-specs/`;
