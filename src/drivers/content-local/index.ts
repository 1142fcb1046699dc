/** The content store of this machine's disk. */
import type { ContentStore } from "../../core/content.ts";
import { LocalContent } from "./store.ts";

/** `dir`: <root>/content, made when missing. Discards what a crash left of ingests. */
export function create(dir: string): ContentStore {
  return new LocalContent(dir);
}
