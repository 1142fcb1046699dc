/** What GET /version answers. */
import type { Build, Machine, SystemSettings } from "./types.ts";

export interface VersionSources {
  build: Build;
  machine: Machine;
  settings: Pick<SystemSettings, "experimental" | "minimumApiVersion">;
  apiVersion: string;
}

/** What stands where Docker names its Go: clients read the member without asking whether it is there. */
const language = `node${process.versions.node}`;

export function version({ build, machine, settings, apiVersion }: VersionSources): Record<string, unknown> {
  return {
    Platform: { Name: `Gantry ${build.version}` },
    Version: build.dockerVersion,
    ApiVersion: apiVersion,
    MinAPIVersion: settings.minimumApiVersion,
    Os: "linux",
    Arch: machine.goArchitecture,
    Components: [
      {
        Name: "Engine",
        Version: build.dockerVersion,
        Details: {
          ApiVersion: apiVersion,
          Arch: machine.goArchitecture,
          BuildTime: build.buildTime,
          Experimental: String(settings.experimental),
          GitCommit: build.gitCommit,
          GoVersion: language,
          KernelVersion: machine.kernelVersion,
          MinAPIVersion: settings.minimumApiVersion,
          NodeVersion: process.version.slice(1),
          Os: "linux",
        },
      },
      { Name: "gantry", Version: build.version, Details: { GitCommit: build.gitCommit } },
      { Name: "gantry-runtime", Version: build.version, Details: { GitCommit: build.gitCommit } },
      { Name: "gantry-init", Version: build.version, Details: { GitCommit: build.gitCommit } },
    ],
    GitCommit: build.gitCommit,
    GoVersion: language,
    ...(settings.experimental ? { Experimental: true } : {}),
    KernelVersion: machine.kernelVersion,
    BuildTime: build.buildTime,
  };
}
