/** What every volume driver must do. A driver's test calls this with its constructor; needs root. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { codeOf } from "../lib/errors.ts";
import type { VolumeDriver, VolumeSpec } from "./volume.ts";

interface Bench extends AsyncDisposable {
  driver: VolumeDriver;
  /** The driver as the next daemon has it. */
  reopen(): VolumeDriver;
}

/** `mounted`: options with which a volume must be mounted to be used. */
export function volumeDriverContract(name: string, open: (dir: string) => VolumeDriver, mounted: VolumeSpec["options"]): void {
  const volume = (volumeName: string, options: VolumeSpec["options"] = {}): VolumeSpec => ({ name: volumeName, options });
  const scenario = (title: string, run: (bench: Bench) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      const dir = mkdtempSync(join(tmpdir(), "gantry-volumes-"));
      const opened: VolumeDriver[] = [];
      const reopen = (): VolumeDriver => {
        const driver = open(dir);
        opened.push(driver);
        return driver;
      };
      await using bench: Bench = {
        driver: reopen(),
        reopen,
        [Symbol.asyncDispose]: async () => {
          const last = reopen();
          await last.sweep();
          for (const one of await last.list()) await last.remove(volume(one));
          for (const driver of opened) await driver.settled();
          rmSync(dir, { recursive: true, force: true });
        },
      };
      await run(bench);
    });
  };

  scenario("a volume keeps what is written to it", async ({ driver, reopen }) => {
    const data = volume("data");
    driver.validate(data);
    assert.equal(await driver.has("data"), false);
    await driver.create(data);
    await driver.create(data);
    assert.deepEqual([await driver.has("data"), await driver.list()], [true, ["data"]]);
    const path = await driver.mount(data, "one");
    assert.equal(path, driver.path("data"));
    writeFileSync(join(path, "file"), "kept");
    await driver.unmount(data, "one");
    assert.equal(await driver.usage("data"), 4);
    const again = await reopen().mount(data, "two");
    assert.equal(readFileSync(join(again, "file"), "utf8"), "kept");
  });

  scenario("a removed volume is gone; removing it again is no error", async ({ driver, reopen }) => {
    await driver.create(volume("data"));
    writeFileSync(join(await driver.mount(volume("data"), "one"), "file"), "x");
    await driver.unmount(volume("data"), "one");
    await driver.remove(volume("data"));
    await driver.remove(volume("data"));
    assert.deepEqual([await driver.has("data"), await reopen().list()], [false, []]);
    await driver.create(volume("data"));
    assert.equal(existsSync(join(await driver.mount(volume("data"), "one"), "file")), false);
  });

  scenario("a volume in use is not removed", async ({ driver }) => {
    await driver.create(volume("data"));
    await driver.mount(volume("data"), "one");
    await assert.rejects(driver.remove(volume("data")), (error) => codeOf(error) === "system");
    assert.ok(await driver.has("data"));
    await driver.unmount(volume("data"), "one");
    await driver.remove(volume("data"));
  });

  scenario("options are mounted for the first reference and until the last is gone", async ({ driver }) => {
    const spec = volume("mounted", mounted);
    await driver.create(spec);
    const device = (): number => statSync(driver.path("mounted")).dev;
    const before = device();
    await Promise.all([driver.mount(spec, "one"), driver.mount(spec, "two"), driver.mount(spec, "two")]);
    assert.notEqual(device(), before);
    assert.equal(await driver.unmount(spec, "two"), true);
    assert.equal(await driver.unmount(spec, "two"), false);
    await driver.unmount(spec, "nobody");
    assert.notEqual(device(), before, "one is left");
    await driver.unmount(spec, "one");
    assert.equal(device(), before);
  });

  scenario("after a crash: what is used stays mounted, the rest is swept away", async ({ driver, reopen }) => {
    const [used, unused] = [volume("used", mounted), volume("unused", mounted)];
    for (const spec of [used, unused]) {
      await driver.create(spec);
      await driver.mount(spec, "one");
    }
    const device = (one: string): number => statSync(driver.path(one)).dev;
    const before = device("used");
    const next = reopen();
    next.restore(used, "one");
    await next.sweep();
    assert.equal(device("used"), before);
    assert.equal(device("unused"), statSync(join(driver.path("unused"), "..")).dev);
    await next.mount(used, "two");
    assert.equal(device("used"), before, "it is not mounted twice");
    await next.unmount(used, "one");
    await next.unmount(used, "two");
    assert.notEqual(device("used"), before);
  });

  scenario("names that are no names are refused", async ({ driver }) => {
    for (const bad of ["a", "..", "a/b", "/etc", "a b", "-x", ".x", "a\0b"]) {
      assert.throws(() => driver.validate(volume(bad)), { code: "invalid-parameter" }, bad);
      await assert.rejects(driver.create(volume(bad)), { code: "invalid-parameter" }, bad);
    }
    assert.deepEqual(await driver.list(), []);
  });
}
