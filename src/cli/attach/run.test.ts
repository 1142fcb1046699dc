/** `run` against a daemon of the test's own: streams, exit statuses, half-close, and a terminal with its size and detach keys. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { after, test } from "node:test";

const net = process.getBuiltinModule("node:net");
const folder = mkdtempSync(`${tmpdir()}/gantry-run-`);
const cleanups: (() => void)[] = [];
after(() => {
  for (const cleanup of cleanups) cleanup();
  rmSync(folder, { recursive: true, force: true });
});

interface Container {
  /** What the process does with its streams; it calls `exit` when it ends. */
  run: (streams: Socket, exit: (status: number) => void) => void;
}

interface Daemon {
  host: string;
  requests: string[];
}

const json = (text: string, status = "200 OK"): string => `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;

/** Answers what `run` asks. The process starts with POST start. */
async function daemon(container: Container): Promise<Daemon> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  let streams: Socket | undefined;
  let waiting: Socket | undefined;
  const exit = (status: number): void => {
    const body = JSON.stringify({ StatusCode: status });
    waiting?.write(`${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`);
  };
  const answer = (socket: Socket, line: string): void => {
    requests.push(line);
    if (line.includes("/_ping")) socket.write("HTTP/1.1 200 OK\r\nApi-Version: 1.56\r\nOstype: linux\r\nContent-Length: 0\r\n\r\n");
    else if (line.includes("/create")) socket.write(json('{"Id":"abc","Warnings":["careful"]}', "201 Created"));
    else if (line.includes("/attach")) {
      socket.removeAllListeners("data").pause();
      socket.write("HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
      streams = socket;
    } else if (line.includes("/wait")) {
      socket.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
      waiting = socket;
    } else {
      socket.write("HTTP/1.1 204 No Content\r\n\r\n");
      if (!line.includes("/start") || !streams) return;
      container.run(streams, exit);
      streams.resume();
    }
  };
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    let data = "";
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      data += chunk.toString("latin1");
      const end = data.indexOf("\r\n\r\n");
      if (end < 0 || data.length < end + 4 + Number(/content-length: (\d+)/i.exec(data)?.[1] ?? 0)) return;
      const line = data.slice(0, data.indexOf("\r\n"));
      data = "";
      answer(socket, line);
    });
  });
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const path = `${folder}/${cleanups.length}.sock`;
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { host: `unix://${path}`, requests };
}

function frame(stream: number, text: string): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([header, Buffer.from(text)]);
}

const PROGRAM = [process.execPath, "--", `${import.meta.dirname}/../../cmd/gantry.ts`];

function gantry(command: string[], host: string, input = ""): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { env: { PATH: process.env["PATH"], HOME: folder, DOCKER_HOST: host, TERM: "xterm" } });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => (stdout += chunk));
  child.stderr.on("data", (chunk) => (stderr += chunk));
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  return new Promise((resolve) => child.on("close", (status) => resolve({ status, stdout, stderr })));
}

test("streams come apart, warnings are told, the status is the container's", async () => {
  const { host, requests } = await daemon({
    run: (streams, exit) => {
      streams.end(Buffer.concat([frame(1, "out\n"), frame(2, "err\n")]));
      exit(7);
    },
  });
  assert.deepEqual(await gantry([...PROGRAM, "run", "--rm", "image"], host), { status: 7, stdout: "out\n", stderr: "WARNING: careful\nerr\n" });
  const order = requests.map((line) => /(_ping|create|attach|wait|start)/.exec(line)?.[1]);
  assert.equal(order.at(-1), "start", "attached and waiting before the start");
  assert.ok(requests.some((line) => line.includes("/wait?condition=removed")));
});

test("the end of stdin reaches the container while its output goes on", async () => {
  const { host } = await daemon({
    run: (streams, exit) => {
      let got = "";
      streams.on("data", (chunk) => (got += chunk));
      streams.on("end", () => {
        streams.end(frame(1, `got ${got}`));
        exit(0);
      });
    },
  });
  assert.deepEqual(await gantry([...PROGRAM, "run", "-i", "image"], host, "typed"), { status: 0, stdout: "got typed", stderr: "WARNING: careful\n" });
});

const python = spawnSync("python3", ["-c", "import pty"]).status === 0;

/** Runs a program on a terminal of 33 rows and 99 columns; types the second argument when "#" was shown. */
const TERMINAL = `
import fcntl, os, pty, struct, sys, termios
pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
seen = b""
typed = False
while True:
    try:
        data = os.read(master, 4096)
    except OSError:
        break
    if not data:
        break
    seen += data
    if b"#" in seen and not typed:
        typed = True
        os.write(master, sys.argv[1].encode().decode("unicode_escape").encode("latin1"))
os.write(1, seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

test("a terminal is raw, has this one's size, and is left by the detach keys", { skip: python ? false : "needs python3 with the module pty" }, async () => {
  let got = "";
  const { host, requests } = await daemon({
    run: (streams) => {
      streams.on("data", (chunk) => (got += chunk));
      setTimeout(() => streams.write("a\r\n# "), 100);
    },
  });
  const result = await gantry(["python3", "-c", TERMINAL, "ls\\x03\\x10\\x11", ...PROGRAM, "run", "-it", "image"], host);
  assert.equal(result.status, 0);
  assert.match(result.stdout, /a\r\n# $/, "line ends are the container's own");
  assert.equal(got, "ls\x03", "control characters reach the container, the keys do not");
  assert.ok(requests.some((line) => line.includes("/resize?h=33&w=99")));
});
