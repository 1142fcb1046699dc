import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test, type TestContext } from "node:test";
import { logDriverContract, origin, record, type LogServer, type Received } from "../../core/log-driver.contract.ts";
import { until } from "../../lib/eventually.testing.ts";
import { temporaryFolder } from "../../core/log-server.testing.ts";
import { createJournaldDriver, fieldName } from "./index.ts";

const skip = spawnSync("python3", ["--version"]).status === 0 ? false : "needs python3, which takes descriptors out of datagrams";

/** As journald reads: fields of a datagram, or of the file that came with an empty one. */
const RECEIVER = `
import array, json, os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); print("ready", flush=True)
while True:
    data, control, flags, _ = s.recvmsg(1 << 20, socket.CMSG_SPACE(4))
    for level, kind, payload in control:
        fd = array.array("i", payload)[0]
        data = os.pread(fd, 1 << 26, 0); os.close(fd)
    fields, large = {}, bool(control)
    while data:
        line, _, data = data.partition(b"\\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(data[:8], "little"); value = data[8:8 + size]; data = data[9 + size:]
        fields[name.decode()] = value.decode()
    print(json.dumps([large, fields]), flush=True)
`;

interface Journal extends LogServer {
  path: string;
  entries: { large: boolean; fields: Record<string, string> }[];
}

async function journal(t: TestContext): Promise<Journal> {
  const path = join(temporaryFolder(t), "socket");
  const received: Received[] = [];
  const entries: Journal["entries"] = [];
  const child = spawn("python3", ["-c", RECEIVER, path], { stdio: ["ignore", "pipe", "inherit"] });
  const ready = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line === "ready") return ready.resolve();
    const [large, fields] = JSON.parse(line) as [boolean, Record<string, string>];
    entries.push({ large, fields });
    received.push({ text: fields["MESSAGE"] ?? "", stderr: fields["PRIORITY"] === "3" });
  });
  child.once("error", (error) => ready.reject(error));
  await ready.promise;
  const stop = async (): Promise<void> => void child.kill("SIGKILL");
  t.after(stop);
  return { options: {}, received, entries, path, stop, start: async () => {} };
}

/** The contract's servers say where they are by an option; the journal has its place. */
let place = "";
const driver = { id: "journald", open: (...given: Parameters<ReturnType<typeof createJournaldDriver>["open"]>) => createJournaldDriver(place).open(...given) };
if (skip) test("journald: the contract", { skip });
else logDriverContract(
  "journald",
  driver,
  async (t) => {
    const made = await journal(t);
    place = made.path;
    return made;
  },
  { reliable: false },
);

test("the fields of an entry; large ones and those of several lines", { skip }, async (t) => {
  const made = await journal(t);
  const sink = createJournaldDriver(made.path).open(origin({ attributes: { "com.x/label": "a\nb", __env: "v" } }), {});
  await sink.send([record("text", { part: { id: "p", ordinal: 1, last: false } }), record("x".repeat(12_000_000), { part: { id: "p", ordinal: 2, last: true } })]);
  await until("both arrive", () => made.entries.length === 2);
  await sink.close();
  const [first, second] = made.entries;
  const { CONTAINER_LOG_EPOCH: epoch, ...fields } = first?.fields ?? {};
  assert.match(epoch ?? "", /^[0-9a-f]{64}$/);
  assert.deepEqual(fields, {
    ...{ CONTAINER_ID: "ab".repeat(6), CONTAINER_ID_FULL: "ab".repeat(32), CONTAINER_NAME: "web", CONTAINER_TAG: "abababababab", IMAGE_NAME: "image:tag", SYSLOG_IDENTIFIER: "abababababab" },
    ...{ COM_X_LABEL: "a\nb", ENV: "v", PRIORITY: "6", MESSAGE: "text", SYSLOG_TIMESTAMP: "2026-01-02T03:04:05.123456789Z" },
    ...{ CONTAINER_PARTIAL_ID: "p", CONTAINER_PARTIAL_ORDINAL: "1", CONTAINER_PARTIAL_LAST: "false", CONTAINER_PARTIAL_MESSAGE: "true", CONTAINER_LOG_ORDINAL: "1" },
  });
  assert.deepEqual([second?.large, second?.fields["MESSAGE"]?.length, second?.fields["CONTAINER_PARTIAL_MESSAGE"], second?.fields["CONTAINER_LOG_ORDINAL"]], [true, 12_000_000, undefined, "2"]);
});

test("without a journal a start fails; names of fields are the journal's", async () => {
  await assert.rejects(createJournaldDriver("/nowhere/socket").open(origin(), {}).verify(), /^Error: journald is not enabled on this host$/);
  assert.deepEqual(["_a.b", "ü1", "A-B"].map(fieldName), ["A_B", "1", "A_B"]);
});
