/** What every holder of leases must do for a garbage collector that takes what is held as roots. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "../lib/digest.ts";
import { reachable } from "./collect.ts";
import { blobId, type LeaseHolder, snapshotId, type StoredId } from "./leases.ts";

const [one, two] = [digestOf("one"), digestOf("two")];

export function leasesContract(name: string, open: () => LeaseHolder): void {
  const held = (leases: LeaseHolder): StoredId[] => [...new Set(leases.held())].sort();

  test(`${name}: a blob and a snapshot of one digest are two things`, () => {
    const leases = open();
    using lease = leases.begin();
    lease.blob(one);
    assert.deepEqual(held(leases), [blobId(one)]);
    lease.snapshot(one);
    assert.deepEqual(held(leases), [blobId(one), snapshotId(one)].sort());
  });

  test(`${name}: what two leases hold stays until the last of them ends`, () => {
    const leases = open();
    const first = leases.begin();
    const second = leases.begin();
    for (const lease of [first, second]) lease.blob(one);
    second.blob(two);
    first[Symbol.dispose]();
    assert.deepEqual(held(leases), [blobId(one), blobId(two)].sort());
    first[Symbol.dispose]();
    assert.deepEqual(held(leases), [blobId(one), blobId(two)].sort(), "ending twice takes nothing from others");
    second[Symbol.dispose]();
    assert.deepEqual(held(leases), []);
  });

  test(`${name}: a lease that has ended holds nothing any more`, () => {
    const leases = open();
    const lease = leases.begin();
    lease[Symbol.dispose]();
    lease.blob(one);
    assert.deepEqual(held(leases), []);
  });

  test(`${name}: an operation that fails lets go of what it held`, () => {
    const leases = open();
    assert.throws(() => {
      using lease = leases.begin();
      lease.snapshot("in the making");
      throw new Error("it failed");
    });
    assert.deepEqual(held(leases), []);
  });

  test(`${name}: what is held, and what that refers to, is reachable`, () => {
    const leases = open();
    using lease = leases.begin();
    lease.snapshot("top");
    const parents = new Map<StoredId, StoredId>([[snapshotId("top"), snapshotId("middle")], [snapshotId("middle"), snapshotId("bottom")], [snapshotId("other"), snapshotId("bottom")]]);
    assert.deepEqual([...reachable(leases.held(), (id) => [parents.get(id)].filter((parent) => parent !== undefined))].sort(), [snapshotId("bottom"), snapshotId("middle"), snapshotId("top")]);
  });
}
