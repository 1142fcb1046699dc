import assert from "node:assert/strict";
import { test } from "node:test";
import { traceText } from "./start-trace.ts";

test("parts of a step stand above it and are added up once", () => {
  const id = "ab".repeat(32);
  const steps = [
    { name: "rootfs", microseconds: 67 },
    { name: `task: mkdir /x/${id}`, microseconds: 1 },
    { name: "task: write", microseconds: 2 },
    { name: "task: write", microseconds: 3 },
    { name: "task", microseconds: 12_000 },
  ];
  assert.equal(
    traceText(steps),
    ["       TIME  STEP", "   0.067 ms  rootfs", "   0.001 ms    mkdir /x/abababababab", "   0.005 ms    write (2 times)", "  12.000 ms  task", "  12.067 ms  total", ""].join("\n"),
  );
});
