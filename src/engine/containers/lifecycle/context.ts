/** What the lifecycle of containers needs from the rest of the engine. */
import type { Socket } from "node:net";
import type { ContainerRecord, SandboxState } from "../../../core/container.ts";
import type { EventSink } from "../../../core/events.ts";
import type { LogForwarder } from "../../../core/log-forwarder.ts";
import type { LogCompressor, LogReader } from "../../../core/log.ts";
import type { Runtime, RuntimeProgram } from "../../../core/runtime.ts";
import type { IpAddress } from "../../../lib/ip.ts";
import type { OciSpec } from "../../../lib/oci-spec.ts";
import type { OpenLayer } from "../context.ts";
import type { ExecConfig } from "../exec/instance.ts";
import type { LiveContainer } from "./live.ts";

export interface LifecycleContext {
  store: RecordStore;
  runtime: Runtime;
  events: EventSink;
  logs: LogReader;
  compressor: LogCompressor;
  forwarder: LogForwarder;
  /** What makes a container's root file system; disposed once the task has it. */
  rootfs(record: ContainerRecord): Promise<OpenLayer>;
  networks: SandboxPort;
  /** The OCI configuration of a record in its sandbox. */
  buildSpec(record: ContainerRecord, sandbox: Sandbox): OciSpec | Promise<OciSpec>;
  /** The same for a container that is not started; nothing is made for it. */
  planSpec(record: ContainerRecord, sandbox: Sandbox): OciSpec | Promise<OciSpec>;
  /** The runtime that a record names; undefined: the engine's own. Throws for one that is not configured any more. */
  runtimeOf(record: ContainerRecord): RuntimeProgram | undefined;
  /** The process of an exec, from the container's own settings and the exec's. */
  buildExecProcess(record: ContainerRecord, exec: ExecConfig): OciSpec["process"] & {};
  /** Removes a container that has ended: for auto-remove. */
  remove(record: ContainerRecord): Promise<void>;
  live(id: string): LiveContainer;
  /** Starts a container whose restart is due; its lock is held. */
  relaunch(record: ContainerRecord): Promise<void>;
  /** Bytes of a log that has no limit of its own; 0: any. */
  logBytes: number;
  /** The log file of a container. */
  logPath(record: ContainerRecord): string;
  /** A file of a running container, found inside its root; undefined when there is none. */
  readFile(record: ContainerRecord, path: string, maxBytes: number): Promise<Buffer | undefined>;
  /** A TCP connection that is made in a running container's network namespace. Throws the errno's error. */
  connectInside(record: ContainerRecord, to: { address: IpAddress; port: number }): Socket;
  /** A health check's probe ended. */
  probed(succeeded: boolean): void;
  /** Seconds. */
  defaultStopTimeout: number;
  warn(message: string): void;
}

export interface RecordStore {
  /** By id, name or an unambiguous prefix of an id. Throws Docker's not-found. */
  find(ref: string): ContainerRecord;
  get(id: string): ContainerRecord | undefined;
  list(): Iterable<ContainerRecord>;
  /** Writes the record through and tells whoever caches it. */
  save(record: ContainerRecord): void;
  /** One at a time for each container. */
  withContainer<T>(id: string, run: () => Promise<T>): Promise<T>;
}

/** What a container's network namespace is, once connected. */
export interface Sandbox {
  /** An open network namespace; undefined with the host's or another container's. */
  netnsFd?: number;
  /** Another container's namespace, as /proc/PID/ns/net. */
  netnsPath?: string;
  network?: SandboxState;
  /** Files of the engine's own that are bound over /etc/hosts, /etc/hostname and /etc/resolv.conf. */
  files?: { hosts: string; hostname: string; resolvConf: string };
  /** Variables of linked containers. */
  env?: string[];
}

export interface SandboxPort {
  connect(record: ContainerRecord): Promise<Sandbox>;
  /** Gives back what connect took. Idempotent; does not wait for slow kernel work. */
  disconnect(record: ContainerRecord): Promise<void>;
  /** The init process runs and holds the namespace: the fd can be closed. */
  started(record: ContainerRecord): void;
}
