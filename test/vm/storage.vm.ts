/** devicemapper under the whole daemon, on a kernel that has thin pools. The driver's own tests run here, too. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { wholeLife } from "./other-driver.ts";

test("devicemapper under the whole daemon", () =>
  wholeLife({
    name: "devicemapper",
    options: ["dm.loopdatasize=1G", "dm.loopmetadatasize=32M", "dm.basesize=128M", "dm.fs=ext4"],
    size: { asked: "256M", least: 200_000, most: 262_144 },
    checkInfo({ DriverStatus, Warnings }) {
      assert.ok(DriverStatus.some(([name, value]) => name === "Backing Filesystem" && value === "ext4"));
      assert.ok(Warnings?.some((text) => text.startsWith("WARNING: devicemapper: usage of loopback devices is strongly discouraged")));
    },
  }));
