import assert from "node:assert/strict";
import { test } from "node:test";
import { networkTree } from "./network-tree.ts";

test("networks with their subnets, and the containers below them", () => {
  const container = (Name: string, IPv4Address: string, IPv6Address = "") => ({ Name, IPv4Address, IPv6Address });
  const front = { Name: "front", Driver: "bridge", Internal: false, IPAM: { Config: [{ Subnet: "10.1.0.0/24" }, { Subnet: "fd00::/64" }] }, Containers: { b: container("web", "10.1.0.3/24", "fd00::3/64"), a: container("database", "10.1.0.2/24") } };
  const back = { Name: "back", Driver: "bridge", Internal: true, IPAM: { Config: [{ Subnet: "10.2.0.0/24" }] }, Containers: {} };
  const large = { Name: "large", Driver: "bridge", Internal: false, FurtherBridges: ["gb1", "gb2"], IPAM: { Config: [{ Subnet: "10.3.0.0/16" }] }, Containers: {} };
  const none = { Name: "none", Driver: "null", Internal: false, IPAM: { Config: null }, Containers: null };
  assert.equal(
    networkTree([back, front, large, none]),
    ["back   bridge, internal   10.2.0.0/24", "front   bridge   10.1.0.0/24, fd00::/64", "├─ database   10.1.0.2", "└─ web        10.1.0.3, fd00::3", "large   bridge   10.3.0.0/16   further bridges gb1, gb2", "none   null", ""].join("\n"),
  );
});
