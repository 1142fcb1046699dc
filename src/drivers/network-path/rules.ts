/** What the rules of a hook make of a packet, as the kernel lists them. A rule that cannot be decided about is "maybe", and the next one is looked at. */
import { ipFromBytes } from "../../lib/ip.ts";
import type { IpAddress } from "../../lib/ip.ts";
import { attributeText, parseAttributes } from "../../sys/netlink/message.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import { FAMILY, HOOK } from "../../sys/netlink/nftables.ts";
import type { NftBaseChain } from "../../sys/netlink/nftables.ts";
import { dataOf } from "../../sys/netlink/nftables-rules.ts";
import type { ChainReference, ListedElement, ListedExpression, ListedRule, ListedVerdict } from "../../sys/netlink/nftables-rules.ts";
import { hostWord } from "../../sys/netlink/nftables-expression.ts";
import { connectionOf, metaOf, payloadOf } from "./packet.ts";
import type { Packet } from "./packet.ts";
import { extensionOf, matches } from "./xtables.ts";

/** A rule that decides something, or might. */
export interface Finding {
  /** "table inet x, chain forward: comment". */
  rule: string;
  effect: "accepts" | "drops" | "rejects" | "redirects" | "masquerades" | "copies";
  certain: boolean;
}

export interface HookOutcome {
  findings: Finding[];
  /** Where it ends; absent: it goes on. */
  stopped?: Finding;
  redirect?: { address: IpAddress; port: number | undefined };
  /** A copy leaves by the link of that index instead. */
  copied?: number;
}

export type Hook = keyof typeof HOOK;

const FAMILY_NAME: Record<number, string> = Object.fromEntries(Object.entries(FAMILY).map(([name, number]) => [number, name]));
const VERDICT = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;
/** As the kernel has it. */
const MAX_DEPTH = 16;
/** A drop that is told to the sender. */
const REJECTION: ListedVerdict = { code: VERDICT.drop, chain: "" };

/** Words of 4 bytes; undefined: not settled. */
type Registers = (number | undefined)[];

export class RuleReader {
  readonly #kernel: NetworkKernel;
  readonly #rules = new Map<string, Promise<ListedRule[]>>();
  readonly #sets = new Map<string, Promise<ListedElement[]>>();
  #chains: Promise<NftBaseChain[]> | undefined;

  constructor(kernel: NetworkKernel) {
    this.#kernel = kernel;
  }

  /** Chains of the hook in their order. `bridge`: those for frames. Marks and redirections are written into the packet. */
  async pass(hook: Hook, packet: Packet, { bridge = false } = {}): Promise<HookOutcome> {
    const families = bridge ? [FAMILY.bridge] : [FAMILY.inet, packet.destination.family === 4 ? FAMILY.ip : FAMILY.ip6];
    this.#chains ??= this.#kernel.baseChains();
    const chains = (await this.#chains).filter((chain) => chain.hook === HOOK[hook] && (families as number[]).includes(chain.family)).sort((one, other) => one.priority - other.priority);
    const outcome: HookOutcome = { findings: [] };
    for (const chain of chains) {
      const run = new ChainRun(this, packet, outcome);
      const verdict = (await run.chain(chain, 0)) ?? (chain.policy === "drop" ? "drop" : undefined);
      if (verdict === "drop" && !outcome.stopped) outcome.stopped = record(outcome, { rule: `${chainText(chain)}: its policy`, effect: "drops", certain: !run.doubtful });
      if (outcome.stopped || outcome.copied !== undefined) break;
    }
    return outcome;
  }

  rules(chain: ChainReference): Promise<ListedRule[]> {
    return cached(this.#rules, chain, () => this.#kernel.chainRules(chain));
  }

  elements(set: ChainReference): Promise<ListedElement[]> {
    return cached(this.#sets, set, () => this.#kernel.setElements(set));
  }
}

function cached<Value>(map: Map<string, Promise<Value>>, { family, table, name }: ChainReference, read: () => Promise<Value>): Promise<Value> {
  const key = `${family} ${table} ${name}`;
  const value = map.get(key) ?? read();
  map.set(key, value);
  return value;
}

const chainText = ({ family, table, name }: ChainReference): string => `table ${FAMILY_NAME[family] ?? family} ${table}, chain ${name}`;

function record(outcome: HookOutcome, finding: Finding): Finding {
  outcome.findings.push(finding);
  return finding;
}

/** One base chain with those that it jumps to. */
class ChainRun {
  readonly #reader: RuleReader;
  readonly #packet: Packet;
  readonly #outcome: HookOutcome;
  /** A rule before that might have accepted. */
  doubtful = false;

  constructor(reader: RuleReader, packet: Packet, outcome: HookOutcome) {
    this.#reader = reader;
    this.#packet = packet;
    this.#outcome = outcome;
  }

  /** undefined: it came to the end. */
  async chain(chain: ChainReference, depth: number): Promise<"accept" | "drop" | "return" | undefined> {
    if (depth > MAX_DEPTH) return undefined;
    for (const rule of await this.#reader.rules(chain)) {
      const done = await this.#rule(chain, rule, depth);
      if (done) return done;
    }
    return undefined;
  }

  async #rule(chain: ChainReference, rule: ListedRule, depth: number): Promise<"accept" | "drop" | "return" | undefined> {
    const registers: Registers = Array.from({ length: 32 });
    let certain = true;
    const found = (effect: Finding["effect"]): Finding => record(this.#outcome, { rule: `${chainText(chain)}${rule.comment === "" ? "" : `: ${rule.comment}`}`, effect, certain: certain && !this.doubtful });
    for (const expression of rule.expressions) {
      const result = await this.#evaluate(expression, chain, registers);
      if (result === false) return undefined;
      if (result === undefined) certain = false;
      if (typeof result !== "object") continue;
      if ("verdict" in result) {
        const verdict = await this.#follow(result.verdict, chain, { depth, certain, found });
        if (verdict !== "next") return verdict;
      } else if (certain) {
        found(result.effect);
        if (result.effect === "copies") this.#outcome.copied = result.device;
        if (result.effect === "redirects") this.#redirect(result);
        if (result.effect === "redirects" || result.effect === "masquerades") return "accept";
      } else return undefined;
    }
    return undefined;
  }

  #redirect({ address, port }: { address: IpAddress; port: number | undefined }): void {
    this.#outcome.redirect = { address, port };
  }

  async #follow(asked: ListedVerdict, { family, table }: ChainReference, { depth, certain, found }: { depth: number; certain: boolean; found: (effect: Finding["effect"]) => Finding }): Promise<"accept" | "drop" | "return" | "next" | undefined> {
    const { code, chain: target } = asked;
    if (code === VERDICT.return) return certain ? "return" : "next";
    if (code === VERDICT.accept || code === VERDICT.drop) {
      const finding = found(code === VERDICT.accept ? "accepts" : asked === REJECTION ? "rejects" : "drops");
      if (!certain) {
        this.doubtful ||= code === VERDICT.accept;
        return "next";
      }
      if (code === VERDICT.drop) this.#outcome.stopped = finding;
      return code === VERDICT.accept ? "accept" : "drop";
    }
    if (code !== VERDICT.jump && code !== VERDICT.goto) return "next";
    // What a chain says that is perhaps not reached is no more than a perhaps.
    if (!certain) this.doubtful = true;
    const verdict = await this.chain({ family, table, name: target }, depth + 1);
    if (verdict === "accept" || verdict === "drop") return certain ? verdict : "next";
    return code === VERDICT.goto && certain ? "return" : "next";
  }

  /** true: it goes on; false: the rule does not apply; undefined: not known. */
  async #evaluate({ name, data }: ListedExpression, chain: ChainReference, registers: Registers): Promise<boolean | undefined | { verdict: ListedVerdict } | { effect: "redirects"; address: IpAddress; port: number | undefined } | { effect: "masquerades" | "rejects" } | { effect: "copies"; device: number }> {
    const parts = parseAttributes(data);
    const u32 = (type: number): number => parts.get(type)?.readUInt32BE(0) ?? 0;
    const packet = this.#packet;
    switch (name) {
      case "meta":
        if (parts.has(3)) return this.#writeMeta(u32(2), read(registers, u32(3), 4));
        return write(registers, u32(1), metaOf(packet, u32(2)));
      case "payload":
        return parts.has(5) ? true : write(registers, u32(1), payloadOf(packet, u32(2), u32(3), u32(4)));
      case "ct":
        return parts.has(4) ? true : write(registers, u32(1), connectionOf(packet, u32(2)));
      case "fib":
        return write(registers, u32(1), u32(2) === 3 && (u32(3) & 2) !== 0 ? hostWord(packet.local ? 2 : 1) : undefined);
      case "cmp":
        return compare(read(registers, u32(1), valueOf(parts.get(3)).length), u32(2), valueOf(parts.get(3)));
      case "range":
        return inRange(read(registers, u32(1), valueOf(parts.get(3)).length), u32(2) === 1, [valueOf(parts.get(3)), valueOf(parts.get(4))]);
      case "bitwise":
        return (parts.get(6)?.readUInt32BE(0) ?? 0) === 0 ? write(registers, u32(2), masked(read(registers, u32(1), u32(3)), valueOf(parts.get(4)), valueOf(parts.get(5)))) : write(registers, u32(2), undefined);
      case "immediate":
        return immediate(registers, u32(1), dataOf(parts.get(2)));
      case "lookup":
        return this.#lookup(chain, parts, registers);
      case "nat":
        return natOf(parts, registers);
      case "masq":
        return { effect: "masquerades" };
      case "dup": {
        const device = read(registers, u32(2), 4);
        return device ? { effect: "copies", device: Buffer.from(device).readUInt32LE(0) } : undefined;
      }
      case "reject":
        return { verdict: REJECTION };
      case "match":
        return matches(data, packet);
      case "target":
        return targetOf(extensionOf(data).name);
      case "counter":
      case "log":
      case "limit":
      case "notrack":
      case "quota":
        return true;
      default:
        return undefined;
    }
  }

  #writeMeta(key: number, value: Uint8Array | undefined): true {
    if (key === 3 && value) this.#packet.mark = Buffer.from(value).readUInt32LE(0);
    return true;
  }

  async #lookup(chain: ChainReference, parts: Map<number, Buffer>, registers: Registers): Promise<boolean | undefined | { verdict: ListedVerdict }> {
    const u32 = (type: number): number => parts.get(type)?.readUInt32BE(0) ?? 0;
    const elements = await this.#reader.elements({ family: chain.family, table: chain.table, name: attributeText(parts.get(1)) });
    const length = elements[0]?.key.length ?? 0;
    const key = read(registers, u32(2), length);
    const inverted = (u32(5) & 1) === 1;
    if (elements.length === 0) return inverted;
    if (!key) return undefined;
    const element = findElement(elements, Buffer.from(key));
    if (!element || inverted) return (element !== undefined) !== inverted;
    if (element.verdict) return { verdict: element.verdict };
    return parts.has(3) ? write(registers, u32(3), element.value) : true;
  }
}

const valueOf = (data: Buffer | undefined): Buffer => dataOf(data).value ?? Buffer.alloc(0);

/** The first word of a register: 1 to 4 are of 16 bytes, those from 8 on of 4. */
const firstWord = (register: number): number => (register < 8 ? (register - 1) * 4 : register - 8);

function write(registers: Registers, register: number, value: Uint8Array | undefined): true {
  const at = firstWord(register);
  if (!value) {
    for (let word = 0; word < 4 && at + word < registers.length; word++) registers[at + word] = undefined;
    return true;
  }
  const padded = Buffer.concat([value], (value.length + 3) & ~3);
  for (let word = 0; word * 4 < padded.length; word++) registers[at + word] = padded.readUInt32LE(word * 4);
  return true;
}

function read(registers: Registers, register: number, length: number): Uint8Array | undefined {
  const words = registers.slice(firstWord(register), firstWord(register) + Math.ceil(length / 4));
  if (words.includes(undefined) || words.length * 4 < length) return undefined;
  return Buffer.concat(words.map((word) => hostWord(word!))).subarray(0, length);
}

function compare(actual: Uint8Array | undefined, operation: number, value: Buffer): boolean | undefined {
  if (!actual) return undefined;
  const order = Buffer.compare(actual, value);
  return [order === 0, order !== 0, order < 0, order <= 0, order > 0, order >= 0][operation];
}

function inRange(actual: Uint8Array | undefined, outside: boolean, [first, last]: [Buffer, Buffer]): boolean | undefined {
  if (!actual) return undefined;
  return (Buffer.compare(actual, first) >= 0 && Buffer.compare(actual, last) <= 0) !== outside;
}

const masked = (value: Uint8Array | undefined, mask: Buffer, flip: Buffer): Uint8Array | undefined => value?.map((byte, index) => (byte & (mask[index] ?? 0)) ^ (flip[index] ?? 0));

function immediate(registers: Registers, register: number, { value, verdict }: { value?: Buffer; verdict?: ListedVerdict }): true | { verdict: ListedVerdict } {
  return verdict ? { verdict } : write(registers, register, value);
}

function findElement(elements: readonly ListedElement[], key: Buffer): ListedElement | undefined {
  const exact = elements.find((element) => !element.isEnd && (element.last ? withinFields(key, element.key, element.last) : element.key.equals(key)));
  if (exact || !elements.some(({ isEnd }) => isEnd)) return exact;
  // Ranges of one field: the last element at or before the key begins the one that it is in, or ends the one before.
  const before = elements.filter((element) => Buffer.compare(element.key, key) <= 0).sort((one, other) => Buffer.compare(one.key, other.key) || Number(other.isEnd) - Number(one.isEnd)).at(-1);
  return before?.isEnd ? undefined : before;
}

/** Word by word: right for single values and for prefixes, which is what fields of ranges are. */
function withinFields(key: Buffer, first: Buffer, last: Buffer): boolean {
  for (let at = 0; at < key.length; at += 4) {
    const [own, from, to] = [key, first, last].map((bytes) => bytes.subarray(at, at + 4));
    if (Buffer.compare(own!, from!) < 0) return false;
    if (Buffer.compare(own!, to!) > 0) return false;
  }
  return true;
}

function natOf(parts: Map<number, Buffer>, registers: Registers): true | undefined | { effect: "redirects"; address: IpAddress; port: number | undefined } {
  const number = (type: number): number => parts.get(type)?.readUInt32BE(0) ?? 0;
  if (number(1) !== 1) return true;
  const address = read(registers, number(3), number(2) === 2 ? 4 : 16);
  const port = parts.has(5) ? read(registers, number(5), 2) : undefined;
  if (!address || (parts.has(5) && !port)) return undefined;
  return { effect: "redirects", address: ipFromBytes(address), port: port && (port[0]! << 8) | port[1]! };
}

function targetOf(name: string): true | undefined | { verdict: ListedVerdict } {
  if (name === "REJECT") return { verdict: REJECTION };
  if (name === "DROP") return { verdict: { code: VERDICT.drop, chain: "" } };
  if (name === "LOG" || name === "NFLOG" || name === "MARK" || name === "CT") return true;
  return undefined;
}
