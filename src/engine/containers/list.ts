/**
 * Listing: rows are kept as text and made again only when their container changed. The answer for all containers, or all that
 * run, is kept as bytes for as long as it would be printed the same. Both are given up when nobody has asked for a while.
 */
import type { ContainerRecord } from "../../core/container.ts";
import { nowNanoseconds } from "../../lib/clock.ts";
import type { Filters } from "../../lib/filters.ts";
import type { ContainersContext } from "./context.ts";
import { linkNames } from "./links.ts";
import { listFilter } from "./list-filter.ts";
import type { ListFilter } from "./list-filter.ts";
import { rowOf } from "./view/row.ts";
import type { Row, RowShape } from "./view/row.ts";
import { countsAsRunning, statusHolds, statusText } from "./view/state.ts";

const KEPT_MILLISECONDS = 10_000;

export interface ListOptions {
  all: boolean;
  size: boolean;
  /** 0 or less: no limit. */
  limit: number;
  filters: Filters;
  /** The API version's minor number. */
  version: number;
}

interface Answer {
  bytes: Buffer;
  /** Nanoseconds since 1970. */
  made: bigint;
  until: bigint;
  /** What the containers' image names meant. */
  images: ReadonlyMap<string, string | undefined>;
}

export class ContainerLists {
  readonly #context: ContainersContext;
  /** By version's shape and "all". */
  readonly #answers = new Map<string, Answer>();
  #forgetting: NodeJS.Timeout | undefined;
  /** By shape, then by container. */
  readonly #rows = new Map<string, Map<string, Row>>();
  /** Youngest first; undefined when a container came or went. */
  #order: ContainerRecord[] | undefined;
  #ordered: ReadonlySet<ContainerRecord> = new Set();
  /** Ids of containers with links. */
  readonly #linking = new Set<string>();
  #linkNames: ReadonlyMap<string, string[]> | undefined;

  constructor(context: ContainersContext) {
    this.#context = context;
    for (const record of context.store.list()) if (hasLinks(record)) this.#linking.add(record.id);
    context.store.onChange((id, record) => {
      this.#answers.clear();
      for (const rows of this.#rows.values()) rows.delete(id);
      this.#followLinks(id, record);
      if (record === undefined || !this.#ordered.has(record)) this.#order = undefined;
    });
  }

  /** What a container's links say is in the rows of others. */
  #followLinks(id: string, record: ContainerRecord | undefined): void {
    if (record && hasLinks(record)) this.#linking.add(id);
    if (this.#linking.size === 0) return;
    if (!record) this.#linking.delete(id);
    this.#linkNames = undefined;
    this.#rows.clear();
  }

  /** JSON text or its bytes. Throws Docker's refusals of filters. */
  async list(options: ListOptions): Promise<string | Buffer> {
    this.#forgetting ??= setTimeout(() => this.#forget(), KEPT_MILLISECONDS).unref();
    this.#forgetting.refresh();
    const shape = shapeOf(options.version);
    if (options.size || options.limit > 0 || !options.filters.isEmpty) return this.#print(options, shape);
    const key = `${JSON.stringify(shape)} ${options.all}`;
    const now = nowNanoseconds();
    const kept = this.#answers.get(key);
    if (kept !== undefined && kept.made <= now && now < kept.until && this.#meanTheSame(kept.images)) return kept.bytes;
    const answer = this.#answer(options, shape, now);
    this.#answers.set(key, answer);
    return answer.bytes;
  }

  #answer(options: ListOptions, shape: RowShape, now: bigint): Answer {
    const images = new Map<string, string | undefined>();
    const records = this.#choose(options);
    const bytes = Buffer.from(this.#join(records, { shape, now, images }));
    const holds = records.reduce((least, record) => Math.min(least, statusHolds(record, now)), KEPT_MILLISECONDS);
    return { bytes, made: now, until: now + BigInt(holds) * 1_000_000n, images };
  }

  #meanTheSame(images: ReadonlyMap<string, string | undefined>): boolean {
    for (const [ref, id] of images) if (this.#context.images.idOf(ref) !== id) return false;
    return true;
  }

  #forget(): void {
    this.#forgetting = undefined;
    this.#answers.clear();
    this.#rows.clear();
    this.#linkNames = undefined;
    this.#order = undefined;
    this.#ordered = new Set();
  }

  async #print(options: ListOptions, shape: RowShape): Promise<string> {
    const records = this.#choose(options);
    const sizes = options.size ? await Promise.all(records.map((record) => this.#context.layers.size(record))) : undefined;
    return this.#join(records, { shape, now: nowNanoseconds(), images: new Map(), ...(sizes && { sizes }) });
  }

  #join(records: readonly ContainerRecord[], { shape, now, images, sizes }: { shape: RowShape; now: bigint; images: Map<string, string | undefined>; sizes?: LayerSize[] }): string {
    const rows = this.#rowsFor(shape);
    const texts = records.map((record, index) => {
      const row = rows.get(record.id) ?? this.#make(record, shape, rows);
      const size = sizes?.[index];
      return `${row.beforeImage}${JSON.stringify(this.#image(record, images))}${row.beforeSizes}${size ? sizeText(size) : ""}${row.beforeStatus}${JSON.stringify(statusText(record, now))}${row.afterStatus}`;
    });
    return `[${texts.join(",")}]\n`;
  }

  #choose({ all, limit, filters }: ListOptions): ContainerRecord[] {
    const order = this.#youngestFirst();
    if (filters.isEmpty) {
      const shown = all || limit > 0 ? order : order.filter(countsAsRunning);
      return limit > 0 ? shown.slice(0, limit) : shown;
    }
    return filtered(order, listFilter(this.#context, filters), { all, limit });
  }

  #youngestFirst(): ContainerRecord[] {
    if (this.#order === undefined) {
      this.#order = [...this.#context.store.list()].sort((a, b) => (a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0));
      this.#ordered = new Set(this.#order);
    }
    return this.#order;
  }

  #rowsFor(shape: RowShape): Map<string, Row> {
    const key = JSON.stringify(shape);
    const kept = this.#rows.get(key) ?? new Map<string, Row>();
    this.#rows.set(key, kept);
    return kept;
  }

  #make(record: ContainerRecord, shape: RowShape, rows: Map<string, Row>): Row {
    const { store } = this.#context;
    this.#linkNames ??= linkNames(store.list(), (ref) => store.byName(ref) ?? store.get(ref));
    const row = rowOf(record, shape, { networkId: (name) => this.#context.findNetwork(name)?.id, linkNames: this.#linkNames.get(record.id) ?? [] });
    rows.set(record.id, row);
    return row;
  }

  /** The name that the user gave, as long as it still means the same image. `seen` keeps what names mean. */
  #image({ imageRef, imageId }: ContainerRecord, seen: Map<string, string | undefined>): string {
    if (imageRef === imageId) return imageRef;
    if (!seen.has(imageRef)) seen.set(imageRef, this.#context.images.idOf(imageRef));
    return seen.get(imageRef) === imageId ? imageRef : imageId;
  }
}

const hasLinks = ({ hostConfig }: ContainerRecord): boolean => (hostConfig.Links?.length ?? 0) > 0;

const shapeOf = (version: number): RowShape => ({ annotations: version >= 46, manifest: version >= 48, health: version >= 52 });

interface LayerSize {
  writable: number;
  total: number;
}

function sizeText({ writable, total }: LayerSize): string {
  return `${writable === 0 ? "" : `,"SizeRw":${writable}`}${total === 0 ? "" : `,"SizeRootFs":${total}`}`;
}

function filtered(order: readonly ContainerRecord[], filter: ListFilter, { all, limit }: { all: boolean; limit: number }): ContainerRecord[] {
  const showsAll = all || filter.all || limit > 0;
  let isPast = filter.before === undefined;
  const kept: ContainerRecord[] = [];
  for (const record of order) {
    if (!isPast) {
      isPast = record === filter.before;
      continue;
    }
    if (record === filter.since || (limit > 0 && kept.length === limit)) break;
    if ((showsAll || countsAsRunning(record)) && filter.keeps(record)) kept.push(record);
  }
  return kept;
}
