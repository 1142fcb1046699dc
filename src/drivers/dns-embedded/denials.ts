/** What limited sandboxes were denied, told once in a while for each target. */
import type { EgressDenial, EgressOwner } from "../../core/name-service.ts";
import { formatIp, ipFromBytes } from "../../lib/ip.ts";

const QUIET_MS = 10_000;
/** Told within that time; more are not told of. */
const MAX_TOLD = 100;

export class Denials {
  readonly #ownerOf: (source: string) => EgressOwner | undefined;
  readonly #tell: (denial: EgressDenial) => void;
  #told = new Set<string>();
  #since = -Infinity;

  constructor(ownerOf: (source: string) => EgressOwner | undefined, tell: (denial: EgressDenial) => void) {
    this.#ownerOf = ownerOf;
    this.#tell = tell;
  }

  name(owner: EgressOwner, target: string): void {
    this.#tellOnce({ owner, target });
  }

  /** The beginning of an IP packet. */
  packet(bytes: Buffer): void {
    const read = readPacket(bytes);
    const owner = read && this.#ownerOf(read.source);
    if (read && owner) this.#tellOnce({ owner, target: read.target, protocol: read.protocol, ...(read.port === undefined ? {} : { port: read.port }) });
  }

  #tellOnce(denial: EgressDenial): void {
    const now = performance.now();
    if (now - this.#since > QUIET_MS) {
      this.#told = new Set();
      this.#since = now;
    }
    const key = JSON.stringify(denial);
    if (this.#told.has(key) || this.#told.size >= MAX_TOLD) return;
    this.#told.add(key);
    this.#tell(denial);
  }
}

const PROTOCOLS: Record<number, string> = { 6: "tcp", 17: "udp" };

export function readPacket(bytes: Buffer): { source: string; target: string; protocol: string; port?: number } | undefined {
  const version = bytes.length > 0 ? bytes[0]! >> 4 : 0;
  if ((version !== 4 || bytes.length < 20) && (version !== 6 || bytes.length < 40)) return undefined;
  const address = (from: number, length: number): string => formatIp(ipFromBytes(bytes.subarray(from, from + length)));
  const [source, target] = version === 4 ? [address(12, 4), address(16, 4)] : [address(8, 16), address(24, 16)];
  const number = bytes[version === 4 ? 9 : 6]!;
  const body = version === 4 ? (bytes[0]! & 15) * 4 : 40;
  const name = PROTOCOLS[number];
  return { source, target, protocol: name ?? String(number), ...(name !== undefined && bytes.length >= body + 4 ? { port: bytes.readUInt16BE(body + 2) } : {}) };
}
