/**
 * Messages between the daemon, the launcher and the shims; native/shim/{launcher,shim}.h have the same numbers.
 *
 *   daemon ── CREATE (on its end of a new socket pair) ──┐
 *   daemon ── FORK with the other end ──▶ launcher ─fork─▶ shim reads CREATE, answers CREATED or STARTED
 */
import { unavailable } from "../../lib/errors.ts";
import { ByteReader, ByteWriter } from "../plan/bytes.ts";

export const launcherRequest = { hello: 1, fork: 2, put: 3, get: 4, drop: 5, end: 6 } as const;
export const launcherReply = { ok: 1, failed: 2 } as const;
export const launcherVersion = 2;
/** A shim that was started by another version of this program may speak another one. */
export const shimVersion = 1;

const request = { create: 1, start: 2, signal: 3, attach: 4, resize: 5, exec: 6, status: 7, release: 8, adoptExec: 9, log: 10 } as const;
const reply = { ok: 1, failed: 2, created: 3, started: 4, exited: 5, execStarted: 6, execExited: 7, status: 8 } as const;

/** Plans beyond this size travel in a memory file instead of in the message. */
export const inlinePlanBytes = 60_000;

export interface CreateMessage {
  folder: string;
  terminal: boolean;
  stdin: boolean;
  stdinOnce: boolean;
  autostart: boolean;
  trace: boolean;
  width: number;
  height: number;
  /** "": no log. */
  logPath: string;
  /** A JSON object, or "". */
  logAttributes: string;
  logMaxBytes: number;
  logMaxFiles: number;
  /** undefined: it comes as the first fd. */
  plan: Uint8Array | undefined;
}

export interface ExecMessage {
  id: string;
  terminal: boolean;
  stdin: boolean;
  stdinOnce: boolean;
  width: number;
  height: number;
  attach: { stdin: boolean; stdout: boolean; stderr: boolean } | undefined;
  plan: Uint8Array | undefined;
  /** The plan's process is another runtime's command: where that leaves the pid of its own, and sends its terminal to ("": none). */
  adopt?: { pidFile: string; console: string };
}

function message(type: number, serial: number, size = 128): ByteWriter {
  const w = new ByteWriter(size);
  w.u8(type);
  w.u32(serial);
  return w;
}

function writePlan(w: ByteWriter, plan: Uint8Array | undefined): void {
  w.bool(plan === undefined);
  w.blob(plan ?? new Uint8Array());
}

export function encodeCreate(serial: number, create: CreateMessage): Buffer {
  const w = message(request.create, serial, 1024 + (create.plan?.length ?? 0));
  w.string(create.folder);
  w.bool(create.terminal);
  w.bool(create.stdin);
  w.bool(create.stdinOnce);
  w.bool(create.autostart);
  w.bool(create.trace);
  w.u32(create.width);
  w.u32(create.height);
  w.string(create.logPath);
  w.string(create.logAttributes);
  w.u64(BigInt(create.logMaxBytes));
  w.u32(create.logMaxFiles);
  writePlan(w, create.plan);
  return w.bytes();
}

export function encodeExec(serial: number, exec: ExecMessage): Buffer {
  const w = message(exec.adopt ? request.adoptExec : request.exec, serial, 1024 + (exec.plan?.length ?? 0));
  w.string(exec.id);
  w.bool(exec.terminal);
  w.bool(exec.stdin);
  w.bool(exec.stdinOnce);
  w.u32(exec.width);
  w.u32(exec.height);
  w.bool(exec.attach !== undefined);
  w.bool(exec.attach?.stdin);
  w.bool(exec.attach?.stdout);
  w.bool(exec.attach?.stderr);
  writePlan(w, exec.plan);
  if (exec.adopt) {
    w.string(exec.adopt.pidFile);
    w.string(exec.adopt.console);
  }
  return w.bytes();
}

/** `process` "" is init, else an exec's id. */
export const encodeStart = (serial: number): Buffer => message(request.start, serial).bytes();

export function encodeSignal(serial: number, process: string, signal: number, all: boolean): Buffer {
  const w = message(request.signal, serial);
  w.string(process);
  w.u32(signal);
  w.bool(all);
  return w.bytes();
}

export function encodeAttach(serial: number, process: string, streams: { stdin: boolean; stdout: boolean; stderr: boolean }): Buffer {
  const w = message(request.attach, serial);
  w.string(process);
  w.bool(streams.stdin);
  w.bool(streams.stdout);
  w.bool(streams.stderr);
  return w.bytes();
}

export function encodeResize(serial: number, process: string, size: { width: number; height: number }): Buffer {
  const w = message(request.resize, serial);
  w.string(process);
  w.u32(size.width);
  w.u32(size.height);
  return w.bytes();
}

export function encodeLog(serial: number, log: Pick<CreateMessage, "logAttributes" | "logMaxBytes" | "logMaxFiles">): Buffer {
  const w = message(request.log, serial, 1024 + 3 * log.logAttributes.length);
  w.string(log.logAttributes);
  w.u64(BigInt(log.logMaxBytes));
  w.u32(log.logMaxFiles);
  return w.bytes();
}

export const encodeStatus = (serial: number): Buffer => message(request.status, serial).bytes();
export const encodeRelease = (serial: number): Buffer => message(request.release, serial).bytes();

/** Positions are enum section. */
export const sections = ["clone", "namespaces", "host", "parent", "child", "exec", "teardown"] as const;
export type Section = (typeof sections)[number];

export interface ShimFailure {
  errno: number;
  section: Section;
  index: number;
  step: string;
  subject: string;
}

export interface Timing {
  section: Section;
  index: number;
  nanoseconds: number;
}

export interface ShimExit {
  code: number;
  at: bigint;
  oomKilled: boolean;
}

export interface ShimStatus {
  state: "starting" | "created" | "running" | "exited";
  pid: number;
  startedAt: bigint;
  terminal: boolean;
  exit: ShimExit;
  execs: { id: string; running: boolean; pid: number; terminal: boolean; exit: ShimExit }[];
}

export type ShimReply =
  | { type: "ok"; serial: number }
  | { type: "failed"; serial: number; failure: ShimFailure }
  | { type: "created" | "started" | "execStarted"; serial: number; pid: number; startedAt: bigint; timings: Timing[] }
  | { type: "exited" | "execExited"; serial: number; id: string; exit: ShimExit }
  | { type: "status"; serial: number; status: ShimStatus };

const states = ["starting", "created", "running", "exited"] as const;

const readSection = (r: ByteReader): Section => sections[r.u8()] ?? "exec";
const readExit = (r: ByteReader): ShimExit => ({ code: r.u32(), at: r.u64(), oomKilled: r.bool() });
const readTimings = (r: ByteReader): Timing[] => r.list(() => ({ section: readSection(r), index: r.u32(), nanoseconds: r.u32() }));
export const readFailure = (r: ByteReader): ShimFailure => ({ errno: r.i32(), section: readSection(r), index: r.u32(), step: r.string(), subject: r.string() });

function readStatus(r: ByteReader): ShimStatus {
  const version = r.u32();
  if (version !== shimVersion) throw unavailable(`the shim speaks version ${version} of its protocol, this program version ${shimVersion}: use the program that started the container, or stop the container with it`);
  const state = states[r.u8()] ?? "exited";
  const pid = r.u32();
  const startedAt = r.u64();
  const terminal = r.bool();
  const exit = readExit(r);
  const execs = r.list(() => {
    // Reading order is the message's order.
    const id = r.string();
    const running = states[r.u8()] !== "exited";
    return { id, running, pid: r.u32(), terminal: r.bool(), exit: readExit(r) };
  });
  return { state, pid, startedAt, terminal, exit, execs };
}

export function decodeReply(bytes: Buffer): ShimReply {
  const r = new ByteReader(bytes);
  const type = r.u8();
  const serial = r.u32();
  switch (type) {
    case reply.ok:
      return { type: "ok", serial };
    case reply.failed:
      return { type: "failed", serial, failure: readFailure(r) };
    case reply.created:
      return { type: "created", serial, pid: r.u32(), startedAt: r.u64(), timings: readTimings(r) };
    case reply.started:
      return { type: "started", serial, pid: r.u32(), startedAt: r.u64(), timings: readTimings(r) };
    case reply.execStarted:
      return { type: "execStarted", serial, pid: r.u32(), startedAt: r.u64(), timings: readTimings(r) };
    case reply.exited:
      return { type: "exited", serial, id: r.string(), exit: readExit(r) };
    case reply.execExited:
      return { type: "execExited", serial, id: r.string(), exit: readExit(r) };
    case reply.status:
      return { type: "status", serial, status: readStatus(r) };
    default:
      throw new RangeError(`unknown message ${type} from a shim`);
  }
}
