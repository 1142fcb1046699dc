/** What native/front and the resident process say to each other; front.h there draws it. */
import type { SpawnRequest } from "../cli/caller.ts";
import { ByteReader, ByteWriter } from "../plan/bytes.ts";

const version = 1;
const toFront = { hello: 1, direct: 2, output: 3, spawn: 4, signal: 5, exit: 6 };
const toResident = { request: 1, failed: 2, reply: 3, ended: 4 };
const spawnKinds: Record<SpawnRequest["kind"], number> = { plan: 0, hook: 1 };
const streams = { stdout: 1, stderr: 2 };

/** The front sends less. */
const messageMost = 2 << 20;

export interface Request {
  type: "request";
  cwd: string;
  line: string[];
  /** NAME=value */
  environment: string[];
}

/** Of the child that a spawn gave this id. */
export type FrontMessage = Request | { type: "failed"; id: number; errno: number } | { type: "reply"; id: number; bytes: Buffer } | { type: "ended"; id: number; code: number; signal: number };

function encode(type: number, write: (w: ByteWriter) => void = () => {}): Buffer {
  const w = new ByteWriter(256);
  w.part(() => {
    w.u8(type);
    write(w);
  });
  return w.bytes();
}

export const encodeHello = (): Buffer => encode(toFront.hello, (w) => w.u32(version));
export const encodeDirect = (): Buffer => encode(toFront.direct);
export const encodeExit = (code: number): Buffer => encode(toFront.exit, (w) => w.u32(code));

export function encodeOutput(to: keyof typeof streams, text: string): Buffer {
  return encode(toFront.output, (w) => {
    w.u8(streams[to]);
    w.blob(Buffer.from(text));
  });
}

export function encodeSpawn(id: number, { path, args, env, kind, input, forwardSignals }: SpawnRequest): Buffer {
  return encode(toFront.spawn, (w) => {
    w.u32(id);
    w.u8(spawnKinds[kind]);
    w.bool(forwardSignals);
    w.string(path);
    w.strings(args);
    w.strings(env);
    w.blob(input);
  });
}

export function encodeSignal(id: number, signal: number): Buffer {
  return encode(toFront.signal, (w) => {
    w.u32(id);
    w.u32(signal);
  });
}

/** Throws RangeError for what no front says. */
export function decodeMessage(message: Buffer): FrontMessage {
  const r = new ByteReader(message);
  const type = r.u8();
  if (type === toResident.request) return { type: "request", cwd: r.string(), line: r.list(() => r.string()), environment: r.list(() => r.string()) };
  const id = r.u32();
  if (type === toResident.failed) return { type: "failed", id, errno: r.u32() };
  if (type === toResident.reply) return { type: "reply", id, bytes: message.subarray(message.length - r.u32()) };
  if (type === toResident.ended) return { type: "ended", id, code: r.u32(), signal: r.u32() };
  throw new RangeError(`a message of type ${type}`);
}

/** Cuts a stream into messages. Throws RangeError for one that is too long. */
export function messagesOf(each: (message: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= 4) {
      const length = rest.readUInt32LE(0);
      if (length > messageMost) throw new RangeError("a message that is too long");
      if (rest.length < 4 + length) return;
      each(rest.subarray(4, 4 + length));
      rest = rest.subarray(4 + length);
    }
  };
}
