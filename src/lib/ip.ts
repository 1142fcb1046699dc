/** IPv4 and IPv6 addresses and prefixes as numbers: parsing is strict (no octal, no zone, no missing octets), arithmetic is exact. */
import { invalidParameter } from "./errors.ts";

export type IpFamily = 4 | 6;

export interface IpAddress {
  readonly family: IpFamily;
  readonly value: bigint;
}

/** A prefix whose `address` may have host bits: "172.17.0.1/16" is both an interface's address and its network. */
export interface IpPrefix {
  readonly address: IpAddress;
  readonly length: number;
}

export const bitsOf = (family: IpFamily): number => (family === 4 ? 32 : 128);

/** undefined when `text` is no address. */
export function parseIp(text: string): IpAddress | undefined {
  const value = text.includes(":") ? parseV6(text) : parseV4(text);
  return value === undefined ? undefined : { family: text.includes(":") ? 6 : 4, value };
}

function parseV4(text: string): bigint | undefined {
  const octets = text.split(".");
  if (octets.length !== 4) return undefined;
  let value = 0;
  for (const octet of octets) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(octet) || Number(octet) > 255) return undefined;
    value = value * 256 + Number(octet);
  }
  return BigInt(value);
}

function parseV6(text: string): bigint | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1]!, true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  return [...head, ...Array.from({ length: missing }, () => 0), ...tail].reduce((sum, group) => (sum << 16n) | BigInt(group), 0n);
}

/** The 16-bit groups of one side of "::"; only the last side may end in dotted IPv4. */
function groupsOf(text: string, isLast: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (part.includes(".")) {
      const v4 = isLast && index === parts.length - 1 ? parseV4(part) : undefined;
      if (v4 === undefined) return undefined;
      groups.push(Number(v4 >> 16n), Number(v4 & 0xffffn));
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

/** The canonical text: RFC 5952 for IPv6. */
export function formatIp(address: IpAddress): string {
  return address.family === 4 ? formatV4(address.value) : formatV6(address.value);
}

function formatV4(value: bigint): string {
  const number = Number(value);
  return `${number >>> 24}.${(number >>> 16) & 255}.${(number >>> 8) & 255}.${number & 255}`;
}

function formatV6(value: bigint): string {
  if (value >> 32n === 0xffffn) return `::ffff:${formatV4(value & 0xffffffffn)}`;
  const groups = Array.from({ length: 8 }, (_, index) => Number((value >> BigInt(112 - 16 * index)) & 0xffffn));
  const run = longestZeroRun(groups);
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(":");
  if (run.length < 2) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

function longestZeroRun(groups: number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

/** "10.0.0.0/8"; undefined when `text` is no prefix. Host bits are kept. */
export function parsePrefix(text: string): IpPrefix | undefined {
  const slash = text.indexOf("/");
  if (slash < 0) return undefined;
  const address = parseIp(text.slice(0, slash));
  const length = text.slice(slash + 1);
  if (!address || !/^(0|[1-9][0-9]{0,2})$/.test(length) || Number(length) > bitsOf(address.family)) return undefined;
  return { address, length: Number(length) };
}

/** As parsePrefix, for text that must be one: `what` names the option in the error. */
export function requirePrefix(text: string, what: string): IpPrefix {
  const prefix = parsePrefix(text);
  if (!prefix) throw invalidParameter(`invalid ${what}: ${JSON.stringify(text)} is no CIDR address, such as 172.20.0.1/16`);
  return prefix;
}

export const formatPrefix = (prefix: IpPrefix): string => `${formatIp(prefix.address)}/${prefix.length}`;

const hostMask = (prefix: IpPrefix): bigint => (1n << BigInt(bitsOf(prefix.address.family) - prefix.length)) - 1n;

/** The prefix without host bits. */
export function networkOf(prefix: IpPrefix): IpPrefix {
  return { address: firstAddress(prefix), length: prefix.length };
}

export function firstAddress(prefix: IpPrefix): IpAddress {
  return { family: prefix.address.family, value: prefix.address.value & ~hostMask(prefix) };
}

export function lastAddress(prefix: IpPrefix): IpAddress {
  return { family: prefix.address.family, value: prefix.address.value | hostMask(prefix) };
}

export function contains(prefix: IpPrefix, address: IpAddress): boolean {
  return prefix.address.family === address.family && firstAddress(prefix).value <= address.value && address.value <= lastAddress(prefix).value;
}

export function overlaps(a: IpPrefix, b: IpPrefix): boolean {
  return contains(a, firstAddress(b)) || contains(b, firstAddress(a));
}

export const isLoopback = (address: IpAddress): boolean => (address.family === 4 ? address.value >> 24n === 127n : address.value === 1n);

/** Network byte order: 4 or 16 bytes. */
export function ipToBytes(address: IpAddress): Uint8Array {
  const bytes = new Uint8Array(address.family === 4 ? 4 : 16);
  let rest = address.value;
  for (let index = bytes.length - 1; index >= 0; index--, rest >>= 8n) bytes[index] = Number(rest & 0xffn);
  return bytes;
}

export function ipFromBytes(bytes: Uint8Array): IpAddress {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return { family: bytes.length === 4 ? 4 : 6, value };
}
