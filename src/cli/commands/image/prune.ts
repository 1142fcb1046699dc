import { humanSize } from "../../../lib/units.ts";
import { encodeFilters } from "../../flag-types.ts";
import type { Session } from "../../session.ts";
import { confirm } from "../confirm.ts";
import { pruneFilters } from "../prune-filters.ts";

interface Answer {
  ImagesDeleted: { Untagged?: string; Deleted?: string }[] | null;
  SpaceReclaimed: number;
  /** Of a dry run. */
  State?: string;
}

export async function run(session: Session): Promise<void> {
  const { flags, out } = session;
  const all = flags.bool("all");
  if (flags.bool("dry-run")) return dryRun(session, all);
  const what = all ? "images without at least one container associated to them" : "dangling images";
  const state = flags.string("state");
  if (!flags.bool("force") && state === "") confirm(`WARNING! This will remove all ${what}.\nAre you sure you want to continue?`);
  const { deleted, space } = await pruneImages(session, all, state);
  if (deleted !== "") out.line(deleted);
  out.line(`Total reclaimed space: ${humanSize(space)}`);
}

async function dryRun(session: Session, all: boolean): Promise<void> {
  const answer = await ask(session, all, { "dry-run": "1" });
  const lines = linesOf(answer);
  if (lines.length > 0) session.out.line(`Would delete:\n${lines.join("\n")}\n`);
  session.out.line(`Total reclaimable space: ${humanSize(answer.SpaceReclaimed)}`);
  session.out.line(`To do exactly this, or nothing: the same command with --state ${answer.State ?? ""} in place of --dry-run`);
}

export async function pruneImages(session: Session, all: boolean, state = ""): Promise<{ deleted: string; space: number }> {
  const answer = await ask(session, all, state === "" ? {} : { state });
  const lines = linesOf(answer);
  return { deleted: lines.length === 0 ? "" : `Deleted Images:\n${lines.join("\n")}\n`, space: answer.SpaceReclaimed };
}

function ask(session: Session, all: boolean, query: Record<string, string>): Promise<Answer> {
  const filters = { ...pruneFilters(session), dangling: { [String(!all)]: true as const } };
  return session.client.json<Answer>("POST", "/images/prune", { query: { filters: encodeFilters(filters), ...query } });
}

const linesOf = ({ ImagesDeleted }: Answer): string[] => (ImagesDeleted ?? []).map(({ Untagged, Deleted }) => (Untagged ? `untagged: ${Untagged}` : `deleted: ${Deleted}`));
