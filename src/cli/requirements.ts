/** Refuses what the daemon on the other side cannot do: an API version too old, or experimental features that are off. */
import { compareVersions } from "./api/client.ts";
import type { Session } from "./session.ts";
import type { FlagEntry } from "./tree/types.ts";

export async function checkRequirements(session: Session, needs: string[], entries: FlagEntry[]): Promise<void> {
  const version = await session.client.version();
  const ping = await session.client.ping();
  for (const need of needs) {
    if (need === "experimental" && !ping.experimental) throw new Error(`${session.called} is only supported on a Docker daemon with experimental features enabled`);
    const least = /^version=(.*)$/.exec(need)?.[1];
    if (least !== undefined && compareVersions(version, least) < 0) throw new Error(`${session.called} requires API version ${least}, but the Docker daemon API version is ${version}`);
  }
  const messages = entries
    .filter(({ name, since }) => since !== undefined && session.flags.changed(name) && compareVersions(version, since) < 0)
    .map(({ name, since }) => `"--${name}" requires API version ${since}, but the Docker daemon API version is ${version}`);
  if (messages.length > 0) throw new Error(messages.join("\n"));
}
