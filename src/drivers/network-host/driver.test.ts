import { networkDriverContract } from "../../core/network.contract.ts";
import { FakeMachine } from "../../sys/netlink/fake.ts";
import { createHostDriver } from "./driver.ts";

networkDriverContract("host driver", async () => {
  const machine = new FakeMachine();
  return {
    driver: createHostDriver(),
    createSandbox: async () => machine.createSandbox(),
    interfaces: async ({ fd }) => (await machine.namespace(fd).links()).map(({ name }) => name).filter((name) => name !== "lo"),
    close: async () => {},
  };
});
