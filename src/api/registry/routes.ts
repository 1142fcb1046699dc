/** What is asked of registries rather than of this machine. */
import type { Registries } from "../../core/registry.ts";
import type { Route } from "../route.ts";
import { authenticate } from "./auth.ts";
import { inspectRemote } from "./distribution.ts";
import { searchImages } from "./search.ts";

export function registryRoutes(registries: Registries): Route[] {
  return [
    { method: "POST", path: "/auth", handler: (call) => authenticate(registries, call) },
    { method: "GET", path: "/images/search", handler: (call) => searchImages(registries, call) },
    { method: "GET", path: "/distribution/{name...}/json", since: [1, 30], handler: (call) => inspectRemote(registries, call) },
  ];
}
