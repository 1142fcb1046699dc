/**
 * Registries (OCI distribution-spec 1.1; Docker's token and OAuth2 authentication), as the engine uses them.
 *
 *   const repository = registries.repository(reference, { credentials });      // nothing is sent yet
 *   const target = await repository.resolve("1.36", { signal });               // HEAD: type, digest, size
 *   const { bytes } = await repository.manifest(target.digest, { signal });    // verified against the digest
 *   for await (const chunk of repository.openBlob(layer, { offset, signal })) await receiver.push(chunk);
 *
 * Which endpoint serves a request (mirrors, hosts.toml, insecure registries, proxies), authentication, redirects, repetitions with
 * back-off and Retry-After, and resumption of broken downloads by range all happen inside. Credentials go to the registry
 * that they name and to the token server that this registry names, to nobody else: not to mirrors, redirect targets or layer URLs.
 *
 * Errors have Docker's words: "not-found", "unauthorized", "forbidden", "unavailable", "cancelled" (by the signal), "data-loss" (bytes that
 * are not those of their digest), "invalid-parameter" and else "system". They are final: trying again has been done.
 */
import type { AnswerBody } from "../lib/connection-body.ts";
import type { Digest } from "../lib/digest.ts";
import type { Descriptor } from "../lib/oci-image.ts";
import type { Reference } from "../lib/reference.ts";

export interface Registries {
  /** `domain` and `path` are what counts of the reference; the rest is for messages. */
  repository(reference: Reference, access?: RegistryAccess): Repository;
  /** Checks credentials. The identity token is "" when the registry gives none. */
  login(credentials: RegistryCredentials, options?: Cancel): Promise<{ identityToken: string }>;
  search(query: SearchQuery, options?: Cancel): Promise<SearchResult[]>;
  settings(): RegistrySettings;
}

/** What clients send in X-Registry-Auth. */
export interface RegistryCredentials {
  username?: string;
  password?: string;
  /** The registry that they are for; when absent, that of the reference. */
  serverAddress?: string;
  /** An OAuth2 refresh token. */
  identityToken?: string;
  /** A bearer token, used as it is. */
  registryToken?: string;
}

export interface RegistryAccess {
  credentials?: RegistryCredentials | undefined;
  /** Further request headers (clients' X-Meta-*). */
  headers?: Readonly<Record<string, string>>;
}

export interface Cancel {
  signal?: AbortSignal | undefined;
}

/** Methods may run at once. */
export interface Repository {
  /** What a tag or digest points to, without fetching it. */
  resolve(reference: string, options?: Cancel): Promise<Descriptor>;
  /** The bytes of a manifest or index, at most 4 MiB. Ask by digest after resolve(), so that a tag that moves meanwhile does no harm. */
  manifest(reference: string, options?: Cancel): Promise<RemoteManifest>;
  /**
   * The bytes from `offset` on to exactly the blob's end; nothing is asked for before the first chunk is. A broken connection is resumed by
   * range (a registry without ranges sends again what is then skipped), up to the number of attempts that the daemon is configured for
   * without any progress. Chunks are at most 256 KiB, and valid until the next one is asked for. Leaving the loop ends the transfer.
   * Digests are not verified here, the size is ("data-loss").
   */
  openBlob(blob: BlobSource, options?: DownloadOptions): AsyncIterable<Uint8Array>;
  tags(options?: Cancel): Promise<string[]>;

  hasManifest(reference: string, digest: Digest, options?: Cancel): Promise<boolean>;
  hasBlob(digest: Digest, options?: Cancel): Promise<boolean>;
  /** Uploads a blob unless it is there; tells how it got there. */
  pushBlob(blob: BlobUpload, options?: UploadOptions): Promise<PushedBlob>;
  putManifest(reference: string, manifest: RemoteManifest, options?: Cancel): Promise<void>;
}

export interface RemoteManifest {
  mediaType: string;
  digest: Digest;
  bytes: Uint8Array;
}

export interface BlobSource extends Pick<Descriptor, "digest" | "size"> {
  /** Other places to look first (descriptor.md, "urls"); asked without credentials. */
  urls?: readonly string[];
}

/** Where a blob goes. */
export interface BlobSink {
  /** Bytes that it has. */
  readonly offset: number;
  /** Takes the rest of an answer off its connection. Gives what broke the connection before its end. */
  receive(body: AnswerBody): Promise<Error | undefined>;
}

export interface DownloadOptions extends Cancel {
  offset?: number;
  /** Takes what can be read off a connection, beginning at the offset; only the rest comes as chunks. */
  into?: BlobSink;
  /** Told when a transfer broke, with the pause before the next attempt. */
  retrying?: (seconds: number) => void;
}

export interface BlobUpload extends Pick<Descriptor, "digest" | "size"> {
  /** The blob's bytes from an offset on; called again when an upload has to be resumed or repeated. */
  open: (offset: number) => AsyncIterable<Uint8Array>;
  /** Repositories of the same registry ("library/busybox") that may have it. */
  mountFrom?: readonly string[];
}

export interface UploadOptions extends Cancel {
  /** Bytes that the registry has. */
  progress?: (sent: number) => void;
  retrying?: (seconds: number) => void;
}

export type PushedBlob = { how: "exists" } | { how: "mounted"; from: string } | { how: "uploaded" };

export interface SearchQuery {
  /** May begin with a registry. */
  term: string;
  limit: number;
  credentials?: RegistryCredentials | undefined;
  headers?: Readonly<Record<string, string>>;
}

export interface SearchResult {
  name: string;
  description: string;
  starCount: number;
  isOfficial: boolean;
}

/** As GET /info shows them. */
export interface RegistrySettings {
  mirrors: readonly string[];
  /** Names of registries that need no TLS. */
  insecureNames: readonly string[];
  insecureNetworks: readonly string[];
}
