/** A prune of everything at once, of which what goes first makes room for what goes later; ours. */
import type { Digest } from "../../lib/digest.ts";
import { conflict } from "../../lib/errors.ts";
import { Filters } from "../../lib/filters.ts";
import type { EventSink } from "../../core/events.ts";
import type { ContainersContext } from "../containers/context.ts";
import { planPrune as planContainers, pruneContainers } from "../containers/prune.ts";
import type { RemovalRecord } from "../images/remove.ts";
import type { ImageService } from "../images/service.ts";
import type { Networks } from "../networks/networks.ts";
import { planPrune as planNetworks, pruneNetworks } from "../networks/operations.ts";
import { requireState, stateOf } from "../prune-state.ts";
import { planPrune as planVolumes, pruneVolumes } from "../volumes/prune.ts";
import type { VolumeService } from "../volumes/service.ts";

export interface SystemPruneRequest {
  /** "until", "label", "label!". */
  filters: Filters;
  until: bigint | undefined;
  /** Images with names, too. */
  all: boolean;
  /** Anonymous volumes, too. */
  volumes: boolean;
}

export interface SystemPruneReport {
  containers: string[];
  networks: string[];
  volumes: string[];
  images: RemovalRecord[];
  reclaimedBytes: number;
}

export interface SystemPrunePlan extends SystemPruneReport {
  state: Digest;
}

export interface SystemPruneParts {
  containers: ContainersContext;
  networks: Networks;
  volumes: VolumeService;
  images: ImageService;
  events: EventSink;
  warn(message: string): void;
}

export class SystemPrune {
  readonly #parts: SystemPruneParts;
  #running = false;

  constructor(parts: SystemPruneParts) {
    this.#parts = parts;
  }

  async plan(request: SystemPruneRequest): Promise<SystemPrunePlan> {
    const parts = this.#parts;
    const containers = await planContainers(parts.containers, request);
    const without = new Set(containers.deleted);
    const networks = planNetworks(parts.networks, request.filters);
    const volumes = request.volumes ? await planVolumes(parts.volumes, { filters: withoutUntil(request.filters), all: false, without }) : undefined;
    const images = await parts.images.planPrune(imageFilters(request), without);
    return {
      containers: containers.deleted,
      networks: networks.names,
      volumes: volumes?.deleted ?? [],
      images: images.ImagesDeleted ?? [],
      reclaimedBytes: containers.reclaimedBytes + (volumes?.reclaimedBytes ?? 0) + images.SpaceReclaimed,
      state: stateOf([containers.state, networks.state, volumes?.state, images.State]),
    };
  }

  /** Does what the plan of that state says. "conflict" when it would be another one now, or while another one runs. */
  async prune(request: SystemPruneRequest, { state, signal }: { state: string; signal: AbortSignal }): Promise<SystemPruneReport> {
    if (this.#running) throw conflict("a prune operation is already running");
    this.#running = true;
    try {
      const plan = await this.plan(request);
      requireState(state, plan.state, "containers, networks, volumes or images");
      return await this.#apply(request, signal);
    } finally {
      this.#running = false;
    }
  }

  async #apply(request: SystemPruneRequest, signal: AbortSignal): Promise<SystemPruneReport> {
    const { containers, networks, volumes, images, events, warn } = this.#parts;
    const { filters } = request;
    const gone = await pruneContainers(containers, { ...request, signal });
    const left = await pruneNetworks(networks, filters);
    const emptied = request.volumes ? await pruneVolumes(volumes, { filters: withoutUntil(filters), all: false, signal }, { events, warn }) : { deleted: [], reclaimedBytes: 0 };
    const removed = await images.prune({ filters: imageFilters(request) });
    return { containers: gone.deleted, networks: left, volumes: emptied.deleted, images: removed.ImagesDeleted ?? [], reclaimedBytes: gone.reclaimedBytes + emptied.reclaimedBytes + removed.SpaceReclaimed };
  }
}

const withoutUntil = (filters: Filters): Filters => new Filters(new Map(["label", "label!"].filter((key) => filters.has(key)).map((key) => [key, new Set(filters.values(key))])));

const imageFilters = ({ filters, all }: SystemPruneRequest): Filters =>
  new Filters(new Map([["dangling", new Set([String(!all)])], ...["label", "label!", "until"].filter((key) => filters.has(key)).map((key) => [key, new Set(filters.values(key))] as const)]));
