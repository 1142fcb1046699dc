import { parseReference, repositoryOf, withDefaultTag } from "../../lib/reference.ts";
import { showProgress } from "../progress.ts";
import type { Session } from "../session.ts";
import type { OutputStream } from "../streams.ts";
import { authKey, credentialsFor, encodeAuth } from "./auth.ts";

const SILENT = { write: (): void => undefined, isTerminal: false, size: { height: 0, width: 0 } };

/** Pulls one image and shows how it goes. */
export async function pullImage(session: Session, name: string, options: { platform: string; quiet: boolean; out: OutputStream; all?: boolean }): Promise<void> {
  const reference = parseReference(name);
  const tagged = options.all ? reference : withDefaultTag(reference);
  const response = await session.client.stream("POST", "/images/create", {
    query: { fromImage: repositoryOf(reference), tag: tagged.digest ?? tagged.tag, platform: options.platform || undefined },
    headers: { "X-Registry-Auth": encodeAuth(credentialsFor(session.config.data, authKey(reference))) },
  });
  await showProgress(response.body, options.quiet ? SILENT : options.out);
}
