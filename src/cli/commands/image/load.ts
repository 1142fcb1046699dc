import fs from "node:fs";
import { messageOf } from "../../../lib/errors.ts";
import { parsePlatform } from "../../../lib/platform.ts";
import { openError } from "../../open-error.ts";
import { showProgress } from "../../progress.ts";
import type { Session } from "../../session.ts";
import { stdin } from "../../streams.ts";

const CHUNK = 1 << 20;

export async function run(session: Session): Promise<void> {
  const { flags } = session;
  const input = flags.string("input");
  const body = input === "" ? fromStdin() : fromFile(input);
  const platforms = flags.list("platform").map((platform) => encodePlatform(platform));
  const quiet = flags.bool("quiet") || !session.out.isTerminal;
  const response = await session.client.stream("POST", "/images/load", { query: { quiet, platform: platforms.length > 0 ? platforms : undefined }, body, headers: { "Content-Type": "application/x-tar" } });
  if (response.headers.get("content-type")?.startsWith("application/json")) return showProgress(response.body, session.out);
  for await (const chunk of response.body) session.out.write(chunk);
}

function fromStdin(): AsyncIterable<Uint8Array> {
  if (stdin.isTerminal) throw new Error("requested load from stdin, but stdin is empty");
  return stdin.bytes();
}

export function fromFile(file: string): AsyncIterable<Uint8Array> {
  try {
    return fs.createReadStream(file, { fd: fs.openSync(file, "r"), highWaterMark: CHUNK });
  } catch (thrown) {
    throw openError(file, thrown);
  }
}

export function encodePlatform(platform: string): string {
  try {
    return JSON.stringify(parsePlatform(platform));
  } catch (thrown) {
    throw new Error(`invalid platform: ${messageOf(thrown)}`);
  }
}
