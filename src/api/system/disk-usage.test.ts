import assert from "node:assert/strict";
import { test } from "node:test";
import { DiskUsageService } from "../../engine/system/disk-usage.ts";
import type { ImageRow } from "../../engine/images/list.ts";
import { serve } from "../testing/harness.ts";
import { diskUsageRoute } from "./disk-usage.ts";

const image = (Containers: number, Size: number, SharedSize: number): ImageRow => ({ Containers, Created: 1, Id: `sha256:${"0".repeat(64)}`, Labels: null, ParentId: "", RepoDigests: [], RepoTags: ["a:1"], SharedSize, Size });
const service = new DiskUsageService(
  { list: async () => [image(1, 100, 10), image(0, 50, 10)], usage: async () => 140 },
  { list: async () => JSON.stringify([{ Id: "a", State: "running", SizeRw: 5, ImageManifestDescriptor: {} }, { Id: "b", State: "exited", SizeRw: 7 }]) },
  { sized: async () => [{ UsageData: { RefCount: 1, Size: 3 } }, { UsageData: { RefCount: 0, Size: 4 } }, { UsageData: { RefCount: 0, Size: -1 } }] },
);

async function ask(query: string): Promise<Record<string, Record<string, unknown>>> {
  await using api = await serve([diskUsageRoute(service)]);
  const answer = await api.request(`GET ${query} HTTP/1.1\nHost: x`);
  return JSON.parse(answer.slice(answer.indexOf("\r\n\r\n")));
}

test("sums, without what is 0", async () => {
  const sumsOf = async (query: string, key: string): Promise<object> => ({ ...(await ask(query))[key], Items: undefined });
  assert.deepEqual(await sumsOf("/system/df", "ImageUsage"), { Items: undefined, ActiveCount: 1, Reclaimable: 40, TotalCount: 2, TotalSize: 140 });
  const containers = (await ask("/system/df?verbose=1&type=container"))["ContainerUsage"];
  assert.deepEqual(containers, { ActiveCount: 1, Items: [{ Id: "a", State: "running", SizeRw: 5 }, { Id: "b", State: "exited", SizeRw: 7 }], Reclaimable: 7, TotalCount: 2, TotalSize: 12 });
  assert.deepEqual(await sumsOf("/system/df?type=volume", "VolumeUsage"), { Items: undefined, ActiveCount: 2, Reclaimable: 4, TotalCount: 3, TotalSize: 7 });
  assert.deepEqual((await ask("/system/df?type=build-cache"))["BuildCacheUsage"], {});
});

test("each version has its fields", async () => {
  const legacy = ["LayersSize", "Images", "Containers", "Volumes", "BuildCache"];
  const current = ["ImageUsage", "ContainerUsage", "VolumeUsage", "BuildCacheUsage"];
  assert.deepEqual(Object.keys(await ask("/v1.51/system/df")), legacy);
  assert.deepEqual(Object.keys(await ask("/system/df")), [...legacy, ...current]);
  assert.deepEqual(Object.keys(await ask("/system/df?verbose=true")), current);
  assert.deepEqual(Object.keys(await ask("/v1.41/system/df?type=nosuch")), legacy);
  const imagesIn = async (version: string): Promise<unknown[]> => ((await ask(`/${version}/system/df`))["Images"] as unknown as Record<string, unknown>[]).map(({ Containers, VirtualSize }) => [Containers, VirtualSize]);
  assert.deepEqual(await imagesIn("v1.50"), [[1, undefined], [0, undefined]], "other than in a list of images, containers are counted");
  assert.deepEqual(await imagesIn("v1.43"), [[1, 100], [0, 50]]);
  assert.deepEqual(await ask("/system/df?type=nosuch"), { message: "unknown object type: nosuch" });
});
