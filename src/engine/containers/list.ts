/** Listing: rows are kept as text and made again only when their container changed, so that a list costs little more than joining them. */
import type { ContainerRecord } from "../../core/container.ts";
import { nowNanoseconds } from "../../lib/clock.ts";
import type { Filters } from "../../lib/filters.ts";
import type { ContainersContext } from "./context.ts";
import { listFilter } from "./list-filter.ts";
import type { ListFilter } from "./list-filter.ts";
import { rowOf } from "./view/row.ts";
import type { Row, RowShape } from "./view/row.ts";
import { countsAsRunning, statusText } from "./view/state.ts";

export interface ListOptions {
  all: boolean;
  size: boolean;
  /** 0 or less: no limit. */
  limit: number;
  filters: Filters;
  /** The API version's minor number. */
  version: number;
}

export class ContainerLists {
  readonly #context: ContainersContext;
  readonly #rows = new Map<string, { shape: RowShape; rows: Map<string, Row> }>();
  /** Youngest first; undefined when a container came or went. */
  #order: ContainerRecord[] | undefined;
  #ordered: ReadonlySet<ContainerRecord> = new Set();

  constructor(context: ContainersContext) {
    this.#context = context;
    context.store.onChange((id, record) => {
      for (const { rows } of this.#rows.values()) rows.delete(id);
      if (record === undefined || !this.#ordered.has(record)) this.#order = undefined;
    });
  }

  /** JSON text. Throws Docker's refusals of filters. */
  async list(options: ListOptions): Promise<string> {
    const records = this.#choose(options);
    const sizes = options.size ? await Promise.all(records.map((record) => this.#context.layers.size(record))) : undefined;
    const { shape, rows } = this.#rowsFor(options.version);
    const now = nowNanoseconds();
    const texts = records.map((record, index) => {
      const row = rows.get(record.id) ?? this.#make(record, shape, rows);
      const size = sizes?.[index];
      return `${row.beforeImage}${this.#image(record)}${row.beforeSizes}${size ? sizeText(size) : ""}${row.beforeStatus}${JSON.stringify(statusText(record, now))}${row.afterStatus}`;
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

  #rowsFor(version: number): { shape: RowShape; rows: Map<string, Row> } {
    const shape = { annotations: version >= 46, manifest: version >= 48, health: version >= 52 };
    const key = JSON.stringify(shape);
    const kept = this.#rows.get(key) ?? { shape, rows: new Map<string, Row>() };
    this.#rows.set(key, kept);
    return kept;
  }

  #make(record: ContainerRecord, shape: RowShape, rows: Map<string, Row>): Row {
    const row = rowOf(record, shape, (name) => this.#context.findNetwork(name)?.id);
    rows.set(record.id, row);
    return row;
  }

  /** The name that the user gave, as long as it still means the same image. */
  #image({ imageRef, imageId }: ContainerRecord): string {
    return JSON.stringify(imageRef === imageId || this.#context.images.idOf(imageRef) === imageId ? imageRef : imageId);
  }
}

function sizeText({ writable, total }: { writable: number; total: number }): string {
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
