/** What every storage driver that keeps each layer in a folder of its own says of them. */
import { LayerFolders, type LayerInfo } from "./layer-folders.ts";

export abstract class FolderSnapshots {
  protected readonly folders: LayerFolders;

  constructor(dir: string) {
    this.folders = new LayerFolders(dir);
  }

  get generation(): number {
    return this.folders.generation;
  }

  has(name: string): boolean {
    return this.folders.has(name);
  }

  parentOf(key: string): string | undefined {
    return this.folders.parentOf(key);
  }

  list(): LayerInfo[] {
    return this.folders.list();
  }

  settled(): Promise<void> {
    return this.folders.settled();
  }
}
