/**
 * Image references: "[registry/]repository[:tag][@digest]", the grammar and error texts of github.com/distribution/reference.
 * Familiar names are what users type ("busybox"), canonical ones what is stored ("docker.io/library/busybox:latest").
 */
import { type Digest, isDigest } from "./digest.ts";
import { invalidParameter } from "./errors.ts";

export interface Reference {
  /** "docker.io", "localhost:5000", ... */
  domain: string;
  /** "library/busybox" */
  path: string;
  tag?: string;
  digest?: Digest;
}

const domainComponent = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const host = `(?:${domainComponent}(?:\\.${domainComponent})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const pathComponent = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const repositoryPath = `${pathComponent}(?:/${pathComponent})*`;
const tagPattern = "\\w[\\w.-]{0,127}";
const digestPattern = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
const whole = new RegExp(`^((?:${host}/)?${repositoryPath})(?::(${tagPattern}))?(?:@(${digestPattern}))?$`);
const anchoredTag = new RegExp(`^${tagPattern}$`);
const identifier = /^[a-f0-9]{64}$/;
const digestLengths: Record<string, number> = { sha256: 64, sha384: 96, sha512: 128 };

const defaultDomain = "docker.io";

export const isTag = (text: string): boolean => anchoredTag.test(text);

/** A familiar or canonical name as a Reference. Throws "invalid reference format..." */
export function parseReference(text: string): Reference {
  if (identifier.test(text)) throw invalidParameter(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  const { domain, remainder } = splitDomain(text);
  const colon = remainder.indexOf(":");
  const remote = colon < 0 ? remainder : remainder.slice(0, colon);
  if (remote.toLowerCase() !== remote) throw invalidParameter(`invalid reference format: repository name (${remote}) must be lowercase`);
  const canonical = `${domain}/${remainder}`;
  const match = canonical.length > 4096 ? null : whole.exec(canonical);
  if (!match) {
    if (text === "" || canonical.length > 4096 || !whole.test(canonical.toLowerCase())) throw invalidParameter("invalid reference format");
    throw invalidParameter("invalid reference format: repository name must be lowercase");
  }
  const name = match[1] ?? "";
  if (name.length > 255) throw invalidParameter("repository name must not be more than 255 characters");
  const reference: Reference = { domain: name.slice(0, name.indexOf("/")), path: name.slice(name.indexOf("/") + 1) };
  if (match[2] !== undefined) reference.tag = match[2];
  if (match[3] !== undefined) reference.digest = checkDigest(match[3]);
  return reference;
}

function splitDomain(text: string): { domain: string; remainder: string } {
  const slash = text.indexOf("/");
  const first = slash < 0 ? "" : text.slice(0, slash);
  const isDomain = slash >= 0 && (/[.:]/.test(first) || first === "localhost" || first.toLowerCase() !== first);
  let domain = isDomain ? first : defaultDomain;
  const remainder = isDomain ? text.slice(slash + 1) : text;
  if (domain === "index.docker.io") domain = defaultDomain;
  return { domain, remainder: domain === defaultDomain && !remainder.includes("/") ? `library/${remainder}` : remainder };
}

function checkDigest(text: string): Digest {
  const [algorithm = "", hex = ""] = text.split(":");
  const length = digestLengths[algorithm];
  if (length === undefined) throw invalidParameter("unsupported digest algorithm");
  if (hex.length !== length) throw invalidParameter("invalid checksum digest length");
  if (isDigest(text)) return text;
  throw invalidParameter(hex.toLowerCase() === hex ? "unsupported digest algorithm" : "invalid checksum digest format");
}

/** "docker.io/library/busybox" */
export const repositoryOf = (reference: Reference): string => `${reference.domain}/${reference.path}`;

/** Every part, canonical. */
export function canonicalName(reference: Reference): string {
  return repositoryOf(reference) + suffix(reference);
}

/** As users know it: without the default registry and "library/". */
export function familiarName(reference: Reference): string {
  return familiarRepository(reference) + suffix(reference);
}

export function familiarRepository(reference: Reference): string {
  if (reference.domain !== defaultDomain) return repositoryOf(reference);
  const { path } = reference;
  /* "library/" goes, unless what remains would read as a registry or as two components. */
  return path.startsWith("library/") && !path.slice(8).includes("/") ? path.slice(8) : path;
}

function suffix(reference: Reference): string {
  return (reference.tag === undefined ? "" : `:${reference.tag}`) + (reference.digest === undefined ? "" : `@${reference.digest}`);
}

/** The same, with ":latest" when it has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: "latest" } : reference;
}

/** What a user gave to name an image: an id, or a name. */
export type AnyReference = { kind: "id"; digest: Digest } | { kind: "name"; reference: Reference };

/** A digest, 64 hexadecimal digits, or a name. */
export function parseAnyReference(text: string): AnyReference {
  if (identifier.test(text)) return { kind: "id", digest: `sha256:${text}` };
  if (isDigest(text)) return { kind: "id", digest: text };
  return { kind: "name", reference: parseReference(text) };
}

/** The digits of what may be a full or shortened id (4 to 64 digits, "sha256:" allowed before), or undefined. */
export function truncatedId(text: string): string | undefined {
  return /^(?:sha256:)?([a-f0-9]{4,64})$/.exec(text)?.[1];
}
