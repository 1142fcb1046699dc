/** Text forms of network addresses as Go's net and netip packages read them, with their error texts: clients see them. */
import { messageOf } from "./errors.ts";
import { bitsOf, formatIp, parseIp } from "./ip.ts";

/** An IPv4 or IPv6 address in its canonical form; "" stays "". */
export function parseAddress(input: string): string {
  if (input === "") return "";
  for (const char of input) {
    if (char === ".") return parseIPv4(input);
    if (char === ":") return parseIPv6(input);
    if (char === "%") throw new Error(`ParseAddr(${JSON.stringify(input)}): missing IPv6 address`);
  }
  throw new Error(`ParseAddr(${JSON.stringify(input)}): unable to parse IP`);
}

/** An address and a length in their canonical form, host bits kept; "" stays "". */
export function parsePrefixText(input: string): string {
  if (input === "") return "";
  const fail = (message: string): never => {
    throw new Error(`netip.ParsePrefix(${JSON.stringify(input)}): ${message}`);
  };
  const slash = input.lastIndexOf("/");
  if (slash < 0) fail("no '/'");
  const bits = input.slice(slash + 1);
  let address = "";
  try {
    address = parseAddress(input.slice(0, slash));
  } catch (error) {
    fail((error as Error).message);
  }
  if (address.includes("%")) fail("IPv6 zones cannot be present in a prefix");
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(bits)) fail(`bad bits after slash: ${JSON.stringify(bits)}`);
  if (Number(bits) > bitsOf(address.includes(":") ? 6 : 4)) fail("prefix length out of range");
  return `${address}/${Number(bits)}`;
}

export const isIPv4 = (address: string): boolean => address !== "" && !address.includes(":");

function parseIPv4(input: string): string {
  const fail = (message: string): never => {
    throw new Error(`ParseAddr(${JSON.stringify(input)}): ${message}`);
  };
  const parts = input.split(".");
  for (const part of parts) {
    const wrong = /[^0-9]/.exec(part);
    if (wrong) fail(`unexpected character (at ${JSON.stringify(input.slice(input.indexOf(part) + wrong.index))})`);
    if (part === "") fail("IPv4 field must have at least one digit");
    if (part.length > 1 && part.startsWith("0")) fail("IPv4 field has octet with leading zero");
    if (Number(part) > 255) fail("IPv4 field has value >255");
  }
  if (parts.length > 4) fail("IPv4 address too long");
  if (parts.length < 4) fail("IPv4 address too short");
  return input;
}

function parseIPv6(input: string): string {
  const [address = "", zone] = splitOnce(input, "%");
  if (zone === "") throw new Error(`ParseAddr(${JSON.stringify(input)}): zone must be a non-empty string`);
  const parsed = parseIp(address);
  if (parsed === undefined) throw new Error(`ParseAddr(${JSON.stringify(input)}): ${whyNoIPv6(address)}`);
  return formatIp(parsed) + (zone === undefined ? "" : `%${zone}`);
}

/** The first thing wrong, from the left, with the text from there on. */
function whyNoIPv6(address: string): string {
  const at = (message: string, rest: string): string => `${message} (at ${JSON.stringify(rest)})`;
  let rest = address.replace(/^::/, "");
  let shortened = rest !== address;
  let groups = 0;
  while (groups < 8) {
    const digits = (/^[0-9a-fA-F]*/.exec(rest) as RegExpExecArray)[0];
    if (digits.length > 4) return at("each group must have 4 or less digits", rest);
    if (digits === "") return at("each colon-separated field must have at least one digit", rest);
    const next = rest.slice(digits.length);
    if (next.startsWith(".")) return whyNoEnd(rest, groups, shortened);
    groups++;
    rest = next;
    if (rest === "") break;
    if (!rest.startsWith(":")) return at("unexpected character, want colon", rest);
    if (rest === ":") return at("colon must be followed by more characters", rest);
    rest = rest.slice(1);
    if (!rest.startsWith(":")) continue;
    if (shortened) return at("multiple :: in address", rest);
    shortened = true;
    rest = rest.slice(1);
    if (rest === "") break;
  }
  if (rest !== "") return at("trailing garbage after address", rest);
  return shortened ? "the :: must expand to at least one field of zeros" : "address string too short";
}

/** Of dotted IPv4 behind so many groups. */
function whyNoEnd(dotted: string, groups: number, shortened: boolean): string {
  if (!shortened && groups !== 6) return `embedded IPv4 address must replace the final 2 fields of the address (at ${JSON.stringify(dotted)})`;
  if (groups > 6) return `too many hex fields to fit an embedded IPv4 at the end of the address (at ${JSON.stringify(dotted)})`;
  try {
    parseIPv4(dotted);
  } catch (error) {
    return messageOf(error).replace(/^ParseAddr\(.*?\): /, "");
  }
  return "the :: must expand to at least one field of zeros";
}

function splitOnce(input: string, separator: string): [string, string?] {
  const at = input.indexOf(separator);
  return at < 0 ? [input] : [input.slice(0, at), input.slice(at + 1)];
}

/** A hardware address of 6, 8 or 20 bytes as lower-case pairs with colons; "" stays "". */
export function parseHardwareAddress(input: string): string {
  if (input === "") return "";
  const hex = /^[0-9a-fA-F]{2}([:-])(?:[0-9a-fA-F]{2}\1)+[0-9a-fA-F]{2}$/.test(input) || /^(?:[0-9a-fA-F]{4}\.)+[0-9a-fA-F]{4}$/.test(input) ? input.replace(/[:.-]/g, "").toLowerCase() : "";
  if (![12, 16, 40].includes(hex.length)) throw new Error(`address ${input}: invalid MAC address`);
  return hex.match(/../g)!.join(":");
}

/** "80", "80/udp": the normal form with a lower-case protocol; "" stays "". */
export function parsePort(input: string): string {
  if (input === "") return "";
  const [port = "", protocol] = splitOnce(input, "/");
  if (port === "") throw new Error("invalid port '': value is empty");
  if (!/^[0-9]+$/.test(port)) throw new Error(`invalid port '${port}': invalid syntax`);
  if (Number(port) > 65535) throw new Error(`invalid port '${port}': value out of range`);
  return `${Number(port)}/${(protocol || "tcp").toLowerCase()}`;
}
