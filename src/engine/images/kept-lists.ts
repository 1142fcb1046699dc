/** The lists of all images, kept for as long as they would be the same, and given up when nobody has asked for a while. */
import type { ImageContext } from "./context.ts";
import { type ImageRow, type ListOptions, listImages } from "./list.ts";

const keptMilliseconds = 10_000;

export class KeptLists {
  readonly #context: ImageContext;
  /** By what is shown. */
  readonly #lists = new Map<string, { state: string; rows: Promise<readonly ImageRow[]> }>();
  #forgetting: NodeJS.Timeout | undefined;

  constructor(context: ImageContext) {
    this.#context = context;
  }

  /** The same list is the same object. Not to be changed. */
  list(options: ListOptions): Promise<readonly ImageRow[]> {
    const state = this.#state();
    if (state === undefined || !options.filters.isEmpty) return listImages(this.#context, options);
    this.#forgetting ??= setTimeout(() => this.#forget(), keptMilliseconds).unref();
    this.#forgetting.refresh();
    const key = `${options.sharedSize} ${options.manifests}`;
    const kept = this.#lists.get(key);
    if (kept?.state === state) return kept.rows;
    const rows = listImages(this.#context, options);
    this.#lists.set(key, { state, rows });
    rows.catch(() => this.#lists.delete(key));
    return rows;
  }

  /** Changes with whatever a list shows: names, blobs, layers, containers. */
  #state(): string | undefined {
    const { store, content, snapshotter, containersGeneration } = this.#context;
    return containersGeneration && `${store.generation} ${content.generation} ${snapshotter.generation} ${containersGeneration()}`;
  }

  #forget(): void {
    this.#forgetting = undefined;
    this.#lists.clear();
  }
}
