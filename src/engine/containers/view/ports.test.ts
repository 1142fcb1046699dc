import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContainerRecord } from "../../../core/container.ts";
import { inspectPorts, portSummaries } from "./ports.ts";

const record = (networkName: string): ContainerRecord =>
  ({
    config: { ExposedPorts: { "81/tcp": {} } },
    network: { endpoints: [{ networkName }], ports: networkName === "bridge" ? [{ port: 80, protocol: "tcp", hostIp: "127.0.0.1", hostPort: 8080 }] : [] },
  }) as unknown as ContainerRecord;

test("a port that is only exposed has an empty address in lists and no bindings in inspect", () => {
  assert.deepEqual(portSummaries(record("bridge")), [{ IP: "127.0.0.1", PrivatePort: 80, PublicPort: 8080, Type: "tcp" }, { IP: "", PrivatePort: 81, Type: "tcp" }]);
  assert.deepEqual(inspectPorts(record("bridge")), { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "8080" }], "81/tcp": null });
});

test("no ports where no network driver knows them", () => {
  for (const name of ["host", "none"]) assert.deepEqual([portSummaries(record(name)), inspectPorts(record(name))], [[], {}]);
});
