/** A daemon's part for kill.test.ts: makes and removes layers and containers in the folder that is its first argument, in the dataset that is its second, until a fault point kills it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "./index.ts";

const [dir = "", parent = ""] = process.argv.slice(2);
const snapshotter = create(dir, { options: [`zfs.fsname=${parent}`], initLayer: true });
const image = `sha256:${"b".repeat(64)}`;

await snapshotter.prepare("unpack-1");
{
  await using target = await snapshotter.unpackTarget("unpack-1");
  writeFileSync(join(target.path, "file"), "layer");
}
await snapshotter.commit("unpack-1", image);
await snapshotter.prepare("container", image);
await snapshotter.remove("container");
await snapshotter.settled();
await snapshotter.remove(image);
await snapshotter.settled();
