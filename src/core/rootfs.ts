/** A container's root file system that is mounted nowhere, to look into. Links are resolved inside it, whatever the image holds. */
import type { RootfsMount } from "./runtime.ts";

export interface RootfsView extends Disposable {
  /** What a path leads to; undefined when nothing is there. Throws "system", as for links that go round in circles. */
  kindOf(path: string): "folder" | "other" | undefined;
  /** Copies what the folder `path` has into the folder `into`, which gets its looks, too: owners, modes, times, xattrs, links,
   *  devices, holes. False, and nothing done, when either is no folder or `into` is not empty. Throws "system". */
  copyOut(path: string, into: CopyTarget): Promise<boolean>;
  /** Lets the whole appear at `place`, an existing folder of this machine, where it stays when the view is closed. Once. Throws "system". */
  attach(place: string): void;
}

export interface CopyTarget {
  /** A folder of this machine, by an absolute path. */
  folder: string;
  /** Below it, links resolved inside it; "" for the folder itself. */
  subpath: string;
}

/** Throws the errno's error. The view is closed by disposing. */
export type OpenRootfs = (mounts: readonly RootfsMount[]) => RootfsView;
