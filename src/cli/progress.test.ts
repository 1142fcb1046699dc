import assert from "node:assert/strict";
import { test } from "node:test";
import { showProgress } from "./progress.ts";

async function* stream(...messages: object[]): AsyncGenerator<Buffer> {
  for (const message of messages) yield Buffer.from(`${JSON.stringify(message)}\r\n`);
}

async function shown(terminal: { width: number } | undefined, ...messages: object[]): Promise<string> {
  let text = "";
  await showProgress(stream(...messages), { write: (data) => void (text += data.toString()), isTerminal: terminal !== undefined, size: { height: 24, width: terminal?.width ?? 0 } });
  return text;
}

const layers = [
  { status: "Pulling from a", id: "1" },
  { status: "Waiting", progressDetail: {}, id: "x" },
  { status: "Waiting", progressDetail: {}, id: "y" },
  { status: "Downloading", progressDetail: { current: 512, total: 1024 }, id: "x" },
  { status: "Pull complete", progressDetail: {}, id: "x" },
  { status: "Digest: d" },
];

test("on a terminal each layer has its line, where it changes", async () => {
  const line = (up: number, text: string): string => `\x1b[${up}A\x1b[2K\r${text}\r\x1b[${up}B`;
  const expected = (bar: string): string => `1: Pulling from a\n\n${line(1, "x: Waiting")}\n${line(1, "y: Waiting")}${line(2, `x: Downloading ${bar}`)}${line(2, "x: Pull complete")}Digest: d\n`;
  assert.equal(await shown({ width: 120 }, ...layers), expected(`[${"=".repeat(25)}>${" ".repeat(25)}]     512B/1.024kB`));
  assert.equal(await shown({ width: 80 }, ...layers), expected("    512B/1.024kB"));
});

test("elsewhere the bars are left out", async () => {
  assert.equal(await shown(undefined, ...layers), "1: Pulling from a\nx: Waiting\ny: Waiting\nx: Pull complete\nDigest: d\n");
});

test("the error that ends a stream is thrown, what is for programs is not shown", async () => {
  const aux: unknown[] = [];
  let text = "";
  const out = { write: (data: string | Uint8Array) => void (text += data.toString()), isTerminal: false, size: { height: 0, width: 0 } };
  await assert.rejects(showProgress(stream({ status: "a" }, { aux: { b: 1 } }, { errorDetail: { message: "went wrong" }, error: "went wrong" }), out, (value) => aux.push(value)), /^Error: went wrong$/);
  assert.deepEqual([text, aux], ["a\n", [{ b: 1 }]]);
});
