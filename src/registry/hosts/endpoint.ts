/** One place where a registry's repositories are: itself or a mirror. */
import type { TlsSettings } from "../http/tls-settings.ts";

export type Capability = "pull" | "resolve" | "push";

export interface Endpoint {
  scheme: "http" | "https";
  /** With its port, as in a reference. */
  host: string;
  /** Where the API is: "/v2". */
  path: string;
  capabilities: ReadonlySet<Capability>;
  tls: TlsSettings;
  /** Asked by HTTPS first, and by HTTP when it does not speak that. */
  plainFallback: boolean;
  headers: Readonly<Record<string, string>>;
  dialMilliseconds?: number | undefined;
}

export const allCapabilities: ReadonlySet<Capability> = new Set<Capability>(["pull", "resolve", "push"]);

export const originOf = ({ scheme, host }: Endpoint): string => `${scheme}://${host}`;
