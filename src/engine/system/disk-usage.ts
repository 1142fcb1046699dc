/** What images, containers, volumes and the build cache take on disk. */
import { parseFilters } from "../../lib/filters.ts";
import type { ContainerLists } from "../containers/list.ts";
import type { ImageRow } from "../images/list.ts";
import type { ImageService } from "../images/service.ts";

/** Sums of one kind. What is 0 is left out of the answer, as Docker does. */
export interface Usage<Item> {
  activeCount: number;
  totalCount: number;
  totalSize: number;
  /** Of what nothing uses. */
  reclaimable: number;
  items: Item[];
}

export interface ContainerRow {
  State: string;
  SizeRw?: number;
  ImageManifestDescriptor?: object | undefined;
}

export interface VolumeRow {
  /** Bytes, -1 when unknown, and how many containers use it. */
  UsageData: { RefCount: number; Size: number };
}

export interface VolumeSizes {
  sized(): Promise<VolumeRow[]>;
}

export class DiskUsageService {
  readonly #images: Pick<ImageService, "list" | "usage">;
  readonly #containers: Pick<ContainerLists, "list">;
  readonly #volumes: VolumeSizes;

  constructor(images: Pick<ImageService, "list" | "usage">, containers: Pick<ContainerLists, "list">, volumes: VolumeSizes) {
    this.#images = images;
    this.#containers = containers;
    this.#volumes = volumes;
  }

  async images(): Promise<Usage<ImageRow>> {
    const items = await this.#images.list({ filters: parseFilters(""), sharedSize: true, manifests: false });
    const usage: Usage<ImageRow> = { activeCount: 0, totalCount: items.length, totalSize: await this.#images.usage(), reclaimable: 0, items: [...items] };
    for (const image of items) {
      if (image.Containers > 0) usage.activeCount++;
      else if (image.Containers === 0 && image.SharedSize !== -1) usage.reclaimable += image.Size - image.SharedSize;
    }
    return usage;
  }

  async volumes(): Promise<Usage<VolumeRow>> {
    const items = await this.#volumes.sized();
    const usage: Usage<VolumeRow> = { activeCount: items.length, totalCount: items.length, totalSize: 0, reclaimable: 0, items };
    for (const { UsageData } of items) {
      if (UsageData.Size === -1) continue;
      usage.totalSize += UsageData.Size;
      if (UsageData.RefCount > 0) continue;
      usage.reclaimable += UsageData.Size;
      usage.activeCount--;
    }
    return usage;
  }

  /** Rows as the API version with this minor number has them. */
  async containers(version: number): Promise<Usage<ContainerRow>> {
    const rows = JSON.parse(String(await this.#containers.list({ all: true, size: true, limit: 0, filters: parseFilters(""), version }))) as ContainerRow[];
    // Docker leaves the manifest out here.
    const items = rows.map((row) => ({ ...row, ImageManifestDescriptor: undefined }));
    const usage: Usage<ContainerRow> = { activeCount: 0, totalCount: items.length, totalSize: 0, reclaimable: 0, items };
    for (const { State, SizeRw = 0 } of items) {
      usage.totalSize += SizeRw;
      if (["running", "paused", "restarting"].includes(State)) usage.activeCount++;
      else usage.reclaimable += SizeRw;
    }
    return usage;
  }
}
