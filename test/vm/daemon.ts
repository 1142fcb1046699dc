/** gantryd in the virtual machine, with busybox. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Api } from "../harness/api.ts";
import { project } from "../harness/engine.ts";
import { busyboxImage } from "../harness/images.ts";

/** Not in a machine of the harness: that has a pid namespace, where systemd's numbers of processes are others. */
export async function withDaemon(flags: readonly string[], use: (api: Api) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "gantryd-"));
  const socket = join(folder, "sock");
  const line = ["-H", `unix://${socket}`, "--data-root", join(folder, "root"), "--exec-root", join(folder, "exec"), "--pidfile", join(folder, "pid"), "--bridge", "none", ...flags];
  const daemon = spawn(join(project, "build/node"), [join(project, "dist/gantryd.js"), ...line], { stdio: ["ignore", "inherit", "inherit"] });
  const api = new Api(socket);
  const answers = (): Promise<boolean> => api.send("GET", "/version", { timeoutMs: 60_000 }).then(({ status }) => status === 200, () => false);
  try {
    for (let tries = 0; !existsSync(socket) || !(await answers()); tries++) {
      assert.ok(tries < 600 && daemon.exitCode === null, "gantryd does not answer");
      await sleep(100);
    }
    await api.send("POST", "/images/create", { query: { fromSrc: "-", repo: "busybox", tag: "latest", changes: 'CMD ["sh"]' }, body: busyboxImage(), headers: { "content-type": "application/x-tar" } });
    await use(api);
  } finally {
    api.close();
    daemon.kill("SIGTERM");
    await once(daemon, "exit");
    rmSync(folder, { recursive: true, force: true });
  }
}
