import { messageOf } from "../../../lib/errors.ts";
import { parsePlatform, type Platform } from "../../../lib/platform.ts";
import { canonicalName, parseReference, repositoryOf, withDefaultTag } from "../../../lib/reference.ts";
import { path } from "../../api/client.ts";
import { printNote } from "../../note.ts";
import { showProgress } from "../../progress.ts";
import { authKey, credentialsFor, encodeAuth } from "../../registry/auth.ts";
import type { Session } from "../../session.ts";

export async function run(session: Session): Promise<void> {
  const { flags, args } = session;
  const platform = flags.string("platform");
  const query = { platform: platform === "" ? undefined : JSON.stringify(platformOf(platform)) };
  const reference = parseReference(args[0] as string);
  const all = flags.bool("all-tags");
  const bare = reference.tag === undefined && reference.digest === undefined;
  if (all && !bare) throw new Error("tag can't be used with --all-tags/-a");
  const quiet = flags.bool("quiet");
  if (!all && bare && !quiet) session.out.line("Using default tag: latest");
  if (platform !== "") {
    const note = "Using --platform pushes only the specified platform manifest of a multi-platform image index.\nOther components, like attestations, will not be included.\nTo push the complete multi-platform image, remove the --platform flag.\n";
    printNote(session.out, "Info", note);
  }
  const target = all ? reference : withDefaultTag(reference);
  const response = await session.client.stream("POST", path`/images/${repositoryOf(reference)}/push`, {
    query: { ...query, tag: target.tag ?? target.digest },
    headers: { "X-Registry-Auth": encodeAuth(credentialsFor(session.config.data, authKey(reference))) },
  });
  const notes: string[] = [];
  try {
    const silent = { write: () => undefined, isTerminal: false, size: { height: 0, width: 0 } };
    await showProgress(response.body, quiet ? silent : session.out, (aux) => notes.push(...notesOf(aux as PushAux)));
    if (quiet) session.out.line(canonicalName(target));
  } finally {
    for (const note of notes) printNote(session.out, "Info", note);
  }
}

function platformOf(text: string): Platform {
  try {
    return parsePlatform(text);
  } catch (thrown) {
    throw new Error(`Invalid platform ${text}${messageOf(thrown)}`);
  }
}

interface PushAux {
  manifestPushedInsteadOfIndex?: boolean;
  originalIndex?: { digest?: string };
  selectedManifest?: { digest?: string };
  contentMissing?: boolean;
}

function notesOf(aux: PushAux): string[] {
  const notes = [];
  if (aux.manifestPushedInsteadOfIndex) notes.push(`Not all multiplatform-content is present and only the available single-platform image was pushed\n${aux.originalIndex?.digest} -> ${aux.selectedManifest?.digest}`);
  if (aux.contentMissing) notes.push("The index names images of several platforms, and not all of them are here or in the registry.\nFetch what is missing and try again, or push a single one of them with --platform.");
  return notes;
}
