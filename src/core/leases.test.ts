import { leasesContract } from "./leases.contract.ts";
import { Leases } from "./leases.ts";

leasesContract("leases in memory", () => new Leases());
