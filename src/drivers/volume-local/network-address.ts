/** Names of servers in the options of nfs and cifs mounts: the kernel takes addresses only. */
import { isIP } from "node:net";
import { systemError } from "../../lib/errors.ts";
import type { Options } from "./options.ts";

export interface MountSource {
  device: string;
  words: string;
}

export type Lookup = (host: string) => Promise<string>;

const lookupSystem: Lookup = async (host) => (await process.getBuiltinModule("node:dns").promises.lookup(host)).address;

/** The device and the words of "o", with the server's name replaced by its address. */
export async function withAddresses(options: Options, lookup: Lookup = lookupSystem): Promise<MountSource> {
  const source = { device: options["device"] ?? "", words: options["o"] ?? "" };
  const type = options["type"];
  if (type !== "nfs" && type !== "cifs") return source;
  const named = /(?:^|,)addr=([^,]*)/.exec(source.words)?.[1] ?? "";
  if (named !== "" && isIP(named) !== 4) return { ...source, words: source.words.replace(`addr=${named}`, `addr=${await addressOf(named, lookup)}`) };
  const host = type === "cifs" ? (/^(?:[a-z]+:)?\/\/([^/]+)/i.exec(source.device)?.[1] ?? "") : "";
  if (host === "" || isIP(host) !== 0) return source;
  return { ...source, device: source.device.replace(host, await addressOf(host, lookup)) };
}

async function addressOf(host: string, lookup: Lookup): Promise<string> {
  try {
    return await lookup(host);
  } catch (error) {
    throw systemError(`error resolving passed in network volume address: lookup ${host}: no such host`, error);
  }
}
