import assert from "node:assert/strict";
import { test } from "node:test";
import type { ImageSettings } from "../../lib/oci-image.ts";
import { applyChanges } from "./changes.ts";

test("each instruction sets what Docker sets", () => {
  const cases: [changes: string[], expected: ImageSettings, before?: ImageSettings][] = [
    [['CMD ["a","b"]'], { Cmd: ["a", "b"] }],
    [["cmd a  b"], { Cmd: ["/bin/sh", "-c", "a  b"] }],
    [["CMD [not json"], { Cmd: ["/bin/sh", "-c", "[not json"] }],
    [["ENTRYPOINT e"], { Entrypoint: ["/bin/sh", "-c", "e"] }, { Cmd: ["old"] }],
    [["CMD c", 'ENTRYPOINT ["e"]'], { Cmd: ["/bin/sh", "-c", "c"], Entrypoint: ["e"] }],
    [["ENV A=1 B='two words' C=\"x y\"", "ENV A 2 3"], { Env: ["A=2 3", "B=two words", "C=x y"] }],
    [["ENV A=1", "ENV B=$A-${A} C=${X:-d} D=${A:+set} E=\\$A F='$A'"], { Env: ["A=1", "B=1-1", "C=d", "D=set", "E=$A", "F=$A"] }],
    [["ENV C=$B B=x"], { Env: ["B=x", "C=old"] }, { Env: ["B=old"] }],
    [["LABEL a=b \"c d\"=e f=\"g \\\"h\\\"\""], { Labels: { a: "b", "c d": "e", f: 'g "h"' } }],
    [["EXPOSE 80 53/UDP 8000-8002 127.0.0.1:90:91"], { ExposedPorts: { "80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}, "8002/tcp": {}, "91/tcp": {} } }],
    [["ENV P=\"1 2\"", "EXPOSE $P"], { Env: ["P=1 2"], ExposedPorts: { "1/tcp": {}, "2/tcp": {} } }],
    [["USER 1:2"], { User: "1:2" }],
    [["WORKDIR a", "WORKDIR b/../c"], { WorkingDir: "/a/c" }],
    [["WORKDIR /x"], { WorkingDir: "/x" }, { WorkingDir: "/y" }],
    [["VOLUME /a /b", 'VOLUME ["/c d"]'], { Volumes: { "/a": {}, "/b": {}, "/c d": {} } }],
    [["STOPSIGNAL SIGINT"], { StopSignal: "SIGINT" }],
    [["ONBUILD RUN x", "onbuild add a b"], { OnBuild: ["RUN x", "add a b"] }],
    [["CMD"], { Cmd: ["/bin/sh", "-c"] }],
    [["STOPSIGNAL 99"], { StopSignal: "99" }],
    [["HEALTHCHECK NONE"], { Healthcheck: { Test: ["NONE"] } }],
    [["HEALTHCHECK --interval=5s --timeout=1m --retries=3 CMD test -e /x"], { Healthcheck: { Test: ["CMD-SHELL", "test -e /x"], Interval: 5e9, Timeout: 60e9, Retries: 3 } }],
    [['HEALTHCHECK CMD ["a"]'], { Healthcheck: { Test: ["CMD", "a"] } }],
    [["# comment", "ENV A=1 \\", "  # inside", "  B=2", "", "USER x"], { Env: ["A=1", "B=2"], User: "x" }],
  ];
  for (const [changes, expected, before = {}] of cases) assert.deepEqual(applyChanges(before, changes), expected, changes.join("; "));
});

test("what is wrong is refused in Docker's words", () => {
  const cases: [change: string, message: string | RegExp][] = [
    ["RUN x", "RUN is not a valid change command"],
    ["NOSUCH", "NOSUCH is not a valid change command"],
    ["constructor x", "constructor is not a valid change command"],
    ["ENV", "ENV requires at least one argument"],
    ["ENV A", "ENV must have two arguments"],
    ["ENV A=1 B", 'Syntax error - can\'t find = in "B". Must be of the form: name=value'],
    ["EXPOSE 99999", "invalid containerPort: 99999"],
    ["EXPOSE 1/icmp", "invalid proto: icmp"],
    ["USER", "USER requires exactly one argument"],
    ["STOPSIGNAL NOPE", /[Ii]nvalid signal: NOPE/],
    ["ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"],
    ["ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"],
    ["HEALTHCHECK RUN x", 'Unknown type "RUN" in HEALTHCHECK (try CMD)'],
    ["HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"],
    ["HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"],
    ["CMD [1]", "when using JSON array syntax, arrays must be comprised of strings only"],
    ["ENV A=${B", /missing/],
    ["ENV A='x", "failed to process \"'x\": unexpected end of statement while looking for matching single-quote"],
    ["HEALTHCHECK --nosuch=1 CMD x", "unknown flag: --nosuch"],
  ];
  for (const [change, message] of cases) assert.throws(() => applyChanges({}, [change]), { code: "invalid-parameter", message }, change);
});
