/** Has the client run the commands that people wait for, against a daemon's part played here, so that V8's code of them is kept. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const id = "0".repeat(64);
const container = {
  Id: id, Names: ["/name"], Image: "image", ImageID: `sha256:${id}`, Command: "true", Created: 1, State: "running", Status: "Up 2 seconds",
  Ports: [{ IP: "0.0.0.0", PrivatePort: 80, PublicPort: 80, Type: "tcp" }], Labels: {}, Mounts: [], NetworkSettings: { Networks: {} }, HostConfig: { NetworkMode: "default" },
};
const image = { Id: `sha256:${id}`, RepoTags: ["image:latest"], RepoDigests: [], ParentId: "", Created: 1, Size: 1, SharedSize: -1, Containers: -1, Labels: null };
const config = { Id: id, Name: "/name", Config: { Tty: false, Image: "image" }, State: { Running: true, Status: "running" }, HostConfig: {} };
const version = { Platform: { Name: "" }, Components: [{ Name: "Engine", Version: "1", Details: {} }], Version: "1", ApiVersion: "1.56", MinAPIVersion: "1.24", Os: "linux", Arch: "amd64" };

const frame = (text: string): Buffer => Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, text.length]), Buffer.from(text)]);

/** By method and the path behind the version. */
const answers: [RegExp, unknown][] = [
  [/^POST \/containers\/create/, { Id: id, Warnings: [] }],
  [/^POST \/containers\/\w+\/wait/, { StatusCode: 0 }],
  [/^POST \/containers\/\w+\/exec/, { Id: id }],
  [/^GET \/exec\//, { ID: id, Running: false, ExitCode: 0, ProcessConfig: {} }],
  [/^GET \/containers\/json/, [container, container]],
  [/^GET \/containers\/\w+\/json/, config],
  [/^GET \/images\/json/, [image, image]],
  [/^GET \/version/, version],
];

function answer(request: string): Buffer {
  const call = request.replace(/^(\S+) (?:\/v[\d.]+)?(\S+).*/s, "$1 $2");
  if (/\r\nUpgrade: tcp/.test(request)) return Buffer.concat([Buffer.from("HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"), frame("out\n")]);
  if (/^GET \/containers\/\w+\/logs/.test(call)) return Buffer.concat([head(12, "application/vnd.docker.multiplexed-stream"), frame("out\n")]);
  const found = answers.find(([pattern]) => pattern.test(call));
  const body = found === undefined ? "" : JSON.stringify(found[1]);
  return Buffer.concat([head(body.length, "application/json"), Buffer.from(body)]);
}

const head = (length: number, type: string): Buffer => Buffer.from(`HTTP/1.1 200 OK\r\nApi-Version: 1.56\r\nOstype: linux\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`);

function serve(): Server {
  return createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => {
      const request = data.toString("latin1");
      if (!/^(GET|HEAD|POST|DELETE) /.test(request)) return;
      socket.write(answer(request));
      if (/\r\nUpgrade: tcp/.test(request)) socket.end();
    });
    socket.on("end", () => socket.end());
  });
}

/** Each command finds what those before it had compiled, and keeps it. One that fails costs a later start some milliseconds only. */
export async function recordClient(entry: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "gantry-code-"));
  const server = serve().listen(join(folder, "socket"));
  try {
    await once(server, "listening");
    const env = { PATH: process.env["PATH"], HOME: folder, DOCKER_HOST: `unix://${folder}/socket`, GANTRY_RECORD_CODE: "1" };
    for (const line of ["version", "ps", "run --rm image true", "run -d image true", "exec name true", "logs name", "inspect name", "images", "rm -f name", "nonsense"]) {
      const child = spawn(process.execPath, [entry, ...line.split(" ")], { env, stdio: ["ignore", "ignore", "ignore"], timeout: 10_000 });
      await once(child, "exit");
    }
  } finally {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
