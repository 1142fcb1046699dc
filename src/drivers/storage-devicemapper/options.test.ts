import assert from "node:assert/strict";
import { test } from "node:test";
import { parseOptions } from "./options.ts";
import { bytesOf, checkFree, checkWritable, parsePoolStatus, parsePoolTable, poolTarget } from "./pool-status.ts";

test("options: Docker's values without any", () => {
  const { loopDataBytes, loopMetadataBytes, blockBytes, leastFreePercent, discard, deferredRemoval, deferredDeletion, baseBytes, fileSystem } = parseOptions([]);
  assert.deepEqual([loopDataBytes, loopMetadataBytes, blockBytes, leastFreePercent], [100 * 2 ** 30, 2 * 2 ** 30, 65_536, 10]);
  assert.deepEqual([discard, deferredRemoval, deferredDeletion, baseBytes, fileSystem], [true, true, true, undefined, undefined]);
});

test("options: all that there are", () => {
  const options = parseOptions(["dm.datadev=/dev/x", "dm.metadatadev=/dev/y", "dm.basesize=20G", "dm.fs=xfs", "dm.blocksize=128K", "dm.loopdatasize=1G", "dm.loopmetadatasize=10M", "dm.mountopt=noatime", "dm.mountopt=discard", "dm.mkfsarg=-i", "dm.mkfsarg=size=512", "dm.min_free_space=0%", "dm.use_deferred_deletion=false", "dm.use_deferred_removal=0", "dm.override_udev_sync_check=true", "dm.xfs_nospace_max_retries=0"]);
  assert.deepEqual(options, {
    dataDevice: "/dev/x",
    metadataDevice: "/dev/y",
    baseBytes: 20 * 2 ** 30,
    fileSystem: "xfs",
    blockBytes: 131_072,
    loopDataBytes: 2 ** 30,
    loopMetadataBytes: 10 * 2 ** 20,
    mountOptions: ["noatime", "discard"],
    makeArguments: ["-i", "size=512"],
    leastFreePercent: 0,
    discard: false,
    deferredRemoval: false,
    deferredDeletion: false,
    xfsRetries: "0",
  });
  assert.equal(parseOptions(["dm.thinpooldev=/dev/mapper/docker-thinpool"]).thinPool, "docker-thinpool");
  assert.equal(parseOptions(["dm.thinpooldev=pool", "dm.blkdiscard=true"]).discard, true);
});

const refused: [option: string, message: RegExp][] = [
  ["dm.nosuch=1", /^devmapper: Unknown option dm\.nosuch$/],
  ["constructor=1", /^devmapper: Unknown option constructor$/],
  ["dm.fs=btrfs", /^devmapper: Unsupported filesystem btrfs$/],
  ["dm.min_free_space=5", /^devmapper: Option dm\.min_free_space requires % suffix$/],
  ["dm.min_free_space=100%", /^devmapper: Invalid value 100% for option dm\.min_free_space$/],
  ["dm.min_free_space=-1%", /^strconv\.ParseUint: parsing "-1": invalid syntax$/],
  ["dm.blkdiscard=perhaps", /^strconv\.ParseBool: parsing "perhaps": invalid syntax$/],
  ["dm.blocksize=100K", /^devmapper: dm\.blocksize must be a multiple of 64K/],
  ["dm.basesize=large", /large/],
  ["dm.use_deferred_removal=false", /Deferred deletion can not be enabled as deferred removal is not enabled/],
  ["dm.directlvm_device=/dev/x", /^devmapper: option dm\.directlvm_device is not supported: .*dm\.thinpooldev$/],
  ["dm.thinp_percent=95", /^devmapper: option dm\.thinp_percent is not supported: /],
  ["dm.libdm_log_level=3", /^devmapper: option dm\.libdm_log_level is not supported: /],
];

for (const [option, message] of refused) test(`options: ${option} is refused by name`, () => assert.throws(() => parseOptions([option]), { code: "invalid-parameter", message }));

test("options: a whole pool and parts of one are not given together", () => assert.throws(() => parseOptions(["dm.thinpooldev=x", "dm.datadev=/dev/y"]), { message: /dm\.thinpooldev names a whole pool/ }));

const pool = (parameters: string) => parsePoolStatus("pool", { sectors: 2048, type: "thin-pool", parameters });

test("a pool's status: numbers, and what it is able to", () => {
  const status = pool("17 12/4096 3/16 - rw discard_passdown error_if_no_space - 1024");
  assert.deepEqual(status, { transaction: 17, metadata: { used: 12, total: 4096 }, data: { used: 3, total: 16 }, mode: "rw" });
  assert.deepEqual(bytesOf(status, 65_536), { metadata: { used: 49_152, total: 16_777_216 }, data: { used: 196_608, total: 1_048_576 } });
  assert.throws(() => pool("Fail"), { message: /^devmapper: the thin pool pool has failed \(Fail\)/ });
  assert.throws(() => parsePoolStatus("x", { sectors: 1, type: "linear", parameters: "7:0 0" }), { message: "devmapper: Device x is not a thin pool" });
});

test("a pool's table: the same that it is made with", () => {
  const table = { metadata: "7:1", data: "7:0", blockBytes: 65_536 };
  const target = poolTarget(table, 2 ** 30);
  assert.equal(target.sectors, 2 ** 21);
  assert.deepEqual(parsePoolTable("pool", target), table);
});

test("room: too few free blocks, of data or metadata, are told as Docker does", () => {
  checkFree(pool("1 1/100 90/100 - rw x error_if_no_space - 1"), 10);
  assert.throws(() => checkFree(pool("1 1/100 91/100 - rw x error_if_no_space - 1"), 10), { message: /^devmapper: Thin Pool has 9 free data blocks which is less than minimum required 10 free data blocks\. Create more free space in thin pool or use dm\.min_free_space option to change behavior$/ });
  assert.throws(() => checkFree(pool("1 100/100 0/100 - rw x error_if_no_space - 1"), 1), { message: /0 free metadata blocks .* 1 free metadata blocks\. Create more free metadata space/ });
  checkFree(pool("1 100/100 100/100 - rw x error_if_no_space - 1"), 0);
});

test("a pool that has refused to write says whether it is full or broken", () => {
  checkWritable("pool", pool("1 1/100 100/100 - rw x error_if_no_space - 1"));
  assert.throws(() => checkWritable("pool", pool("1 1/100 100/100 - out_of_data_space x error_if_no_space - 1")), { message: /^devmapper: no space left in the thin pool pool: remove images/ });
  assert.throws(() => checkWritable("pool", pool("1 1/100 1/100 - ro x error_if_no_space needs_check 1")), { message: /is read-only: .*thin_check/ });
});
