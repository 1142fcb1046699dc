/** /images: list, inspect, history, tag, remove, prune, load, save, import, pull, push. */
import type { ImageRow } from "../../engine/images/list.ts";
import type { ImageService } from "../../engine/images/service.ts";
import { repositoryAndTag } from "../../engine/images/tag.ts";
import { withoutValues } from "../../lib/environment.ts";
import { codeOf, invalidParameter, messageOf, notFound } from "../../lib/errors.ts";
import { parseReference } from "../../lib/reference.ts";
import { parseFilters } from "../../lib/filters.ts";
import { bodyOf } from "../body.ts";
import { type ApiVersion, type Call, type Route, atLeast, boolQuery, sendEmpty, sendJson, sendJsonText } from "../route.ts";
import { createImage } from "./create.ts";
import { inspectAnswer, listAnswer } from "./compat.ts";
import { decodePlatform, platformQuery, platformsQuery } from "./platform-query.ts";
import { ProgressStream } from "./progress.ts";
import { pushImage } from "./push.ts";

export function imageRoutes(images: ImageService): Route[] {
  return [
    { method: "GET", path: "/images/json", handler: (call) => list(images, call) },
    { method: "GET", path: "/images/get", handler: (call) => save(images, call, call.query.getAll("names")) },
    { method: "GET", path: "/images/{name...}/get", handler: (call) => save(images, call, [nameOf(call)]) },
    { method: "GET", path: "/images/{name...}/history", handler: (call) => history(images, call) },
    { method: "GET", path: "/images/{name...}/json", handler: (call) => inspect(images, call) },
    { method: "GET", path: "/images/{name...}/attestations", since: [1, 55], handler: (call) => attestations(images, call) },
    { method: "POST", path: "/images/load", handler: (call) => load(images, call) },
    { method: "POST", path: "/images/create", handler: (call) => createImage(images, call) },
    { method: "POST", path: "/images/prune", since: [1, 25], handler: (call) => prune(images, call) },
    { method: "POST", path: "/images/{name...}/tag", handler: (call) => tag(images, call) },
    { method: "POST", path: "/images/{name...}/push", handler: (call) => pushImage(images, call) },
    { method: "DELETE", path: "/images/{name...}", handler: (call) => remove(images, call) },
  ];
}

const nameOf = (call: Call): string => call.params["name"] ?? "";

async function list(images: ImageService, call: Call): Promise<void> {
  const filters = parseFilters(call.query.get("filters"));
  const manifests = atLeast(call.version, 47) && boolQuery(call.query, "manifests");
  if (atLeast(call.version, 54) && boolQuery(call.query, "identity") && !manifests) throw invalidParameter("conflicting options: identity requires manifests=1");
  const rows = await images.list({ filters, sharedSize: atLeast(call.version, 42) && boolQuery(call.query, "shared-size"), manifests });
  sendJsonText(call, 200, printed(rows, call.version));
}

/** Lists as they were sent, by minor version, for as long as the same list is there. */
const texts = new WeakMap<readonly ImageRow[], Map<number, Buffer>>();

function printed(rows: readonly ImageRow[], version: ApiVersion): Buffer {
  const known = texts.get(rows) ?? new Map<number, Buffer>();
  texts.set(rows, known);
  const text = known.get(version[1]) ?? Buffer.from(`${JSON.stringify(rows.map((row) => listAnswer(row, version)))}\n`);
  known.set(version[1], text);
  return text;
}

async function inspect(images: ImageService, call: Call): Promise<void> {
  const manifests = atLeast(call.version, 48) && boolQuery(call.query, "manifests");
  const platform = platformQuery(call, 49);
  if (manifests && platform) throw invalidParameter("conflicting options: manifests and platform options cannot both be set");
  const image = await images.inspect(nameOf(call), { manifests, platform });
  if (call.confinement && image.Config.Env) image.Config = { ...image.Config, Env: withoutValues(image.Config.Env) };
  sendJson(call, 200, inspectAnswer(image, call.version, images.layers.driver));
}

async function history(images: ImageService, call: Call): Promise<void> {
  sendJson(call, 200, await images.history(nameOf(call), platformQuery(call, 48)));
}

/** Statements stay as they were written. */
function attestations(images: ImageService, call: Call): void {
  const texts = call.query.getAll("platform");
  if (texts.length > 1) throw invalidParameter("only one platform value is currently supported");
  const [text = ""] = texts;
  const types = call.query.getAll("type").map((type) => type.trim()).filter((type) => type !== "");
  const found = images.attestations(nameOf(call), { platform: text === "" ? undefined : decodePlatform(text), types, withStatement: boolQuery(call.query, "statement") });
  const rows = found.map(({ descriptor, predicateType, statement }) => `{"Descriptor":${JSON.stringify(descriptor)},"PredicateType":${JSON.stringify(predicateType)}${statement === undefined ? "" : `,"Statement":${statement}`}}`);
  sendJsonText(call, 200, `[${rows.join(",")}]\n`);
}

function tag(images: ImageService, call: Call): void {
  const reference = repositoryAndTag(call.query.get("repo") ?? "", call.query.get("tag") ?? "");
  /* As Docker: nothing asked for, nothing done. */
  if (!reference) return sendEmpty(call, 200);
  try {
    images.tag(nameOf(call), reference);
  } catch (error) {
    // As Docker: a name that cannot be is not there.
    throw codeOf(error) === "invalid-parameter" && !isReference(nameOf(call)) ? notFound(messageOf(error), error) : error;
  }
  sendEmpty(call, 201);
}

function isReference(name: string): boolean {
  try {
    parseReference(name);
    return true;
  } catch {
    return false;
  }
}

async function remove(images: ImageService, call: Call): Promise<void> {
  const name = nameOf(call);
  if (name.trim() === "") throw invalidParameter("image name cannot be blank");
  const platforms = atLeast(call.version, 50) ? call.query.getAll("platforms").map(decodePlatform) : [];
  sendJson(call, 200, await images.remove(name, { force: boolQuery(call.query, "force"), keepParents: boolQuery(call.query, "noprune"), platforms }));
}

/** `dry-run` and `state` are ours: what would go, and to remove that or nothing. */
async function prune(images: ImageService, call: Call): Promise<void> {
  const filters = parseFilters(call.query.get("filters"));
  if (boolQuery(call.query, "dry-run")) return sendJson(call, 200, await images.planPrune(filters));
  sendJson(call, 200, await images.prune({ filters, state: call.query.get("state") ?? undefined }));
}

/** Errors come in the stream, with status 200, as Docker has it. */
async function load(images: ImageService, call: Call): Promise<void> {
  const platforms = platformsQuery(call);
  const progress = new ProgressStream(call);
  try {
    await images.load(bodyOf(call), { ...(platforms.length === 0 ? {} : { platforms }), report: (text) => progress.write({ stream: text }) });
  } catch (error) {
    progress.fail(error);
  }
  progress.end();
}

async function save(images: ImageService, call: Call, names: string[]): Promise<void> {
  const archive = images.save(names, platformsQuery(call));
  const { res } = call;
  res.writeHead(200, { "content-type": "application/x-tar" });
  for await (const chunk of archive) {
    if (call.signal.aborted) return;
    if (!res.write(chunk)) await new Promise<void>((resolve) => void res.once("drain", resolve).once("close", resolve));
  }
  res.end();
}
