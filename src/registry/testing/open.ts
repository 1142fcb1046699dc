/** Registries as tests open them: no pauses, nothing of this machine's settings. */
import { noProxies } from "../../lib/proxy.ts";
import { createRegistries, type OpenRegistries, type RegistriesOptions } from "../registries.ts";

export function openRegistries(options: Omit<Partial<RegistriesOptions>, "hosts"> & { hosts?: Partial<RegistriesOptions["hosts"]> } = {}): OpenRegistries & Disposable {
  const { hosts = {}, ...rest } = options;
  const registries = createRegistries({
    proxies: noProxies,
    userAgent: "test",
    mostDownloadAttempts: 3,
    backoffMilliseconds: 1,
    limits: { stallMilliseconds: 30_000, answerMilliseconds: 30_000 },
    ...rest,
    hosts: { mirrors: [], insecureRegistries: [], certsFolders: [], ...hosts },
  });
  return { ...registries, [Symbol.dispose]: () => registries.close() };
}
