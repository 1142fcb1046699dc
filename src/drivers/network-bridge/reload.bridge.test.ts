/** Other programs reload the firewall while a container sends to another network's container: nothing ever arrives (CVE-2025-54388, CVE-2025-54410, CVE-2025-67499). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../../lib/eventually.testing.ts";
import { cannotUnshare, inNamespace } from "../../sys/netlink/namespace.testing.ts";
import { container, echoServer, machine, network, options, steadyClient } from "./bridge.testing.ts";
import type { Machine } from "./bridge.testing.ts";
import { createBridgeDriver } from "./driver.ts";

const reloads = ["nft flush ruleset", "printf 'flush ruleset\\ntable inet foreign {\\n}\\n' | nft -f -"];

const sentBy = (netns: { fd: number }): number => Number([...inNamespace(netns, "cat /proc/net/snmp").matchAll(/^Udp: (.*)$/gm)][1]![1]!.split(" ")[3]);

/** Reloads the firewall until something arrives, at most so often; whether it did. */
async function arrives(bench: Machine, times: number, between: () => Promise<void> = () => Promise.resolve()): Promise<boolean> {
  const [red, blue] = [network("red0", 81), network("blue0", 82)];
  for (const one of [red, blue]) await bench.driver.createNetwork(one);
  const [attacker, victim] = [await container(bench.driver, red, "10.81.0.2"), await container(bench.driver, blue, "10.82.0.2")];
  using _server = await echoServer(victim.sandbox);
  using client = steadyClient(attacker.sandbox, "10.82.0.2", 8000);
  using neighbour = steadyClient(victim.sandbox, "10.82.0.2", 8000);
  await until("the server answers its own, and somebody sends", () => neighbour.answered() && sentBy(attacker.sandbox) > 0);
  let answered = false;
  for (let round = 0; round < times && !answered; round++) {
    inNamespace(bench.host, reloads[round % reloads.length]!);
    await sleep(25);
    answered = client.answered();
  }
  await between();
  await sleep(100);
  answered ||= client.answered();
  for (const { sandbox } of [attacker, victim]) sandbox.close();
  return answered;
}

test("isolation holds while the ruleset is reloaded again and again, and over a restart of the daemon", { skip: cannotUnshare }, async () => {
  await using bench = await machine();
  const restart = async (): Promise<void> => {
    await bench.driver.close();
    const next = createBridgeDriver(options(bench.kernel, []));
    // As the engine does: the table is made with every network, whichever is created first.
    const both = [network("red0", 81), network("blue0", 82)];
    next.expectNetworks(both);
    for (const one of both) await next.createNetwork(one);
    await next.close();
  };
  assert.equal(await arrives(bench, 20, restart), false);
});

test("control: rules in a table that anybody may flush leave a gap", { skip: cannotUnshare }, async () => {
  await using bench = await machine({ tableOwner: false });
  assert.equal(await arrives(bench, 1000), true);
});
