/** A further process in a running container, as `docker exec` makes it. Kept in memory only: it ends with its container. */
import type { ExecTask } from "../../../core/runtime.ts";

export interface ExecConfig {
  user: string;
  privileged: boolean;
  tty: boolean;
  consoleSize: { height: number; width: number } | undefined;
  attachStdin: boolean;
  attachStdout: boolean;
  attachStderr: boolean;
  detachKeys: string;
  env: string[];
  workingDir: string;
  cmd: string[];
}

export type ExecState =
  | { status: "created" }
  | { status: "starting" }
  | { status: "running"; task: ExecTask }
  /** pid 0: it never ran. */
  | { status: "exited"; exitCode: number; pid: number };

export interface ExecInstance {
  id: string;
  containerId: string;
  config: ExecConfig;
  state: ExecState;
  /** A client has left it by its detach keys: it counts as exited while its process may run on. */
  detached?: boolean;
}
