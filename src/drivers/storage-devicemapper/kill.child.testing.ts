/** A daemon's part for kill.test.ts: makes and removes layers and containers in the folder that is its argument until a fault point kills it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { small } from "./pool.testing.ts";
import { create } from "./index.ts";

const [dir = ""] = process.argv.slice(2);
const snapshotter = create(dir, { options: small(), initLayer: true });
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
