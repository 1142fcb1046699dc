/** Command lines of `run` and the bodies that the docker command line sends for them, without what is empty or the default. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseFlags } from "../../lib/flags.ts";
import { flagSpecs } from "../flag-types.ts";
import { COMMANDS } from "../tree/container.ts";
import { parseFlagEntries } from "../tree/types.ts";
import { createBody } from "./body.ts";
import { CREATE_CHECKS } from "./checks.ts";

const folder = import.meta.dirname;
const specs = flagSpecs(parseFlagEntries(COMMANDS["container run"]?.flags ?? ""), CREATE_CHECKS);

/** Splits a line at spaces; single quotes keep them. */
const words = (line: string): string[] => [...line.matchAll(/'([^']*)'|\S+/g)].map((match) => match[1] ?? match[0]);

function bodyOf(line: string): unknown {
  const { flags, args } = parseFlags(specs, words(line), { interspersed: false });
  return createBody(flags, args);
}

const KEPT = new Set(["ExposedPorts", "Tmpfs", "Labels", "Config", "Volumes"]);
const isEmpty = (value: unknown): boolean => value === null || value === undefined || value === false || value === 0 || value === "" || (typeof value === "object" && Object.keys(value).length === 0);

function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.every((item) => item === 0) ? [] : value.map(withoutEmpty);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, KEPT.has(key) ? item : withoutEmpty(item)] as const);
  return Object.fromEntries(entries.filter(([, item]) => !isEmpty(item)));
}

const DEFAULTS = { Image: "alpine", HostConfig: { NetworkMode: "default", RestartPolicy: { Name: "no" }, MemorySwappiness: -1 } };
const cases = JSON.parse(readFileSync(`${folder}/testdata/bodies.json`, "utf8").replaceAll("<folder>", folder)) as { line: string; body: Record<string, unknown> & { HostConfig?: object } }[];

for (const { line, body } of cases) {
  test(`run ${line}`, (context) => {
    const before = process.cwd();
    process.chdir(folder);
    const home = process.env["HOME"];
    process.env["HOME"] = "/home/u";
    context.after(() => {
      process.chdir(before);
      process.env["HOME"] = home;
    });
    const expected = { ...DEFAULTS, ...body, HostConfig: { ...DEFAULTS.HostConfig, ...body.HostConfig } };
    const got = withoutEmpty(bodyOf(line)) as { HostConfig: { Binds?: string[] } };
    got.HostConfig.Binds?.sort();
    assert.deepEqual(got, expected);
  });
}

const FAILURES: [string, string][] = [
  ["-e =x alpine", 'invalid argument "=x" for "-e, --env" flag: invalid environment variable: =x'],
  ["-m x alpine", 'invalid argument "x" for "-m, --memory" flag: invalid size: \'x\''],
  ["--cpus x alpine", 'invalid argument "x" for "--cpus" flag: failed to parse x as a rational number'],
  ["--mount nosuch alpine", 'invalid argument "nosuch" for "--mount" flag: invalid field \'nosuch\' must be a key=value pair'],
  ["--mount type=bind,nosuch=1,dst=/x alpine", 'invalid argument "type=bind,nosuch=1,dst=/x" for "--mount" flag: unknown option \'nosuch\' in \'nosuch=1\''],
  ["--ulimit nofile=5:1 alpine", 'invalid argument "nofile=5:1" for "--ulimit" flag: ulimit soft limit must be less than or equal to hard limit: 5 > 1'],
  ["--ip zz alpine", 'invalid argument "zz" for "--ip" flag: failed to parse IP: "zz"'],
  ["--gpus x=y alpine", 'invalid argument "x=y" for "--gpus" flag: unexpected key \'x\' in \'x=y\''],
  ["-p x:y alpine", "invalid containerPort: y"],
  ["-p 99999:80 alpine", "invalid hostPort: 99999"],
  ["-p 80:80/xyz alpine", "invalid proto: xyz"],
  ["-p 1.2.3:80:80 alpine", "invalid IP address: 1.2.3"],
  ["-p 1-2:3-5 alpine", "invalid ranges specified for container and host Ports: 3-5 and 1-2"],
  ["--expose x alpine", "invalid range format for --expose: invalid start port 'x': invalid syntax"],
  ["--device /dev/null:/x:q alpine", "bad mode specified: q"],
  ["--pid nosuch alpine", "--pid: invalid PID mode"],
  ["--rm --restart always alpine", "conflicting options: cannot specify both --restart and --rm"],
  ["--no-healthcheck --health-cmd x alpine", "--no-healthcheck conflicts with --health-* options"],
  ["--network-alias x alpine", "network-scoped aliases are only supported for user-defined networks"],
  ["--network a --network host alpine", "conflicting options: cannot attach both user-defined and non-user-defined network-modes"],
  ["--network a --network a alpine", 'network "a" is specified multiple times'],
  ["--env-file nosuch alpine", "--env-file: open nosuch: no such file or directory"],
  ["--mac-address zz alpine", "zz is not a valid mac address"],
  ["--memory-swappiness 101 alpine", "invalid value: 101. Valid memory swappiness range is 0-100"],
  ["--log-driver none --log-opt a=b alpine", "invalid logging opts for driver none"],
  ["-v /a::/b alpine", "invalid spec: /a::/b: empty section between colons"],
];

for (const [line, message] of FAILURES) {
  test(`run ${line} is refused`, () => assert.throws(() => bodyOf(line), { message }));
}
