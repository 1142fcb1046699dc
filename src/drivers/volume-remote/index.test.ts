/** What the driver does with a plugin's answers; a real plugin is in test/e2e/plugins.test.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PluginAnswer } from "../../core/plugins.ts";
import type { VolumeDriver } from "../../core/volume.ts";
import { systemError } from "../../lib/errors.ts";
import { create } from "./index.ts";

type Answer = PluginAnswer | Error;

/** Answers by method; others are {}. */
function driverOf(answers: Record<string, Answer>): { driver: VolumeDriver; asked: [string, unknown][] } {
  const asked: [string, unknown][] = [];
  const call = async (method: string, request?: object): Promise<PluginAnswer> => {
    asked.push([method.replace("VolumeDriver.", ""), request]);
    const answer = answers[method.replace("VolumeDriver.", "")] ?? {};
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { asked, driver: create({ name: "wire", find: async () => ({ name: "wire", call }) }) };
}

const data = { name: "data", options: { a: "b" } };
const refused = systemError("VolumeDriver.Get: no such volume");
const absent = systemError("VolumeDriver.Get: connect ECONNREFUSED", new Error("connect ECONNREFUSED"));

test("each reference is mounted once and unmounted once", async () => {
  const { driver, asked } = driverOf({ Mount: { Mountpoint: "/mnt/data" }, Capabilities: { Capabilities: { Scope: "global" } } });
  await driver.create(data);
  assert.deepEqual([driver.path("data"), driver.capabilities.scope], ["", "global"]);
  assert.deepEqual(await Promise.all([driver.mount(data, "one"), driver.mount(data, "one"), driver.mount(data, "two")]), ["/mnt/data", "/mnt/data", "/mnt/data"]);
  assert.equal(driver.path("data"), "/mnt/data");
  await assert.rejects(driver.remove(data), { code: "system", message: "volume has active mounts" });
  assert.deepEqual([await driver.unmount(data, "one"), await driver.unmount(data, "one"), await driver.unmount(data, "two")], [true, false, true]);
  await driver.remove(data);
  const id = (ID: string): object => ({ Name: "data", ID });
  assert.deepEqual(asked, [["Capabilities", undefined], ["Create", { Name: "data", Opts: { a: "b" } }], ["Mount", id("one")], ["Mount", id("two")], ["Unmount", id("one")], ["Unmount", id("two")], ["Remove", { Name: "data" }]]);
});

test("after a restart a reference is given back without having been mounted again", async () => {
  const { driver, asked } = driverOf({});
  driver.restore(data, "one");
  assert.equal(await driver.unmount(data, "one"), true);
  assert.deepEqual(asked.map(([method]) => method), ["Capabilities", "Unmount"]);
});

test("a refusal is not there; a plugin that cannot be asked says nothing", async () => {
  assert.equal(await driverOf({ Get: refused, Capabilities: refused }).driver.has("data"), false);
  assert.equal(await driverOf({ Get: {} }).driver.has("data"), false);
  await assert.rejects(driverOf({ Get: absent }).driver.has("data"), absent);
  await assert.rejects(driverOf({ Capabilities: absent }).driver.list(), absent);
  const { driver } = driverOf({ Get: { Volume: { Name: "data", Mountpoint: "/mnt/x", Status: { a: [1] } } } });
  assert.deepEqual([await driver.has("data"), driver.path("data"), await driver.status?.("data")], [true, "/mnt/x", { a: [1] }]);
});

test("answers that are none are refused", async () => {
  for (const answer of [{}, { Mountpoint: "" }, { Mountpoint: "relative" }, { Mountpoint: 7 }]) {
    const { driver } = driverOf({ Mount: answer });
    await assert.rejects(driver.mount(data, "one"), { code: "system", message: /^volume plugin wire: Mount: / });
    assert.equal(await driver.unmount(data, "one"), false);
  }
  for (const volumes of [7, "x", {}]) await assert.rejects(driverOf({ List: { Volumes: volumes } }).driver.list(), { code: "system" });
  await assert.rejects(driverOf({ List: { Volumes: [{ Name: 7 }] } }).driver.list(), { code: "system", message: /Name of the plugin's answer is no text/ });
  await assert.rejects(driverOf({ Get: { Volume: { Name: "data", Status: "fine" } } }).driver.status!("data"), { code: "system" });
  assert.deepEqual(await driverOf({ List: { Volumes: null } }).driver.list(), []);
});
