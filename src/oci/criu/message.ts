/**
 * The messages of criu's RPC (rpc.proto of criu, protobuf's wire format), as far as checkpoints need them. A request is described by
 * the fields' numbers there; of an answer only what is looked at is decoded.
 */
export const request = { dump: 1, restore: 2, preDump: 4, notify: 6, featureCheck: 9, version: 10 } as const;
export const cgroupMode = { ignore: 0, soft: 3, full: 4, strict: 5, "": 6 } as const;

export interface CriuOptions {
  imagesDirFd: number;
  workDirFd?: number;
  pid?: number;
  root?: string;
  logFile?: string;
  configFile?: string;
  parentImage?: string;
  pageServer?: { address: string; port: number };
  freezeCgroup?: string;
  manageCgroups?: number;
  emptyNamespaces?: number;
  lsmProfile?: string;
  lsmMountContext?: string;
  leaveRunning?: boolean;
  externalUnixSockets?: boolean;
  tcpEstablished?: boolean;
  tcpSkipInFlight?: boolean;
  linkRemap?: boolean;
  evasiveDevices?: boolean;
  shellJob?: boolean;
  fileLocks?: boolean;
  trackMemory?: boolean;
  autoDedup?: boolean;
  lazyPages?: boolean;
  /** The restored process becomes a sibling of criu. */
  sibling?: boolean;
  orphanTerminals?: boolean;
  externalMounts?: [key: string, value: string][];
  external?: string[];
  inheritFds?: [key: string, fd: number][];
  joinNamespaces?: [type: string, path: string][];
  cgroupRoots?: [controllers: string, path: string][];
}

export interface CriuAnswer {
  type: number;
  success: boolean;
  errno: number;
  /** A step that criu waits in: "post-dump", "network-lock", "orphan-pts-master", ... */
  notify?: { script: string; pid: number };
  /** As 40201 for 4.2.1. */
  version?: number;
  features?: { memoryTracking: boolean; lazyPages: boolean };
}

type Value = number | boolean | string | Buffer | undefined;

/** Protobuf: a tag, then a varint or a length with bytes. */
function field(number: number, value: Value): Buffer[] {
  if (value === undefined) return [];
  if (typeof value === "number" || typeof value === "boolean") return [varint(number << 3), varint(Number(value))];
  const bytes = Buffer.from(value as string);
  return [varint((number << 3) | 2), varint(bytes.length), bytes];
}

/** A negative int32 is sent as 64 bits. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

const message = (...fields: [number, Value][]): Buffer => Buffer.concat(fields.flatMap(([number, value]) => field(number, value)));
const pairs = (number: number, list: readonly (readonly [string, string | number])[] = []): [number, Value][] => list.map((pair) => [number, message([1, pair[0]], [2, pair[1]])]);

export function encodeRequest(type: number, options?: CriuOptions): Buffer {
  return message([1, type], [2, options && encodeOptions(options)], [5, type === request.featureCheck ? message([1, true], [2, true]) : undefined]);
}

export const encodeNotified = (): Buffer => message([1, request.notify], [3, true]);

const logLevel = 4;

function encodeOptions(o: CriuOptions): Buffer {
  return message(
    [1, o.imagesDirFd],
    [2, o.pid],
    [3, o.leaveRunning],
    [4, o.externalUnixSockets],
    [5, o.tcpEstablished],
    [6, o.evasiveDevices],
    [7, o.shellJob],
    [8, o.fileLocks],
    [9, logLevel],
    [10, o.logFile],
    [11, o.pageServer && message([1, o.pageServer.address], [2, o.pageServer.port])],
    [12, true],
    [13, o.root],
    [14, o.parentImage],
    [15, o.trackMemory],
    [16, o.autoDedup],
    [17, o.workDirFd],
    [18, o.linkRemap],
    ...pairs(23, o.externalMounts),
    [24, true],
    ...pairs(25, o.cgroupRoots),
    [26, o.sibling],
    ...pairs(27, o.inheritFds),
    [34, o.manageCgroups],
    ...(o.external ?? []).map((text): [number, Value] => [37, text]),
    [38, o.emptyNamespaces],
    ...pairs(39, o.joinNamespaces),
    [44, o.freezeCgroup],
    [46, o.tcpSkipInFlight],
    [48, o.lazyPages],
    [50, o.orphanTerminals],
    [51, o.configFile],
    [53, o.lsmProfile],
    [63, o.lsmMountContext],
  );
}

/** Numbers and bytes by field; of repeated ones the last. */
function fieldsOf(bytes: Buffer): Map<number, number | Buffer> {
  const found = new Map<number, number | Buffer>();
  let at = 0;
  const take = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined || shift > 63n) throw new RangeError("criu: a broken message");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, value));
    }
  };
  while (at < bytes.length) {
    const tag = take();
    if ((tag & 7) === 0) found.set(tag >> 3, take());
    else if ((tag & 7) === 2) {
      const length = take();
      if (length < 0 || at + length > bytes.length) throw new RangeError("criu: a broken message");
      found.set(tag >> 3, bytes.subarray(at, at + length));
      at += length;
    } else throw new RangeError("criu: a field of an unknown form");
  }
  return found;
}

export function decodeAnswer(bytes: Buffer): CriuAnswer {
  const fields = fieldsOf(bytes);
  const number = (from: Map<number, number | Buffer>, key: number): number => Number(from.get(key) ?? 0);
  const inner = (key: number): Map<number, number | Buffer> | undefined => (fields.has(key) ? fieldsOf(fields.get(key) as Buffer) : undefined);
  const [notify, features, version] = [inner(5), inner(8), inner(10)];
  return {
    type: number(fields, 1),
    success: number(fields, 2) !== 0,
    errno: number(fields, 7),
    ...(notify && { notify: { script: String(notify.get(1) ?? ""), pid: number(notify, 2) } }),
    ...(version && { version: number(version, 1) * 10_000 + number(version, 2) * 100 + number(version, 4) }),
    ...(features && { features: { memoryTracking: number(features, 1) !== 0, lazyPages: number(features, 2) !== 0 } }),
  };
}
