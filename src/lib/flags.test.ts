import assert from "node:assert/strict";
import { test } from "node:test";
import { bool, duration, type FlagSpec, int, list, parseFlags, string, uint16 } from "./flags.ts";

const specs: FlagSpec[] = [
  { name: "rm", type: bool },
  { name: "interactive", shorthand: "i", type: bool },
  { name: "tty", shorthand: "t", type: bool },
  { name: "init", type: bool, default: "true" },
  { name: "env", shorthand: "e", type: list },
  { name: "name", type: string },
  { name: "count", shorthand: "c", type: int },
  { name: "port", type: uint16 },
  { name: "period", type: duration },
  { name: "pull", type: string, default: "missing", bare: "always" },
  { name: "old", type: string, deprecated: "use --new" },
];
const parse = (...line: string[]) => parseFlags(specs, line);

test("long and short forms, before and after arguments", () => {
  const { flags, args } = parse("-it", "--name=a=b", "alpine", "-e", "A=1", "-eB=2", "-e=C=3", "--env", "-x", "sh", "-c=0x10");
  assert.deepEqual(args, ["alpine", "sh"]);
  assert.deepEqual(flags.list("env"), ["A=1", "B=2", "C=3", "-x"]);
  assert.equal(flags.string("name"), "a=b");
  assert.equal(flags.int("count"), 16);
  assert.ok(flags.bool("interactive") && flags.bool("tty") && !flags.bool("rm") && flags.bool("init"));
  assert.deepEqual(flags.said(), ["interactive", "tty", "name", "env", "count"]);
});

test("a switch takes a value only with an equals sign", () => {
  const { flags, args } = parse("--rm", "false", "--init=false", "-it=false");
  assert.deepEqual(args, ["false"]);
  assert.ok(flags.bool("rm") && !flags.bool("init") && flags.bool("interactive") && !flags.bool("tty"));
  assert.ok(flags.changed("tty") && !flags.changed("name"));
});

test("a bare flag has its own value and leaves the next word alone", () => {
  assert.equal(parse("--pull", "never").flags.string("pull"), "always");
  assert.equal(parse("--pull=never").flags.string("pull"), "never");
  assert.equal(parse().flags.string("pull"), "missing");
});

test("two dashes end the flags, one dash is an argument", () => {
  const { args, argsBeforeDash } = parse("-", "a", "--", "--rm", "--");
  assert.deepEqual(args, ["-", "a", "--rm", "--"]);
  assert.equal(argsBeforeDash, 2);
  assert.equal(parse("a").argsBeforeDash, undefined);
});

test("without interspersing the first argument ends the flags", () => {
  const { flags, args } = parseFlags(specs, ["--rm", "alpine", "-i", "--", "x"], { interspersed: false });
  assert.deepEqual(args, ["alpine", "-i", "--", "x"]);
  assert.ok(flags.bool("rm") && !flags.bool("interactive"));
});

test("mistakes are told in pflag's words", () => {
  const cases: [string[], string][] = [
    [["--nope=1"], "unknown flag: --nope"],
    [["-ixt"], "unknown shorthand flag: 'x' in -xt"],
    [["-i="], "unknown shorthand flag: '=' in -="],
    [["---x"], "bad flag syntax: ---x"],
    [["--=x"], "bad flag syntax: --=x"],
    [["--name"], "flag needs an argument: --name"],
    [["-ie"], "flag needs an argument: 'e' in -e"],
    [["--rm=maybe"], 'invalid argument "maybe" for "--rm" flag: strconv.ParseBool: parsing "maybe": invalid syntax'],
    [["-c", "x"], 'invalid argument "x" for "-c, --count" flag: strconv.ParseInt: parsing "x": invalid syntax'],
    [["--port=70000"], 'invalid argument "70000" for "--port" flag: strconv.ParseUint: parsing "70000": value out of range'],
    [["--period=3"], 'invalid argument "3" for "--period" flag: time: missing unit in duration "3"'],
  ];
  for (const [line, message] of cases) assert.throws(() => parse(...line), { message, code: "invalid-parameter" });
});

test("deprecated flags warn", () => {
  assert.deepEqual(parse("--old", "x").warnings, ["Flag --old has been deprecated, use --new"]);
});
