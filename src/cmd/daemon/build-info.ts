/** What this build is called. */
import type { Build } from "../../engine/system/types.ts";
import { commit } from "../commit.ts";
import manifest from "../../../package.json" with { type: "json" };

/** The Docker that this engine is compared with: tools that look at the engine's version look for Docker's. */
const DOCKER_VERSION = "29.7.2";

export const build: Build = {
  version: manifest.version,
  dockerVersion: `${DOCKER_VERSION}+gantry.${manifest.version}`,
  gitCommit: commit,
  buildTime: "",
};
